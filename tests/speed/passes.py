"""Compare one pass of image optimisation with gordicaleksa's, including the optimizer.

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
from tests.speed import _direct, _hardware_limit
from tests.speed._table import markdown, ratios, rounds, seconds
from tests.speed.peers.gordicaleksa import Gordicaleksa

RECIPE = {
    **Gatys.presets["gordicaleksa"],
    "line_search": "backtracking", "scaling": "spectral", "bounded": True,
}  # fmt: skip
"""gordicaleksa's objective with the solver of nstbench."""


def per_pass(times: list[float]) -> float:
    """Return the median seconds of a pass, without the first two."""
    return float(median(np.diff(times)[1:]))


def nstbench_side(precision: str, files: list[Path], size: int, passes: int) -> Callable[[], float]:
    """Return a function that runs `passes` passes and returns the seconds of one."""
    encoder = _direct.encoder("vgg19", getattr(torch, precision))
    content, style = map(_direct.read, files)
    recipe = Gatys(**{**RECIPE, "iterations": passes})

    def run() -> float:
        steps = _direct.StepRecorder()
        context = _direct.context(encoder, size, steps)
        recipe.fit(style, context)(content, context)
        return per_pass(steps.seconds)

    return run


def operations(size: int) -> int:
    """Return the operations of one pass of the objective."""
    encoder = _direct.encoder("vgg19", torch.float32)
    context = _direct.context(encoder, size, _direct.StepRecorder())
    recipe, image = Gatys(**RECIPE), torch.rand(1, 3, size, size)
    fitted = ImageOptimization(recipe, image, context)
    objective = Objective(recipe, image, fitted.grams, [context], 0, 1)
    return _hardware_limit.operations(lambda: objective.evaluate(image))


def compare(checkout: Path, size: int, count: int, passes: int) -> dict[str, str]:
    """Return a row of the table, measured in `count` rounds."""
    fast = resolve("auto", "cpu")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        peer = Gordicaleksa(checkout)
        files = [_direct.square(None, kind, size, folder) for kind in ("content", "style")]
        needed = operations(size)
        sides = [
            lambda: per_pass(peer.run(folder, *files, size, passes).seconds),  # type: ignore[arg-type]
            nstbench_side("float32", files, size, passes),
            nstbench_side(fast, files, size, passes),
            lambda: needed / _hardware_limit.products_per_second(getattr(torch, fast)),
        ]
        costs = rounds(sides, count)
    peer_seconds, float32_seconds, fast_seconds, limit = zip(*costs, strict=True)
    return {
        "one gatys pass": f"{size} px",
        "gordicaleksa": seconds(peer_seconds),
        "nstbench, float32": seconds(float32_seconds),
        f"nstbench, {fast}": seconds(fast_seconds),
        "times faster": ratios(peer_seconds, fast_seconds),
        "share of the hardware limit": ratios(limit, fast_seconds),
    }


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peer", type=Path, required=True, help="checkout of gordicaleksa's code")
    parser.add_argument("--rounds", type=int, default=5, help="default: %(default)s")
    parser.add_argument(
        "--passes", type=int, default=6, help="passes in a round; default: %(default)s"
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=[256, 512], help="pixels")
    options = parser.parse_args()
    rows = [compare(options.peer, size, options.rounds, options.passes) for size in options.sizes]
    print(markdown(rows))


if __name__ == "__main__":
    main()
