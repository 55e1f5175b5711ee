"""Everything that a suite needs, got ahead of time: after it, `run --offline` lacks nothing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from harness import encoders
from harness.errors import ImageError, SourceError
from harness.execution.prepare import RunOptions
from harness.execution.scoring import score_name
from harness.records import EncoderUse, ImageUse
from harness.resources.downloads import Network
from harness.resources.images import ImageSource, ImageStore
from harness.resources.mirror import open_mirror
from harness.resources.weights import WeightsStore
from harness.suite import Suite

State = Literal["here", "fetched", "stands in", "missing"]


@dataclass(frozen=True)
class Need:
    """One thing that a suite needs, and whether it is to be had."""

    kind: str  # content, style, encoder, score; mirror, where that fails
    name: str
    state: State
    origin: str = ""  # where it comes from, or what stands in
    sha256: str = ""
    path: str = ""  # of the file, where there is one
    megabytes: float | None = None
    why: str = ""  # it is not here, or something stands in

    @property
    def real(self) -> bool:
        """True where a run will use the thing itself."""
        return self.state in {"here", "fetched"}


def fetch(suite: Suite, options: RunOptions) -> list[Need]:
    """Get a suite's images, encoders and what scores look through.

    What fails is told, and the rest goes on.
    """
    network = Network(offline=options.offline)
    mirror = open_mirror(options.mirror, network)
    gallery = ImageStore(network, mirror)
    shelf = WeightsStore(network, options.weights or {}, mirror)
    needs = [_image("content", source, gallery) for source in suite.contents.values()]
    needs += [_image("style", source, gallery) for source in suite.styles.values()]
    name = options.encoder or suite.encoder
    need, judge = _encoder(name, shelf)
    needs += [need, *(_encoder(other, shelf)[0] for other in suite.encoders if other != name)]
    if judge is not None:
        looking = [metric for metric in suite.metrics if hasattr(metric, "network_file")]
        needs += [_lens(metric, judge, shelf) for metric in looking]
    if mirror and mirror.complaint:
        needs.append(Need("mirror", str(mirror), "missing", why=mirror.complaint))
    return list(dict.fromkeys(needs))


def _image(kind: str, source: ImageSource, gallery: ImageStore) -> Need:
    try:
        use = gallery.find(source)
    except ImageError as error:
        return Need(kind, source.name, "missing", why=str(error))
    if use.stand_in:
        return Need(kind, source.name, "stands in", use.stand_in, use.sha256, why=use.why_stand_in)
    return _file(kind, use, gallery.files[use.sha256], gallery.network)


def _encoder(name: str, shelf: WeightsStore) -> tuple[Need, EncoderUse | None]:
    try:
        use, path = encoders.find(name, shelf)
    except SourceError as error:
        return Need("encoder", name, "missing", why=str(error)), None
    if path is None:
        return Need("encoder", name, "here", use.origin, use.sha256), use
    if use.warning:
        return Need("encoder", name, "stands in", use.name, use.sha256, why=use.warning), use
    return _file("encoder", use, path, shelf.network), use


def _lens(metric: Any, judge: EncoderUse, shelf: WeightsStore) -> Need:
    try:
        equipped = metric.resolve(judge, shelf)
    except SourceError as error:
        return Need("score", score_name(metric), "missing", why=str(error))
    name = score_name(equipped)
    if equipped.missing:
        return Need("score", name, "missing", why=equipped.missing)
    if why := getattr(equipped, "circular", ""):
        return Need("score", name, "stands in", judge.name, judge.sha256, why=f"{why}.")
    if not equipped.network_file:
        return Need("score", name, "here", equipped.lens, equipped.lens_sha256)
    path = Path(equipped.network_file)
    use = EncoderUse(name, equipped.lens_sha256, path.name)
    return _file("score", use, path, shelf.network)


def _file(kind: str, use: ImageUse | EncoderUse, path: Path, network: Network) -> Need:
    state: State = "fetched" if path in network.fetched else "here"
    megabytes = path.stat().st_size / 1e6
    return Need(kind, use.name, state, use.origin, use.sha256, str(path), megabytes)
