"""What is worked out of a content or style image once: thousands of cells share a few of them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, TypeVar, TypeVarTuple

if TYPE_CHECKING:
    from harness.protocols import Image

T = TypeVar("T")
About = TypeVarTuple("About")

KEPT = 16
"""Results of each function that are in memory at a time: a worker goes from content to content
with one style, so this holds the contents of most suites."""


@dataclass(frozen=True)
class _Seen:
    """An image that is known again by its pixels, whichever tensor they come in."""

    sha256: str
    image: Image = field(compare=False)


def once_per_image(work: Callable[[Image, *About], T]) -> Callable[[Image, *About], T]:
    """Let a function of an image remember its latest results; its other arguments are hashed."""

    @lru_cache(maxsize=KEPT)
    def remembered(seen: _Seen, *about: *About) -> T:
        return work(seen.image, *about)

    return lambda image, *about: remembered(_Seen(_sha256(image), image), *about)


def _sha256(image: Image) -> str:
    digest = hashlib.sha256(f"{tuple(image.shape)} {image.dtype} {image.device}".encode())
    digest.update(image.detach().cpu().contiguous().numpy().data)
    return digest.hexdigest()
