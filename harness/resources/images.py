"""Images in and out: where they come from, how they are read, resized and written.

A source is tried in this order: the file it names; for a URL the mirror, then the cache, then the
network. Where an image cannot be had, its stand-in is used, and says so: a study that is painted
here, or a packaged photograph.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os.path
import warnings
from collections import OrderedDict
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image as Pillow
from PIL import ImageCms, ImageOps

from harness import filesystem
from harness.errors import HashError, ImageError, SourceError, nearest
from harness.records import ImageUse
from harness.resources import stand_ins
from harness.resources.downloads import Network, check, file_name, file_sha256
from harness.resources.hash_cache import cache_folder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from harness.protocols import Image
    from harness.resources.mirror import Mirror

MAX_PIXELS = 64_000_000
"""Larger files are refused unread: 8000 x 8000 is more than any method here can use."""

PROGRAMS = ("EPS",)
"""Formats that Pillow has another program run: not with a stranger's file."""

MIN_EDGE = 16
"""Narrower images are refused, as files and as resized: encoders halve them four times."""

STUDY_SIZE = (720, 540)
"""Stand-ins are painted at this size and resized like any painting."""

PHOTOGRAPHS = ("astronaut", "chelsea", "coffee", "rocket", "motorcycle_left")
"""Colour photographs that are files of the scikit-image wheel: no download is needed."""

TEXTURES = ("hubble_deep_field", "brick", "grass", "gravel", "camera", "coins", "moon")
"""More of its files, for training only: grey ones and close-ups widen what a net has seen."""

KEPT_RESIZED = 8
"""Resized images that a gallery has in memory at a time."""


@dataclass(frozen=True)
class ImageSource:
    """What a suite says about an image: exactly one of path, url and builtin."""

    name: str
    path: Path | None = None
    url: str | None = None
    builtin: str | None = None  # a photograph of scikit-image
    sha256: str | None = None
    stand_in: str | None = None  # the study or packaged photograph where it cannot be had
    title: str = ""
    artist: str = ""
    year: int | None = None
    rights: str = ""


class ImageStore:
    """Finds the suite's images once and hands them out at any size."""

    def __init__(self, network: Network, mirror: Mirror | None = None) -> None:
        self.network, self.mirror = network, mirror
        self._pictures: dict[str, Pillow.Image] = {}  # SHA-256 -> full size
        self._resized: OrderedDict[tuple[str, int], NDArray[np.uint8]] = OrderedDict()
        self.files: dict[str, Path] = {}  # SHA-256 -> where it lies; studies are painted

    def find(self, source: ImageSource) -> ImageUse:
        """Locate an image and read it; a painting that cannot be had is stood in for.

        Raises:
            ImageError: It cannot be had and has no stand-in, or cannot be read, or other bytes
                were found than the suite pins: then nothing stands in.
        """
        try:
            path, origin = self._locate(source)
            sha256 = file_sha256(path)
        except HashError as error:
            raise ImageError(str(error)) from None
        except SourceError as error:
            if source.stand_in is None:
                raise ImageError(str(error)) from None
            return self._stand_in(source, source.stand_in, str(error))
        except OSError as error:
            raise ImageError(f"{error.filename} cannot be read: {error.strerror}") from None
        self._pictures[sha256] = picture = read(path)
        self.files[sha256] = path
        return _use(source, sha256, origin, picture)

    def pixels(self, image: ImageUse, size: int) -> NDArray[np.uint8]:
        """Return a found image as uint8 (H, W, 3), its long edge resized to `size`.

        The latest few are kept: cells that follow each other share images.
        """
        key = (image.sha256, size)
        if key not in self._resized:
            self._resized[key] = np.asarray(resize(self._pictures[image.sha256], size))
        self._resized.move_to_end(key)
        if len(self._resized) > KEPT_RESIZED:
            self._resized.popitem(last=False)
        return self._resized[key]

    def _locate(self, source: ImageSource) -> tuple[Path, str]:
        if source.builtin:
            return skimage_photograph(source.builtin), "scikit-image"
        if source.path:
            # Path.is_file raises for a name too long; a folder, a pipe or a device is no file.
            if not os.path.isfile(source.path):  # noqa: PTH113
                raise SourceError(f"there is no file {source.path}")
            if source.sha256:
                check(source.path, source.sha256)
            return source.path, source.path.name
        assert source.url is not None  # the suite has seen to it
        assert source.sha256 is not None
        name = file_name(source.url)
        target = cache_folder() / "images" / f"{source.sha256[:16]}-{name}"
        if self.mirror and (found := self.mirror.find(name, source.sha256, target)):
            return found, source.url
        return self.network.fetch(source.url, target, source.sha256), source.url

    def _stand_in(self, source: ImageSource, name: str, why: str) -> ImageUse:
        if name in stand_ins.STUDIES:
            picture, origin = _study(name), "painted by nstbench"
            sha256 = hashlib.sha256(picture.tobytes()).hexdigest()
        else:
            path, origin = skimage_photograph(name), "scikit-image"
            picture, sha256 = read(path), file_sha256(path)
        self._pictures[sha256] = picture
        use = _use(source, sha256, origin, picture)
        return replace(use, stand_in=source.stand_in, why_stand_in=why)


def _study(name: str) -> Pillow.Image:
    """Paint a study, or take it from the cache: all of them take seconds, every time."""
    code = b"".join(
        path.read_bytes() for path in sorted(Path(stand_ins.__file__).parent.glob("*.py"))
    )
    version = hashlib.sha256(code + repr(STUDY_SIZE).encode()).hexdigest()[:12]
    target = cache_folder() / "studies" / f"{name}-{version}.png"
    if target.exists():
        return read(target)
    picture = Pillow.fromarray(stand_ins.paint(name, *STUDY_SIZE))
    # A cache that cannot be written costs seconds, no more.
    with contextlib.suppress(OSError), filesystem.replacing(target) as part:
        picture.save(part, format="PNG")
    return picture


