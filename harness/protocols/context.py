"""What a method receives: images, an encoder, random numbers, photographs, checkpoints."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

from harness.records import CellInputs

if TYPE_CHECKING:
    import torch

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


def _ignore_measurement(seconds: float, peak_mb: float | None = None) -> None:
    """Drop a measurement."""


class Measured(Protocol):
    """Receives what a method measured itself."""

    def __call__(self, seconds: float, peak_mb: float | None = None) -> None:
        """Replace the clock's seconds and the memory of this process by those of a program."""


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
    inputs: CellInputs = field(default_factory=CellInputs)  # in a fit, of the first of its cells
    measured: Measured = _ignore_measurement  # of a fit or stylization in another process


Stylizer: TypeAlias = Callable[[Image, Context], Image]
"""Maps a content image to its stylized image of the same size."""


Objective: TypeAlias = Callable[[Image], Mapping[str, float]]
"""Maps an image to the weighted losses that a method minimises, by name, including `total`."""
