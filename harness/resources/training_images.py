"""Find and hash training photographs, and cut random crops from them."""

from __future__ import annotations

import hashlib
import os.path
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from harness.errors import SourceError
from harness.records import TrainingUse
from harness.resources.downloads import file_sha256s
from harness.resources.image_folders import hash_usable, image_files, why_no_photograph
from harness.resources.images import PHOTOGRAPHS, TEXTURES, read, skimage_photograph

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray
    from PIL import Image as Pillow

    from harness.protocols import Image

CACHE_BYTES = 2**30
Draw: TypeAlias = tuple[int, float, float, float, float]
"""Index of the photograph; position of the crop from top and left, in [0, 1]; mirrored if
below 0.5; position in the range of scales, in [0, 1]."""

ZOOM = 1.8
"""Maximum long edge of photographs that crops are cut from, relative to the suite's size."""

MAX_UNUSABLE_PERCENT = 10.0
"""Default limit of photographs that cannot be used. Photographs collected from the web stay below
it: 1590 of the 25,000 in Kaggle's Cats and Dogs (6.4 %) fail the check of Keras's tutorial. More
of them mean an incomplete download or another folder, and leaving out a tenth shows each of the
others at most 11 % more often."""

MAX_NAMED = 10
"""Files that a message names."""


@dataclass(frozen=True)
class TrainingSet:
    """The training files of a run."""

    files: tuple[Path, ...]
    use: TrainingUse
    hashes: frozenset[str]  # of the files' bytes
    left_out: Mapping[str, str] = field(default_factory=dict)  # file in the folder -> reason

    @classmethod
    def find(
        cls,
        folder: Path | None,
        max_unusable_percent: float = MAX_UNUSABLE_PERCENT,
        *,
        examine: bool = True,
    ) -> TrainingSet:
        """Return the usable images below `folder`, or scikit-image's packaged photographs.

        Args:
            folder: Contains the photographs; None selects the packaged ones.
            max_unusable_percent: Limit of images that cannot be used.
            examine: Decode and hash the files, which takes minutes for large folders. Needed if a
                method trains.

        Raises:
            SourceError: The folder is missing, or contains no usable image, or too many unusable
                ones.
        """
        if folder is None:
            files = tuple(skimage_photograph(name) for name in (*PHOTOGRAPHS, *TEXTURES))
            return cls._of(dict(zip(files, file_sha256s(files), strict=True)), "scikit-image", {})
        if not os.path.isdir(folder):  # noqa: PTH112 - Path.is_dir raises for a name too long
            raise SourceError(f"there is no folder {folder}.")
        unusable: dict[Path, str] = {}
        found = image_files(folder, unusable.__setitem__)
        if found and not examine:
            return cls(tuple(found), TrainingUse(folder.name, len(found), ""), frozenset())
        hashes, reasons = hash_usable(found)
        unusable |= reasons
        names = {path.relative_to(folder).as_posix(): why for path, why in unusable.items()}
        if not hashes:
            listed = f" Unusable: {_named(names)}." if names else ""
            raise SourceError(f"{folder} contains no images.{listed}")
        broken = sum(not why_no_photograph(path) for path in unusable)
        percent = 100 * broken / (broken + len(hashes))
        if percent > max_unusable_percent:
            raise SourceError(
                f"{broken:,} of {broken + len(hashes):,} images in {folder} ({percent:.0f} %) "
                f"cannot be used, the maximum is {max_unusable_percent:g} %: {_named(names)}. "
                "Complete the folder, remove these files, or raise "
                "training.max_unusable_percent."
            )
        return cls._of(hashes, folder.name, names)

    @classmethod
    def _of(
        cls, hashes: Mapping[Path, str], origin: str, left_out: Mapping[str, str]
    ) -> TrainingSet:
        sha256 = hashlib.sha256("\n".join(sorted(hashes.values())).encode()).hexdigest()
        use = TrainingUse(origin, len(hashes), sha256)
        return cls(tuple(hashes), use, frozenset(hashes.values()), left_out)

    @property
    def warning(self) -> str:
        """Names the files that are left out; empty if there are none."""
        if not self.left_out:
            return ""
        count = len(self.left_out)
        return (
            f"{count:,} file{'s' if count > 1 else ''} in {self.use.origin} cannot be used and "
            f"{'are' if count > 1 else 'is'} left out of the training: {_named(self.left_out)}."
        )


