"""Record -> MLflow: a mirror of the store, written cell by cell, safe to repeat, never read back.

Experiment `<suite>` holds one flat run per cell (nested runs vanish from the UI's charts);
`<suite>-summary` one run per variant, whose images are keyed by pair so that the UI's own image
grid becomes the matrix of pairs and variants, and one run with the page for each plan.
Together they hold what `mlflow_pull` makes a store of.
"""

from __future__ import annotations

import datetime
import getpass
import hashlib
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from pathlib import Path
from statistics import mean, stdev
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from PIL import Image as Pillow

from harness.errors import TrackingError
from harness.records import Record, Run, TracePoint, without_trials
from harness.store import IMAGE_FORMATS, SAVED, Store, dump
from harness.store import redact
from harness.tracking import artifacts as mlflow_artifacts
from harness.tracking import saved_views
from harness.tracking.client import briefly, connect, reported
from harness.tracking.existing_runs import ExistingRun, forget_lost, kept, marks
from harness.tracking.run_payload import Point, RunPayload

CURVE_POINTS = 200
"""Per key: 200 points take 0.1 s; the whole curve is the artifact trace.csv."""

SNAPSHOTS, INPUTS = "snapshots.zip", "inputs"
"""A file and a folder that the UI has no use for: `pull` has. Each file is a request or two."""

MAX_SNAPSHOTS = 4
"""Besides the stylized image: the UI's image grid has a slider over them."""

REPORT = "report "
"""How the keys of runs begin that hold a page."""

SUMMARY_PIXELS = 384
BATCH = 1000
"""The most metrics, parameters and tags that MLflow takes in one call."""

Tags = Mapping[str, str]
T = TypeVar("T")


def tracking_uri(out: Path, given: str = "") -> str:
    """Return where to track: `--tracking-uri`, else MLFLOW_TRACKING_URI, else a file in `out`."""
    given = given or os.environ.get("MLFLOW_TRACKING_URI", "")
    return given or f"sqlite:///{(out / 'mlflow.db').resolve()}"


def experiments(uri: str) -> int:
    """Return how many experiments there are at `uri`.

    Raises:
        TrackingError: It cannot be reached.
    """
    with reported(uri):
        return len(connect(uri).search_experiments())


