"""Learned perceptual distance of the stylized image to its content image.

Source: Zhang, Isola, Efros, Shechtman, Wang 2018 (arXiv 1801.03924), version 0.1 of the `lpips`
    package, on images in [-1, 1]; the heads are part of the package, the trunk is torchvision's.
Blind to: style. `vgg` uses the network that most methods here minimise.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias

from harness import encoders
from harness.errors import MissingWeightsError
from harness.metrics._minimum_size import check_size
from harness.protocols import Metric, Unavailable
from harness.registry import FOUND, METRICS

if TYPE_CHECKING:
    from harness.protocols import Context, Image
    from harness.records import EncoderUse
    from harness.resources.weights import WeightsStore

Net: TypeAlias = Literal["alex", "squeeze", "vgg"]

TRUNKS: dict[Net, str] = {"alex": "alexnet", "squeeze": "squeezenet1_1", "vgg": "vgg16"}
"""In order of preference: alex as its authors recommend; vgg last, because methods minimise it."""


@METRICS.register("lpips")
@dataclass(frozen=True, kw_only=True)
class Lpips(Metric):
    """Distance to the content; 0 is the content image. `auto` selects the first available trunk."""

    version: ClassVar[int] = 1
    unit: ClassVar[str] = ""
    better: ClassVar[Literal["lower"]] = "lower"
    effect: ClassVar[Literal["difference"]] = "difference"
    smallest: ClassVar[float] = 0.02  # as for SSIM
    own_network: ClassVar[bool] = True
    net: Literal["auto", "alex", "squeeze", "vgg"] = "auto"
    """Trunk of LPIPS; auto is the first available one of alex, squeeze and vgg."""
    network_file: str = field(default="", metadata=FOUND)
    lens_sha256: str = field(default="", metadata=FOUND)
    missing: str = field(default="", metadata=FOUND)

    @property
    def lens(self) -> str:
        """The name of the trunk in torchvision."""
        return "none" if self.net == "auto" else TRUNKS[self.net]

    @property
    def score_name(self) -> str:
        """For example `lpips_alex`: scores of different trunks are not comparable."""
        return f"lpips_{self.net}" if self.net != "auto" else "lpips"

    def resolve(self, judge: EncoderUse, weights: WeightsStore) -> Lpips:
        """Find a trunk with ImageNet weights; random weights are never used."""
        reasons = []
        nets: Iterable[Net] = TRUNKS if self.net == "auto" else (self.net,)
        for net in nets:
            try:
                trunk, path = encoders.find(TRUNKS[net], weights)
            except MissingWeightsError as error:
                reasons.append(str(error))
                continue
            if path and encoders.converted(trunk, path):
                reasons.append(f"{trunk.name} is {trunk.origin}; LPIPS needs torchvision's.")
                continue
            if encoders.whole(trunk):
                return replace(self, net=net, network_file=str(path), lens_sha256=trunk.sha256)
            reasons.append(f"{trunk.name} ({trunk.origin}) ends at {trunk.layers[-1]}.")
        return replace(self, missing=f"no trunk with ImageNet weights. {reasons[0]}")

    def __call__(self, stylized: Image, content: Image, style: Image, context: Context) -> float:
        """Return the distance, averaged over positions."""
        import torch

        if not self.network_file:
            raise Unavailable(self.missing or "`resolve` was not called")
        check_size(self.lens, content)
        network = _load_network(self.net, self.network_file, str(context.device))
        with torch.inference_mode():
            return float(network(stylized * 2 - 1, content * 2 - 1))


@lru_cache(maxsize=3)
def _load_network(net: str, network_file: str, device: str) -> Any:
    """Build the network of lpips with the trunk of a verified file, without a download."""
    from pathlib import Path

    import lpips

    from harness.resources.weights import load_tensors

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # lpips uses deprecated arguments of torchvision
        network = lpips.LPIPS(net=net, pnet_rand=True, verbose=False)
    tensors = load_tensors(Path(network_file))
    for key, value in network.net.state_dict().items():
        _, index, rest = key.split(".", 2)  # slice3.5.squeeze.weight -> features.5.squeeze.weight
        value.copy_(tensors[f"features.{index}.{rest}"])
    return network.eval().requires_grad_(False).to(device)
