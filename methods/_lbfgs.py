"""L-BFGS for a batch of independent problems, without a word from the host.

It does not call the objective: it says where it wants to know it (`point`) and is told what it is
there (`tell`). Every pass is then one evaluation of all problems at once, each at a point of its
own line search, and nothing is read off the device.

Source: Liu, Nocedal 1989 (Math. Programming 45); Nocedal 1980 (Math. of Computation 35) for the
    two-loop recursion, here with all pairs at once: its loops are two triangular systems in the
    products s_i . y_j (Byrd, Nocedal, Schnabel 1994, Math. Programming 63). Bounds by projection,
    in the metric of the free numbers: Bertsekas 1982 (SIAM J. Control and Optimization 20).
Deviations: - sufficient decrease and no curvature condition in the line search, so that an accepted
      point costs one evaluation; a pair without positive curvature is left out instead
    - the triangular systems are solved in float64: they are badly conditioned, and small
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from methods._preconditioners import Scaling

SUFFICIENT_DECREASE = 1e-4
SHORTEST, MAX_LENGTH = 0.1, 0.5
"""Of a rejected step, this much at least and at most is tried next."""

BOLDER = 4.0
"""How many times the last step the next one is, as long as no pair curves upwards."""

MIN_COSINE = 1e-6
"""Between a step and the gradient's change; below it their product is float32's rounding."""

UNBOUNDED = (-math.inf, math.inf)


class LBFGS:
    """Minimises `len(start)` functions of as many numbers each.

    Args:
        start: (N, numbers), float32: where each problem starts.
        history: How many pairs of steps and gradient differences are kept.
        scaling: What is taken for the inverse curvature before the pairs say more.
        first_step: Mean move of a number in the first step, before anything is known of curvature.
        rate: Length of all later steps, as a multiple of the quasi-Newton step.
        backtracking: Shorten a step that did not decrease the function enough; without, every
            step is taken.
        bounds: Lowest and highest value of every number, at `start` and at every later point.
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
        """(N, numbers): where the functions and gradients are wanted next."""
        self._inverse = _InverseHessian(start, history, scaling)
        self._stride = torch.ones(len(start), dtype=torch.float64, device=start.device)
        self._value: Tensor | None = None

    @property
    def value(self) -> Tensor:
        """(N,): the functions at `best`."""
        assert self._value is not None
        return self._value

    def tell(self, value: Tensor, gradient: Tensor) -> None:
        """Take the functions' values (N,) and gradients (N, numbers) at `point`."""
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
        taken, shorter = self._sufficient(value), self._shorter(value)
        step, change = self.point - self.best, gradient - self._gradient
        self._value = torch.where(taken, value, self.value)
        self.best = _where(taken, self.point, self.best)
        self._gradient = _where(taken, gradient, self._gradient)
        # A number that a bound holds tells of the others' curvature, not of its own.
        self._inverse.learn(step, change.masked_fill(step == 0, 0), taken)
        self._direction = _where(taken, self._descent(), self._direction)
        # A function that bends downwards from the start tells nothing of how far to go: farther.
        blind = self._inverse.count == 0
        self._stride = torch.where(blind & taken, BOLDER * self._stride, self._stride)
        ahead = torch.where(blind, self._stride, self.rate)
        self._length = torch.where(taken, ahead, shorter)

    def _descent(self) -> Tensor:
        """Return the quasi-Newton direction of the numbers that no bound holds, 0 for the rest."""
        down, up = self._gradient > 0, self._gradient < 0
        held = ((self.best <= self.low) & down) | ((self.best >= self.high) & up)
        free = self._gradient.masked_fill(held, 0)
        return -self._inverse(free).masked_fill(held, 0)

    def _sufficient(self, value: Tensor) -> Tensor:
        if not self.backtracking:
            return torch.ones_like(value, dtype=torch.bool)
        return value <= self.value + SUFFICIENT_DECREASE * self._fall.clamp_max(0)

    def _shorter(self, value: Tensor) -> Tensor:
        """Return the length at the lowest point of the parabola through all that is known."""
        length, fall = self._length, self._fall
        lowest = -fall * length / (2 * (value - self.value - fall))
        lowest = torch.where(torch.isfinite(lowest), lowest, MAX_LENGTH * length)
        return torch.minimum(torch.maximum(lowest, SHORTEST * length), MAX_LENGTH * length)


class _InverseHessian:
    """What the last pairs of steps and gradient changes say, in rings of `history` slots."""

    def __init__(self, like: Tensor, history: int, scaling: Scaling) -> None:
        problems, numbers = like.shape
        self.history, self.scaling = history, scaling
        self.steps = like.new_zeros(problems, history, numbers)
        self.changes = torch.zeros_like(self.steps)
        double = {"dtype": torch.float64, "device": like.device}
        self.products = torch.zeros(problems, history, history, **double)  # type: ignore[call-overload]
        """s_i . y_j by slot, where s_i is not younger than y_j."""
        self.age = torch.full((problems, history), -1, device=like.device)  # -1: an empty slot
        self.count = torch.zeros(problems, dtype=torch.long, device=like.device)
        self.problems = torch.arange(problems, device=like.device)

    def learn(self, step: Tensor, change: Tensor, taken: Tensor) -> None:
        """Keep a pair (N, numbers) each where it was `taken` and curves upwards."""
        curvature = _dot(step, change)
        kept = taken & (curvature > MIN_COSINE * step.norm(dim=1) * change.norm(dim=1))
        problem, slot = self.problems, self.count % self.history
        self.steps[problem, slot] = _where(kept, step, self.steps[problem, slot])
        self.changes[problem, slot] = _where(kept, change, self.changes[problem, slot])
        column = _products(self.steps, change)
        self.products[problem, :, slot] = _where(kept, column, self.products[problem, :, slot])
        self.age[problem, slot] = torch.where(kept, self.count, self.age[problem, slot])
        self.count = self.count + kept
        self.scaling.learn(step, change, curvature, kept)

    def __call__(self, gradient: Tensor) -> Tensor:
        """Return the product with a gradient (N, numbers).

        With R the products s_i . y_j of i older than j, or as old, and D its diagonal:
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
    """Return each problem's rows (N, m, numbers) times its vector: float64 (N, m)."""
    return torch.bmm(rows, vectors[:, :, None]).squeeze(2).double()


def _combined(weights: Tensor, order: Tensor, rows: Tensor) -> Tensor:
    """Return each problem's rows summed up with weights that come in `order`: (N, numbers)."""
    weights = torch.zeros_like(weights).scatter(1, order, weights).to(rows.dtype)
    return torch.bmm(weights[:, None], rows).squeeze(1)


def _dot(one: Tensor, other: Tensor) -> Tensor:
    return (one * other).sum(1, dtype=torch.float64)


def _column(numbers: Tensor, like: Tensor) -> Tensor:
    return numbers[:, None].to(like.dtype)


def _where(chosen: Tensor, one: Tensor, other: Tensor) -> Tensor:
    return torch.where(chosen[:, None], one, other)
