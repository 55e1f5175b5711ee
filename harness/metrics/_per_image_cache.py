"""A cache of intermediate results by image: thousands of cells share few contents and styles."""

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
"""Cached results of each function. A worker processes all contents with one style, so this is
enough for the contents of most suites."""


@dataclass(frozen=True)
class _HashedImage:
    """An image that is equal to others with the same pixels."""

    sha256: str
    image: Image = field(compare=False)


def once_per_image(function: Callable[[Image, *Args], T]) -> Callable[[Image, *Args], T]:
    """Cache the latest results of a function of an image and hashable arguments."""

    @lru_cache(maxsize=CACHE_SIZE)
    def cached(hashed: _HashedImage, *args: *Args) -> T:
        return function(hashed.image, *args)

    return lambda image, *args: cached(_HashedImage(_sha256(image), image), *args)


def _sha256(image: Image) -> str:
    digest = hashlib.sha256(f"{tuple(image.shape)} {image.dtype} {image.device}".encode())
    digest.update(image.detach().cpu().contiguous().numpy().data)
    return digest.hexdigest()