class Tracker:
    """Mirrors one suite's store; every method may be called again without doubling anything."""

    def __init__(self, store: Store, uri: str, *, verify: bool = False) -> None:
        """Reach the server or open the file, and make both experiments.

        Args:
            store: What is mirrored.
            uri: Where to.
            verify: Send again what is there where its files are not all, or of other sizes.

        Raises:
            TrackingError: It cannot be reached; results are safe in the store all the same.
        """
        self.store, self.uri, self.verify = store, uri, verify
        self.sent = 0
        with reported(uri):
            self._client = connect(uri)
            self.cells = self._experiment(store.suite, _NOTE)
            self.summary = self._experiment(f"{store.suite}-summary", _SUMMARY_NOTE)
            self._known = {exp: kept(self._client, exp) for exp in (self.cells, self.summary)}

    def cell(self, record: Record) -> None:
        """Mirror one record with its image and curve."""
        cell, noisy = record.cell, record.timing.noisy if record.timing else ""
        tags = {
            "nst.cell": cell.id,
            "nst.status": record.status,
            "nst.variant": cell.variant,
            "nst.pair": cell.pair,
            "nst.deterministic": record.environment.get("deterministic", "seeded"),
            **({"nst.failure": record.failure.message[:500]} if record.failure else {}),
            **({"nst.stand_in": ", ".join(cell.stand_ins)} if cell.stand_ins else {}),
            **({"nst.noisy": noisy[:500]} if noisy else {}),
            **({"nst.notes": "; ".join(record.notes)[:500]} if record.notes else {}),
        }
        started = _milliseconds(record.started)
        on_the_way = list(self.store.snapshots(cell.id).items())
        digest = _digest(record, [path.name for _, path in on_the_way])
        with self._run(
            self.cells, cell.id, cell.name, digest, tags, started, failed=not record.ok
        ) as draft:
            if draft is None:
                return
            trace = self.store.trace(cell.id)
            draft.params = _params(record)
            draft.points = [*_finals(record), *_curves(trace)]
            if on_the_way:
                draft.bundle(SNAPSHOTS, [path for _, path in on_the_way])
            for step, path in thinned(on_the_way, MAX_SNAPSHOTS):
                with Pillow.open(path, formats=IMAGE_FORMATS) as picture:
                    draft.image(picture.convert("RGB"), "stylized", step)
            if (image := self.store.image(cell.id)) is not None:
                with Pillow.open(image, formats=IMAGE_FORMATS) as picture:
                    last = trace[-1].index if trace else 0
                    draft.image(picture.convert("RGB"), "stylized", last, file=image)
            draft.file(self.store.record_path(cell.id))
            if trace:
                draft.file(self.store.trace_path(cell.id))

    def variants(self, records: Sequence[Record]) -> None:
        """Mirror one run per variant, with means and one image per pair; and the saved views."""
        for variant in dict.fromkeys(record.cell.variant for record in records):
            own = [record for record in records if record.cell.variant == variant]
            digest = hashlib.sha256("".join(map(_digest, own)).encode()).hexdigest()
            tags = {"nst.variant": variant}
            failed = not any(record.ok for record in own)
            with self._run(
                self.summary, variant, variant, digest, tags, None, failed=failed
            ) as draft:
                if draft is None:
                    continue
                cell = own[0].cell
                levels = {key: _short(value) for key, value in cell.levels.items()}
                draft.params = {"method": cell.method, **levels}
                draft.points = list(_means(own))
                for record in own:
                    self._summary_image(draft, record)
        runs = {key: there.run_id for key, there in self._known[self.summary].items()}
        saved_views.write(self._client, self.cells, self.summary, records, runs)

    def report(self, run: Run, records: Sequence[Record], paths: Sequence[Path]) -> None:
        """Mirror the page and its tables, and with them what else it takes to make it elsewhere.

        Of runs of other cells there is another one: a team's pages do not replace each other.
        """
        inputs = self._inputs(records)
        texts = {"run.json": dump(run), "suite.yaml": self.store.suite_text()}
        texts = {name: redact(text) for name, text in texts.items()}
        files = [path.read_bytes() for path in (*paths, *inputs)]
        whole = b"".join([*files, *(text.encode() for text in texts.values())])
        digest = hashlib.sha256(whole).hexdigest()
        key, name = f"{REPORT}{run.plan_id}", f"report {run.started[:16]}"
        with self._run(self.summary, key, name, digest, {}, None, failed=False) as draft:
            if draft is not None:
                for path in paths:
                    draft.file(path)
                for path in inputs:
                    draft.file(path, INPUTS)
                for file, text in texts.items():
                    draft.text(file, text)
        with reported(self.uri):
            self._drop_first_report()
            for experiment in self._known:
                forget_lost(self._client, experiment)

    def _inputs(self, records: Sequence[Record]) -> list[Path]:
        """Return where contents and styles are, as far as they were kept."""
        cells = [record.cell for record in records]
        uses = {self.store.input_path(i, c.size) for c in cells for i in (c.content, c.style)}
        return sorted(path for path in uses if path.exists())

    def _drop_first_report(self) -> None:
        """Delete the page of an earlier version, which kept one for all runs."""
        known = self._known[self.summary]
        if "report" in known and "nst.variant" not in known["report"].tags:
            self._client.delete_run(known.pop("report").run_id)

    def _summary_image(self, draft: RunPayload, record: Record) -> None:
        if (image := self.store.image(record.cell.id)) is None:
            return
        with Pillow.open(image, formats=IMAGE_FORMATS) as picture:
            small = picture.convert("RGB")
        small.thumbnail((SUMMARY_PIXELS, SUMMARY_PIXELS))
        draft.image(small, record.cell.pair, record.cell.seed)

    @contextmanager
    def _run(
        self, experiment: str, key: str, name: str, digest: str, tags: Tags,
        started: int | None, *, failed: bool,
    ) -> Iterator[RunPayload | None]:  # fmt: skip
        """Log what the block drafts, in place of an earlier run of the same key.

        Yields None where the run is there already.
        """
        ended = "FAILED" if failed else "FINISHED"
        with reported(self.uri):
            old = self._known[experiment].get(key)
            if old is not None and self._is_whole(old, digest):
                if old.status != ended:  # whoever wrote it died just before the end
                    self._client.set_terminated(old.run_id, ended)
                    self._known[experiment][key] = replace(old, status=ended)
                yield None
                return
            with TemporaryDirectory(prefix="nstbench-mlflow-") as folder:
                draft = RunPayload(Path(folder))
                yield draft
                if old is not None:
                    self._client.delete_run(old.run_id)
                run = self._client.create_run(
                    experiment,
                    start_time=started,
                    run_name=name,
                    tags={**_source_tags(), **marks(), "nst.suite": self.store.suite,
                          "nst.key": key, **tags},
                ).info  # fmt: skip
                try:
                    contents = self._log(run, draft, digest, started)
                except BaseException:
                    with suppress(TrackingError), reported(self.uri), briefly(retries=0):
                        self._client.set_terminated(run.run_id, "KILLED")
                    raise
            self._client.set_terminated(run.run_id, ended)
            self._known[experiment][key] = ExistingRun(
                run.run_id, digest, ended, run.artifact_uri, contents, tags
            )
            self.sent += 1

    def _is_whole(self, run: ExistingRun, digest: str) -> bool:
        if run.digest != digest:
            return False
        return not self.verify or run.contents == mlflow_artifacts.contents(run.artifacts, self.uri)

    def _log(self, run: Any, draft: RunPayload, digest: str, started: int | None) -> str:
        """Send files, then numbers, in as few calls as there can be: each takes milliseconds.

        Returns:
            The digest of the files' names and sizes.
        """
        from mlflow.entities import Metric, Param, RunTag

        contents = mlflow_artifacts.send(draft.folder, run.artifact_uri, self.uri)
        # The digest is the last word: a run without it is incomplete, to be replaced.
        last = {"nst.artifacts": contents, "nst.record": digest}
        begin = started or _now()
        metrics = [Metric(key, value, begin + late, at) for key, value, at, late in draft.points]
        params = [Param(key, value) for key, value in draft.params.items()]
        tags = [RunTag(key, value) for key, value in {**draft.tags, **last}.items()]
        room = BATCH - len(params) - len(tags)
        for first in range(room, len(metrics), BATCH):
            self._client.log_batch(run.run_id, metrics=metrics[first : first + BATCH])
        self._client.log_batch(run.run_id, metrics[:room], params, tags)
        return contents

    def _experiment(self, name: str, note: str) -> str:
        from mlflow.exceptions import MlflowException

        found = self._client.get_experiment_by_name(name)
        if found is not None:
            if found.lifecycle_stage == "deleted":
                self._client.restore_experiment(found.experiment_id)
            return str(found.experiment_id)
        # A file's artifacts would go to the working folder of whoever came first.
        local = self.uri.startswith("sqlite:")
        artifacts = (self.store.root.parent / "artifacts" / name).resolve()
        location = artifacts.as_uri() if local else None
        tags = {"mlflow.note.content": note}
        try:
            return str(self._client.create_experiment(name, artifact_location=location, tags=tags))
        except MlflowException:  # another process was faster, or the answer was lost
            if (found := self._client.get_experiment_by_name(name)) is None:
                raise
            return str(found.experiment_id)


