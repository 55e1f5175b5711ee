"""Fetch everything that a suite needs, so that `run --offline` can run it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from harness import encoders
from harness.errors import ImageError, SourceError
from harness.execution.prepare import RunOptions
from harness.records import EncoderUse, ImageUse
from harness.resources.downloads import Network
from harness.resources.images import ImageSource, ImageStore
from harness.resources.mirror import open_mirror
from harness.resources.weights import WeightsStore
from harness.suite import Suite

State = Literal["present", "fetched", "stand-in", "missing"]


@dataclass(frozen=True)
class Need:
    """One image, encoder or network that a suite needs, and its state."""

    kind: str  # content, style, encoder or score; mirror if it fails
    name: str
    state: State
    origin: str = ""  # where it comes from, or the name of the stand-in
    sha256: str = ""
    path: str = ""  # of the file, if there is one
    megabytes: float | None = None
    why: str = ""  # it is missing or replaced by a stand-in

    @property
    def real(self) -> bool:
        """Whether a run uses it and not a stand-in."""
        return self.state in {"present", "fetched"}


def fetch(suite: Suite, options: RunOptions) -> list[Need]:
    """Fetch images, encoders and networks of metrics; report failures in the result."""
    network = Network(offline=options.offline)
    mirror = open_mirror(options.mirror, network)
    image_store = ImageStore(network, mirror)
    weights_store = WeightsStore(network, options.weights or {}, mirror)
    needs = [_image("content", source, image_store) for source in suite.contents.values()]
    needs += [_image("style", source, image_store) for source in suite.styles.values()]
    name = options.encoder or suite.encoder
    need, judge = _encoder(name, weights_store)
    needs += [
        need,
        *(_encoder(other, weights_store)[0] for other in suite.encoders if other != name),
    ]
    if judge is not None:
        with_network = [metric for metric in suite.metrics if metric.own_network]
        needs += [_lens(metric, judge, weights_store) for metric in with_network]
    if mirror and mirror.complaint:
        needs.append(Need("mirror", str(mirror), "missing", why=mirror.complaint))
    return list(dict.fromkeys(needs))


def _image(kind: str, source: ImageSource, image_store: ImageStore) -> Need:
    try:
        use = image_store.find(source)
    except ImageError as error:
        return Need(kind, source.name, "missing", why=str(error))
    if use.stand_in:
        return Need(kind, source.name, "stand-in", use.stand_in, use.sha256, why=use.why_stand_in)
    return _file(kind, use, image_store.files[use.sha256], image_store.network)


def _encoder(name: str, weights_store: WeightsStore) -> tuple[Need, EncoderUse | None]:
    try:
        use, path = encoders.find(name, weights_store)
    except SourceError as error:
        return Need("encoder", name, "missing", why=str(error)), None
    if path is None:
        return Need("encoder", name, "present", use.origin, use.sha256), use
    if use.warning:
        return Need("encoder", name, "stand-in", use.name, use.sha256, why=use.warning), use
    return _file("encoder", use, path, weights_store.network), use


def _lens(metric: Any, judge: EncoderUse, weights_store: WeightsStore) -> Need:
    try:
        resolved = metric.resolve(judge, weights_store)
    except SourceError as error:
        return Need("score", metric.score_name, "missing", why=str(error))
    name = resolved.score_name
    if resolved.missing:
        return Need("score", name, "missing", why=resolved.missing)
    if why := resolved.circular:
        return Need("score", name, "stand-in", judge.name, judge.sha256, why=f"{why}.")
    if not resolved.network_file:
        return Need("score", name, "present", resolved.lens, resolved.lens_sha256)
    path = Path(resolved.network_file)
    use = EncoderUse(name, resolved.lens_sha256, path.name)
    return _file("score", use, path, weights_store.network)


def _file(kind: str, use: ImageUse | EncoderUse, path: Path, network: Network) -> Need:
    state: State = "fetched" if path in network.fetched else "present"
    megabytes = path.stat().st_size / 1e6
    return Need(kind, use.name, state, use.origin, use.sha256, str(path), megabytes)
