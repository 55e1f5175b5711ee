"""L-BFGS for a batch of independent problems, with an ask-and-tell interface.

The optimizer does not call the objective. The caller evaluates it at `point` and passes the result
to `tell`. One pass evaluates all problems, each at a point of its own line search, and the host
never waits for the device.

Source: Liu, Nocedal 1989 (Math. Programming 45); Nocedal 1980 (Math. of Computation 35) for the
    two-loop recursion, here for all pairs at once: its loops are two triangular systems in the
    products s_i . y_j (Byrd, Nocedal, Schnabel 1994, Math. Programming 63). Bounds by projection,
    in the metric of the free variables: Bertsekas 1982 (SIAM J. Control and Optimization 20).
Deviations: - the line search requires sufficient decrease and ignores curvature, so that an
      accepted point costs one evaluation; pairs without positive curvature are not used
    - the triangular systems are small and badly conditioned, and are solved in float64
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from methods._preconditioners import Scaling

SUFFICIENT_DECREASE = 1e-4
MIN_LENGTH, MAX_LENGTH = 0.1, 0.5
"""Bounds of the next step after a rejected one, as shares of its length."""

EXPANSION = 4.0
"""Growth of the step after each accepted one while no pair has positive curvature."""

MIN_COSINE = 1e-6
"""Lowest cosine of a step and the gradient change; below it rounding decides their product."""

UNBOUNDED = (-math.inf, math.inf)


class LBFGS:
    """Minimise `len(start)` functions with the same number of variables.

    Args:
        start: The initial points (N, numbers), float32.
        history: Maximum number of stored pairs of steps and gradient changes.
        scaling: The initial inverse Hessian.
        first_step: Mean change of a variable in the first step, when the curvature is unknown.
        rate: Length of all later steps, as a multiple of the quasi-Newton step.
        backtracking: Reject and shorten steps without a sufficient decrease. If False, accept
            every step.
        bounds: Lowest and highest value of every variable, at `start` and at every later point.
    """

    def __init__(
        self,
        start: Tensor,
        *,
        history: int,
        scaling: Scaling,
        first_step: float,
        rate: float,
        backtracking: bool,
        bounds: tuple[float, float] = UNBOUNDED,
    ) -> None:
        self.first_step, self.rate, self.backtracking = first_step, rate, backtracking
        self.low, self.high = bounds
        self.best = start.clamp(self.low, self.high)
        """(N, numbers): the last accepted points."""
        self.point = self.best
        """(N, numbers): the next points to evaluate."""
        self._inverse = _InverseHessian(start, history, scaling)
        self._stride = torch.ones(len(start), dtype=torch.float64, device=start.device)
        self._value: Tensor | None = None

    @property
    def value(self) -> Tensor:
        """(N,): the values of the functions at `best`."""
        assert self._value is not None
        return self._value

    def tell(self, value: Tensor, gradient: Tensor) -> None:
        """Advance with the values (N,) and the gradients (N, numbers) at `point`."""
        value = value.double()
        if self._value is None:
            self._begin(value, gradient)
        else:
            self._continue(value, gradient)
        ahead = torch.addcmul(self.best, _column(self._length, gradient), self._direction)
        self.point = ahead.clamp_(self.low, self.high)
        self._fall = _dot(self.point - self.best, self._gradient)

    def _begin(self, value: Tensor, gradient: Tensor) -> None:
        self._value, self._gradient = value, gradient.clone()
        self._direction = -gradient
        self._length = self.first_step / gradient.abs().mean(1).double().clamp_min(1e-30)
        self._inverse.scaling.begin(self._length)

    def _continue(self, value: Tensor, gradient: Tensor) -> None:
        accepted, shorter = self._sufficient(value), self._shorter(value)
        step, change = self.point - self.best, gradient - self._gradient
        self._value = torch.where(accepted, value, self.value)
        self.best = _where(accepted, self.point, self.best)
        self._gradient = _where(accepted, gradient, self._gradient)
        # The gradient change of a variable at a bound is caused by the other variables.
        self._inverse.learn(step, change.masked_fill(step == 0, 0), accepted)
        self._direction = _where(accepted, self._descent(), self._direction)
        # Without positive curvature no step length is known: expand until there is one.
        no_pairs = self._inverse.count == 0
        self._stride = torch.where(no_pairs & accepted, EXPANSION * self._stride, self._stride)
        ahead = torch.where(no_pairs, self._stride, self.rate)
        self._length = torch.where(accepted, ahead, shorter)

    def _descent(self) -> Tensor:
        """Return the quasi-Newton direction of the free variables, and 0 for those at a bound."""
        down, up = self._gradient > 0, self._gradient < 0
        held = ((self.best <= self.low) & down) | ((self.best >= self.high) & up)
        free = self._gradient.masked_fill(held, 0)
        return -self._inverse(free).masked_fill(held, 0)

    def _sufficient(self, value: Tensor) -> Tensor:
        if not self.backtracking:
            return torch.ones_like(value, dtype=torch.bool)
        return value <= self.value + SUFFICIENT_DECREASE * self._fall.clamp_max(0)

    def _shorter(self, value: Tensor) -> Tensor:
        """Return the length at the minimum of the interpolating parabola, within limits."""
        length, fall = self._length, self._fall
        lowest = -fall * length / (2 * (value - self.value - fall))
        lowest = torch.where(torch.isfinite(lowest), lowest, MAX_LENGTH * length)
        return torch.minimum(torch.maximum(lowest, MIN_LENGTH * length), MAX_LENGTH * length)


class _InverseHessian:
    """The last pairs of steps and gradient changes of each problem, in `history` slots."""

    def __init__(self, like: Tensor, history: int, scaling: Scaling) -> None:
        problems, numbers = like.shape
        self.history, self.scaling = history, scaling
        self.steps = like.new_zeros(problems, history, numbers)
        self.changes = torch.zeros_like(self.steps)
        double = {"dtype": torch.float64, "device": like.device}
        self.products = torch.zeros(problems, history, history, **double)  # type: ignore[call-overload]
        """s_i . y_j by slot, where s_i is not newer than y_j."""
        self.age = torch.full((problems, history), -1, device=like.device)  # -1: an empty slot
        self.count = torch.zeros(problems, dtype=torch.long, device=like.device)
        self.problems = torch.arange(problems, device=like.device)

    def learn(self, step: Tensor, change: Tensor, accepted: Tensor) -> None:
        """Store the pairs (N, numbers) of accepted steps with positive curvature."""
        curvature = _dot(step, change)
        valid = accepted & (curvature > MIN_COSINE * step.norm(dim=1) * change.norm(dim=1))
        problem, slot = self.problems, self.count % self.history
        self.steps[problem, slot] = _where(valid, step, self.steps[problem, slot])
        self.changes[problem, slot] = _where(valid, change, self.changes[problem, slot])
        column = _products(self.steps, change)
        self.products[problem, :, slot] = _where(valid, column, self.products[problem, :, slot])
        self.age[problem, slot] = torch.where(valid, self.count, self.age[problem, slot])
        self.count = self.count + valid
        self.scaling.learn(step, change, curvature, valid)

    def __call__(self, gradient: Tensor) -> Tensor:
        """Return the product with a gradient (N, numbers).

        R is the upper triangle of the products s_i . y_j, ordered from old to new, D its diagonal:
        R a = S'g, q = g - Y a, r = scaling(q), R'b = D a - Y'r, and r + S b.
        """
        empty = self.age < 0
        order = torch.where(empty, torch.iinfo(torch.long).max, self.age).argsort(1)
        triangle = _ordered(self.products, order).triu()
        curvatures = triangle.diagonal(dim1=1, dim2=2).clone()
        triangle += torch.diag_embed(empty.gather(1, order).double())  # empty slots: an identity

        along = _products(self.steps, gradient).gather(1, order)
        newer = torch.linalg.solve_triangular(triangle, along[:, :, None], upper=True).squeeze(2)
        rest = self.scaling(gradient - _combined(newer, order, self.changes))
        against = curvatures * newer - _products(self.changes, rest).gather(1, order)
        older = torch.linalg.solve_triangular(triangle.mT, against[:, :, None], upper=False)
        return rest + _combined(older.squeeze(2), order, self.steps)


def _ordered(table: Tensor, order: Tensor) -> Tensor:
    """Return (N, m, m) with rows and columns in the order of (N, m)."""
    rows = table.gather(1, order[:, :, None].expand_as(table))
    return rows.gather(2, order[:, None, :].expand_as(table))


def _products(rows: Tensor, vectors: Tensor) -> Tensor:
    """Return the products (N, m), float64, of rows (N, m, numbers) and vectors (N, numbers)."""
    return torch.bmm(rows, vectors[:, :, None]).squeeze(2).double()


def _combined(weights: Tensor, order: Tensor, rows: Tensor) -> Tensor:
    """Return the weighted sums (N, numbers) of rows; the weights are sorted by `order`."""
    weights = torch.zeros_like(weights).scatter(1, order, weights).to(rows.dtype)
    return torch.bmm(weights[:, None], rows).squeeze(1)


def _dot(one: Tensor, other: Tensor) -> Tensor:
    return (one * other).sum(1, dtype=torch.float64)


def _column(numbers: Tensor, like: Tensor) -> Tensor:
    return numbers[:, None].to(like.dtype)


def _where(chosen: Tensor, one: Tensor, other: Tensor) -> Tensor:
    return torch.where(chosen[:, None], one, other)
