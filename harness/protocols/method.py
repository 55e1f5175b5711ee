"""The base class of style-transfer methods and their optional abilities."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
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

from harness.protocols.context import Context, Image, Objective, Stylizer
from harness.records import CellInputs

if TYPE_CHECKING:
    from torch import nn

    from harness.protocols.context import Tensor

Project: TypeAlias = Literal["examples"]
"""A project that reads networks of nstbench: pytorch/examples."""

Timed: TypeAlias = Literal["stylization", "stylization and start-up", "nothing"]
"""What the time of a call of a stylizer contains. `nothing`: the images were made before, so times
and memory are not measured. `stylization and start-up`: a program starts and loads its weights in
each call. Such times are not ranked with those of a stylization alone."""


class Method(ABC):
    """Base class of style-transfer methods.

    A method is a frozen dataclass; its fields are the parameters that a suite can set. Mark a field
    with a path of which only the content matters with `metadata=LOCATION` (harness.registry): it is
    relative to the suite's file and no part of a cell's id. Subclasses
    set `version`, implement `fit` and override the attributes below where the default is wrong. The
    values of attributes may depend on parameters, with a property or a field.

    See also `SupportsBatches`, `SupportsTiles`, `SupportsExport`, `SupportsModule`,
    `SupportsNames`, `SupportsObjective` and `SupportsClose`.
    """

    version: ClassVar[int]
    """Part of every cell's id. Raise it when results change."""

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = MappingProxyType({})
    """Named sets of parameters."""

    trains: ClassVar[bool] = False
    """Whether `fit` reads training photographs from `Context.batches`."""

    anchor: ClassVar[bool] = False
    """Whether the method is a reference point and not a competitor, for example the identity."""

    timed: Timed = "stylization"
    """What the time of a call of the stylizer contains."""

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

    def cell_files(self, inputs: CellInputs) -> Mapping[str, str]:
        """Return paths of files that the method reads for one cell; their hashes enter its id.

        Raises:
            SourceError: A file is missing, or cannot be used: the cell is skipped, with this
                reason.
        """
        return {}

    @property
    def programs(self) -> tuple[tuple[str, ...], ...]:
        """The programs that the method starts, with their arguments.

        `nstbench run` starts none without `--allow-commands`, and lists them instead.
        """
        return ()

    @property
    def unavailable(self) -> str:
        """Why the method cannot run on this machine; its cells are skipped with this reason."""
        return ""

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
class SupportsTiles(Protocol):
    """A method that can stylize an image in tiles, for images that do not fit into memory."""

    def stylize_in_tiles(self, stylizer: Any, content: Image, context: Context, tile: int) -> Image:
        """Return the image (1, 3, H, W) of a single call, up to rounding.

        Args:
            stylizer: From `fit`.
            content: (1, 3, H, W).
            context: As in a single call.
            tile: Edge of the tiles in pixels, without their overlap.
        """


@runtime_checkable
class SupportsExport(Protocol):
    """A method whose fits can be stored as tensors and reused by later runs."""

    def export(self, stylizer: Any) -> dict[str, Tensor]:
        """Return everything that `fit` has learned, as tensors by name."""

    def restore(self, tensors: dict[str, Tensor], context: Context) -> Stylizer:
        """Return the stylizer of exported tensors, without reporting steps."""


@runtime_checkable
class SupportsModule(Protocol):
    """A method, with SupportsExport, whose stylizer `nstbench export` writes as ONNX."""

    def module(self, stylizer: Any) -> nn.Module:
        """Return the network on the CPU, in float32 and in eval mode.

        It maps (N, 3, H, W) in [0, 1] to stylized images of the same shape, for any N, H and W. It
        consists of operations that torch's exporters know; its results equal those of the
        stylizer up to rounding.
        """


@runtime_checkable
class SupportsNames(Protocol):
    """A method whose trained network another project can load, and its parameter `checkpoint`."""

    def rename(self, stylizer: Any, project: Project) -> dict[str, Tensor]:
        """Return the tensors of the network by the names of the project.

        Raises:
            WeightsError: The project has no such network.
        """


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


@runtime_checkable
class SupportsClose(Protocol):
    """A stylizer that holds more than memory of this process, such as a running program."""

    def close(self) -> None:
        """Release it; called when the fit is not needed any more."""
