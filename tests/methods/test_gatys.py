"""Optimisation by `gatys`: budgets, losses, initial images, batches, and rejected parameters."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch.optim.optimizer import register_optimizer_step_pre_hook

from harness.errors import Diverged
from methods.gatys import Gatys

PLAIN: dict[str, Any] = {"scaling": "uniform", "bounded": False}  # like torch's L-BFGS


@pytest.fixture
def images(photograph: Any) -> tuple[torch.Tensor, torch.Tensor]:
    return photograph("coffee", 48), photograph("chelsea", 48)


def losses(recipe: Gatys, images: Any, context: Any) -> list[float]:
    steps: list[Any] = []
    recipe.fit(images[1], context())(images[0], context(steps=steps))
    return [float(step.losses["total"]) for step in steps]


@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
@pytest.mark.parametrize("line_search", ["strong_wolfe", "backtracking", "none"])
@pytest.mark.parametrize("budget", [1, 7, 20])
def test_a_run_uses_exactly_the_passes_of_its_budget(
    optimizer: Any, line_search: Any, budget: int, images: Any, context: Any
) -> None:
    recipe = Gatys(optimizer=optimizer, line_search=line_search, iterations=budget, **PLAIN)
    assert len(losses(recipe, images, context)) == budget


@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
def test_the_loss_decreases(optimizer: Any, images: Any, context: Any) -> None:
    curve = losses(Gatys(optimizer=optimizer, iterations=25), images, context)
    assert curve[-1] < 0.5 * curve[0]


def test_content_init_has_no_content_loss_and_style_init_a_low_style_loss(
    images: Any, context: Any
) -> None:
    first: dict[str, Any] = {}
    for init in ("content", "style", "noise"):
        steps: list[Any] = []
        recipe = Gatys(init=init, iterations=1)  # type: ignore[arg-type]
        recipe.fit(images[1], context())(images[0], context(steps=steps))
        first[init] = {k: float(v) for k, v in steps[0].losses.items()}
    assert first["content"]["content"] == 0
    assert first["style"]["style"] < 0.2 * first["content"]["style"]
    assert first["noise"]["content"] > 0


def test_noise_depends_on_the_generator_of_the_context(images: Any, context: Any) -> None:
    recipe = Gatys(init="noise", iterations=1)
    stylizer = recipe.fit(images[1], context())
    one, same, other = (stylizer(images[0], context(seed)) for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.allclose(one, other)


def test_the_pixel_scale_is_the_unit_of_adams_learning_rate(images: Any, context: Any) -> None:
    # The first step of Adam changes every pixel by the rate: 10 grey levels are 10/255.
    recipe = Gatys(optimizer="adam", learning_rate=10.0, pixel_scale=255.0, iterations=1)
    moved = recipe.fit(images[1], context())(images[0], context()) - images[0]
    assert moved.abs().median() == pytest.approx(10 / 255, rel=1e-3)


def test_adam_uses_beta2_of_the_recipe_and_torchs_default_in_presets(
    images: Any, context: Any
) -> None:
    seen: list[tuple[float, float]] = []
    hook = register_optimizer_step_pre_hook(lambda o, *_: seen.append(o.param_groups[0]["betas"]))
    try:
        for preset in ({}, Gatys.presets["gordicaleksa-adam"]):
            losses(Gatys(**{**preset, "optimizer": "adam", "iterations": 1}), images, context)
    finally:
        hook.remove()
    assert seen == [(0.9, Gatys().beta2), (0.9, 0.999)]
    assert Gatys().beta2 < 0.999


@pytest.mark.parametrize("line_search", ["strong_wolfe", "backtracking", "none"])
def test_the_first_step_of_lbfgs_changes_pixels_by_a_tenth_of_a_grey_level(
    line_search: Any, images: Any, context: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The curvature is unknown. Without scaling, torch's first step is lost in rounding or changes
    # pixels by 100 grey levels and more.
    from methods._image_optimization import Objective

    seen: list[torch.Tensor] = []
    evaluate = Objective.evaluate
    monkeypatch.setattr(
        Objective,
        "evaluate",
        lambda self, x: (seen.append(x.detach().clone()), evaluate(self, x))[1],
    )
    losses(Gatys(line_search=line_search, iterations=2, **PLAIN), images, context)
    assert (seen[1] - seen[0]).abs().mean() == pytest.approx(0.1 / 255, rel=0.5)


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"scaling": "uniform"},
        {"line_search": "none", "init": "noise"},
        {"line_search": "strong_wolfe", **PLAIN},
        {"optimizer": "adam"},
        {"scales": (0.5, 1.0), "tv_weight": 1.0},
    ],
    ids=str,
)
def test_images_of_a_batch_equal_those_of_single_runs(
    params: Any, photograph: Any, context: Any
) -> None:
    # Optimizers amplify rounding: run few passes, and allow one grey level on average.
    recipe = Gatys(iterations=6, **params)
    contents = [photograph("coffee", 48), photograph("coffee", 48).flip(3)]
    styles = [photograph("chelsea", 48), photograph("astronaut", 40)]
    fits = [recipe.fit(style, context()) for style in styles]
    alone = [fit(c, context(i)) for i, (fit, c) in enumerate(zip(fits, contents, strict=True))]
    steps: list[list[Any]] = [[], []]
    contexts = [context(i, steps=steps[i]) for i in range(2)]
    together = recipe.stylize_batch(fits, torch.cat(contents), contexts)
    for one, same in zip(alone, together.split(1), strict=True):
        assert (one - same).abs().mean() < 1 / 255
    assert [len(own) for own in steps] == [6, 6]
    assert float(steps[0][-1].losses["total"]) != float(steps[1][-1].losses["total"])


@pytest.mark.parametrize(
    "params",
    [{}, {"tv_weight": 1.0}, {"scales": (0.5, 1.0)}, {"optimizer": "adam", "pixel_scale": 255.0}],
    ids=str,
)
def test_the_objective_returns_the_losses_that_steps_report(
    params: Any, images: Any, context: Any
) -> None:
    recipe, content = Gatys(iterations=4, **params), images[0]
    reports: list[tuple[Any, Any]] = []

    def keep(step: Any) -> None:
        if step.image.shape == content.shape and not reports:
            reports.append((step.image.clone(), {k: float(v) for k, v in step.losses.items()}))

    stylizer = recipe.fit(images[1], context())
    stylizer(content, replace(context(), on_step=keep))
    image, reported = reports[0]
    assert recipe.objective(stylizer, content, context())(image) == pytest.approx(reported)


def test_scales_run_from_coarse_to_fine_and_share_one_budget(images: Any, context: Any) -> None:
    sizes: list[int] = []
    plain = context()
    encoder = plain.encoder

    class Watching:
        dtype = encoder.dtype

        def __call__(self, image: torch.Tensor, layers: Any) -> Any:
            if image.requires_grad:
                sizes.append(image.shape[-1])
            return encoder(image, layers)

        def with_options(self, **options: Any) -> Any:
            return self

    watched = replace(plain, encoder=Watching())
    stylized = Gatys(scales=(0.5, 1.0), iterations=5).fit(images[1], watched)(images[0], watched)
    assert sizes == [24, 24, 48, 48, 48]  # 5 passes, 5 // 2 of them at half size
    assert stylized.shape == images[0].shape


def test_scales_must_rise_to_the_full_size() -> None:
    for scales in ((1.0, 0.5), (0.5,), (0.5, 0.5, 1.0), ()):
        with pytest.raises(ValueError, match="they must rise and end at 1"):
            Gatys(scales=scales)


@pytest.mark.parametrize("own", [{}, {"bounded": False}, {"scaling": "uniform"}])
def test_torchs_line_search_requires_uniform_scaling_and_no_bounds(own: Any) -> None:
    with pytest.raises(ValueError, match="set scaling: uniform and bounded: false, or line_search"):
        Gatys(line_search="strong_wolfe", **own)
    Gatys(line_search="strong_wolfe", optimizer="adam", **own)  # Adam has no line search


def test_a_relative_loss_does_not_depend_on_the_scale_of_features(
    images: Any, context: Any
) -> None:
    for balance, same in (("relative", True), ("absolute", False)):
        first = [
            losses(Gatys(balance=balance, scale=scale, iterations=1), images, context)[0]  # type: ignore[arg-type]
            for scale in ("imagenet", "255")
        ]
        assert (first[0] == pytest.approx(first[1], rel=1e-3)) is same


def test_a_tv_weight_makes_the_image_smoother(images: Any, context: Any) -> None:
    from methods._losses import total_variation

    rough, smooth = (
        total_variation(
            Gatys(iterations=15, tv_weight=w).fit(images[1], context())(images[0], context()),
            "l1",
            "mean",
        )
        for w in (0.0, 1e4)
    )
    assert smooth < 0.8 * rough


@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
def test_a_diverging_run_raises_with_its_last_finite_image(
    optimizer: Any, images: Any, context: Any
) -> None:
    # With a rate of 1e30 the squares of features overflow.
    params = {"optimizer": optimizer, "line_search": "none", "learning_rate": 1e30}
    recipe = Gatys(**params, bounded=False, iterations=40)
    with pytest.raises(Diverged) as caught:
        recipe.fit(images[1], context())(images[0], context())
    assert caught.value.image is not None
    assert torch.isfinite(caught.value.image).all()
    assert 1 < caught.value.index <= 40


def test_an_early_end_of_torchs_line_search_is_noted(images: Any, context: Any) -> None:
    # If content and style are the same image, the initial image has the lowest loss.
    notes: list[str] = []
    recipe = Gatys(line_search="strong_wolfe", iterations=9, style_weight=0.0, **PLAIN)
    recipe = replace(recipe, tv_weight=0.0)
    noting = replace(context(), note=notes.append)
    recipe.fit(images[1], noting)(images[0], noting)
    assert len(notes) == 1
    assert "found no lower point after 1 of 9 passes" in notes[0]


def test_layer_weights_must_match_layers() -> None:
    with pytest.raises(ValueError, match="has 2 numbers for 5 style_layers"):
        Gatys(style_layer_weights=(1.0, 1.0))


def test_steps_report_the_image_that_would_be_the_result(images: Any, context: Any) -> None:
    reported: list[torch.Tensor] = []
    totals: list[float] = []

    def keep(step: Any) -> None:
        reported.append(step.image.clone())
        totals.append(float(step.losses["total"]))

    recipe = Gatys(iterations=20, style_weight=30.0, learning_rate=3.0)  # steps that overshoot
    reporting = replace(context(), on_step=keep)
    stylized = recipe.fit(images[1], reporting)(images[0], reporting)
    assert torch.equal(reported[-1], stylized)
    # The image changes with every new lowest loss, and not with a trial point that is worse.
    changed = [not torch.equal(one, other) for one, other in pairwise(reported)]
    lower = [totals[i] < min(totals[:i]) for i in range(1, len(totals))]
    assert changed == lower
    assert not all(lower)
