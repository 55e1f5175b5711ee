"""Images as arguments of a function: files, images of Pillow and arrays, with clear errors."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from PIL import Image as Pillow
from PIL import ImageOps

from harness import filesystem
from harness.errors import ImageError
from harness.resources import images
from harness.resources.colours import to_srgb

if TYPE_CHECKING:
    from numpy.typing import NDArray

ImageLike: TypeAlias = "str | os.PathLike[str] | Pillow.Image | NDArray[Any]"
"""A file, an image of Pillow, or an array (H, W, 3): uint8, or float in [0, 1]."""

MAX_FLOAT = 16.0
"""Floats beyond this magnitude are levels from 0 to 255, not an image before clamping."""


def read_image(role: str, image: Any) -> tuple[NDArray[np.uint8], NDArray[np.float32] | None]:
    """Return an image as uint8 (H, W, 3); an array of floats also as it was given.

    Args:
        role: Its name in messages.
        image: A file, an image of Pillow or an array.

    Raises:
        ImageError: It is missing, unreadable or too small, or the array is no image.
    """
    if isinstance(image, (str, os.PathLike)):
        path = filesystem.expanded(image)
        if not path.is_file():
            raise ImageError(f"{role}: there is no file {path}.")
        return np.asarray(images.read(path)), None
    if isinstance(image, Pillow.Image):
        _check_size(role, image.height, image.width)
        pixels = np.asarray(to_srgb(ImageOps.exif_transpose(image)))
    else:
        array = _array(role, image)
        if array.dtype != np.uint8:
            floats = np.ascontiguousarray(array, dtype=np.float32)
            return images.to_levels(floats), floats
        pixels = array
    return np.ascontiguousarray(pixels), None


def _array(role: str, image: Any) -> NDArray[Any]:
    """Return an array after a check of its type, shape and values."""
    try:
        array = np.asarray(image)
    except Exception as error:  # a tensor on a GPU, a ragged list
        raise ImageError(f"{role} cannot be read as an array: {error}") from None
    if array.dtype != np.uint8 and not np.issubdtype(array.dtype, np.floating):
        raise ImageError(
            f"{role} is {_name(image)}, dtype {array.dtype}. Pass uint8 from 0 to 255, floats in "
            "[0, 1], an image of Pillow or a path."
        )
    if array.ndim != 3 or array.shape[2] != 3:
        hint = ""
        if array.ndim == 3 and array.shape[0] == 3:
            hint = " Move the channels to the end: array.transpose(1, 2, 0)."
        raise ImageError(f"{role} has shape {array.shape}; (height, width, 3) is required.{hint}")
    _check_size(role, *array.shape[:2])
    if array.dtype != np.uint8 and not np.all(np.abs(array) <= MAX_FLOAT):
        what = f"values from {array.min():g} to {array.max():g}"
        if not np.isfinite(array).all():
            what = "values that are not finite"
        raise ImageError(f"{role} has {what}; floats are in [0, 1]. Levels to 255 are uint8.")
    return array


def _check_size(role: str, height: int, width: int) -> None:
    if min(height, width) < images.MIN_EDGE:
        raise ImageError(
            f"{role} has {width} x {height} pixels; the minimum is "
            f"{images.MIN_EDGE} x {images.MIN_EDGE}."
        )


def _name(image: Any) -> str:
    return f"{type(image).__module__}.{type(image).__qualname__}".removeprefix("builtins.")
