"""The interfaces between methods, metrics and the harness.

Authors of methods inherit from `Method`, authors of metrics from `Metric`. The `Supports...`
protocols describe optional abilities of a method: a class has one by defining its functions.

This module imports torch for type checkers only, so that commands without torch start quickly.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Literal,
    Protocol,
    Self,
    TypeAlias,
    runtime_checkable,
)

from harness.records import Direction

if TYPE_CHECKING:
    import torch

    from harness.records import EncoderUse

    Tensor: TypeAlias = torch.Tensor

Image: TypeAlias = "torch.Tensor"
"""float32 (N, 3, H, W), sRGB in [0, 1]; exceptions are documented where they occur."""


@dataclass(frozen=True)
class Step:
    """Progress of a fit or a stylization: pass or step `index` (from 1) of at most `of`.

    Losses are weighted as they enter `total`. Tensors may stay on the device; the harness reads
    them later.
    """

    index: int
    of: int
    losses: Mapping[str, float | Tensor]
    image: Image | None = None
    """(1, 3, H, W): the result if the optimisation of an image stopped here. Copied immediately."""


Scale: TypeAlias = Literal["imagenet", "255"]
"""The input scale for which the weights of a recipe were tuned. `imagenet`: pixels normalised with
the mean and standard deviation of ImageNet. `255`: pixels from 0 to 255 minus their mean, as in
Caffe. Features differ by a factor of about 57.6, content losses by its square, Gram losses by its
fourth power, so weights are comparable only at the same scale."""


class Encoder(Protocol):
    """A frozen feature network: maps images in [0, 1] to features by layer name."""

    name: str
    layers: tuple[str, ...]
    dtype: torch.dtype  # of its convolutions; a method may use it for its own

    def __call__(self, image: Image, layers: Sequence[str]) -> dict[str, Tensor]:
        """Return the features at `layers`. Computation stops at the deepest of them."""

    def with_options(
        self,
        *,
        pooling: Literal["max", "avg"] = "max",
        scale: Scale = "imagenet",
        upcast: bool = True,
    ) -> Encoder:
        """Return an encoder with the same weights and another pooling or feature scale.

        Features are float32. Without `upcast` they stay in `dtype`: sum those in float32.
        """


class Batches(Protocol):
    """The source of training photographs."""

    def __call__(self, batch_size: int, crop: int | None, skip: int = 0) -> Iterator[Image]:
        """Return endless batches of random square crops.

        Args:
            batch_size: Images per batch.
            crop: Edge in pixels; None is the size of the cell's images.
            skip: Batches to leave out, without decoding them, when a training resumes.
        """


class Checkpoints:
    """Storage for the state of a long `fit`, to resume it after its process has ended.

    This class stores nothing; the harness passes a subclass. A state has the form of
    `state_dict()`: mappings and lists of tensors, numbers, strings, booleans and None. It includes
    `get_state()` of a generator that is used after the start. Raise the method's `version` when
    the content of the state changes.
    """

    def load(self) -> Mapping[str, Any] | None:
        """Return the state that an earlier process stored for the same fit, or None.

        Tensors are on the CPU with their memory layout preserved; tuples are returned as lists.
        """
        return None

    def offer(self, state: Callable[[], Mapping[str, Any]]) -> None:
        """Store the result of `state` if a checkpoint is due; call it after every `on_step`."""


@dataclass(frozen=True)
class Context:
    """The resources of a method. Random numbers come from `generator` only.

    The seed of the generator depends on the suite's seed, the content and the style, and not on the
    method: every variant gets the same noise and the same batches.
    """

    device: torch.device
    generator: torch.Generator  # on the CPU: every device gets the same numbers
    encoder: Encoder
    size: int  # long edge of the contents, pixels
    on_step: Callable[[Step], None]
    batches: Batches
    note: Callable[[str], None]  # adds a note to the record: what was dropped, replaced or assumed
    checkpoints: Checkpoints = field(default_factory=Checkpoints)


Stylizer: TypeAlias = Callable[[Image, Context], Image]
"""Maps a content image to its stylized image of the same size."""


Objective: TypeAlias = Callable[[Image], Mapping[str, float]]
"""Maps an image to the weighted losses that a method minimises, by name, including `total`."""


class Method(ABC):
    """Base class of style-transfer methods.

    A method is a frozen dataclass; its fields are the parameters that a suite can set. Subclasses
    set `version`, implement `fit` and override the attributes below where the default is wrong. The
    values of attributes may depend on parameters, with a property or a field.

    See also `SupportsBatches`, `SupportsExport` and `SupportsObjective`.
    """

    version: ClassVar[int]
    """Part of every cell's id. Raise it when results change."""

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = MappingProxyType({})
    """Named sets of parameters."""

    trains: ClassVar[bool] = False
    """Whether `fit` reads training photographs from `Context.batches`."""

    anchor: ClassVar[bool] = False
    """Whether the method is a reference point and not a competitor, for example the identity."""

    mixes_styles: ClassVar[bool] = False
    """Whether one call of `stylize_batch` can use stylizers of several fits."""

    stand_in_layers: Mapping[str, str] = MappingProxyType({})
    """Encoder layers and their substitutes for encoders that end before them."""

    @property
    def layers(self) -> tuple[str, ...]:
        """All encoder layers that the method reads."""
        return ()

    @property
    def files(self) -> Mapping[str, str]:
        """Paths of files that the method reads; their hashes enter the cell id.

        The key is the parameter that contains the path or, for a file of the method's package, any
        other name.
        """
        return {}

    def resolve(self, given: Collection[str]) -> Self:
        """Return the method with the parameters that its files determine, for the cell's identity.

        Args:
            given: Names of the parameters that the suite sets, directly or by a preset or an axis.

        Raises:
            SourceError: A file cannot be used, or contradicts a given parameter.
        """
        return self

    @abstractmethod
    def fit(self, style: Image, context: Context) -> Stylizer:
        """Learn a style, of any size. The stylizer is called for every content image.

        A fit of more than a minute offers its state to `context.checkpoints`.
        """


@runtime_checkable
class SupportsBatches(Protocol):
    """A method that can stylize several cells in one batch."""

    def stylize_batch(
        self, stylizers: Sequence[Any], contents: Image, contexts: Sequence[Context]
    ) -> Image:
        """Return the images (N, 3, H, W); each equals the image of a single call.

        Args:
            stylizers: One for each image, all from one fit unless `mixes_styles` is True.
            contents: (N, 3, H, W).
            contexts: One for each image.
        """


@runtime_checkable
class SupportsExport(Protocol):
    """A method whose fits can be stored as tensors and reused by later runs."""

    def export(self, stylizer: Any) -> dict[str, Tensor]:
        """Return everything that `fit` has learned, as tensors by name."""

    def restore(self, tensors: dict[str, Tensor], context: Context) -> Stylizer:
        """Return the stylizer of exported tensors, without reporting steps."""


@runtime_checkable
class SupportsObjective(Protocol):
    """A method that optimises an image and can evaluate its losses on other images.

    The harness evaluates the objective on the saved image, outside of the timed section. Losses of
    raw pixels are less informative: they may leave [0, 1], and saving clamps and rounds them.
    """

    def objective(self, stylizer: Any, content: Image, context: Context) -> Objective:
        """Return the losses as a function of an image (1, 3, H, W) of the content's size.

        The losses have the names and weights of those in `Step`.
        """


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
