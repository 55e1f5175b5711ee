"""Compare image optimisation in bfloat16 and in float32; the losses are computed in float32.

    python -m tests.speed.bfloat16 --weights vgg19.safetensors [--content FILE] [--style FILE ...]

Both runs use `gatys` with its defaults, from the content image. The final loss is its objective,
evaluated in float32 on both images; SSIM compares the two images. L-BFGS amplifies rounding errors.
A third run in float32 shows by how much: its initial pixels differ by up to 0.00005 grey levels.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import torch

from harness.metrics.ssim import Ssim
from methods import _image_optimization
from methods._image_optimization import ImageOptimization, Objective
from methods.gatys import Gatys
from tests.speed import _direct
from tests.speed._direct import VGG19_CONTENT, VGG19_STYLE
from tests.speed._table import markdown

PERTURBATION = 1e-4 / 255
"""Range of the noise that is added to the initial image of the perturbed run."""

SIDES = ("float32", "bfloat16", "float32 perturbed")


def run(recipe: Gatys, weights: Any, side: str, content: Any, style: Any) -> tuple[Any, float]:
    """Return the image and the seconds of one optimisation."""
    steps = _direct.StepRecorder()
    encoder = _direct.encoder("vgg19", getattr(torch, side.split()[0]), weights)
    context = _direct.context(encoder, content.shape[-1], steps)
    start = _image_optimization.start

    def perturbed_start(style: Any, content: Any, context: Any) -> Any:
        noise = torch.rand(content.shape, generator=torch.Generator().manual_seed(1))
        return start(style, content, context) + PERTURBATION * (noise - 0.5)

    _image_optimization.start = perturbed_start if side.endswith("perturbed") else start
    try:
        return recipe.fit(style, context)(content, context), steps.seconds[-1]
    finally:
        _image_optimization.start = start


def loss(recipe: Gatys, weights: Any, image: Any, content: Any, style: Any) -> float:
    """Return the objective for an image, in float32."""
    encoder = _direct.encoder("vgg19", torch.float32, weights)
    context = _direct.context(encoder, content.shape[-1], _direct.StepRecorder())
    grams = ImageOptimization(recipe, style, context).grams
    objective = Objective(recipe, content, grams, [context], 0, 1)
    return float(objective.evaluate(image)[0])


def ssim(one: Any, other: Any) -> float:
    """Return the SSIM of two images."""
    return Ssim()(one, other, other, None)  # type: ignore[arg-type]


def compare(options: argparse.Namespace, style_file: Path | None, folder: Path) -> dict[str, str]:
    """Return a row of the table."""
    weights = _direct.load_weights(options.weights)
    recipe = Gatys(
        iterations=options.passes,
        style_layers=tuple(VGG19_STYLE),
        content_layers=(VGG19_CONTENT,),
    )
    content = _direct.read(_direct.square(options.content, "content", options.size, folder))
    style = _direct.read(_direct.square(style_file, "style", options.size, folder))
    results = {side: run(recipe, weights, side, content, style) for side in SIDES}
    losses = {side: loss(recipe, weights, results[side][0], content, style) for side in SIDES}
    float32, bfloat16, perturbed = (results[side][0].clamp(0, 1) for side in SIDES)
    return {
        f"{options.passes} passes, {options.size} px": style_file.stem if style_file else "study",
        "final loss, float32": f"{losses['float32']:.5g}",
        "bfloat16": f"{losses['bfloat16']:.5g}",
        "bfloat16 / float32": f"{losses['bfloat16'] / losses['float32']:.4f}",
        "perturbed float32 / float32": f"{losses['float32 perturbed'] / losses['float32']:.4f}",
        "SSIM, bfloat16 with float32": f"{ssim(bfloat16, float32):.3f}",
        "SSIM, perturbed float32 with float32": f"{ssim(perturbed, float32):.3f}",
        "seconds": f"{results['float32'][1]:.0f} and {results['bfloat16'][1]:.0f}",
    }


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--weights", type=Path, required=True, help="weights of VGG-19, at least up to relu3_4"
    )
    parser.add_argument("--content", type=Path, help="an image file; default: a packaged image")
    parser.add_argument(
        "--style", type=Path, nargs="*", default=[None], help="image files, one row each"
    )
    parser.add_argument("--size", type=int, default=256, help="pixels; default: %(default)s")
    parser.add_argument("--passes", type=int, default=300, help="default: %(default)s")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(markdown([compare(options, style, Path(folder)) for style in options.style]))


if __name__ == "__main__":
    main()
