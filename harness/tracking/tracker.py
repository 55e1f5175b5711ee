"""Send the results of a suite to MLflow, cell by cell; safe to repeat.

The experiment `<suite>` has one run per cell, not nested, since the UI's charts ignore nested runs.
`<suite>-summary` has one run per variant, with images keyed by pair, so that the UI's image grid
shows pairs by variants; and one run with the page for each plan. `pull` rebuilds a store from both.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from harness.errors import TrackingError
from harness.records import Record, Run
from harness.store import Store
from harness.tracking import artifacts, saved_views
from harness.tracking.address import database_file
from harness.tracking.client import briefly, connect, reported
from harness.tracking.existing_runs import (
    ExistingRun,
    delete_orphans,
    process_tags,
    reconcile_runs,
)
from harness.tracking.run_contents import (
    CELLS_NOTE,
    INPUTS,
    REPORT,
    SUMMARY_NOTE,
    add_cell,
    add_variant,
    cell_tags,
    input_paths,
    record_digest,
    report_texts,
    source_tags,
    start_milliseconds,
)
from harness.tracking.run_payload import RunPayload

BATCH = 1000
"""Maximum number of metrics, parameters and tags in one MLflow call."""

Tags = Mapping[str, str]


def experiments(uri: str) -> int:
    """Return the number of experiments on a server.

    Raises:
        TrackingError: It cannot be reached.
    """
    with reported(uri):
        return len(connect(uri).search_experiments())


class Tracker:
    """Sends the results of one suite; repeated calls create no duplicates."""

    def __init__(self, store: Store, uri: str, *, verify: bool = False) -> None:
        """Connect to the server or open the database, and create both experiments.

        Args:
            store: The results.
            uri: Where to send them.
            verify: Send a run again if its files are missing or have other sizes.

        Raises:
            TrackingError: MLflow cannot be reached.
        """
        self.store, self.uri, self.verify = store, uri, verify
        self.sent = 0
        with reported(uri):
            self._client = connect(uri)
            self.cells = self._experiment(store.suite, CELLS_NOTE)
            self.summary = self._experiment(f"{store.suite}-summary", SUMMARY_NOTE)
            self._known = {
                experiment: reconcile_runs(self._client, experiment)
                for experiment in (self.cells, self.summary)
            }

    def missing(self, records: Iterable[Record]) -> list[Record]:
        """Return the records that MLflow does not have, or has as they were before a change.

        A later result of the same cell, which another machine sent, is not replaced: two machines
        would otherwise replace each other's runs in turn.
        """
        return [record for record in records if self._lacks(record)]

    def _lacks(self, record: Record) -> bool:
        run = self._known[self.cells].get(record.cell.id)
        if run is None or not run.digest:
            return True
        if run.digest != self._digest(record):
            return run.started <= start_milliseconds(record.started)
        return run.status != _status(failed=not record.ok)

    def _digest(self, record: Record) -> str:
        snapshots = self.store.snapshots(record.cell.id).values()
        return record_digest(record, [path.name for path in snapshots])

    def cell(self, record: Record) -> None:
        """Send a record with its image and curve."""
        cell, digest = record.cell, self._digest(record)
        started = start_milliseconds(record.started)
        with self._run(
            self.cells, cell.id, cell.name, digest, cell_tags(record), started,
            failed=not record.ok,
        ) as payload:  # fmt: skip
            if payload is not None:
                add_cell(payload, self.store, record)

    def variants(self, records: Sequence[Record]) -> None:
        """Send one run per variant, with means and one image per pair; and the saved views."""
        for variant in dict.fromkeys(record.cell.variant for record in records):
            own = [record for record in records if record.cell.variant == variant]
            digest = hashlib.sha256("".join(map(record_digest, own)).encode()).hexdigest()
            failed = not any(record.ok for record in own)
            tags = {"nst.variant": variant}
            with self._run(
                self.summary, variant, variant, digest, tags, None, failed=failed
            ) as payload:
                if payload is not None:
                    add_variant(payload, self.store, own)
        runs = {key: run.run_id for key, run in self._known[self.summary].items()}
        saved_views.write(self._client, self.cells, self.summary, records, runs)

    def report(self, run: Run, records: Sequence[Record], paths: Sequence[Path]) -> None:
        """Send the page, its tables, and the files that `pull` needs besides.

        Each plan has its own run, so that the pages of a team do not replace each other.
        """
        inputs, texts = input_paths(self.store, records), report_texts(self.store, run)
        files = [path.read_bytes() for path in (*paths, *inputs)]
        contents = b"".join([*files, *(text.encode() for text in texts.values())])
        digest = hashlib.sha256(contents).hexdigest()
        key, name = f"{REPORT}{run.plan_id}", f"report {run.started[:16]}"
        with self._run(self.summary, key, name, digest, {}, None, failed=False) as payload:
            if payload is not None:
                for path in paths:
                    payload.file(path)
                for path in inputs:
                    payload.file(path, INPUTS)
                for file, text in texts.items():
                    payload.text(file, text)
        with reported(self.uri):
            self._delete_unkeyed_report()
            for experiment in self._known:
                delete_orphans(self._client, experiment)

    def _delete_unkeyed_report(self) -> None:
        """Delete the page of an earlier version, which kept one for all plans."""
        known = self._known[self.summary]
        if "report" in known and "nst.variant" not in known["report"].tags:
            self._client.delete_run(known.pop("report").run_id)

    @contextmanager
    def _run(
        self, experiment: str, key: str, name: str, digest: str, tags: Tags,
        started: int | None, *, failed: bool,
    ) -> Iterator[RunPayload | None]:  # fmt: skip
        """Send the payload that the block fills, in place of an earlier run with the same key.

        Yields None if MLflow has the run already.
        """
        status = _status(failed=failed)
        with reported(self.uri):
            old = self._known[experiment].get(key)
            if old is not None and self._is_complete(old, digest):
                if old.status != status:  # the process crashed just before closing the run
                    self._client.set_terminated(old.run_id, status)
                    self._known[experiment][key] = replace(old, status=status)
                yield None
                return
            with TemporaryDirectory(prefix="nstbench-mlflow-") as folder:
                payload = RunPayload(Path(folder))
                yield payload
                if old is not None:
                    self._client.delete_run(old.run_id)
                all_tags = {**source_tags(), **process_tags(), "nst.suite": self.store.suite,
                            "nst.key": key, **tags}  # fmt: skip
                run = self._client.create_run(
                    experiment, start_time=started, run_name=name, tags=all_tags
                ).info
                try:
                    contents = self._log(run, payload, digest, started)
                except BaseException:
                    with suppress(TrackingError), reported(self.uri), briefly(retries=0):
                        self._client.set_terminated(run.run_id, "KILLED")
                    raise
            self._client.set_terminated(run.run_id, status)
            self._known[experiment][key] = ExistingRun(
                run.run_id, digest, status, run.artifact_uri, contents, started or 0, tags
            )
            self.sent += 1

    def _is_complete(self, run: ExistingRun, digest: str) -> bool:
        if run.digest != digest:
            return False
        return not self.verify or run.contents == artifacts.contents_digest(run.artifacts, self.uri)

    def _log(self, run: Any, payload: RunPayload, digest: str, started: int | None) -> str:
        """Send files, then numbers, in as few calls as possible; each takes milliseconds.

        Returns:
            The digest of the files' names and sizes.
        """
        from mlflow.entities import Metric, Param, RunTag

        contents = artifacts.send(payload.folder, run.artifact_uri, self.uri)
        # Sent last: a run without this digest is incomplete and gets replaced.
        final_tags = {"nst.artifacts": contents, "nst.record": digest}
        begin = started or start_milliseconds("")
        metrics = [Metric(key, value, begin + ms, step) for key, value, step, ms in payload.points]
        params = [Param(key, value) for key, value in payload.params.items()]
        tags = [RunTag(key, value) for key, value in {**payload.tags, **final_tags}.items()]
        room = BATCH - len(params) - len(tags)
        for first in range(room, len(metrics), BATCH):
            self._client.log_batch(run.run_id, metrics=metrics[first : first + BATCH])
        self._client.log_batch(run.run_id, metrics[:room], params, tags)
        return contents

    def _experiment(self, name: str, note: str) -> str:
        """Return the id of an experiment; create or restore it if necessary."""
        from mlflow.exceptions import MlflowException

        existing = self._client.get_experiment_by_name(name)
        if existing is not None:
            if existing.lifecycle_stage == "deleted":
                self._client.restore_experiment(existing.experiment_id)
            return str(existing.experiment_id)
        # With a database file, MLflow would put artifacts into the current working directory.
        local = database_file(self.uri) is not None
        folder = (self.store.root.parent / "artifacts" / name).resolve()
        location = folder.as_uri() if local else None
        tags = {"mlflow.note.content": note}
        try:
            return str(self._client.create_experiment(name, artifact_location=location, tags=tags))
        except MlflowException:  # another process created it, or the response was lost
            if (existing := self._client.get_experiment_by_name(name)) is None:
                raise
            return str(existing.experiment_id)


def _status(*, failed: bool) -> str:
    return "FAILED" if failed else "FINISHED"
