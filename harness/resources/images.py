"""Find, read, resize and encode images.

The image of a path is that file. The image of a URL is looked up in the mirror, then in the cache,
then on the network. If it is not available, its stand-in replaces it, which the record states: a
procedurally painted study, or a packaged photograph.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os.path
import warnings
from collections import OrderedDict
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image as Pillow
from PIL import ImageOps, UnidentifiedImageError

from harness import filesystem
from harness.errors import HashError, ImageError, SourceError, nearest
from harness.records import ImageUse
from harness.resources import stand_ins
from harness.resources.colours import to_srgb
from harness.resources.downloads import Network, check, file_name, file_sha256
from harness.resources.hash_cache import cache_folder, writable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from harness.protocols import Image
    from harness.resources.mirror import Mirror

MAX_PIXELS = 64_000_000
"""Larger files are rejected before decoding. No method can use more than 8000 x 8000."""

EXECUTABLE_FORMATS = ("EPS",)
"""Formats that Pillow passes to an interpreter, which is unsafe for untrusted files."""

HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
"""At byte 8 of files that need pillow-heif. Pillow itself reads AVIF, which has other brands."""

MIN_EDGE = 16
"""Narrower images are rejected, as files and after resizing: encoders halve them four times."""

STUDY_SIZE = (720, 540)
"""Width and height of a painted study; it is resized like any other image."""

PHOTOGRAPHS = ("astronaut", "chelsea", "coffee", "rocket", "motorcycle_left")
"""Colour photographs in the scikit-image wheel, available without download."""

TEXTURES = ("hubble_deep_field", "brick", "grass", "gravel", "camera", "coins", "moon")
"""More images of that wheel, for training only: grey-scale images and close-ups."""

MAX_RESIZED = 8
"""Resized images that an ImageStore keeps in memory."""


@dataclass(frozen=True)
class ImageSource:
    """A suite's entry for an image; it has exactly one of path, url and builtin."""

    name: str
    path: Path | None = None
    url: str | None = None
    builtin: str | None = None  # name of a scikit-image photograph
    sha256: str | None = None
    stand_in: str | None = None  # study or packaged photograph that may replace it
    title: str = ""
    artist: str = ""
    year: int | None = None
    rights: str = ""


class ImageStore:
    """Finds the images of a suite once and returns them at any size."""

    def __init__(self, network: Network, mirror: Mirror | None = None) -> None:
        self.network, self.mirror = network, mirror
        self._pictures: dict[str, Pillow.Image] = {}  # SHA-256 -> full size
        self._resized: OrderedDict[tuple[str, int], NDArray[np.uint8]] = OrderedDict()
        self.files: dict[str, Path] = {}  # SHA-256 -> file; studies have none

    def find(self, source: ImageSource) -> ImageUse:
        """Locate and read an image, or its stand-in if it is not available.

        Raises:
            ImageError: The image is not available and has no stand-in, or is unreadable, or its
                hash differs from the suite's; a stand-in never hides the last two.
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

        The last MAX_RESIZED results stay in memory, since successive cells share images.
        """
        key = (image.sha256, size)
        if key not in self._resized:
            self._resized[key] = np.asarray(resize(self._pictures[image.sha256], size))
        self._resized.move_to_end(key)
        if len(self._resized) > MAX_RESIZED:
            self._resized.popitem(last=False)
        return self._resized[key]

    def _locate(self, source: ImageSource) -> tuple[Path, str]:
        if source.builtin:
            return skimage_photograph(source.builtin), "scikit-image"
        if source.path:
            # Path.is_file raises for a name that is too long.
            if not os.path.isfile(source.path):  # noqa: PTH113
                raise SourceError(f"there is no file {source.path}")
            if source.sha256:
                check(source.path, source.sha256)
            return source.path, source.path.name
        assert source.url is not None  # the suite is validated
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
    """Return a study from the cache, or paint it, which takes seconds."""
    code = b"".join(
        path.read_bytes() for path in sorted(Path(stand_ins.__file__).parent.glob("*.py"))
    )
    version = hashlib.sha256(code + repr(STUDY_SIZE).encode()).hexdigest()[:12]
    target = cache_folder() / "studies" / f"{name}-{version}.png"
    if target.exists():
        return read(target)
    picture = Pillow.fromarray(stand_ins.paint(name, *STUDY_SIZE))
    if not writable():
        return picture
    # Without a writable cache, the study is painted again next time.
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
    """Return the file of a packaged photograph of scikit-image."""
    import skimage.data

    known = (*PHOTOGRAPHS, *TEXTURES)
    if name not in known:
        raise SourceError(
            f"{name!r} is not a packaged photograph: {', '.join(known)}.{nearest(name, known)}"
        )
    assert skimage.data.__file__ is not None
    folder = Path(skimage.data.__file__).parent
    return next(path for path in sorted(folder.iterdir()) if path.stem == name)


