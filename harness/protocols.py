"""What a method, a metric and their surroundings look like to each other.

Torch is named here for readers and type checkers only: importing this module costs nothing, so
that `nstbench plan` and `nstbench report` start in a blink.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, TypeAlias, runtime_checkable

if TYPE_CHECKING:
    import torch

    from harness.records import Direction

    Tensor: TypeAlias = torch.Tensor

Image: TypeAlias = "torch.Tensor"
"""float32 (N, 3, H, W), sRGB in [0, 1]. Everywhere; exceptions say so."""


@dataclass(frozen=True)
class Step:
    """Progress of a fit or a stylization: pass or step `index` (from 1) of `of`.

    Losses are weighted as they enter `total`; tensors may stay on the device, they are read later.
    """

    index: int
    of: int
    losses: Mapping[str, float | Tensor]
    image: Image | None = None
    """(1, 3, H, W), where an image is optimised: what there would be if this were the end. It is
    copied at once."""


Scale: TypeAlias = Literal["imagenet", "255"]
"""What a recipe's weights were tuned on. `imagenet`: features of an encoder that sees pixels with
ImageNet's mean and deviation taken out; `255`: of one that sees grey levels less their mean, as
Caffe's did. Features differ by about 57.6, content losses by its square, Gram losses by its fourth
power: the number without the scale means nothing."""


class Encoder(Protocol):
    """A frozen feature network: images in [0, 1] go in, features by layer name come out."""

    name: str
    layers: tuple[str, ...]
    dtype: torch.dtype  # what its convolutions run in, and what a method's own may run in

    def __call__(self, image: Image, layers: Sequence[str]) -> dict[str, Tensor]:
        """Return the features at `layers`, running no deeper than the deepest of them."""

    def with_options(
        self,
        *,
        pooling: Literal["max", "avg"] = "max",
        scale: Scale = "imagenet",
        upcast: bool = True,
    ) -> Encoder:
        """Return the same weights with another pooling, or features on another scale.

        Features are float32; without `upcast` they stay in `dtype`: sum those in float32.
        """


class Batches(Protocol):
    """Where training photographs come from."""

    def __call__(self, batch_size: int, crop: int | None, skip: int = 0) -> Iterator[Image]:
        """Return endless random square crops of `crop` pixels, or of the images' size.

        A training that goes on leaves out the first `skip` batches; they are not even decoded.
        """


class Checkpoints:
    """Where a long `fit` leaves its state, to go on from after its process died.

    This one keeps nothing, and has nothing. A state is what `state_dict()` gives: mappings and
    lists of tensors, numbers, strings, booleans and None, with a generator's `get_state()` where
    one was drawn from after the start. A method that changes what is in it raises its `version`.
    """

    def load(self) -> Mapping[str, Any] | None:
        """Return the state that an earlier process left of this very fit, or None.

        Tensors are on the CPU, laid out in memory as they were; tuples are lists.
        """
        return None

    def offer(self, state: Callable[[], Mapping[str, Any]]) -> None:
        """Keep what `state` returns if it is time to; call it after every `on_step`."""


@dataclass(frozen=True)
class Context:
    """What a method may lean on. Random numbers come from here and from nowhere else.

    The generator's seed comes from (suite seed, content, style), never from the method, so that
    every variant sees the same noise and the same batches.
    """

    device: torch.device
    generator: torch.Generator  # on the CPU, so that every device draws the same numbers
    encoder: Encoder
    size: int  # long edge of the images, pixels
    on_step: Callable[[Step], None]
    batches: Batches
    note: Callable[[str], None]  # says on the record what was dropped, replaced or assumed
    checkpoints: Checkpoints = field(default_factory=Checkpoints)


Stylizer: TypeAlias = Callable[[Image, Context], Image]
"""Maps a content image to its stylized image, of the same size."""


Objective: TypeAlias = Callable[[Image], Mapping[str, float]]
"""Maps an image to the losses that a method minimises, `total` among them: weighted, by name."""


@runtime_checkable
class Method(Protocol):
    """A style-transfer method: a frozen dataclass whose fields are the suite's parameters.

    Optional class attributes: `presets` (name -> parameters), `trains` (True where `fit` reads
    training photographs), `anchor` (True for a reference point). Optional properties: `layers`
    (the encoder layers it will ask for), `stand_in_layers` (deep layer -> the one to look at where
    the encoder ends before it) and `files` (parameter -> path it will read).
    A method whose cells can run in one batch adds
    `stylize_batch(stylizers, contents, contexts)`: one of each per image, contents (N, 3, H, W) of one shape, the images (N, 3, H, W) in return, each as
    it would come out alone. `mixes_styles` is True where the stylizers may be of several fits.
    A method whose fit is worth keeping adds `export(stylizer) -> {name: tensor}` and
    `restore(tensors, context) -> Stylizer`; where the fit takes more than a minute, it offers its
    state to `context.checkpoints`.
    A method that optimises the image adds `objective(stylizer, content, context) -> Objective`: its
    losses as a function of an image (1, 3, H, W) of the content's size, the same as those of
    `Step`. The runner evaluates it, off the clock, on the image that is saved. Losses of raw pixels
    say little: pixels may leave [0, 1], and are clamped and rounded to 8 bits when they are saved.
    """

    version: ClassVar[int]

    def fit(self, style: Image, context: Context) -> Stylizer:
        """Learn the style once; the stylizer serves every content image."""


@runtime_checkable
class Metric(Protocol):
    """One measurement of a stylized image, a frozen dataclass.

    The docstring has a `Source:` and a `Blind to:`. Scores are taken on what was saved: the
    stylized image is already clamped and rounded to 8 bits, unless the metric says
    `before_clamping: ClassVar[bool] = True`. `lens` says what it looks through; `encoder` means the
    suite's, the judge, which a method's own may differ from. A metric that needs weights or layers
    has `equip(judge: EncoderUse, shelf: WeightsStore)`, which returns it with what was found,
    `lens_sha256` among it where it looks through weights of its own; such fields are marked with
    `metadata=FOUND` of the registry, and no suite may set them.
    """

    version: ClassVar[int]
    unit: ClassVar[str]
    better: ClassVar[Direction]
    lens: str
    effect: ClassVar[Literal["difference", "ratio"]]
    """How two variants compare: by the mean difference of their scores, or, for a positive quantity
    whose size depends on the images, by the mean log ratio."""
    smallest: ClassVar[float]
    """The smallest effect of interest: a difference in `unit`, or a ratio above 1. What is surely
    less is as good as none."""

    def __call__(self, stylized: Image, content: Image, style: Image, context: Context) -> float:
        """Return the score, or raise `Unavailable` with the reason why there is none."""


class Unavailable(Exception):  # noqa: N818 - a state, not an error
    """A metric cannot be had here; the message says why and what would help."""