_NOTE = (
    "One run per cell: a variant of a method on one content and style. Under *Views*, *By variant* "
    "has the means of each variant as a table and as charts: of the first 100 cells, until you "
    "*load more*. `final/*` are scores of the saved image, and `final/objective` its total loss; "
    "`loss/*` is each method's own objective on raw pixels, `loss/saved_*` on images as they would "
    "be saved (neither compares between methods). The matrix of images, and means over all cells, "
    "are in the experiment with `-summary` at its end."
)
_SUMMARY_NOTE = (
    "One run per variant, with its means over all cells. Under *Views*, *Pairs × variants* is the "
    "matrix of images: choose the chart symbol above the list. The UI shows images of ten runs at "
    "once, so further variants have further views. A run `report` holds a page, report.html."
)


def _source_tags() -> dict[str, str]:
    from harness.resources.software import commit

    tags = {
        "mlflow.user": _user(),
        "mlflow.source.name": " ".join(["nstbench", *sys.argv[1:]])[:500],
        "mlflow.source.type": "LOCAL",
        "mlflow.source.git.commit": commit().removesuffix("-dirty"),
    }
    return {key: value for key, value in tags.items() if value}


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""


def _params(record: Record) -> dict[str, str]:
    cell = record.cell
    facts = {
        "method": cell.method,
        "variant": cell.variant,
        "content": cell.content.name,
        "style": cell.style.name,
        "pair": cell.pair,
        "seed": cell.seed,
        "size": cell.size,
        "encoder": cell.encoder.name,
        "weights": f"{cell.encoder.origin} {cell.encoder.sha256[:12]}",
        "device": cell.device,
        "precision": cell.precision,
    }
    return {key: _short(value) for key, value in {**cell.params, **facts}.items()}


