"""The checks of `nstbench doctor`: what works on this machine, and how to fix the rest."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

from harness import encoders
from harness.errors import MissingWeightsError, NstbenchError, SourceError, UsageError
from harness.execution.machine import environment
from harness.execution.prepare import RunOptions
from harness.metrics.lpips import TRUNKS
from harness.registry import METHODS, METRICS
from harness.registry.diagnostics import Finding, State
from harness.resources import precision, software, weights
from harness.resources.devices import find_device
from harness.resources.downloads import Network
from harness.resources.hash_cache import cache_folder
from harness.resources.http_transfer import CONNECT_SECONDS
from harness.resources.mirror import open_mirror
from harness.resources.weights import WeightsStore
from harness.store import redact
from harness.tracking import address, client, tracker

MIN_DISK_GB = 1.0
NOTHING_FETCHED = "doctor fetches nothing"


def examine(options: RunOptions, tracking_uri: str) -> Iterator[Finding]:
    """Yield the findings of all checks, without downloading or changing anything.

    Args:
        options: The options of a run.
        tracking_uri: The MLflow server or database of a run.
    """
    yield from _machine(options.device)
    yield from _versions()
    yield from _plugins()
    network = Network(offline=True, why=NOTHING_FETCHED)
    weights_store = WeightsStore(
        network, options.weights or {}, open_mirror(options.mirror, network)
    )
    yield from _encoders(weights_store)
    yield from _trunks(weights_store)
    yield from _caches()
    yield from _network(options)
    yield from _results(options.out, tracking_uri)


def _machine(device: str) -> Iterator[Finding]:
    import torch

    yield Finding("machine", "system", "good", f"{platform.platform(terse=True)}, "
                  f"{os.cpu_count()} cores, {environment.processor()}")  # fmt: skip
    try:
        found = find_device(device)
    except NstbenchError as error:
        remedy = "Install torch for your driver's CUDA, or run with --device cpu."
        yield Finding("machine", "device", "bad", str(error), remedy)
        return
    if found == "cpu":
        why = (
            "--device cpu" if device == "cpu" else f"torch {torch.__version__} finds no CUDA device"
        )
        remedy = "" if device == "cpu" else "Suites use their `quick` profile on a CPU."
        yield Finding("machine", "device", "fair", f"cpu ({why})", remedy)
    else:
        facts = torch.cuda.get_device_properties(0)
        size = f"{facts.total_memory / 2**30:.0f} GiB, capability {facts.major}.{facts.minor}"
        yield Finding("machine", "device", "good", f"{found}, {size}")
    ratio = _bfloat16_speed("cpu" if found == "cpu" else "cuda")
    taken = precision.resolve("auto", found) == "bfloat16"
    better = ratio >= 1.2
    remedy = "" if better == taken else f"Pass --precision {'bfloat16' if better else 'float32'}."
    what = f"convolutions take {1 / ratio:.2f} of the float32 time (measured now)"
    yield Finding("machine", "bfloat16", "good" if ratio >= 1.2 else "fair", what, remedy)


def _bfloat16_speed(device: str) -> float:
    """Return the speed of a VGG convolution in bfloat16 divided by its speed in float32."""
    import torch

    seconds: dict[torch.dtype, list[float]] = {torch.float32: [], torch.bfloat16: []}
    inputs = {}
    for dtype in seconds:
        image, kernel = torch.ones(1, 64, 96, 96), torch.ones(64, 64, 3, 3)
        channels_last = torch.channels_last
        inputs[dtype] = [t.to(device, dtype, memory_format=channels_last) for t in (image, kernel)]
    with torch.inference_mode():
        for _ in range(9):
            for dtype, (image, kernel) in inputs.items():
                begin = time.perf_counter()
                for _ in range(4):
                    torch.nn.functional.conv2d(image, kernel, padding=1)
                if device == "cuda":
                    torch.cuda.synchronize()
                seconds[dtype].append(time.perf_counter() - begin)
    return median(seconds[torch.float32][1:]) / median(seconds[torch.bfloat16][1:])


def _versions() -> Iterator[Finding]:
    yield Finding("versions", "python", "good", f"{platform.python_version()} ({sys.executable})")
    for package, version in software.versions().items():
        remedy = "" if version else "Run pip install -c constraints.txt -e ."
        state: State = "good" if version else "bad"
        yield Finding("versions", package, state, version or "not installed", remedy)


def _plugins() -> Iterator[Finding]:
    for fault in (*METHODS.faults, *METRICS.faults):
        what = f"{fault.origin}: {fault.issue.what}"
        yield Finding("plug-ins", f"{fault.kind} {fault.name}", "fair", what, fault.remedy)


def _encoders(weights_store: WeightsStore) -> Iterator[Finding]:
    for name in (*weights.TORCHVISION, "compact"):
        yield _weights("encoders", name, name, weights_store)
    try:
        chosen = encoders.find("auto", weights_store)[0].name
    except SourceError:
        return  # the line for vgg19 reports its invalid file
    what = f"{chosen}, for suites with `encoder: auto`"
    remedy = "" if chosen == "vgg19" else "To use vgg19, pass --weights vgg19=PATH."
    yield Finding("encoders", "chosen", "good" if chosen == "vgg19" else "fair", what, remedy)


def _trunks(weights_store: WeightsStore) -> Iterator[Finding]:
    found = [
        _weights("lpips trunks", net, name, weights_store, whole=True)
        for net, name in TRUNKS.items()
    ]
    yield from found
    usable = [finding.name for finding in found if finding.state == "good"]
    if usable:
        yield Finding("lpips trunks", "chosen", "good", f"{usable[0]}, for suites with `net: auto`")
    else:
        remedy = "To enable LPIPS, pass --weights squeezenet1_1=PATH (5 MB)."
        yield Finding("lpips trunks", "chosen", "fair", "none, LPIPS is not available", remedy)


def _weights(
    section: str, shown: str, name: str, weights_store: WeightsStore, *, whole: bool = False
) -> Finding:
    try:
        use, _ = encoders.find(name, weights_store)
    except MissingWeightsError:
        file, megabytes = weights.TORCHVISION[name]
        remedy = f"Run nstbench fetch SUITE, or pass --weights {name}=PATH."
        return Finding(section, shown, "fair", f"{file} ({megabytes} MB) is missing", remedy)
    except SourceError as error:
        remedy = "Delete this file or replace it with a valid one."
        return Finding(section, shown, "bad", str(error), remedy)
    what = f"{use.origin}, {use.sha256[:12]}"
    if encoders.whole(use):
        return Finding(section, shown, "good", what)
    what += f", layers up to {use.layers[-1]}"
    remedy = (
        "LPIPS requires all layers."
        if whole
        else "Deeper layers are replaced by shallower ones or rejected."
    )
    return Finding(section, shown, "fair", what, remedy)


def _caches() -> Iterator[Finding]:
    for name, folder, variable in (
        ("images and stand-ins", cache_folder(), "NSTBENCH_CACHE"),
        ("weights", weights.torch_cache(), "TORCH_HOME"),
    ):
        files = [p for p in folder.rglob("*") if p.is_file()] if folder.is_dir() else []
        megabytes = sum(path.stat().st_size for path in files) / 1e6
        what = f"{folder}: {len(files)} files, {megabytes:.1f} MB"
        remedy = (
            ""
            if _writable(folder)
            else f"The folder is not writable. Set {variable} to another folder."
        )
        yield Finding("caches", name, "bad" if remedy else "good", what, remedy)


def _network(options: RunOptions) -> Iterator[Finding]:
    if options.mirror:
        yield Finding("network", "mirror", "good", options.mirror)
    if options.offline:
        yield Finding("network", "offline", "fair", "skipped (--offline)")
        return
    urls = [weights.STORE, *image_urls()]
    if urlsplit(options.mirror).scheme in {"http", "https"}:
        urls.append(options.mirror)
    for host, url in {urlsplit(url).hostname or "": url for url in reversed(urls)}.items():
        why = _connection_error(url)
        remedy = (
            "Pass copies with --mirror and --weights. Otherwise, runs use the compact encoder and "
            "stand-in images."
        )
        if why:
            yield Finding("network", host, "fair", why, remedy)
        else:
            yield Finding("network", host, "good", "reachable")


def image_urls() -> list[str]:
    """Return the addresses of all images of the packaged suites."""
    from harness.suite import collection

    paths = collection.packaged().values()
    images = (image for path in paths for image in collection.read(path).values())
    return list(dict.fromkeys(image["url"] for image in images if "url" in image))


def _connection_error(url: str) -> str:
    """Return why a server cannot be reached, or an empty string if it sends any response."""
    import requests

    try:
        requests.head(url, timeout=CONNECT_SECONDS)
    except requests.Timeout:
        return f"no response within {CONNECT_SECONDS:.0f} seconds"
    except requests.RequestException:
        return "no connection"
    return ""


def _results(out: Path, tracking_uri: str) -> Iterator[Finding]:
    stored = len(list(out.glob("*/cells/[!.]*/record.json")))
    what = f"{out.absolute()}: {stored} records"
    if _writable(out):
        yield Finding("results", "folder", "good", what)
    else:
        yield Finding("results", "folder", "bad", f"{what}; not writable",
                      "Pass another folder with --out.")  # fmt: skip
    free = shutil.disk_usage(_existing(out)).free / 1e9
    state: State = "good" if free > MIN_DISK_GB else "bad"
    remedy = (
        "" if state == "good" else "Free disk space, or pass a folder on another disk with --out."
    )
    yield Finding("results", "disk", state, f"{free:.1f} GB free", remedy)
    yield _tracking(tracking_uri)


def _tracking(uri: str) -> Finding:
    other, shown = "pass another --tracking-uri, or run with --no-mlflow.", redact(uri)
    try:
        address.check(uri)
        if address.is_database(uri):
            state, what, remedy = _database(uri)
            return Finding("results", "mlflow", state, f"{shown}: {what}", remedy)
        count = tracker.experiments(uri)
    except (UsageError, client.AccessError) as error:  # with their own remedies
        return Finding("results", "mlflow", "bad", str(error))
    except NstbenchError as error:
        cause = "Repair the file" if address.database_file(uri) else "Start the server"
        return Finding("results", "mlflow", "bad", str(error), f"{cause}, {other}")
    return Finding("results", "mlflow", "good", f"{shown}: {count} experiments")


def _database(uri: str) -> tuple[State, str, str]:
    """Return state, finding and remedy for a database."""
    file, mlflow = address.database_file(uri), f"MLflow {software.versions()['mlflow']}"
    if file is not None and not file.exists():
        return "good", "the first run creates it", ""
    with client.reported(uri):
        schema = address.schema(uri)
    if schema.age == "new":
        return "good", "the first run creates its tables", ""
    if schema.age == "unknown":
        what = f"{mlflow} does not know its schema {schema.revision!r}"
        return "bad", what, "Upgrade MLflow, or pass another --tracking-uri."
    if schema.age == "old":
        what = f"{mlflow} has a newer schema than its {schema.revision}"
        how = address.copy_command(uri)
        return "fair", what, f"The next run migrates it. To keep a copy, {how} before."
    return "good", f"{schema.experiments} experiments", ""


def _existing(path: Path) -> Path:
    """Return the path or its nearest parent that exists."""
    return next(p for p in (path.absolute(), *path.absolute().parents) if p.exists())


def _writable(folder: Path) -> bool:
    """Return whether a file can be created, without creating one."""
    existing = _existing(folder)
    # The system answers this, so that it also considers a disk that is mounted read-only.
    return existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)
