"""What every registered method keeps to; a new one is tested here without a new line."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch

from harness.registry import METHODS

BRIEF: dict[str, dict[str, Any]] = {
    # Enough to see the contract kept, not enough to see a painting.
    "gatys": {"iterations": 3},
    "johnson": {"steps": 2, "width": 0.25, "batch_size": 2},
}
NAMES = METHODS.names()


@pytest.fixture(params=NAMES)
def method(request: pytest.FixtureRequest) -> Any:
    return METHODS.build(request.param, BRIEF.get(request.param, {}))


@pytest.fixture
def images(photograph: Any) -> tuple[torch.Tensor, torch.Tensor]:
    return photograph("coffee", 48), photograph("chelsea", 40)


def stylize(method: Any, images: Any, context: Any, seed: int = 0, **more: Any) -> torch.Tensor:
    content, style = images
    stylizer = method.fit(style, context(seed, **more))
    return stylizer(content, context(seed, **more))


def test_the_stylized_image_has_the_contents_shape_and_type(
    method: Any, images: Any, context: Any
) -> None:
    stylized = stylize(method, images, context)
    assert stylized.shape == images[0].shape
    assert stylized.dtype == torch.float32
    assert torch.isfinite(stylized).all()
    assert not stylized.requires_grad


def test_the_same_seed_gives_the_same_pixels(method: Any, images: Any, context: Any) -> None:
    assert torch.equal(stylize(method, images, context), stylize(method, images, context))


def test_inputs_are_left_as_they_were(method: Any, images: Any, context: Any) -> None:
    before = [image.clone() for image in images]
    stylize(method, images, context)
    assert all(torch.equal(now, then) for now, then in zip(images, before, strict=True))


def test_one_fit_serves_many_contents(
    method: Any, images: Any, context: Any, photograph: Any
) -> None:
    stylizer = method.fit(images[1], context())
    first = stylizer(images[0], context())
    other = photograph("rocket", 44)
    assert stylizer(other, context()).shape == other.shape
    assert torch.equal(stylizer(images[0], context()), first)


def test_the_global_random_state_is_left_alone(method: Any, images: Any, context: Any) -> None:
    torch.manual_seed(123)
    before = torch.get_rng_state()
    stylize(method, images, context)
    assert torch.equal(torch.get_rng_state(), before)


def test_progress_counts_up_to_what_it_announced(method: Any, images: Any, context: Any) -> None:
    steps: list[Any] = []
    stylize(method, images, context, steps=steps)
    if not steps:  # an anchor has nothing to report
        assert method.anchor
        return
    assert [step.index for step in steps] == list(range(1, steps[-1].of + 1))
    for step in steps:
        parts = [float(v) for k, v in step.losses.items() if k != "total"]
        assert float(step.losses["total"]) == pytest.approx(sum(parts), rel=1e-4)


def test_it_asks_only_for_layers_that_it_declares(method: Any, images: Any, context: Any) -> None:
    asked: set[str] = set()

    class Watched:
        def __init__(self, encoder: Any) -> None:
            self.encoder, self.name, self.layers = encoder, encoder.name, encoder.layers
            self.dtype = encoder.dtype

        def __call__(self, image: torch.Tensor, layers: Any) -> Any:
            asked.update(layers)
            return self.encoder(image, layers)

        def with_options(self, **options: Any) -> Any:
            return Watched(self.encoder.with_options(**options))

    def watched(seed: int, **more: Any) -> Any:
        made = context(seed, **more)
        return dataclasses.replace(made, encoder=Watched(made.encoder))

    stylize(method, images, watched)
    assert asked <= set(getattr(method, "layers", ()))


@pytest.mark.parametrize("name", NAMES)
def test_it_is_a_frozen_dataclass_with_a_version_and_a_word_about_itself(name: str) -> None:
    cls = METHODS.get(name)
    assert cls.__dataclass_params__.frozen
    assert isinstance(cls.version, int)
    assert cls.__doc__
    assert "Source:" in (__import__(cls.__module__, fromlist=["x"]).__doc__ or "") or cls.anchor


@pytest.mark.parametrize(
    ("name", "preset"), [(n, p) for n in NAMES for p in getattr(METHODS.get(n), "presets", {})]
)
def test_every_preset_is_valid_and_asks_for_vggs_layers(name: str, preset: str) -> None:
    from harness.encoders.architectures import ARCHITECTURES

    method = METHODS.build(name, METHODS.get(name).presets[preset])
    assert set(method.layers) <= {*ARCHITECTURES["vgg19"].layers, *ARCHITECTURES["vgg16"].layers}


def test_what_is_exported_can_be_restored_without_training(images: Any, context: Any) -> None:
    for name in NAMES:
        method = METHODS.build(name, BRIEF.get(name, {}))
        if not hasattr(method, "export"):
            continue
        stylizer = method.fit(images[1], context())
        again = method.restore(method.export(stylizer), context())
        assert torch.equal(again(images[0], context()), stylizer(images[0], context()))
