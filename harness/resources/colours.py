"""Convert images of every mode to 8-bit sRGB, by their ICC profile if they have one.

An image without a profile is taken to be sRGB, whatever its format and bit depth.
"""

from __future__ import annotations

import io
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image as Pillow
from PIL import ImageCms

if TYPE_CHECKING:
    from numpy.typing import NDArray

WHITES = (1, 255, 65535)
"""White of floating-point and 32-bit images, as programs write them."""

PROFILE_MODES = {"RGB ": "RGB", "GRAY": "L", "CMYK": "CMYK", "Lab ": "LAB"}
"""The mode of the pixels that a profile of this colour space describes."""

ROUNDING = 1
"""Grey levels. A profile that changes no colour by more is sRGB; converting would add errors."""


def to_srgb(picture: Pillow.Image) -> Pillow.Image:
    """Return an image as 8-bit sRGB, composited over white."""
    profile = picture.info.get("icc_profile")
    if picture.mode.startswith(("I", "F")):
        return _from_deep(picture, profile)
    if not picture.has_transparency_data:
        return _convert(picture, profile)
    grey = picture.mode in {"1", "L", "LA", "La"}
    picture = picture.convert("LA" if grey else "RGBA")  # also resolves a transparent colour
    colours = _convert(picture.convert("L" if grey else "RGB"), profile)
    colours.putalpha(picture.getchannel("A"))
    white = Pillow.new("RGBA", picture.size, "white")
    return Pillow.alpha_composite(white, colours).convert("RGB")


def _from_deep(picture: Pillow.Image, profile: bytes | None) -> Pillow.Image:
    """Convert a grey-scale image of more than 8 bits: scale the values, do not truncate them."""
    values = np.nan_to_num(np.asarray(picture, dtype=np.float64))
    white = 65535 if picture.mode.startswith("I;16") else _white(values)
    levels = (values / white).clip(0, 1)
    transform = _transform(profile, "I;16") if profile else None
    if transform:  # a linear profile spreads the darkest of 256 levels over 13
        deep = Pillow.fromarray((levels * 65535).round().astype(np.uint16))
        return transform.apply(deep)
    return _convert(Pillow.fromarray((levels * 255).round().astype(np.uint8)), profile)


def _white(values: NDArray[np.float64]) -> float:
    """Return the value of white; brighter values are highlights, which are clipped.

    The median of the positive values decides: highlights and a black border do not change it.
    """
    positive = values[values > 0]
    typical = float(np.median(positive)) if positive.size else 0.0
    return next((white for white in WHITES if typical <= white), float(values.max()))


def _convert(picture: Pillow.Image, profile: bytes | None) -> Pillow.Image:
    """Convert an opaque image of 8 bits."""
    if profile and picture.mode in {"L", "CMYK", "LAB"}:
        transform = _transform(profile, picture.mode)
        if transform:
            return transform.apply(picture)
    if picture.mode == "LAB":
        return _LAB_TO_SRGB.apply(picture)
    if profile and picture.mode != "CMYK":  # an RGB profile also describes palettes and grey levels
        picture = picture.convert("RGB")
        transform = _transform(profile, "RGB")
        if transform:
            return transform.apply(picture)
    return picture.convert("RGB")


@lru_cache(maxsize=16)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """Return the conversion of pixels of `mode`, or None if there is nothing to convert.

    That is: the profile is sRGB, is invalid, or describes pixels of another mode.
    """
    try:
        own = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        described = PROFILE_MODES.get(own.profile.xcolor_space)
        grey = mode in {"L", "I;16"}
        if described != ("L" if grey else mode):
            return None
        # Optimised, lcms interpolates grey curves: a linear one is wrong by up to 10 grey levels.
        flags = ImageCms.Flags.NOOPTIMIZE if grey else ImageCms.Flags.NONE
        transform = ImageCms.ImageCmsTransform(own, _SRGB, mode, "RGB", flags=flags)
    except (ImageCms.PyCMSError, OSError, ValueError):
        return None
    return None if _changes_nothing(transform) else transform


def _changes_nothing(transform: ImageCms.ImageCmsTransform) -> bool:
    """Test the conversion itself: the name of a profile may be "linear sRGB", or lack "sRGB"."""
    if transform.input_mode not in {"L", "RGB"}:
        return False
    levels = np.linspace(0, 255, 18).round().astype(np.uint8)
    colours = np.stack(np.meshgrid(levels, levels, levels), -1).reshape(1, -1, 3)
    if transform.input_mode == "L":
        colours = np.repeat(levels, 3).reshape(1, -1, 3)
    probe = Pillow.fromarray(colours).convert(transform.input_mode)
    change = np.asarray(transform.apply(probe), int) - colours
    return bool(np.abs(change).max() <= ROUNDING)


_SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
_LAB = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
_LAB_TO_SRGB = ImageCms.ImageCmsTransform(_LAB, _SRGB, "LAB", "RGB")
