"""How the command line names results: a suite, a moment of it, a folder.

artists               the latest run of the suite, in `--out`
artists~1             the run before it
artists@2026-11-20    the last run that began by the end of that day, UTC; a month will do, or
                      a day with hours, minutes and seconds, as in 2026-11-20T18:30
old-runs/artists      a folder of results somewhere else; with ~ or @ as well
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
WHOLE = {TIME[:length] for length in (4, 7, 10, 13, 16, 19, 25)}
"""What stands behind an @, with a 0 for each digit: a year, a month, a day ..."""


@dataclass(frozen=True)
class Moment:
    """Results that were asked for."""

    name: str  # as it was asked for
    label: str  # without its folder
    store: Store  # as of then
    latest: bool  # whether it is what the suite's own page is about


def find(name: str, out: Path) -> Moment:
    """Return the results that a name stands for.

    Raises:
        UsageError: There is no such moment.
        RecordError: There are no results.
    """
    folder, base = os.path.split(name.rstrip(os.sep))
    stem, sign, which = _parted(base)
    # With a folder it is one of results, but for the file of a suite.
    root = Path(folder) if folder and not stem.endswith(".yaml") else out
    suite = stem.removesuffix(".yaml")
    if suite in {"", ".", ".."}:
        raise UsageError(f"{name!r} names no suite.")
    store = Store(root, suite)
    if not sign:
        return Moment(name, suite, store, latest=True)
    there = store.moments()
    found = _back(there, name, which) if sign == "~" else _by(there, name, which)
    if found is None:
        why = "there are not so many runs" if sign == "~" else f"no run began by {which}"
        lines = "".join(f"\n    {line}" for line in _lines(there, name.removesuffix(sign + which)))
        raise UsageError(f"{name}: {why}. What one can go back to:{lines}")
    return Moment(name, f"{suite}{sign}{which}", store.at(found), latest=False)


def find_all(names: Sequence[str], out: Path) -> dict[str, Moment]:
    """Return the results that several names stand for, by what a page calls them.

    Raises:
        UsageError: There is no such moment, or two names are of one run.
        RecordError: There are no results.
    """
    found = [find(name, out) for name in names]
    for number, one in enumerate(found):
        for other in found[:number]:
            if _same(one, other):
                raise UsageError(
                    f"{other.name} and {one.name} are the same run, "
                    f"of {one.store.run().started[:19]}. Name each once."
                )
    return dict(zip(_labels(found), found, strict=True))


def page_path(out: Path, labels: Sequence[str], *, folder: bool = False) -> Path:
    """Return where the page about several results is, or its folder."""
    name = "+".join(re.sub(r"[^\w.~@-]+", "-", label).strip("-") for label in labels)
    return out / f"{name[:200]}{'' if folder else '.html'}"  # file systems allow 255 bytes


def _parted(base: str) -> tuple[str, str, str]:
    match = re.fullmatch(r"(.+)([~@])(.*)", base)
    return (match[1], match[2], match[3]) if match else (base, "", "")


def _back(there: Sequence[Run], name: str, which: str) -> Run | None:
    if not re.fullmatch("[0-9]+", which):
        raise UsageError(f"{name}: behind ~ stands by how many runs to go back, as in suite~1.")
    back = int(which)
    return there[-1 - back] if back < len(there) else None


def _by(there: Sequence[Run], name: str, which: str) -> Run | None:
    if re.sub("[0-9]", "0", which) not in WHOLE:
        raise UsageError(
            f"{name}: behind @ stands a day, as in suite@2026-11-20, or another part of a time "
            "like 2026-11-20T18:30:00, in UTC."
        )
    return next((run for run in reversed(there) if run.started[: len(which)] <= which), None)


def _lines(there: Sequence[Run], name: str) -> Iterator[str]:
    names = [f"{name}~{back}" if back else name for back in range(len(there))]
    for one, run in zip(names, reversed(there), strict=True):
        yield f"{one:{len(names[-1])}}  {name}@{run.started[:19]}"


def _labels(found: Sequence[Moment]) -> list[str]:
    """Return labels that tell the results apart, with as much of their folders as it takes."""
    labels = [moment.label for moment in found]
    folders = [Path(moment.name).parts[:-1] for moment in found]
    for depth in range(1, 1 + max(map(len, folders))):
        longer = [Path(*folder[-depth:], m.label) for folder, m in zip(folders, found, strict=True)]
        labels = [
            short if labels.count(short) == 1 else long.as_posix()
            for short, long in zip(labels, longer, strict=True)
        ]
    return labels


def _same(one: Moment, other: Moment) -> bool:
    same_folder = one.store.root.resolve() == other.store.root.resolve()
    return same_folder and one.store.run().aim == other.store.run().aim
