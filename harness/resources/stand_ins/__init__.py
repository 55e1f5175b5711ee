"""Studies in the manner of painters: named stand-ins for paintings that cannot be downloaded.

A study is computed from random numbers. It copies no work. It imitates a manner: the palette, the
brush stroke, the scale and the rough composition of a painting, which Gram matrices represent.
Records and pages name a study wherever it replaces a painting.

Each module without a leading underscore is one study: `starry_night.py` is `starry-night`. Its
function `draw` draws strokes on a `Canvas`. To add a study, add a file.
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
"""The names of all studies. This module does not import them, because scipy is slow to import."""


def paint(name: str, width: int, height: int, seed: int = 0) -> npt.NDArray[np.uint8]:
    """Return the study `name` as sRGB pixels (height, width, 3).

    Equal arguments give equal pixels.

    Raises:
        UnknownNameError: There is no study `name`; the message lists the studies.
    """
    if name not in STUDIES:
        known = ", ".join(STUDIES)
        raise UnknownNameError(f"{name!r} is not one of {known}.{nearest(name, STUDIES)}")
    from harness.resources.stand_ins._canvas import Canvas

    canvas = Canvas(width, height, np.random.default_rng([seed, crc32(name.encode())]))
    import_module(f"{__name__}.{name.replace('-', '_')}").draw(canvas)
    return canvas.render()