def _use(source: ImageSource, sha256: str, origin: str, picture: Pillow.Image) -> ImageUse:
    return ImageUse(
        name=source.name, sha256=sha256, origin=origin, title=source.title,
        artist=source.artist, year=source.year, rights=source.rights,
        width=picture.width, height=picture.height,
    )  # fmt: skip


def skimage_photograph(name: str) -> Path:
    """Return the file of one of scikit-image's packaged photographs."""
    import skimage.data

    known = (*PHOTOGRAPHS, *TEXTURES)
    if name not in known:
        raise SourceError(
            f"{name!r} is not a packaged photograph: {', '.join(known)}.{nearest(name, known)}"
        )
    assert skimage.data.__file__ is not None
    folder = Path(skimage.data.__file__).parent
    return next(path for path in sorted(folder.iterdir()) if path.stem == name)


def read(path: Path) -> Pillow.Image:
    """Read any still image as upright 8-bit sRGB; alpha is laid over white.

    Of an animation the first frame is taken. Colours with a profile of their own are converted.

    Raises:
        ImageError: Not an image, broken, larger than MAX_PIXELS or narrower than MIN_EDGE.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # MAX_PIXELS decides; a decoder's doubts change nothing
            with Pillow.open(path) as file:
                if file.format in PROGRAMS:
                    raise ImageError(
                        f"{path} is {file.format}, a program to be run. Save it as PNG."
                    )
                _check_size(path, *file.size)
                return _rgb(ImageOps.exif_transpose(file))
    except ImageError:
        raise
    except Pillow.DecompressionBombError:
        raise ImageError(f"{path} has more pixels than the {MAX_PIXELS:,} that are read.") from None
    except Exception as error:  # a broken file makes decoders raise anything
        raise ImageError(f"{path} cannot be read as an image: {error}") from None


def _check_size(path: Path, width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise ImageError(f"{path} has {width} x {height} pixels; at most {MAX_PIXELS:,} are read.")
    if min(width, height) < MIN_EDGE:
        raise ImageError(
            f"{path} has {width} x {height} pixels; at least {MIN_EDGE} are needed each way."
        )


def _rgb(picture: Pillow.Image) -> Pillow.Image:
    if picture.mode.startswith(("I", "F")):  # 16 bits and more: keep the range, not the low byte
        values = np.nan_to_num(np.asarray(picture, dtype=np.float64))
        fits = (top for top in (1, 255, 65535) if values.max() <= top)
        top = 65535 if picture.mode.startswith("I;16") else next(fits, values.max())
        return Pillow.fromarray((values / top * 255).round().clip(0, 255).astype(np.uint8)).convert(
            "RGB"
        )
    picture = _in_srgb(picture)
    if picture.mode in {"RGBA", "LA", "PA"} or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        white = Pillow.new("RGBA", picture.size, "white")
        picture = Pillow.alpha_composite(white, picture)
    return picture.convert("RGB")


def _in_srgb(picture: Pillow.Image) -> Pillow.Image:
    """Convert the colours of an image that carries a profile; one that is no use is passed over."""
    profile = picture.info.get("icc_profile")
    if not profile or picture.mode not in {"RGB", "RGBA", "CMYK", "L"}:
        return picture
    try:
        own = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if "sRGB" in ImageCms.getProfileDescription(own):
            return picture  # a round trip would only round
        mode = "RGBA" if picture.mode == "RGBA" else "RGB"
        srgb = ImageCms.createProfile("sRGB")
        return ImageCms.profileToProfile(picture, own, srgb, outputMode=mode) or picture
    except (ImageCms.PyCMSError, OSError):
        return picture


def resize(picture: Pillow.Image, size: int) -> Pillow.Image:
    """Resize to a long edge of `size` pixels, keeping the aspect ratio (Lanczos, antialiased)."""
    return picture.resize(resized(*picture.size, size), Pillow.Resampling.LANCZOS)


def resized(width: int, height: int, size: int) -> tuple[int, int]:
    """Return width and height for a long edge of `size` pixels."""
    scale = size / max(width, height)
    return max(1, round(width * scale)), max(1, round(height * scale))


def to_tensor(pixels: NDArray[np.uint8]) -> Image:
    """Turn uint8 (H, W, 3) into an Image (1, 3, H, W).

    Here and below by numpy: torch would wake a team of threads for each step, a millisecond a time.
    """
    import torch

    image = torch.from_numpy(np.divide(pixels, np.float32(255), dtype=np.float32))
    return image.permute(2, 0, 1).unsqueeze(0)


def to_pixels(image: Image) -> NDArray[np.uint8]:
    """Clamp and round an Image (1, 3, H, W) to uint8 (H, W, 3): what is saved and measured."""
    levels = image.detach()[0].permute(1, 2, 0).cpu().numpy().clip(0, 1)
    levels *= np.float32(255)
    pixels: NDArray[np.uint8] = np.rint(levels, out=levels).astype(np.uint8, order="C")
    return pixels


def to_png(pixels: NDArray[np.uint8]) -> bytes:
    """Encode uint8 (H, W, 3) as PNG, the fast way: level 3 takes half as long again for 3 %."""
    buffer = io.BytesIO()
    Pillow.fromarray(pixels).save(buffer, format="PNG", compress_level=1)
    return buffer.getvalue()


def image_files(folder: Path) -> Sequence[Path]:
    """Return the image files below a folder, in a stable order."""
    known = Pillow.registered_extensions()
    return sorted(
        path for path in folder.rglob("*") if path.suffix.lower() in known and path.is_file()
    )
