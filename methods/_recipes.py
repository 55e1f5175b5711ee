"""Parameters of the methods in this folder: losses, image optimisation, network, training.

A method inherits its recipe, and the modules that do the work take it as an argument. This module
does not import torch, so that a suite can be checked and planned without it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import Field

from harness.protocols import Scale

GramDivisor = Literal["hw", "chw", "none"]
Reduction = Literal["mean", "sum", "half_sum"]
Balance = Literal["relative", "absolute"]
Norm = Literal["instance", "batch", "none"]
Padding = Literal["reflect", "zero", "replicate"]
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(gt=0, le=1)]

RELU_1_TO_5 = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")

STAND_INS = {
    # for the content
    "relu4_2": "relu3_2",
    "conv4_2": "conv3_2",
    # for the style: beside 1_1, 2_1 and 3_1 as in Gatys et al., beside 1_2, 2_2, 3_3 as in Johnson
    "relu4_1": "relu3_2",
    "relu5_1": "relu3_4",
    "conv4_1": "conv3_2",
    "conv5_1": "conv3_4",
    "relu4_3": "relu3_4",
}
"""Deep layer of VGG -> the layer to use where the encoder ends before it.

`compact` and files with the first layers of VGG-19 end at relu3_4. Stand-ins are chosen so that
no two layers of a classic recipe become the same layer. The record and the page name them.
"""


@dataclass(frozen=True, kw_only=True)
class LossRecipe:
    """Content, style and total-variation losses, and the layers that they use."""

    content_layers: tuple[str, ...] = ("relu4_2",)
    """Encoder layers at which features match those of the content."""
    content_reduction: Reduction = "mean"
    """How squared feature differences become a loss; half_sum is Gatys et al., equation 1."""
    content_weight: Weight = 1.0
    """Weight of the content loss."""

    style_layers: tuple[str, ...] = RELU_1_TO_5
    """Encoder layers at which Gram matrices match those of the style."""
    style_layer_weights: tuple[Weight, ...] | None = None
    """Weight of each style layer; null is 1 each."""
    style_reduction: Reduction = "mean"
    """How squared differences of Gram matrices become a loss."""
    style_weight: Weight = 10.0
    """Weight of the style loss."""
    gram_divisor: GramDivisor = "hw"
    """Divisor of Gram matrices: pixels (hw), pixels times channels (chw, Johnson et al.), or 1."""
    stand_in_layers: Mapping[str, str] = field(default_factory=lambda: dict(STAND_INS))
    """Layer to use for each layer that the encoder does not have."""

    tv_weight: Weight = 1.0
    """Weight of the total variation, which limits noise."""
    tv_kind: Literal["l1", "l2"] = "l2"
    """Differences of neighbours: absolute (l1, neural-style-pt) or squared (l2, Johnson et al.)."""
    tv_reduction: Reduction = "mean"
    """How differences of neighbours become a loss."""

    balance: Balance = "relative"
    """Divide the loss of each layer by the size of its target (relative), or not (absolute)."""
    scale: Scale = "imagenet"
    """Input scale that the weights are for: ImageNet's normalisation, or Caffe's 0..255."""
    pixel_scale: Annotated[float, Field(gt=0)] = 1.0
    """Value of white for the total variation and for Adam's rate on pixels, such as 1 or 255."""

    def __post_init__(self) -> None:
        """Raise ValueError unless there is one weight per layer and a loss to minimise."""
        _check_layer_weights("style", self.style_layers, self.style_layer_weights)
        if self.optimises and not any(self.loss_weights.values()):
            zero = ", ".join(f"{name} 0" for name in self.loss_weights)
            raise ValueError(
                f"there is no loss to minimise ({zero}, layer weights included); give one of them "
                "a positive weight and, unless it is tv_weight, a layer"
            )

    @property
    def optimises(self) -> bool:
        """Whether the method minimises the losses."""
        return True

    @property
    def loss_weights(self) -> dict[str, float]:
        """The weight of each loss; 0 if it has no layers or only layers of weight 0."""
        style = self.style_layers if self.style_layer_weights is None else self.style_layer_weights
        return {
            "content_weight": self.content_weight if self.content_layers else 0,
            "style_weight": self.style_weight if any(style) else 0,
            "tv_weight": self.tv_weight,
        }

    @property
    def layers(self) -> tuple[str, ...]:
        """The encoder layers that this configuration uses, each once."""
        return tuple(dict.fromkeys((*self.content_layers, *self.style_layers)))


