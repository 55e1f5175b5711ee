"""Compare one pass of image optimization with gordicaleksa's, including the optimizer.

    python -m tests.speed.passes --peer PATH

Both minimise gordicaleksa's objective (VGG-19, five style layers to relu5_1, content relu4_2, TV)
from the content image, with random weights, which take the same time as pretrained ones. The time
of a side is the median of its passes in a round.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import torch

from harness.resources.precision import resolve
from methods._image_optimization import ImageOptimization, Objective
from methods.gatys import Gatys
from tests.speed import _hardware_limit, _nstbench_side
from tests.speed._images import square
from tests.speed._table import markdown, ratios, rounds, seconds
from tests.speed.peers.gordicaleksa import Gordicaleksa

RECIPE = {
    **Gatys.presets["gordicaleksa"],
    "line_search": "backtracking", "scaling": "spectral", "bounded": True,
}  # fmt: skip
"""gordicaleksa's objective with the solver of nstbench."""


def per_pass(times: list[float]) -> float:
    """Return the median seconds of a pass, without the first ones."""
    return float(median(np.diff(times)[1:]))


def ours(precision: str, size: int, folder: Path, passes: int) -> Callable[[], float]:
    """Return the nstbench side: `passes` passes of the same objective."""
    look = _nstbench_side.encoder("vgg19", getattr(torch, precision))
    content, style = (
        _nstbench_side.read(square(None, kind, size, folder)) for kind in ("content", "style")
    )
    recipe = Gatys(**{**RECIPE, "iterations": passes})

    def run() -> float:
        watch = _nstbench_side.Watch()
        context = _nstbench_side.context(look, size, watch)
        recipe.fit(style, context)(content, context)
        return per_pass(watch.seconds)

    return run


def operations(size: int) -> int:
    """Return the operations of one pass of the objective."""
    context = _nstbench_side.context(
        _nstbench_side.encoder("vgg19", torch.float32), size, _nstbench_side.Watch()
    )
    recipe, image = Gatys(**RECIPE), torch.rand(1, 3, size, size)
    fitted = ImageOptimization(recipe, image, context)
    objective = Objective(recipe, image, fitted.grams, [context], 0, 1)
    return _hardware_limit.operations(lambda: objective.evaluate(image))


def compare(peer: Path, size: int, count: int, passes: int) -> dict[str, str]:
    """Return a row of the table."""
    fast = resolve("auto", "cpu")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        theirs = Gordicaleksa(peer)
        files = [square(None, kind, size, folder) for kind in ("content", "style")]
        needed = operations(size)
        sides = [
            lambda: per_pass(theirs.run(folder, *files, size, passes).seconds),  # type: ignore[arg-type]
            ours("float32", size, folder, passes),
            ours(fast, size, folder, passes),
            lambda: needed / _hardware_limit.products_per_second(getattr(torch, fast)),
        ]
        found = rounds(sides, count)
    peers, exact, quick, limit = zip(*found, strict=True)
    return {
        "one gatys pass": f"{size} px",
        "gordicaleksa": seconds(peers),
        "ours, float32": seconds(exact),
        f"ours, {fast}": seconds(quick),
        "times faster": ratios(peers, quick),
        "share of the hardware limit": ratios(limit, quick),
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer", type=Path, required=True, help="gordicaleksa's checkout")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--passes", type=int, default=6, help="passes in a round")
    parser.add_argument("--sizes", type=int, nargs="+", default=[256, 512])
    given = parser.parse_args()
    sizes = given.sizes
    print(markdown([compare(given.peer, size, given.rounds, given.passes) for size in sizes]))


if __name__ == "__main__":
    main()