def _named(unusable: Mapping[str, str]) -> str:
    first = [f"{name} ({why})" for name, why in sorted(unusable.items())[:MAX_NAMED]]
    more = [f"and {len(unusable) - MAX_NAMED:,} more"] if len(unusable) > MAX_NAMED else []
    return ", ".join(first + more)


class Crops:
    """Random square crops, half of them mirrored. Decoded photographs stay in memory.

    Before a crop, the photograph is scaled to a long edge of `size` to ZOOM times `size`, like the
    suite's images. It is enlarged only if the crop does not fit.

    Args:
        files: Photographs.
        crop: Edge of the crops, pixels.
        size: The suite's size: long edge of its images, pixels.
    """

    def __init__(self, files: Sequence[Path], crop: int, size: int) -> None:
        self.files, self.crop, self.size = files, crop, size
        self._decoded: dict[int, Pillow.Image] = {}
        self._bytes = 0

    def batches(
        self, batch_size: int, generator: torch.Generator, skip: int = 0
    ) -> Iterator[Image]:
        """Yield Images (batch_size, 3, crop, crop) without end, each photograph equally often.

        A background thread prepares the next batch. The first `skip` batches are drawn from the
        generator, but not decoded.
        """
        draws = islice(self._draws(batch_size, _spawn(generator)), skip, None)
        with ThreadPoolExecutor(1, thread_name_prefix="crops") as ahead:
            waiting = ahead.submit(self._cut, next(draws))
            while True:
                batch = waiting.result()
                waiting = ahead.submit(self._cut, next(draws))
                yield batch

    def _draws(self, batch_size: int, generator: torch.Generator) -> Iterator[list[Draw]]:
        import torch

        order: list[int] = []
        while True:
            while len(order) < batch_size:
                order += torch.randperm(len(self.files), generator=generator).tolist()
            chosen, order = order[:batch_size], order[batch_size:]
            where = torch.rand((batch_size, 4), generator=generator).tolist()
            yield [(i, *at) for i, at in zip(chosen, where, strict=True)]

    def _cut(self, draws: Sequence[Draw]) -> Image:
        import torch

        # With numpy: torch would start a second thread pool beside that of the training.
        stacked = np.stack([self._crop(*draw) for draw in draws]).transpose(0, 3, 1, 2)
        return torch.from_numpy(np.ascontiguousarray(stacked, np.float32) / np.float32(255))

    def _crop(
        self, index: int, down: float, right: float, flip: float, zoom: float
    ) -> NDArray[np.uint8]:
        from PIL import Image as Pillow

        photograph = self._photograph(index)
        # The photograph has its largest scale; `edge` pixels of it become the crop.
        least = max(self.size / max(photograph.size), self.crop / min(photograph.size))
        least = min(least, 1.0)
        edge = min(self.crop / (least + zoom * (1 - least)), *photograph.size)
        left, top = (photograph.width - edge) * right, (photograph.height - edge) * down
        box = (left, top, min(left + edge, photograph.width), min(top + edge, photograph.height))
        square = photograph.resize((self.crop,) * 2, Pillow.Resampling.BICUBIC, box)
        pixels = np.asarray(square)
        return pixels[:, ::-1] if flip < 0.5 else pixels

    def _photograph(self, index: int) -> Pillow.Image:
        if index not in self._decoded:
            photograph = _largest(read(self.files[index]), self.crop, self.size)
            nbytes = 3 * photograph.width * photograph.height
            if self._bytes + nbytes > CACHE_BYTES:
                return photograph
            self._decoded[index] = photograph
            self._bytes += nbytes
        return self._decoded[index]


def _spawn(generator: torch.Generator) -> torch.Generator:
    """Return a generator for the thread alone, seeded from the method's generator."""
    import torch

    seed = int(torch.randint(2**63 - 1, (1,), generator=generator))
    return torch.Generator().manual_seed(seed)


def _largest(picture: Pillow.Image, crop: int, size: int) -> Pillow.Image:
    """Return the picture at the largest scale that crops are cut from."""
    from PIL import Image as Pillow

    scale = max(min(1.0, ZOOM * size / max(picture.size)), crop / min(picture.size))
    width, height = (max(crop, round(side * scale)) for side in picture.size)
    return picture.resize((width, height), Pillow.Resampling.LANCZOS)
