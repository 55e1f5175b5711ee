"""Feed-forward style transfer: a network trained on one style, then one pass per image.

Source: Johnson, Alahi, Fei-Fei 2016, ECCV (arXiv 1603.08155); instance normalisation by Ulyanov,
    Vedaldi, Lempitsky 2016 (arXiv 1607.08022); upsample-conv by Odena et al. 2016
    (doi 10.23915/distill.00003). Each preset cites its code and commit.
Deviations: - photographs are cropped at random, at 1 to 1.8 times the scale of the suite's images,
      and flipped, because suites train on hundreds of photographs, not on COCO's 80,000;
      pytorch/examples crops the centre, Johnson resizes without keeping the aspect ratio
    - the style image has the size of the contents, or `style_size`; pytorch/examples uses its
      native size
    - `paper` pads every convolution, where the paper pads the input once by 40 pixels; its input is
      0..255, where the paper subtracts the mean
    - sizes that are not multiples of 4 are padded by reflection, and the result is cropped
    - batch normalisation stylizes with its running statistics (eval mode), as in deployment
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from harness.protocols import Method
from harness.registry import METHODS
from methods._recipes import RELU_1_TO_5, TrainingRecipe

if TYPE_CHECKING:
    from torch import Tensor, nn

    from harness.protocols import Context, Image, Project, Stylizer
    from methods._network_training import FeedForward


EXAMPLES: dict[str, Any] = {
    # pytorch/examples @77f55b9, fast_neural_style/neural_style/neural_style.py:36-127, 193-222:
    # losses on /255 and ImageNet normalisation, batch 4, two epochs of COCO: 41,391 steps.
    "norm": "instance",
    "upsample": "upsample_conv",
    "padding": "reflect",
    "output": "linear",
    "content_layers": ("relu2_2",),
    "style_layers": ("relu1_2", "relu2_2", "relu3_3", "relu4_3"),
    "gram_divisor": "chw",
    "balance": "absolute",
    "scale": "imagenet",
    "content_weight": 1e5,
    "style_weight": 1e10,
    "tv_weight": 0.0,
    "steps": 41_391,
    "batch_size": 4,
    "learning_rate": 1e-3,
    "schedule": "constant",
    "warm_up": 0.0,
}


@METHODS.register("johnson")
@dataclass(frozen=True, kw_only=True)
class Johnson(TrainingRecipe, Method):
    """Train a transformer net so that its output minimises the losses of `gatys`.

    By default each loss is relative to its target, so that one style weight suits every encoder and
    every style, and the learning rate rises for a tenth of the steps and then falls to zero. The
    presets have the numbers of published recipes.
    """

    version: ClassVar[int] = 3
    trains: ClassVar[bool] = True
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "examples": EXAMPLES,
        # The paper: batch normalisation, stride-1/2 convolutions, scaled tanh, 40,000 steps.
        # jcjohnson/fast-neural-style @813c834, train.lua:20-57 has the weights 1 / 5 / 1e-6 and
        # relu3_3; this preset has relu2_2, as the arXiv text.
        "paper": {
            **EXAMPLES,
            "norm": "batch",
            "upsample": "conv_transpose",
            "output": "tanh150",
            "scale": "255",
            "content_weight": 1.0,
            "style_weight": 5.0,
            "tv_weight": 1e-6,
            "tv_reduction": "half_sum",
            "pixel_scale": 255.0,
            "steps": 40_000,
        },
        # lihanlian/basic-and-fast-neural-style-transfer @66a9656, fast_nst_training.py: VGG-19,
        # upsample-conv; content is key '0', which is relu1_1 (a comment says layer 8); batch 2,
        # one epoch of about 10,000 cartoon faces.
        "lihanlian-fast": {
            **EXAMPLES,
            "content_layers": ("relu1_1",),
            "style_layers": RELU_1_TO_5,
            "content_weight": 1.0,
            "style_weight": 5e3,
            "steps": 5_000,
            "batch_size": 2,
        },
        # AryanChaturvedi/Fast-Neural-Style-Transfer @4e244cc: VGG-19, "all relu layers", instance
        # normalisation, L1 TV over both directions, under 5,000 steps. It does not give its weights
        # and the rest of the recipe: this preset has those of pytorch/examples and a low TV weight.
        "chaturvedi": {
            **EXAMPLES,
            "style_layers": (
                "relu1_1", "relu1_2", "relu2_1", "relu2_2", "relu3_1", "relu3_2", "relu3_3",
                "relu3_4", "relu4_1", "relu4_2", "relu4_3", "relu4_4", "relu5_1", "relu5_2",
                "relu5_3", "relu5_4",
            ),
            "tv_weight": 1.0,
            "tv_kind": "l1",
            "tv_reduction": "sum",
            "steps": 5_000,
        },
    }  # fmt: skip

    @property
    def files(self) -> dict[str, str]:
        """The checkpoint, if there is one; its hash becomes part of the cell id."""
        return {"checkpoint": self.checkpoint} if self.checkpoint else {}

    def resolve(self, given: Collection[str]) -> Johnson:
        """Return the method with the network that the checkpoint has."""
        from methods import _checkpoint_files

        return _checkpoint_files.resolve(self, given) if self.checkpoint else self

    def fit(self, style: Image, context: Context) -> Stylizer:
        """Train a network on the context's photographs, or load the checkpoint."""
        from methods import _network_training

        if self.checkpoint:
            return _network_training.from_checkpoint(self, context)
        return _network_training.train(self, style, context)

    def stylize_batch(
        self, stylizers: Sequence[FeedForward], contents: Image, contexts: Sequence[Context]
    ) -> Image:
        """Stylize contents of one shape with one network."""
        return stylizers[0](contents, contexts[0])

    def stylize_in_tiles(
        self, stylizer: FeedForward, content: Image, context: Context, tile: int
    ) -> Image:
        """Stylize an image that does not fit into memory."""
        return stylizer.in_tiles(content, tile)

    def export(self, stylizer: FeedForward) -> dict[str, Tensor]:
        """Return the tensors of the trained network."""
        return stylizer.tensors()

    def restore(self, tensors: dict[str, Tensor], context: Context) -> Stylizer:
        """Return a stylizer from the tensors of `export`; raise WeightsError if they do not fit."""
        from methods import _network_training

        return _network_training.FeedForward.restore(self, tensors, context)

    def module(self, stylizer: FeedForward) -> nn.Module:
        """Return the network in layers of torch alone."""
        from methods._plain_network import PlainNetwork

        return PlainNetwork(stylizer.network)

    def rename(self, stylizer: FeedForward, project: Project) -> dict[str, Tensor]:
        """Return the tensors of the trained network by the names of another project."""
        from methods import _checkpoint_files

        return _checkpoint_files.to_examples(self, self.export(stylizer))
