"""Style transfer by optimisation of the image: Gatys, Ecker, Bethge, and later implementations.

Source: Gatys, Ecker, Bethge 2016, CVPR ("Image Style Transfer Using Convolutional Neural
    Networks"); arXiv 1508.06576. Each preset cites its code and commit.
Deviations: - the presets run on the encoder of the suite, torchvision's VGG-19 by default; most of
      them were written for Caffe's weights, and leongatys for weights rescaled to mean activation
      1, so that their style weights have a similar but not the same effect
    - `conv4_2` in gordicaleksa and nazianafis is relu4_2, and `conv1_1` to `conv5_1` in lihanlian
      are the ReLUs: torchvision's in-place ReLUs overwrite the captured features; the presets name
      the layers that the code uses, not those that its authors intended
    - iterations are passes of the encoder; neural-style's 1000 L-BFGS iterations may take 1250
    - there are no tolerances: a run uses all passes of its budget
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from harness.protocols import Method
from harness.registry import METHODS
from methods._recipes import RELU_1_TO_5, OptimizationRecipe

if TYPE_CHECKING:
    from harness.protocols import Context, Image, Objective, Stylizer
    from methods._image_optimization import ImageOptimization

VGG_CHANNELS = (64, 128, 256, 512, 512)


PUBLISHED: dict[str, Any] = {
    # Features of `gatys` that the published recipes do not have; they use torch's Adam.
    "beta2": 0.999,
    "bounded": False,
    "scaling": "uniform",
    "tv_weight": 0.0,
}

GATYS_2016: dict[str, Any] = {
    **PUBLISHED,
    # The paper: E_l = sum (dG)^2 / (4 N^2 M^2), the mean over G/M times 1/4; w_l = 1/5.
    "style_layers": ("conv1_1", "conv2_1", "conv3_1", "conv4_1", "conv5_1"),
    "style_layer_weights": (0.05,) * 5,
    "content_layers": ("conv4_2",),
    "content_reduction": "half_sum",
    "balance": "absolute",
    "gram_divisor": "hw",
    "scale": "255",
    "pixel_scale": 255.0,
    "pooling": "avg",
    "init": "noise",
    "noise_sigma": 1 / 255,  # not in the paper; Gatys' own notebook draws randn in grey levels
    "content_weight": 1.0,
    "style_weight": 1e3,  # Figure 2/3: 1e3 for A, B and C, 1e4 for D and E
    "iterations": 500,
    "line_search": "none",
    "history": 100,
}

NEURAL_STYLE: dict[str, Any] = {
    **PUBLISHED,
    # jcjohnson/neural-style @07c4b82, neural_style.lua:22-49, 223-237, 532-548.
    "style_layers": RELU_1_TO_5,
    "content_layers": ("relu4_2",),
    "balance": "absolute",
    "gram_divisor": "chw",
    "scale": "255",  # the code multiplies by 256, a difference of 0.4 %
    "pixel_scale": 255.0,
    "init": "noise",
    "noise_sigma": 0.001 / 255,
    "content_weight": 5.0,
    "style_weight": 1e2,
    "tv_weight": 1e-3,
    "tv_kind": "l2",
    "tv_reduction": "half_sum",
    "iterations": 1000,
    "line_search": "none",
    "history": 100,
}

GORDICALEKSA: dict[str, Any] = {
    **PUBLISHED,
    # gordicaleksa/pytorch-neural-style-transfer @a244dc6, neural_style_transfer.py:12-31, 88-106,
    # 147-166. It feeds 0..255 less the mean to weights trained on normalised input: scale "255".
    "style_layers": RELU_1_TO_5,
    "style_layer_weights": (0.2,) * 5,
    "style_reduction": "sum",
    "content_layers": ("relu4_2",),
    "balance": "absolute",
    "gram_divisor": "chw",
    "scale": "255",
    "pixel_scale": 255.0,
    "init": "content",
    "noise_sigma": 90 / 255,
    "content_weight": 1e5,
    "style_weight": 3e4,
    "tv_weight": 1.0,
    "tv_kind": "l1",
    "tv_reduction": "sum",
    "iterations": 1000,
    "line_search": "strong_wolfe",
    "history": 100,
}


@METHODS.register("gatys")
@dataclass(frozen=True, kw_only=True)
class Gatys(OptimizationRecipe, Method):
    """Optimise pixels until their features match the content and their Gram matrices the style.

    By default each loss is relative to its target, so that one style weight suits every encoder and
    every style. The presets have the exact numbers of published recipes.
    """

    version: ClassVar[int] = 3
    mixes_styles: ClassVar[bool] = True
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "gatys2016": GATYS_2016,
        # leongatys/PytorchNeuralStyleTransfer @be6c8e2, notebook cells 5-8: 1e3/N^2 per layer.
        "leongatys": {
            **GATYS_2016,
            "style_layers": RELU_1_TO_5,
            "style_layer_weights": tuple(1e3 / n**2 for n in VGG_CHANNELS),
            "content_layers": ("relu4_2",),
            "content_reduction": "mean",
            "pooling": "max",
            "init": "content",
            "style_weight": 1.0,
        },
        "neural-style": NEURAL_STYLE,
        "neural-style-adam": {**NEURAL_STYLE, "optimizer": "adam", "learning_rate": 10.0},
        # ProGamerGov/neural-style-pt @7251405: TV became absolute differences, Adam's rate 1.
        "neural-style-pt": {**NEURAL_STYLE, "tv_kind": "l1", "tv_reduction": "sum"},
        "neural-style-pt-adam": {
            **NEURAL_STYLE,
            "tv_kind": "l1",
            "tv_reduction": "sum",
            "optimizer": "adam",
            "learning_rate": 1.0,
        },
        "gordicaleksa": GORDICALEKSA,
        "gordicaleksa-adam": {
            **GORDICALEKSA,
            "optimizer": "adam",
            "learning_rate": 10.0,
            "iterations": 3000,
            "style_weight": 1e5,  # the comment at :160-166, per optimizer and init
            "tv_weight": 1e-1,
        },
        # nazianafis/Neural-Style-Transfer @4aaa9e1, NST.py:91-125: gordicaleksa's, L-BFGS alone.
        "nazianafis": GORDICALEKSA,
        # jcjohnson/fast-neural-style @813c834, slow_neural_style.lua:17-57: VGG-16's layers.
        "slow-neural-style": {
            **NEURAL_STYLE,
            "style_layers": ("relu1_2", "relu2_2", "relu3_3", "relu4_3"),
            "content_layers": ("relu3_3",),
            "content_weight": 1.0,
            "style_weight": 5.0,
            "tv_weight": 1e-6,
            "noise_sigma": 1 / 255,
            "iterations": 500,
        },
        # pystiche/pystiche @71217c2, _cli.py:364-485: mean over the five layers.
        "pystiche": {
            **PUBLISHED,
            "style_layers": RELU_1_TO_5,
            "style_layer_weights": (0.2,) * 5,
            "content_layers": ("relu4_2",),
            "balance": "absolute",
            "gram_divisor": "hw",
            "content_weight": 1.0,
            "style_weight": 1e3,
            "iterations": 500,
            "line_search": "none",
            "history": 100,
        },
        # lihanlian/basic-and-fast-neural-style-transfer @66a9656, basic_nst.py:63-97. Its Gram
        # matrices are not divided, so the style loss grows with the image's area. The content layer
        # is the third of five captured ones, relu3_1; a comment in the code says conv4_2.
        "lihanlian-basic": {
            **PUBLISHED,
            "style_layers": RELU_1_TO_5,
            "content_layers": ("relu3_1",),
            "balance": "absolute",
            "gram_divisor": "none",
            "style_per_element": True,
            "optimizer": "adam",
            "learning_rate": 1e-3,
            "pixel_scale": 1 / 0.226,  # the code optimises the normalised tensor
            "content_weight": 1.0,
            "style_weight": 1e2,  # 0.1, 100 or 1e5, depending on the artist
            "iterations": 25_000,
        },
        # The lecture notes (polakowo/datadocs, nst.md): alpha, beta and w_l over the papers' sums.
        "datadocs": {
            **GATYS_2016,
            "style_layers": RELU_1_TO_5,
            "content_layers": ("relu4_2",),
            "init": "content",
            "pooling": "max",
        },
    }

    def fit(self, style: Image, context: Context) -> Stylizer:
        """Compute the style's Gram matrices."""
        from methods._image_optimization import ImageOptimization  # loads torch

        return ImageOptimization(self, style, context)

    def stylize_batch(
        self, stylizers: Sequence[ImageOptimization], contents: Image, contexts: Sequence[Context]
    ) -> Image:
        """Stylize contents of one shape; each result is that of a single call, up to rounding."""
        from methods._image_optimization import optimize

        return optimize(stylizers, contents, contexts)

    def objective(self, stylizer: ImageOptimization, content: Image, context: Context) -> Objective:
        """Return the losses of the last scale as a function of an image of the content's size."""
        return stylizer.objective(content, context)
