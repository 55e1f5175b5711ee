"""A cache of intermediate results per image, because many cells share a content or a style."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, TypeVar, TypeVarTuple

if TYPE_CHECKING:
    from harness.protocols import Image

T = TypeVar("T")
Args = TypeVarTuple("Args")

CACHE_SIZE = 16
"""Results per function. A worker process stylizes all contents with one style before the next, so
this is sufficient for the contents of most suites."""


@dataclass(frozen=True)
class _HashedImage:
    """An image that compares equal to every image with the same pixels."""

    sha256: str
    image: Image = field(compare=False)


def cached_per_image(function: Callable[[Image, *Args], T]) -> Callable[[Image, *Args], T]:
    """Cache the latest results of a function of an image and further hashable arguments."""

    @lru_cache(maxsize=CACHE_SIZE)
    def cached(hashed: _HashedImage, *args: *Args) -> T:
        return function(hashed.image, *args)

    return lambda image, *args: cached(_HashedImage(_sha256(image), image), *args)


def _sha256(image: Image) -> str:
    digest = hashlib.sha256(f"{tuple(image.shape)} {image.dtype} {image.device}".encode())
    digest.update(image.detach().cpu().contiguous().numpy().data)
    return digest.hexdigest()
