"""Names of results on the command line: a suite, one of its earlier runs, another folder.

artists               the latest run of the suite, in `--out`
artists~1             the run before it
artists@2026-11-20    the last run that started by the end of that day, UTC; also a month, or a day
                      with hours, minutes and seconds, as in 2026-11-20T18:30
old-runs/artists      results in another folder; also with ~ or @
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.errors import UsageError
from harness.records import Run
from harness.store.store import Store

TIME = "0000-00-00T00:00:00+00:00"
TIME_FORMATS = {TIME[:length] for length in (4, 7, 10, 13, 16, 19, 25)}
"""Accepted times after an @, each digit as a 0: a year, a month, a day, and so on."""


@dataclass(frozen=True)
class Revision:
    """Results that a name refers to."""

    name: str  # as given
    label: str  # without its folder
    store: Store  # as of that run
    latest: bool  # whether the suite's own page is about it


def find(name: str, out: Path) -> Revision:
    """Return the results that a name refers to.

    Raises:
        UsageError: The suite has no such run.
        RecordError: There are no results.
    """
    folder, base = os.path.split(name.rstrip(os.sep))
    stem, sign, which = _split_name(base)
    # A folder in the name holds results, unless the name is the path of a suite's file.
    root = Path(folder) if folder and not stem.endswith(".yaml") else out
    suite = stem.removesuffix(".yaml")
    if suite in {"", ".", ".."}:
        raise UsageError(f"{name!r} names no suite.")
    store = Store(root, suite)
    if not sign:
        return Revision(name, suite, store, latest=True)
    runs = store.revisions()
    run = _steps_back(runs, name, which) if sign == "~" else _started_by(runs, name, which)
    if run is None:
        why = "there are not that many runs" if sign == "~" else f"no run started by {which}"
        lines = "".join(f"\n    {line}" for line in _lines(runs, name.removesuffix(sign + which)))
        raise UsageError(f"{name}: {why}. Available runs:{lines}")
    return Revision(name, f"{suite}{sign}{which}", store.at(run), latest=False)


def find_all(names: Sequence[str], out: Path) -> dict[str, Revision]:
    """Return the results that several names refer to, by their labels on a page.

    Raises:
        UsageError: A suite has no such run, or two names refer to one run.
        RecordError: There are no results.
    """
    revisions = [find(name, out) for name in names]
    for number, revision in enumerate(revisions):
        for other in revisions[:number]:
            if _same(revision, other):
                raise UsageError(
                    f"{other.name} and {revision.name} are the same run, "
                    f"of {revision.store.run().started[:19]}. Name each run once."
                )
    return dict(zip(_labels(revisions), revisions, strict=True))


def page_path(out: Path, labels: Sequence[str], *, folder: bool = False) -> Path:
    """Return the path of the page about several results, or of its folder."""
    name = "+".join(re.sub(r"[^\w.~@-]+", "-", label).strip("-") for label in labels)
    return out / f"{name[:200]}{'' if folder else '.html'}"  # file systems allow 255 bytes


def _split_name(base: str) -> tuple[str, str, str]:
    match = re.fullmatch(r"(.+)([~@])(.*)", base)
    return (match[1], match[2], match[3]) if match else (base, "", "")


def _steps_back(runs: Sequence[Run], name: str, which: str) -> Run | None:
    if not re.fullmatch("[0-9]+", which):
        raise UsageError(f"{name}: ~ needs the number of runs to go back, as in suite~1.")
    back = int(which)
    return runs[-1 - back] if back < len(runs) else None


def _started_by(runs: Sequence[Run], name: str, which: str) -> Run | None:
    if re.sub("[0-9]", "0", which) not in TIME_FORMATS:
        raise UsageError(
            f"{name}: @ needs a day, as in suite@2026-11-20, or another part of a time "
            "like 2026-11-20T18:30:00, in UTC."
        )
    return next((run for run in reversed(runs) if run.started[: len(which)] <= which), None)


def _lines(runs: Sequence[Run], name: str) -> Iterator[str]:
    names = [f"{name}~{back}" if back else name for back in range(len(runs))]
    for short, run in zip(names, reversed(runs), strict=True):
        yield f"{short:{len(names[-1])}}  {name}@{run.started[:19]}"


def _labels(revisions: Sequence[Revision]) -> list[str]:
    """Return labels that are distinct, each with as little of its folder as needed."""
    labels = [revision.label for revision in revisions]
    folders = [Path(revision.name).parts[:-1] for revision in revisions]
    for depth in range(1, 1 + max(map(len, folders))):
        longer = [
            Path(*folder[-depth:], revision.label)
            for folder, revision in zip(folders, revisions, strict=True)
        ]
        labels = [
            short if labels.count(short) == 1 else long.as_posix()
            for short, long in zip(labels, longer, strict=True)
        ]
    return labels


def _same(one: Revision, other: Revision) -> bool:
    same_folder = one.store.root.resolve() == other.store.root.resolve()
    return same_folder and one.store.run().aim == other.store.run().aim
