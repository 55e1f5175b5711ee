"""Base class of metrics with a network other than the one that methods minimise."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

from harness import encoders
from harness.errors import MissingWeightsError
from harness.metrics._minimum_size import check_size
from harness.protocols import Metric, Unavailable
from harness.records import EncoderUse
from harness.registry import FOUND

if TYPE_CHECKING:
    from harness.encoders.feature_extractor import LayeredEncoder
    from harness.protocols import Context, Encoder, Image
    from harness.resources.weights import WeightsStore

CANDIDATES = ("alexnet", "squeezenet1_1", "inception_v3")
"""In order of preference. VGG networks are excluded: vgg16, vgg19 and compact (distilled from
vgg19) are too similar for one to be independent of an optimisation with another."""


@dataclass(frozen=True, kw_only=True)
class HeldOutMetric(Metric):
    """A metric with a held-out network, or with the suite's encoder if none is available."""

    own_network: ClassVar[bool] = True
    judge: str = "auto"
    """Encoder that computes the score; auto is an available one that no method minimises."""
    lens: str = field(default="none", metadata=FOUND)
    lens_sha256: str = field(default="", metadata=FOUND)
    network: EncoderUse | None = field(default=None, metadata=FOUND)
    network_file: str = field(default="", metadata=FOUND)
    missing: str = field(default="", metadata=FOUND)
    circular: str = field(default="", metadata=FOUND)

    def resolve(self, judge: EncoderUse, weights: WeightsStore) -> Self:
        """Find a network with ImageNet weights, or a random one for a random encoder."""
        if self.judge != "auto":
            return self._with_network(self.judge, weights)
        for spec in _candidates(judge):
            resolved = self._with_network(spec, weights)
            if not resolved.missing:
                return resolved
        reason = f"the only weights are those of {judge.name}, whose loss the methods minimise"
        return replace(self, lens="encoder", network=judge, circular=reason)

    def _with_network(self, spec: str, weights: WeightsStore) -> Self:
        try:
            use, path = encoders.find(spec, weights)
        except MissingWeightsError as error:
            return replace(self, lens=spec, missing=str(error))
        if not encoders.whole(use):
            missing = f"{use.name} ({use.origin}) ends at {use.layers[-1]}."
            return replace(self, lens=spec, missing=missing)
        file = str(path or "")
        return replace(self, lens=spec, lens_sha256=use.sha256, network=use, network_file=file)

    def load_network(self, context: Context, *images: Image) -> tuple[EncoderUse, Encoder]:
        """Return the network; raise Unavailable if there is none or an image is too small."""
        if self.network is None:
            raise Unavailable(self.missing or "`resolve` was not called")
        check_size(self.network.name, *images)
        if self.lens == "encoder":
            return self.network, context.encoder
        return self.network, _load(self.network, self.network_file, str(context.device))


def _candidates(judge: EncoderUse) -> list[str]:
    if judge.name == "random":
        return [f"random:{int(judge.origin.removeprefix('seed ')) + 1}"]
    return [name for name in CANDIDATES if name != judge.name]


@lru_cache(maxsize=2)
def _load(use: EncoderUse, file: str, device: str) -> LayeredEncoder:
    return encoders.load(use, Path(file) if file else None, device=device)
