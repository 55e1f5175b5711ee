"""The tracker in a thread of its own: results never wait for MLflow, and it never costs one."""

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

MAX_WAITING = 1000
"""Records that wait; cells that are faster than MLflow for longer have to wait for it."""

GRACE_SECONDS = 5.0
"""After Ctrl-C, for the record that is being mirrored; a server that hangs is left alone."""

MOMENT_SECONDS = 10.0
SETTLE_SECONDS = 30.0
"""After that the cells begin all the same: a server may be slow to answer."""

GIVING_WAY = 10
"""How much nicer than the cells the thread is to others, where the system knows of threads."""

Step: TypeAlias = Callable[[Tracker], object]


class Mirror:
    """Takes records at once and mirrors them by and by, in the order they came.

    The first fault is told once, with what to do; after it nothing more is mirrored.
    """

    def __init__(self, store: Store, uri: str, warn: Callable[[str], None]) -> None:
        self._store, self._uri, self._warn = store, uri, warn
        self._steps: queue.Queue[Step | None] = queue.Queue(MAX_WAITING)
        self._ended = threading.Event()  # nothing more is mirrored
        self._settled = threading.Event()  # connected, or never will be
        self._bug: BaseException | None = None
        self._thread = threading.Thread(target=self._work, name="mlflow", daemon=True)
        if uri:
            self._thread.start()
        else:
            self._ended.set()
            self._settled.set()

    def settle(self) -> None:
        """Wait until MLflow is imported and its database made: seconds that no clock should see."""
        self._settled.wait(SETTLE_SECONDS)

    @property
    def working(self) -> bool:
        """True while all that was given has been mirrored, or will be."""
        return not self._ended.is_set()

    @property
    def waiting(self) -> int:
        """How many records are yet to be mirrored."""
        return self._steps.qsize()

    def cell(self, record: Record) -> None:
        """Mirror a record, if there is a tracker."""
        self._give(lambda tracker: tracker.cell(record))

    def summary(
        self,
        run: Run,
        records: Sequence[Record],
        paths: Sequence[Path],
        slow: Callable[[], object] = lambda: None,
    ) -> None:
        """Mirror the variants and the page, if there is a tracker, and wait until all is done.

        Args:
            run: The invocation.
            records: All of its records.
            paths: The page and its tables.
            slow: Is called where it takes more than a moment.
        """
        self._give(lambda tracker: tracker.variants(records))
        self._give(lambda tracker: tracker.report(run, records, paths))
        self._give(None)
        if self._thread.is_alive():
            self._thread.join(MOMENT_SECONDS)
        if self._thread.is_alive():
            slow()
            self._thread.join()
        self._raise()

    def stop(self) -> int:
        """Leave out what is waiting, or hangs, and return how many that are: for `sync`."""
        waiting = self.waiting
        self._ended.set()
        if self._thread.is_alive():
            with suppress(queue.Full):
                self._steps.put_nowait(None)  # it may be waiting for the next record
            self._thread.join(GRACE_SECONDS)
        return waiting + self._thread.is_alive()

    def _give(self, step: Step | None) -> None:
        self._raise()
        if self.working:
            self._steps.put(step)

    def _raise(self) -> None:
        """Pass on what only a bug can raise: it is not the server's fault, and not to be hidden."""
        if self._bug is not None:
            raise self._bug

    def _work(self) -> None:
        _give_way()
        try:
            tracker = Tracker(self._store, self._uri)
            self._settled.set()
            while (step := self._steps.get()) is not None and self.working:
                step(tracker)
        except TrackingError as error:
            self._ended.set()
            self._warn(
                f"{error}\nResults are safe on disk; when that is mended, `nstbench sync` brings "
                "MLflow up to date."
            )
        except BaseException as error:
            self._ended.set()
            self._bug = error
        self._settled.set()
        while not self._steps.empty():  # whoever waits to give another one may go on
            self._steps.get_nowait()


def _give_way() -> None:
    """Let the cells go first where both want the processor; only Linux has this for threads."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), GIVING_WAY)
