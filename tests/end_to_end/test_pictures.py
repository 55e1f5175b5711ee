"""The quality of saved images after few passes and after full budgets.

The limits apply to the clamped 8-bit image: the low loss of raw pixels can come from values outside
[0, 1] or from frequencies that the encoder hardly sees, which are noise in a file.
"""

from __future__ import annotations

import csv
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from harness import encoders
from harness.conformance.budget import style_judge
from harness.conformance.probe import offline_encoder, photograph
from harness.metrics.noise_sigma import NoiseSigma
from harness.protocols import Context, Image
from harness.resources.images import to_pixels, to_tensor
from harness.resources.stand_ins import paint
from methods.gatys import Gatys
from tests.helpers.command_line import ROOT

PAIRS = (("coffee", "starry-night"), ("chelsea", "the-scream"), ("astronaut", "great-wave"))
ARTISTS: dict[str, Any] = {  # the parameters of gatys in the suite `artists`
    "style_layers": ("relu1_1", "relu2_1", "relu3_1", "relu3_2", "relu3_4"),
    "content_layers": ("relu3_2",),
    "style_weight": 30.0,
}
MAX_RATIO = 1.05
"""Maximum ratio of the saved image's style loss after four times the passes."""

MAX_ADDED_NOISE = 3.0
"""Maximum noise above that of content and style together, in grey levels."""

MAX_ADDED_NOISE_AT_64 = 6.0
"""The same for images of 64 pixels without total variation. Rounding decides much there: from
contents that differed by 1e-5, the images had 2.0, 2.9, 3.9 and 4.1. Bad scaling gave 31."""


@dataclass(frozen=True)
class Saved:
    """Scores of an image rounded to 8 bits."""

    style_loss: float
    noise: float


class Studio:
    """The encoder `compact`, a photograph and a painting of one size."""

    def __init__(self, content: str, style: str, size: int) -> None:
        self.encoder = offline_encoder("compact")
        self.judge = style_judge(self.encoder)
        self.content = photograph(content, size)
        self.style = to_tensor(paint(style, size, size))

    def context(self, recipe: Gatys, on_step: Callable[..., None] = lambda step: None) -> Context:
        stand_ins = encoders.replacement_layers(recipe, self.encoder.layers)
        return Context(
            device=torch.device("cpu"),
            generator=torch.Generator().manual_seed(0),
            encoder=self.encoder.with_stand_ins(stand_ins),
            size=max(self.content.shape[-2:]),
            on_step=on_step,
            batches=None,  # type: ignore[arg-type]
            note=lambda text: None,
        )

    def stylize(self, recipe: Gatys, at: int) -> tuple[Saved, Saved]:
        """Return the scores after `at` passes and after the full budget of one run."""
        images: dict[int, Image] = {}

        def keep(step: Any) -> None:
            if step.index == at:
                images[at] = step.image.clone()

        context = self.context(recipe, keep)
        images[recipe.iterations] = recipe.fit(self.style, context)(self.content, context)
        return self.scored(images[at]), self.scored(images[recipe.iterations])

    def scored(self, image: Image) -> Saved:
        """Return the scores of the image, rounded as in a saved file."""
        saved = to_tensor(to_pixels(image))
        context = self.context(Gatys())
        return Saved(self.judge(saved, self.content, self.style, context), self.noise(saved))

    def noise(self, image: Image) -> float:
        """Return the standard deviation of its noise, in grey levels."""
        return NoiseSigma()(image, image, image, self.context(Gatys()))

    @property
    def own_noise(self) -> float:
        """Return the noise of content and style together, in grey levels."""
        return self.noise(self.content) + self.noise(self.style)