@dataclass(frozen=True, kw_only=True)
class OptimizationRecipe(LossRecipe):
    """How to optimise the pixels of one image."""

    optimizer: Literal["lbfgs", "adam"] = "lbfgs"
    """Optimiser of the pixels."""
    learning_rate: Annotated[float, Field(gt=0)] | None = None
    """Step size; null is 1 for L-BFGS and 0.02 for Adam."""
    beta2: Annotated[float, Field(ge=0, lt=1)] = 0.99
    """Decay of Adam's second moment: 0.99 as in crowsonkb/style-transfer-pytorch; torch: 0.999."""
    iterations: Annotated[int, Field(ge=1)] = 300
    """Budget in passes of the encoder, forward and backward."""
    line_search: Literal["backtracking", "strong_wolfe", "none"] = "backtracking"
    """Line search of L-BFGS: nstbench's, torch's, or none."""
    history: Annotated[int, Field(ge=1)] = 50
    """Steps that L-BFGS remembers."""
    scaling: Literal["spectral", "uniform"] = "spectral"
    """First curvature of L-BFGS: one estimate per frequency band and colour, or a single one."""
    bounded: bool = True
    """Keep pixels in [0, 1] in every pass; otherwise only the saved image is clamped."""

    content_layer_weights: tuple[Weight, ...] | None = None
    """Weight of each content layer; null is 1 each."""
    style_per_element: bool = False
    """Divide the style loss of each layer by its number of features, as lihanlian does."""

    scales: tuple[Fraction, ...] = (1.0,)
    """Shares of the size, coarse to fine, which share the passes equally."""
    init: Literal["content", "noise", "style"] = "content"
    """Image that the optimisation starts from."""
    noise_sigma: Weight = 0.25
    """Deviation of `init: noise` from ImageNet's mean colour, where white is 1."""
    pooling: Literal["max", "avg"] = "max"
    """Pooling of the encoder; Gatys et al. use avg."""

    def __post_init__(self) -> None:
        """Raise ValueError for parameters that exclude one another."""
        super().__post_init__()
        _check_layer_weights("content", self.content_layers, self.content_layer_weights)
        own = self.scaling == "spectral" or self.bounded
        if self.optimizer == "lbfgs" and self.line_search == "strong_wolfe" and own:
            raise ValueError(
                "line_search strong_wolfe is torch's L-BFGS, which scales uniformly and has no "
                "bounds; set scaling: uniform and bounded: false, or line_search: backtracking"
            )
        if list(self.scales) != sorted(set(self.scales)) or self.scales[-1:] != (1.0,):
            raise ValueError(
                f"scales are {self.scales}; they must rise and end at 1.0, such as [0.5, 1.0]"
            )
        if not (self.style_layers or self.content_layers):
            raise ValueError(
                "style_layers and content_layers are both empty; name a layer in one of them"
            )

    @property
    def loss_weights(self) -> dict[str, float]:
        """The weight of each loss; 0 if it has no layers or only layers of weight 0."""
        weights, layers = super().loss_weights, self.content_layer_weights
        return weights if layers is None or any(layers) else {**weights, "content_weight": 0}


CHANNELS = (32, 64, 128)
"""Of the transformer net at width 1: after the first convolution, and after each stride."""


def channels(width: float) -> tuple[int, int, int]:
    """Return the channels of a transformer net."""
    narrow, middle, wide = (max(1, round(c * width)) for c in CHANNELS)
    return narrow, middle, wide


@dataclass(frozen=True, kw_only=True)
class NetworkRecipe:
    """Structure of the transformer net."""

    norm: Norm = "instance"
    """Normalisation: instance (Ulyanov et al. 2016), batch (Johnson et al. 2016) or none."""
    upsample: Literal[
        "upsample_conv", "conv_transpose", "conv_transpose_k4", "conv_transpose_k2", "pixel_shuffle"
    ] = "upsample_conv"
    """Upsampling: upsample_conv as in Odena et al. 2016; kernels of size 3, or as the name says."""
    interpolation: Literal["nearest", "bilinear"] = "nearest"
    """Interpolation of upsample_conv."""
    padding: Padding = "reflect"
    """Padding of every convolution."""
    output: Literal["centered", "linear", "tanh150"] = "centered"
    """Output: deviations from mid-grey (centered), 0..255 (linear), or the paper's scaled tanh."""
    width: Annotated[float, Field(gt=0, le=4)] = 1.0
    """Channels of every layer, relative to 32-64-128."""


@dataclass(frozen=True, kw_only=True)
class TrainingRecipe(LossRecipe, NetworkRecipe):
    """How to train a transformer net on the losses, or the checkpoint to load in its place."""

    content_layers: tuple[str, ...] = ("relu2_2",)
    style_layers: tuple[str, ...] = ("relu1_2", "relu2_2", "relu3_3", "relu4_3")
    style_weight: Weight = 3.0
    tv_weight: Weight = 0.0

    steps: Annotated[int, Field(ge=0)] = 2000
    """Training steps; 0 leaves the network at its initial weights."""
    batch_size: Annotated[int, Field(ge=1)] = 4
    """Photographs per step."""
    crop: Annotated[int, Field(ge=32, le=8192)] | None = None
    """Edge of the training crops in pixels; null is the size of the suite."""
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    """Learning rate of Adam, after the warm-up."""
    schedule: Literal["linear", "constant"] = "linear"
    """Learning rate after the warm-up: it falls to zero, or stays."""
    warm_up: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Share of the steps with a rising learning rate."""

    checkpoint: str | None = None
    """File of a trained network to use instead: .safetensors, or pytorch/examples' .pth."""

    def __post_init__(self) -> None:
        """Raise ValueError for a training without content or style layers."""
        super().__post_init__()
        for kind, layers in (("content", self.content_layers), ("style", self.style_layers)):
            if self.optimises and not layers:
                raise ValueError(
                    f"{kind}_layers is empty; name a layer, and set {kind}_weight: 0 to train "
                    f"without the {kind} loss"
                )

    @property
    def optimises(self) -> bool:
        """Whether the network is trained, and neither loaded nor left as it is."""
        return self.checkpoint is None and self.steps > 0

    @property
    def layers(self) -> tuple[str, ...]:
        """The encoder layers of the losses; a loaded network needs none."""
        return super().layers if self.optimises else ()


def _check_layer_weights(kind: str, layers: Sequence[str], weights: Sequence[float] | None) -> None:
    if weights is not None and len(weights) != len(layers):
        raise ValueError(
            f"{kind}_layer_weights has {len(weights)} numbers for {len(layers)} "
            f"{kind}_layers ({', '.join(layers)}); give one per layer"
        )
