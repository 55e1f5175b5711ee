"""The network that scores are seen through, other than the one that methods minimise."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

from harness import encoders
from harness.errors import MissingWeightsError
from harness.protocols import Metric, Unavailable
from harness.records import EncoderUse
from harness.registry import FOUND

if TYPE_CHECKING:
    from harness.encoders.feature_extractor import LayeredEncoder
    from harness.protocols import Context, Encoder, Image
    from harness.resources.weights import WeightsStore

CANDIDATES = ("alexnet", "squeezenet1_1", "inception_v3")
"""In the order of preference. No VGG: vgg16, vgg19 and compact, which was distilled from vgg19,
are siblings: what one was optimised for, the others do not judge anew."""

MIN_EDGE = {"alexnet": 31, "squeezenet1_1": 17, "inception_v3": 43}
"""Pixels; below, nothing is left of the image at the layers that are looked at."""


@dataclass(frozen=True, kw_only=True)
class HeldOut(Metric):
    """What metrics share that look through a network of their own.

    Where none can be had they look through the suite's encoder, and `lens` says so.
    """

    own_network: ClassVar[bool] = True
    judge: str = "auto"  # or the name of an encoder
    lens: str = field(default="none", metadata=FOUND)
    lens_sha256: str = field(default="", metadata=FOUND)
    network: EncoderUse | None = field(default=None, metadata=FOUND)
    network_file: str = field(default="", metadata=FOUND)
    missing: str = field(default="", metadata=FOUND)  # why the one asked for by name is not there
    circular: str = field(default="", metadata=FOUND)  # why the suite's encoder took its place

    def resolve(self, judge: EncoderUse, weights: WeightsStore) -> Self:
        """Find a network: with its ImageNet weights, or random where the suite's is random."""
        if self.judge != "auto":
            return self._with(self.judge, weights)
        for spec in _candidates(judge):
            equipped = self._with(spec, weights)
            if not equipped.missing:
                return equipped
        said = f"no weights but those of {judge.name}: methods are judged by what they minimise"
        return replace(self, lens="encoder", network=judge, circular=said)

    def _with(self, spec: str, weights: WeightsStore) -> Self:
        try:
            use, path = encoders.find(spec, weights)
        except MissingWeightsError as error:
            return replace(self, lens=spec, missing=str(error))
        if not encoders.whole(use):
            return replace(self, lens=spec, missing=f"{use.origin} ends at {use.layers[-1]}.")
        file = str(path or "")
        return replace(self, lens=spec, lens_sha256=use.sha256, network=use, network_file=file)

    def eye(self, context: Context, *images: Image) -> tuple[EncoderUse, Encoder]:
        """Return the network; raise Unavailable where there is none or an image is too small."""
        if self.network is None:
            raise Unavailable(self.missing or "no network was looked for")
        least = MIN_EDGE.get(self.network.name, 0)
        if any(min(image.shape[-2:]) < least for image in images):
            raise Unavailable(f"{self.network.name} needs {least} x {least} pixels")
        if self.lens == "encoder":
            return self.network, context.encoder
        return self.network, _loaded(self.network, self.network_file, str(context.device))


def _candidates(judge: EncoderUse) -> list[str]:
    if judge.name == "random":
        return [f"random:{int(judge.origin.removeprefix('seed ')) + 1}"]
    return [name for name in CANDIDATES if name != judge.name]


@lru_cache(maxsize=2)
def _loaded(use: EncoderUse, file: str, device: str) -> LayeredEncoder:
    return encoders.load(use, Path(file) if file else None, device=device)
