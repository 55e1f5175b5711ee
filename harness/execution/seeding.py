"""Seeds from what is compared, never from the method: every variant sees the same noise."""

from __future__ import annotations

import zlib

import numpy as np


def derive(seed: int, *names: str) -> int:
    """Return a 63-bit seed for a suite seed and the names of content, style and purpose."""
    words = [seed, *(zlib.crc32(name.encode()) for name in names)]
    return int(np.random.SeedSequence(words).generate_state(1, np.uint64)[0] >> 1)
