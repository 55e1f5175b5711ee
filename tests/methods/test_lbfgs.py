"""The L-BFGS of `gatys` on functions with known minima."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from methods._lbfgs import LBFGS
from methods._preconditioners import SpectralScaling, UniformScaling


def minimise(
    function: Callable[[torch.Tensor], torch.Tensor],
    start: torch.Tensor,
    passes: int,
    scaling: Any = None,
    **options: Any,
) -> tuple[LBFGS, list[torch.Tensor]]:
    settings = {"history": 10, "first_step": 1e-3, "rate": 1.0, "backtracking": True, **options}
    scaling = scaling or UniformScaling()
    optimizer = LBFGS(start, scaling=scaling, **settings)
    curve = []
    for _ in range(passes):
        point = optimizer.point.clone().requires_grad_()
        value = function(point)
        value.sum().backward()
        optimizer.tell(value.detach(), point.grad)  # type: ignore[arg-type]
        curve.append(value.detach())
    return optimizer, curve


def rosenbrock(x: torch.Tensor) -> torch.Tensor:
    """Return the Rosenbrock function; its minimum is 0, where all variables are 1."""
    return (100 * (x[:, 1:] - x[:, :-1] ** 2) ** 2 + (1 - x[:, :-1]) ** 2).sum(1)


def test_lbfgs_finds_the_minimum_of_the_rosenbrock_function() -> None:
    optimizer, _ = minimise(rosenbrock, torch.tensor([[-1.2, 1.0], [2.0, -1.0]]), 80)
    assert torch.allclose(optimizer.best, torch.ones(2, 2), atol=1e-3)
    assert (optimizer.value < 1e-6).all()


def test_lbfgs_visits_the_points_of_torchs_lbfgs() -> None:
    # Without a line search and with the same first step, the two methods are the same.
    generator = torch.Generator().manual_seed(0)
    curvatures = torch.logspace(0, 2, 12)
    start = torch.randn(1, 12, generator=generator)
    visited: list[torch.Tensor] = []

    def bowl(x: torch.Tensor) -> torch.Tensor:
        return (curvatures * x.square()).sum(1) / 2 + x.cos().sum(1)

    reference: list[torch.Tensor] = []
    x = start.clone().requires_grad_()
    optimizer = torch.optim.LBFGS(
        [x], max_iter=15, max_eval=15, history_size=6, tolerance_grad=0, tolerance_change=0
    )

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        reference.append(x.detach().clone())
        value = bowl(x).sum()
        value.backward()
        return value

    optimizer.step(closure)  # type: ignore[arg-type]

    def watched(point: torch.Tensor) -> torch.Tensor:
        visited.append(point.detach().clone())
        return bowl(point)

    minimise(watched, start, 15, history=6, first_step=1 / 12, backtracking=False)
    for own, other in zip(visited, reference, strict=True):
        assert torch.allclose(own, other, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("scaling", ["uniform", "spectral"])
def test_problems_of_a_batch_are_independent(scaling: str) -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(3, 3, 8, 9, generator=generator)
    minimum = torch.rand(3, 3 * 8 * 9, generator=generator)
    start = images.flatten(1)

    def scaled(index: slice) -> Any:
        return UniformScaling() if scaling == "uniform" else SpectralScaling(images[index])

    def distance(index: slice) -> Any:
        curvatures = torch.tensor([1.0, 30.0, 1000.0])[index]  # a different problem for each member
        return lambda x: curvatures * ((x - minimum[index]) ** 4).sum(1)

    every = slice(None)
    together, _ = minimise(distance(every), start, 12, scaled(every))
    for i in range(3):
        one = slice(i, i + 1)
        alone, _ = minimise(distance(one), start[one], 12, scaled(one))
        assert torch.allclose(alone.best, together.best[one], atol=1e-5)
        assert torch.allclose(alone.value, together.value[one], rtol=1e-3)


def test_a_step_that_increases_the_value_is_shortened() -> None:
    # The gradient of |x| ^ 1.1 has almost the same size at any distance from the minimum.
    optimizer, curve = minimise(
        lambda x: (x - 3).abs().pow(1.1).sum(1), torch.zeros(1, 4), 40, first_step=50.0
    )
    assert curve[1] > curve[0]  # the first step overshoots
    assert optimizer.value < curve[0] / 10
    assert optimizer.value == min(float(value) for value in curve)


def test_a_step_to_a_value_that_is_not_finite_is_shortened() -> None:
    optimizer, curve = minimise(
        lambda x: (x - x.log()).sum(1), torch.full((1, 3), 0.5), 30, first_step=20.0
    )
    assert torch.isfinite(optimizer.best).all()
    assert torch.allclose(optimizer.best, torch.ones(1, 3), atol=1e-2)
    assert len(curve) == 30


@pytest.mark.parametrize("scaling", ["uniform", "spectral"])
@pytest.mark.parametrize("backtracking", [True, False])
def test_lbfgs_follows_the_gradient_where_the_curvature_is_negative(
    scaling: str, backtracking: bool
) -> None:
    # Near 0 the curvature is that of -x^2; the minima are at +-1.
    def hill(x: torch.Tensor) -> torch.Tensor:
        return (x**4 / 4 - x.square() / 2).sum(1)

    images = torch.full((1, 3, 4, 4), 0.01)
    chosen = UniformScaling() if scaling == "uniform" else SpectralScaling(images)
    optimizer, _ = minimise(
        hill, images.flatten(1), 60, chosen, first_step=0.01, backtracking=backtracking
    )
    assert torch.allclose(optimizer.best, torch.ones(1, 48), atol=1e-2)


def test_lbfgs_does_not_move_where_the_gradient_is_zero() -> None:
    start = torch.rand(2, 5)
    optimizer, _ = minimise(lambda x: (x * 0).sum(1), start, 5)
    assert torch.equal(optimizer.best, start)


def test_spectral_scaling_learns_the_curvature_of_each_band() -> None:
    # The curvature of coarse changes is a thousandth of that of fine ones. One number for all bands
    # converges slowly; one for each band is accurate after a few steps.
    from methods._preconditioners import BANDS

    generator = torch.Generator().manual_seed(0)
    images = torch.rand(1, 3, 32, 32, generator=generator)
    probe = SpectralScaling(images)
    stiffness = torch.logspace(-3, 0, BANDS)[probe.bands]

    def energy(x: torch.Tensor) -> torch.Tensor:
        spectrum = torch.view_as_real(torch.fft.rfft2(x.view(1, 3, 32, 32), norm="ortho"))
        return (stiffness[..., None] * spectrum.square()).flatten(1).sum(1)

    start, budget = images.flatten(1), 25
    common, _ = minimise(energy, start, budget, history=3)
    spectral, _ = minimise(energy, start, budget, SpectralScaling(images), history=3)
    assert spectral.value < common.value / 10


@pytest.mark.parametrize("size", [(8, 8), (7, 9), (32, 20)])
def test_spectral_scaling_is_a_multiple_of_the_identity_if_all_bands_agree(
    size: tuple[int, int],
) -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(2, 3, *size, generator=generator)
    scaling = SpectralScaling(images)
    scaling.begin(torch.ones(2))
    step = torch.randn(2, images[0].numel(), generator=generator)
    factors = torch.tensor([[2.0], [5.0]])  # y = 2 s: the inverse is s / 2 everywhere
    change = factors * step
    scaling.learn(step, change, (step * change).sum(1).double(), torch.tensor([True, True]))
    gradient = torch.randn(2, images[0].numel(), generator=generator)
    assert torch.allclose(scaling(gradient), gradient / factors, rtol=1e-4, atol=1e-5)


def test_low_curvature_of_the_finest_band_does_not_lengthen_its_steps() -> None:
    # The gradient of the finest band changes by a millionth of the step. Without the limit its
    # number, and the next step in it, would be MAX_RATIO times those of the other bands.
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(1, 3, 32, 32, generator=generator)
    scaling = SpectralScaling(images)
    scaling.begin(torch.ones(1))
    step = torch.randn(1, images.numel(), generator=generator)
    stiffness = torch.ones_like(scaling.bands, dtype=torch.float32)
    stiffness[scaling.bands == scaling.bands.max()] = 1e-6
    spectrum = torch.fft.rfft2(step.view_as(images), norm="ortho") * stiffness
    change = torch.fft.irfft2(spectrum, s=(32, 32), norm="ortho").flatten(1)
    for _ in range(5):
        scaling.learn(step, change, (step * change).sum(1).double(), torch.tensor([True]))
    assert (scaling.numbers.diff(dim=2) <= 0).all()
    assert scaling.numbers[0, 0, -1] > 0


BOUNDS = (0.0, 1.0)


@pytest.mark.parametrize("backtracking", [True, False])
def test_lbfgs_finds_the_same_bounded_minimum_as_scipy(backtracking: bool) -> None:
    # The unbounded minimum is outside of the bounds: some variables end at a bound, and the others
    # depend on them.
    from scipy.optimize import minimize

    generator = torch.Generator().manual_seed(0)
    root = torch.randn(20, 20, generator=generator, dtype=torch.float64)
    bowl = root @ root.T / 20 + torch.eye(20, dtype=torch.float64)
    tilt = 3 * torch.randn(20, generator=generator, dtype=torch.float64)
    reference = minimize(
        lambda x: (x @ bowl.numpy() @ x / 2 - tilt.numpy() @ x, bowl.numpy() @ x - tilt.numpy()),
        [0.5] * 20, jac=True, method="L-BFGS-B", bounds=[BOUNDS] * 20, options={"gtol": 1e-10},
    )  # fmt: skip
    minimum = torch.from_numpy(reference.x).float()
    assert (minimum == 0).any()
    assert (minimum == 1).any()
    assert ((minimum > 0) & (minimum < 1)).any()

    def value(x: torch.Tensor) -> torch.Tensor:
        return ((x @ bowl.float()) * x).sum(1) / 2 - x @ tilt.float()

    start = torch.full((1, 20), 0.5)
    optimizer, _ = minimise(value, start, 80, bounds=BOUNDS, backtracking=backtracking)
    assert torch.allclose(optimizer.best[0], minimum, atol=1e-3)


def test_a_variable_leaves_its_bound_when_its_gradient_points_inside() -> None:
    # While the second variable is low, the first is best at 0; with the second at 0.8, at 0.6.
    def value(x: torch.Tensor) -> torch.Tensor:
        first, second = x[:, 0], x[:, 1]
        return (second - 0.8).square() + (first - (2 * second - 1)).square()

    optimizer, _ = minimise(value, torch.tensor([[0.0, 0.1]]), 60, bounds=BOUNDS)
    assert torch.allclose(optimizer.best, torch.tensor([[0.6, 0.8]]), atol=1e-3)


@pytest.mark.parametrize("scaling", ["uniform", "spectral"])
def test_every_point_is_within_the_bounds(scaling: str) -> None:
    generator = torch.Generator().manual_seed(0)
    images = 3 * torch.randn(2, 3, 8, 8, generator=generator)  # outside: the start is clamped
    minimum = 3 * torch.randn(2, 192, generator=generator)
    points: list[torch.Tensor] = []

    def watched(x: torch.Tensor) -> torch.Tensor:
        points.append(x.detach().clone())
        return ((x - minimum) ** 4).sum(1)

    chosen = UniformScaling() if scaling == "uniform" else SpectralScaling(images)
    optimizer, _ = minimise(
        watched, images.flatten(1), 40, chosen, bounds=BOUNDS, rate=1e30, first_step=1.0
    )
    assert points
    assert all(((point >= 0) & (point <= 1)).all() for point in points)
    outside = (minimum < 0) | (minimum > 1)
    assert torch.equal(optimizer.best[outside], minimum.clamp(0, 1)[outside])
