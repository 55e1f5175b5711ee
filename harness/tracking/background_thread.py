"""A tracker in a background thread: results never wait for MLflow, and none is lost to it."""

from __future__ import annotations

import os
import queue
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeAlias

from harness.errors import TrackingError
from harness.records import Record, Run
from harness.store import Store
from harness.tracking.tracker import Tracker

MAX_PENDING = 1000
"""Length of the queue; when it is full, cells wait for MLflow."""

STOP_SECONDS = 5.0
"""How long `stop` waits for the record that is being sent; then it leaves the thread behind."""

MOMENT_SECONDS = 10.0
"""How long `summary` waits before it calls `on_slow`."""

CONNECT_SECONDS = 30.0
"""How long `wait_until_connected` waits; after that, cells start without a connection."""

NICENESS = 10
"""Increment of the thread's nice value; only Linux has one per thread."""

Step: TypeAlias = Callable[[Tracker], object]


class BackgroundTracker:
    """Queues records and sends them to MLflow in order, in a background thread.

    The first TrackingError is reported once, with the command that fixes it; nothing is sent
    after it.
    """

    def __init__(self, store: Store, uri: str, warn: Callable[[str], None]) -> None:
        """Start the thread and connect; an empty `uri` turns tracking off."""
        self._store, self._uri, self._warn = store, uri, warn
        self._steps: queue.Queue[Step | None] = queue.Queue(MAX_PENDING)
        self._ended = threading.Event()  # nothing more is sent
        self._connected = threading.Event()  # or failed to
        self._bug: BaseException | None = None
        self._left = 0  # records that `_complete` has still to send
        self.completed = 0
        """Number of records of earlier runs that MLflow lacked and `summary` has sent."""
        self._thread = threading.Thread(target=self._work, name="mlflow", daemon=True)
        if uri:
            self._thread.start()
        else:
            self._ended.set()
            self._connected.set()

    def wait_until_connected(self) -> None:
        """Wait until MLflow is imported and its database created, which would disturb timings."""
        self._connected.wait(CONNECT_SECONDS)

    @property
    def working(self) -> bool:
        """True while every queued record has been sent or will be."""
        return not self._ended.is_set()

    @property
    def pending(self) -> int:
        """Number of records that are not sent yet."""
        return self._steps.qsize() + self._left

    def cell(self, record: Record) -> None:
        """Queue a record."""
        self._put(lambda tracker: tracker.cell(record))

    def summary(
        self,
        run: Run,
        records: Sequence[Record],
        paths: Sequence[Path],
        on_slow: Callable[[], object] = lambda: None,
    ) -> None:
        """Queue what MLflow lacks, the variants and the page; wait until everything is sent.

        Args:
            run: The run.
            records: All of its records, including those of earlier runs that it reuses.
            paths: The page and its tables.
            on_slow: Called if that takes longer than MOMENT_SECONDS.
        """
        self._put(lambda tracker: self._complete(tracker, records))
        self._put(lambda tracker: tracker.variants(records))
        self._put(lambda tracker: tracker.report(run, records, paths))
        self._put(None)
        if self._thread.is_alive():
            self._thread.join(MOMENT_SECONDS)
        if self._thread.is_alive():
            on_slow()
            self._thread.join()
        self._raise_bug()

    def stop(self) -> int:
        """Stop without sending queued records; return how many were not sent, for `sync`.

        A record whose sending does not end in STOP_SECONDS counts as not sent.
        """
        pending = self.pending
        self._ended.set()
        if self._thread.is_alive():
            with suppress(queue.Full):
                self._steps.put_nowait(None)  # wakes the thread if the queue is empty
            self._thread.join(STOP_SECONDS)
        return pending + self._thread.is_alive()

    def _complete(self, tracker: Tracker, records: Sequence[Record]) -> None:
        """Send records that earlier runs stored and did not send, for example after a crash."""
        missing = tracker.missing(records)
        self._left = len(missing)
        for record in missing:
            if not self.working:
                return
            self._left -= 1
            tracker.cell(record)
            self.completed += 1

    def _put(self, step: Step | None) -> None:
        self._raise_bug()
        if self.working:
            self._steps.put(step)

    def _raise_bug(self) -> None:
        """Raise what the thread raised, if it was anything but TrackingError."""
        if self._bug is not None:
            raise self._bug

    def _work(self) -> None:
        _lower_priority()
        try:
            tracker = Tracker(self._store, self._uri)
            self._connected.set()
            while (step := self._steps.get()) is not None and self.working:
                step(tracker)
        except TrackingError as error:
            self._ended.set()
            self._warn(
                f"{error}\nAll results are stored on disk. Once MLflow works again, run "
                "`nstbench sync` to bring it up to date."
            )
        except BaseException as error:
            self._ended.set()
            self._bug = error
        self._connected.set()
        while not self._steps.empty():  # unblocks a `put` that waits for room
            self._steps.get_nowait()


def _lower_priority() -> None:
    """Give the cells precedence over this thread."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
