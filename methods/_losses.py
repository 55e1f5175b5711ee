"""The losses of style transfer, as pure functions of features and images.

Each takes its normalisation as an argument, since the literature has six of them and no number
means anything without it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from torch import Tensor

GramDivisor = Literal["hw", "chw", "none"]
Reduction = Literal["mean", "sum", "half_sum"]
Balance = Literal["relative", "absolute"]


def squared_error(got: Tensor, wanted: Tensor, reduction: Reduction) -> Tensor:
    """Return the squared error per image of the batch, averaged over the batch.

    `mean` over all elements, their `sum`, or `half_sum`, the papers' one half of it.
    """
    squares = (got - wanted).square().flatten(1)
    if reduction == "mean":
        return squares.mean()
    return squares.sum(1).mean() * (0.5 if reduction == "half_sum" else 1.0)


class Target:
    """What features or Gram matrices should become; called with what they are, gives the loss.

    `relative` divides by the target's own size, which is worked out once, not in every pass.
    """

    def __init__(self, wanted: Tensor, reduction: Reduction, balance: Balance) -> None:
        self.wanted, self.reduction = wanted, reduction
        nothing = wanted.new_zeros(())
        self.size = squared_error(wanted, nothing, reduction) if balance == "relative" else None

    def __call__(self, got: Tensor) -> Tensor:
        """Return the squared error, averaged over the batch."""
        loss = squared_error(got, self.wanted.expand_as(got), self.reduction)
        return loss if self.size is None else loss / self.size


def total_variation(image: Tensor, kind: Literal["l1", "l2"], reduction: Reduction) -> Tensor:
    """Return how much neighbouring pixels differ, down and to the right, averaged over the batch.

    `l1` takes absolute differences (neural-style-pt, gordicaleksa), `l2` squares (Johnson).
    `mean` is the mean over rows' differences plus that over columns' differences.
    """
    down, right = image[..., 1:, :] - image[..., :-1, :], image[..., 1:] - image[..., :-1]
    parts = [d.abs() if kind == "l1" else d.square() for d in (down, right)]
    if reduction == "mean":
        return parts[0].mean() + parts[1].mean()
    total = (parts[0].sum() + parts[1].sum()) / image.shape[0]
    return total * 0.5 if reduction == "half_sum" else total
