"""Compare image optimization in bfloat16 and in float32; the losses are computed in float32.

    python -m tests.speed.bfloat16 --weights vgg19.safetensors [--content FILE] [--style FILE ...]

`gatys` with its defaults, from the content image. The final loss is its objective, evaluated in
float32 on both images; SSIM compares the two images. L-BFGS amplifies rounding errors, so a third
run in float32 starts from pixels that differ by a ten-thousandth of a grey level, for comparison.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import torch

from harness.metrics.ssim import Ssim
from harness.resources.weights import load_tensors
from methods import _image_optimization
from methods._image_optimization import ImageOptimization, Objective
from methods.gatys import Gatys
from tests.speed import _nstbench_side
from tests.speed._images import square
from tests.speed._table import markdown
from tests.speed.convergence import CONTENT, STYLE, torchvisions_scale

NUDGE = 1e-4 / 255


def run(recipe: Gatys, weights: Any, how: str, content: Any, style: Any) -> tuple[Any, float]:
    """Return the image and the seconds of one optimization."""
    watch = _nstbench_side.Watch()
    look = _nstbench_side.encoder("vgg19", getattr(torch, how.split()[0]), weights)
    context = _nstbench_side.context(look, content.shape[-1], watch)
    begin = _image_optimization.start

    def nudged(style: Any, content: Any, context: Any) -> Any:
        noise = torch.rand(content.shape, generator=torch.Generator().manual_seed(1))
        return begin(style, content, context) + NUDGE * (noise - 0.5)

    _image_optimization.start = nudged if how.endswith("nudged") else begin
    try:
        return recipe.fit(style, context)(content, context), watch.seconds[-1]
    finally:
        _image_optimization.start = begin


def loss(recipe: Gatys, weights: Any, image: Any, content: Any, style: Any) -> float:
    """Return the objective for an image, in float32."""
    look = _nstbench_side.encoder("vgg19", torch.float32, weights)
    context = _nstbench_side.context(look, content.shape[-1], _nstbench_side.Watch())
    grams = ImageOptimization(recipe, style, context).grams
    objective = Objective(recipe, content, grams, [context], 0, 1)
    return float(objective.evaluate(image)[0])


def ssim(one: Any, other: Any) -> float:
    """Return the SSIM of two images."""
    return Ssim()(one, other, other, None)  # type: ignore[arg-type]


def compare(given: argparse.Namespace, style_file: Path | None, folder: Path) -> dict[str, str]:
    """Return a row of the table."""
    weights = torchvisions_scale(load_tensors(given.weights))
    recipe = Gatys(iterations=given.passes, style_layers=tuple(STYLE), content_layers=(CONTENT,))
    content = _nstbench_side.read(square(given.content, "content", given.size, folder))
    style = _nstbench_side.read(square(style_file, "style", given.size, folder))
    sides = ("float32", "bfloat16", "float32 nudged")
    made = {side: run(recipe, weights, side, content, style) for side in sides}
    losses = {p: loss(recipe, weights, made[p][0], content, style) for p in made}
    exact, quick, nudged = (made[side][0].clamp(0, 1) for side in sides)
    return {
        f"{given.passes} passes, {given.size} px": style_file.stem if style_file else "study",
        "final loss, float32": f"{losses['float32']:.5g}",
        "bfloat16": f"{losses['bfloat16']:.5g}",
        "to float32's": f"{losses['bfloat16'] / losses['float32']:.4f}",
        "float32 nudged, to float32's": f"{losses['float32 nudged'] / losses['float32']:.4f}",
        "SSIM, bfloat16 with float32": f"{ssim(quick, exact):.3f}",
        "SSIM, float32 nudged with float32": f"{ssim(nudged, exact):.3f}",
        "seconds": f"{made['float32'][1]:.0f} and {made['bfloat16'][1]:.0f}",
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--weights", type=Path, required=True, help="weights of VGG-19, at least up to relu3_4"
    )
    parser.add_argument("--content", type=Path, help="an image file")
    parser.add_argument("--style", type=Path, nargs="*", default=[None], help="image files")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--passes", type=int, default=300)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(markdown([compare(given, style, Path(folder)) for style in given.style]))


if __name__ == "__main__":
    main()
