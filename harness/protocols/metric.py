"""The base class of metrics."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from harness.protocols.context import Context, Image
from harness.records import Direction

if TYPE_CHECKING:
    from harness.records import EncoderUse


class Metric(ABC):
    """Base class of metrics: one measurement of a stylized image.

    A metric is a frozen dataclass whose docstring has a `Source:` and a `Blind to:` block. It
    measures the saved image, which is clamped and rounded to 8 bits, unless `before_clamping` is
    True. Subclasses set `version`, `unit`, `better` and `lens` and implement `__call__`.

    A metric that needs layers or a network of its own overrides `resolve`. Mark the fields that
    `resolve` fills with `metadata=FOUND` (harness.registry): a suite cannot set them.
    """

    version: ClassVar[int]
    """Stored with every score. Raise it when scores change."""

    unit: ClassVar[str]

    better: ClassVar[Direction]

    effect: ClassVar[Literal["difference", "ratio"]] = "difference"
    """The comparison of two variants: the mean difference of scores or, for a positive quantity
    whose size depends on the images, the mean log ratio."""

    smallest: ClassVar[float] = 0.0
    """The smallest effect of interest: a difference in `unit`, or a ratio above 1. An effect that
    is certainly smaller counts as no effect."""

    before_clamping: ClassVar[bool] = False
    """Whether the metric measures the unclamped result of the method."""

    own_network: ClassVar[bool] = False
    """Whether `resolve` looks for a network other than the encoder of the suite."""

    judge: str | None = None
    """The encoder that a suite requests for this metric, or `auto`; None if it cannot choose."""

    network_file: str = ""
    """Path of the weights of the metric's own network; set by `resolve`."""

    lens_sha256: str = ""
    """Hash of those weights; set by `resolve`."""

    missing: str = ""
    """The reason why no network is available; set by `resolve`."""

    circular: str = ""
    """The reason why the metric uses the suite's encoder instead of its own; set by `resolve`."""

    @property
    @abstractmethod
    def lens(self) -> str:
        """What the metric computes on: `pixels`, `encoder` (the suite's) or a network's name."""

    @property
    def score_name(self) -> str:
        """Name of the score: the class name in snake case, unless overridden."""
        name = type(self).__name__
        return "".join(f"_{c.lower()}" if c.isupper() else c for c in name).lstrip("_")

    def resolve(self, judge: EncoderUse, weights: Any) -> Self:
        """Return the metric with the layers or the network that it needs.

        Args:
            judge: The encoder of the suite.
            weights: The `WeightsStore` (harness.resources.weights) to find networks in.
        """
        return self

    @abstractmethod
    def __call__(self, stylized: Image, content: Image, style: Image, context: Context) -> float:
        """Return the score; raise `Unavailable` with the reason if there is none."""


class Unavailable(Exception):  # noqa: N818 - a state, not an error
    """A metric has no score; the message has the reason and a remedy if there is one."""