def assert_no_worse(studio: Studio, recipe: Gatys, added: float = MAX_ADDED_NOISE) -> None:
    """Compare a quarter of the budget with the full budget."""
    quarter, full = studio.stylize(recipe, recipe.iterations // 4)
    assert full.style_loss <= MAX_RATIO * quarter.style_loss
    assert full.noise <= studio.own_noise + added


def test_four_times_the_passes_do_not_make_an_image_worse_without_total_variation() -> None:
    recipe = Gatys(**ARTISTS, tv_weight=0.0, iterations=400)
    assert_no_worse(Studio(*PAIRS[1], 64), recipe, MAX_ADDED_NOISE_AT_64)


RECIPES: dict[str, dict[str, Any]] = {
    "default": {},
    "artists": ARTISTS,
    "artists, Adam": {**ARTISTS, "optimizer": "adam"},
    "artists, no TV": {**ARTISTS, "tv_weight": 0.0},
    "artists, uniform scaling": {**ARTISTS, "scaling": "uniform"},
    "artists, from noise": {**ARTISTS, "init": "noise"},
    "artists, two scales": {**ARTISTS, "scales": (0.5, 1.0)},
    **Gatys.presets,
}


@pytest.mark.slow
@pytest.mark.parametrize("pair", PAIRS, ids="--".join)
@pytest.mark.parametrize("name", RECIPES)
def test_four_times_the_passes_do_not_make_an_image_worse(name: str, pair: tuple[str, str]) -> None:
    assert_no_worse(Studio(*pair, 96), Gatys(**{**RECIPES[name], "iterations": 400}))


SUITE = ROOT / "suites" / "artists.yaml"
MAX_STYLE_LOSS = {"gatys": 0.03, "johnson": 0.4}
"""Relative to the content's. Good pictures have .002 to .01 and .1 to .3, noise .1 and more."""

ADAM_ADDED_NOISE = 1.0
"""Grey levels that Adam may have above MAX_ADDED_NOISE. On *Seated Nude* it has 3.2 to 3.4 above
content and style, at learning rates of 0.005, 0.01 and 0.02."""

MAX_COLOUR_DISTANCE = {"gatys": 0.4, "johnson": 0.8}
"""Distance of the colours to the style's, as a share of the untouched content's."""


@pytest.mark.slow
def test_pictures_of_the_suite_artists_have_no_defects_at_full_budgets(tmp_path: Path) -> None:
    # gatys has all of its 500 passes. Nets are trained as in the profile `quick`, because the 8,000
    # steps of `full` take hours each.
    result = subprocess.run(
        [sys.executable, "-m", "nstbench", "run", SUITE, "--profile", "quick", "--offline",
         "--encoder", "compact", "--no-mlflow", "--out", tmp_path, "--set", "sizes=[128]",
         "--set", "gatys.iterations=500",
         "--set", "metrics=[style_loss, noise_sigma, gamut, edge_f1, lab_distance]"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout + result.stderr
    with (tmp_path / "artists" / "results.csv").open(newline="", encoding="utf-8") as file:
        cells = list(csv.DictReader(file))
    anchors = {(cell["label"], cell["pair"]): cell for cell in cells}
    problems = [
        f"{cell['name']}: {defect}"
        for cell in cells
        if cell["label"] in MAX_STYLE_LOSS
        for defect in defects(
            cell, anchors["identity", cell["pair"]], anchors["style_copy", cell["pair"]]
        )
    ]
    assert not problems, "\n".join(problems)


def defects(cell: Any, content: Any, style: Any) -> Iterator[str]:
    """Yield the defects of an image, relative to the anchors' scores for content and style."""
    label = cell["label"]
    grain = ADAM_ADDED_NOISE if cell["param.optimizer"] == "adam" else 0.0
    max_noise = (
        float(content["noise_sigma"]) + float(style["noise_sigma"]) + MAX_ADDED_NOISE + grain
    )
    bounds = {
        "style_loss": MAX_STYLE_LOSS[label],
        "noise_sigma": max_noise,
        "lab_distance": MAX_COLOUR_DISTANCE[label] * float(content["lab_distance"]),
    }
    for score, maximum in bounds.items():
        if float(cell[score]) > maximum:
            yield f"{score} {float(cell[score]):.3g}, at most {maximum:.3g}"
    if label == "gatys" and float(cell["gamut"]) > 0:
        yield f"gamut {cell['gamut']}"
    if float(cell["edge_f1"]) <= float(style["edge_f1"]):
        yield f"edge_f1 {cell['edge_f1']}, no more than the painting's {style['edge_f1']}"
