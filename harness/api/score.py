"""`nstbench.score`: the scores of one stylized image, without a suite."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from PIL import Image as Pillow

from harness.api import settings
from harness.api.image_arrays import ImageLike, read_image
from harness.errors import ImageError, UsageError, quoted
from harness.protocols import Metric
from harness.records import Cell, EncoderUse, ImageUse, Score
from harness.registry import METRICS
from harness.resources import images

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from harness.execution.context import ContextFactory

CLAMPED = "uint8 and files are clamped already: pass the floats that the method returned"


def score(
    stylized: ImageLike,
    content: ImageLike,
    style: ImageLike,
    metrics: Iterable[str | Mapping[str, Any] | Metric] | None = None,
    *,
    device: str | None = None,
    precision: Literal["auto", "float32", "bfloat16"] | None = None,
    encoder: str | None = None,
    mirror: str | os.PathLike[str] | None = None,
    weights: Mapping[str, str | os.PathLike[str]] | None = None,
    offline: bool | None = None,
) -> dict[str, Score]:
    """Return the scores of a stylized image by name; they equal those that a suite records.

    Content and style are resized as in a suite: to the long edge of the stylized image. Floats are
    clamped and rounded to 8 bits, except for metrics that measure before clamping.

    Args:
        stylized: The image to measure; it is never resized.
        content: The content image, of the same aspect ratio.
        style: The style image, of any size.
        metrics: Names, or entries as in a suite: `{"use": "lpips", "net": "vgg"}`; None is the
            default of suites.
        device: `auto`, `cpu`, `cuda` or a part of the name of a GPU.
        precision: Precision of the encoder's convolutions.
        encoder: The encoder of losses and distances, as in a suite.
        mirror: Copies of weights: a folder or an http(s) address.
        weights: Files of pretrained weights, by the name of the network.
        offline: Whether to use no network.

    Raises:
        ImageError: An image is missing, unreadable or too small, or its shape does not fit.
        UnknownNameError: There is no such metric or encoder.
        UsageError: Another argument has a mistake.
    """
    given = settings.resolve({
        "device": device,
        "precision": precision,
        "encoder": encoder,
        "mirror": mirror,
        "weights": weights,
        "offline": offline,
    })  # fmt: skip
    pixels, unclamped = read_image("stylized", stylized)
    size = max(pixels.shape[:2])
    content_pixels = _resize(read_image("content", content)[0], size)
    style_pixels = _resize(read_image("style", style)[0], size)
    _check_shape(pixels, content_pixels, size)
    scores = _measure(_build(metrics), pixels, unclamped, content_pixels, style_pixels, given)
    return {one.name: one for one in scores}


def _measure(
    metrics: Sequence[Metric],
    pixels: NDArray[np.uint8],
    unclamped: NDArray[np.float32] | None,
    content: NDArray[np.uint8],
    style: NDArray[np.uint8],
    given: Mapping[str, Any],
) -> tuple[Score, ...]:
    import torch

    from harness import encoders
    from harness.execution.jobs import Job
    from harness.execution.scoring import Scorer
    from harness.plan import Resources
    from harness.resources import precision
    from harness.resources.devices import find_device
    from harness.resources.downloads import Network
    from harness.resources.mirror import open_mirror
    from harness.resources.weights import WeightsStore

    network = Network(offline=given.get("offline", False))
    mirror = open_mirror(given.get("mirror", ""), network)
    weights = WeightsStore(network, given.get("weights", {}), mirror)
    judge, file = encoders.find(given.get("encoder", "auto"), weights)
    device = find_device(given.get("device", "auto"))
    exact = precision.resolve(given.get("precision", "auto"), device)
    contexts, on = _contexts(judge, file, device, exact)
    resources = Resources(
        encoder=judge,
        device=device,
        precision=exact,
        metrics=tuple(metric.resolve(judge, weights) for metric in metrics),
    )
    raw = None
    if unclamped is not None:
        raw = torch.from_numpy(unclamped).permute(2, 0, 1).unsqueeze(0).to(on)
    job = Job(_cell(judge, max(pixels.shape[:2]), device, exact), content, style)
    scores = Scorer(resources, contexts, on).score(job, pixels, raw, CLAMPED)
    if "encoder" not in given and judge.warning and any(s.lens == judge.name for s in scores):
        warnings.warn(judge.warning, stacklevel=3)
    return scores


@lru_cache(maxsize=2)
def _contexts(
    judge: EncoderUse, file: Path | None, device: str, exact: str
) -> tuple[ContextFactory, Any]:
    """Return what loads encoders once for all calls, and the device of torch."""
    import torch

    from harness.execution.context import ContextFactory
    from harness.plan import Resources

    on = torch.device("cpu" if device == "cpu" else "cuda")
    files = {judge.sha256: file}
    resources = Resources(encoder=judge, encoder_files=files, device=device, precision=exact)
    return ContextFactory(resources, on), on


def _cell(judge: EncoderUse, size: int, device: str, exact: str) -> Cell:
    """Return a cell of no suite."""
    content, style = (ImageUse(role, "", "") for role in ("content", "style"))
    return Cell("", "", "", "", 0, {}, {}, content, style, size, 0, judge, exact, device)


def _build(entries: Iterable[str | Mapping[str, Any] | Metric] | None) -> list[Metric]:
    """Return the metrics of a list as in a suite."""
    if entries is None:
        from harness.suite.schema import SuiteModel

        entries = SuiteModel.model_fields["metrics"].default
    if isinstance(entries, str):
        raise UsageError(f"metrics={entries!r} is a text. Pass a list: [{entries!r}].")
    return [one if isinstance(one, Metric) else _build_one(one) for one in entries]


def _build_one(entry: str | Mapping[str, Any]) -> Metric:
    from pydantic import ValidationError

    from harness.registry import settings as fields
    from harness.suite.messages import describe

    params = dict(entry) if isinstance(entry, Mapping) else {"use": entry}
    name = str(params.pop("use", ""))
    own = fields(METRICS.get(name))
    if unknown := params.keys() - set(own):
        known = ", ".join(own) or "none"
        raise UsageError(f"{name} has no parameter {quoted(min(unknown))}. It has: {known}.")
    try:
        built: Metric = METRICS.build(name, params)
    except ValidationError as error:
        problems = (f"{e['loc'][0]} {describe(e, own)}" for e in error.errors())
        raise UsageError(f"metric {name}: {'; '.join(problems)}") from None
    return built


def _resize(pixels: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    return np.asarray(images.resize(Pillow.fromarray(pixels), size))


def _check_shape(stylized: NDArray[np.uint8], content: NDArray[np.uint8], size: int) -> None:
    if stylized.shape != content.shape:
        (height, width), (own_height, own_width) = content.shape[:2], stylized.shape[:2]
        raise ImageError(
            f"stylized has {own_width} x {own_height} pixels, but the content has {width} x "
            f"{height} at a long edge of {size}. Crop or resize one of them to the same aspect "
            "ratio."
        )