def _short(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        value = " ".join(map(str, value))
    return str(value)[:500]


def _finals(record: Record) -> Iterator[Point]:
    """Yield the numbers that a record ends with."""
    values: dict[str, float | None] = {
        "final/objective": record.objective,
        "final/objective_raw": record.objective_raw,
        **{f"final/{s.name}": s.value for s in record.scores},
    }
    if record.timing is not None:
        values |= {
            "time/fit_s": record.timing.fit_seconds,
            "time/stylize_s": record.timing.stylize_seconds,
            "time/total_s": record.timing.total_seconds,
            "time/step_ms": record.timing.pass_ms[1] if record.timing.pass_ms else None,
            "time/stylize_calibrated": record.timing.calibrated,
            "mem/peak_mb": record.timing.peak_mb,
        }
    for key, value in values.items():
        if value is not None:
            yield key, float(value), 0, 0


def _curves(trace: Sequence[TracePoint]) -> Iterator[Point]:
    """Yield the curve of the phase that has one: the stylization's, else the training's."""
    points = [p for p in trace if p.phase == "stylize"] or list(trace)
    for point in thinned(without_trials(points)):
        yield from _losses("", point.losses, point)
    for point in points:
        yield from _losses(SAVED, point.saved, point)


def _losses(prefix: str, losses: Mapping[str, float], point: TracePoint) -> Iterator[Point]:
    for name, loss in losses.items():
        # SQL stores turn infinity into 1.8e308, which ruins every chart; NaN is left out.
        finite = loss if abs(loss) < float("inf") else float("nan")
        yield f"loss/{prefix}{name}", finite, point.index, round(point.seconds * 1000)


def thinned(points: Sequence[T], most: int = CURVE_POINTS) -> list[T]:
    """Return at most `most` points, evenly spaced, the last among them."""
    if len(points) <= most:
        return list(points)
    step = (len(points) - 1) / (most - 1)
    return [points[round(i * step)] for i in range(most)]


def _means(records: Sequence[Record]) -> Iterator[Point]:
    columns: dict[str, list[float]] = {}
    for record in records:
        for key, value, _, _ in _finals(record):
            columns.setdefault(key, []).append(value)
    for key, values in columns.items():
        yield f"mean/{key}", mean(values), 0, 0
        if len(values) > 1:
            yield f"sd/{key}", stdev(values), 0, 0
    yield "n/cells", float(len(records)), 0, 0
    yield "n/failed", float(sum(not record.ok for record in records)), 0, 0


def _digest(record: Record, names: Sequence[str] = ()) -> str:
    """Return a digest of what is sent: of the record, and the names of files that it has not."""
    text = json.dumps(asdict(record), sort_keys=True, default=list)
    return hashlib.sha256("\n".join([text, *names]).encode()).hexdigest()


def _milliseconds(started: str) -> int:
    return round(datetime.datetime.fromisoformat(started).timestamp() * 1000) if started else _now()


def _now() -> int:
    return round(datetime.datetime.now(datetime.UTC).timestamp() * 1000)