def read(path: Path, *, reduced: bool = False) -> Pillow.Image:
    """Read an image as upright 8-bit sRGB, composited over white.

    Reads the first frame of an animation. With `reduced`, a JPEG is returned at an eighth of its
    size, which takes half the time and finds all faults.

    Raises:
        ImageError: The file is not an image, is broken, has more than MAX_PIXELS, or is narrower
            than MIN_EDGE.
    """
    register_heif()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # only MAX_PIXELS decides
            with Pillow.open(path) as file:
                if file.format in EXECUTABLE_FORMATS:
                    raise ImageError(
                        f"{path} is {file.format}, which contains a program. Save it as PNG."
                    )
                _check_size(path, *file.size)
                if reduced:
                    file.draft(None, (1, 1))
                return to_srgb(ImageOps.exif_transpose(file))
    except ImageError:
        raise
    except Pillow.DecompressionBombError:
        raise ImageError(
            f"{path} has more pixels than the maximum of {MAX_PIXELS:,}. Resize it."
        ) from None
    except UnidentifiedImageError:
        raise ImageError(_unknown_format(path)) from None
    except Exception as error:  # decoders raise any exception for broken files
        raise ImageError(f"{path} cannot be read as an image: {error}") from None


@cache
def register_heif() -> None:
    """Let Pillow read HEIC, the format of iPhones, if the package pillow-heif is installed."""
    with contextlib.suppress(ImportError):
        import pillow_heif

        pillow_heif.register_heif_opener()


def _unknown_format(path: Path) -> str:
    with path.open("rb") as file:
        head = file.read(12)
    if head[4:8] == b"ftyp" and head[8:] in HEIF_BRANDS:
        return (
            f"{path} cannot be read as an image: it is HEIC, which Pillow cannot read alone. "
            "Run `pip install pillow-heif`, or convert the image to PNG or JPEG."
        )
    return (
        f"{path} cannot be read as an image: its format is unknown or not supported. "
        "Convert it to PNG or JPEG."
    )


def _check_size(path: Path, width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise ImageError(
            f"{path} has {width} x {height} pixels; the maximum is {MAX_PIXELS:,}. Resize it."
        )
    if min(width, height) < MIN_EDGE:
        raise ImageError(
            f"{path} has {width} x {height} pixels; the minimum is {MIN_EDGE} x {MIN_EDGE}."
        )


def resize(picture: Pillow.Image, size: int) -> Pillow.Image:
    """Resize to a long edge of `size` pixels, keeping the aspect ratio (Lanczos, antialiased)."""
    return picture.resize(resized(*picture.size, size), Pillow.Resampling.LANCZOS)


def resized(width: int, height: int, size: int) -> tuple[int, int]:
    """Return width and height for a long edge of `size` pixels."""
    scale = size / max(width, height)
    return max(1, round(width * scale)), max(1, round(height * scale))


def to_tensor(pixels: NDArray[np.uint8]) -> Image:
    """Convert uint8 (H, W, 3) to an Image (1, 3, H, W).

    This and `to_pixels` use numpy: torch starts its thread pool for each step, which takes 1 ms.
    """
    import torch

    image = torch.from_numpy(np.divide(pixels, np.float32(255), dtype=np.float32))
    return image.permute(2, 0, 1).unsqueeze(0)


def to_pixels(image: Image) -> NDArray[np.uint8]:
    """Clamp and round an Image (1, 3, H, W) to uint8 (H, W, 3), as it is saved and measured."""
    return to_levels(image.detach()[0].permute(1, 2, 0).cpu().numpy())


def to_levels(floats: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Clamp and round floats in [0, 1] to levels from 0 to 255."""
    levels = floats.clip(0, 1)
    levels *= np.float32(255)
    rounded: NDArray[np.uint8] = np.rint(levels, out=levels).astype(np.uint8, order="C")
    return rounded


def to_png(pixels: NDArray[np.uint8]) -> bytes:
    """Encode uint8 (H, W, 3) as PNG. Level 3 would take 1.5 times as long to save 3 %."""
    buffer = io.BytesIO()
    Pillow.fromarray(pixels).save(buffer, format="PNG", compress_level=1)
    return buffer.getvalue()
