"""Studies in the manner of painters: named stand-ins for paintings that cannot be downloaded.

The project paints these itself, from random numbers. None copies a work: each takes a manner (its
palette, its mark, its scale, the bare bones of a composition), which is what a Gram matrix sees.
Wherever a study stands in for a painting it is named as such.

Every module here without a leading underscore is one study, `starry_night.py` that of
`starry-night`: a function `draw` that lays strokes on a `Canvas`. To add a study, add a file.
"""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules
from zlib import crc32

import numpy as np
import numpy.typing as npt

from harness.errors import UnknownNameError, nearest

STUDIES = tuple(
    module.name.replace("_", "-")
    for module in iter_modules(__path__)
    if not module.name.startswith("_")
)
"""Their names alone: painting needs scipy, and every command would wait for it."""


def paint(name: str, width: int, height: int, seed: int = 0) -> npt.NDArray[np.uint8]:
    """Return the study `name` as sRGB pixels (height, width, 3); equal arguments, equal pixels.

    Raises:
        UnknownNameError: there is no such study; the message lists those that there are.
    """
    if name not in STUDIES:
        known = ", ".join(STUDIES)
        raise UnknownNameError(f"{name!r} is not one of {known}.{nearest(name, STUDIES)}")
    from harness.resources.stand_ins._canvas import Canvas

    canvas = Canvas(width, height, np.random.default_rng([seed, crc32(name.encode())]))
    import_module(f"{__name__}.{name.replace('-', '_')}").draw(canvas)
    return canvas.finish()
