"""Everything that can go wrong through no fault of nstbench, as one tree.

NstbenchError
├── UsageError              a command line that cannot be right
├── SuiteError              one or more mistakes in a suite, each with its place
├── UnknownNameError        a method, metric, encoder, layer ... that does not exist
├── DuplicateNameError      two things registered under one name
├── SourceError             an image or weights that cannot be had, or are not what they should be
│   ├── AbsentError         the server is there, the file is not
│   ├── HashError           other bytes than were pinned: never replaced by something else
│   ├── ImageError
│   └── WeightsError
│       └── MissingWeightsError
├── RecordError             a stored record that cannot be read
├── TooLargeError           a cell that cannot fit into memory, with the numbers
├── WorkerError             the process that cells run in does not start
├── StoreError              a folder that cannot be written: its disk is full, read-only, gone ...
├── TrackingError           MLflow cannot be reached or refuses
└── Diverged                a method's numbers stopped being finite; carries the last finite image

The command line prints these plainly and ends with 2. Anything else is a bug of nstbench and keeps
its traceback.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.protocols import Image


_UNPRINTABLE = re.compile(r"[^\t\n -~\xa0-\ud7ff\ue000-\U0010ffff]")


class NstbenchError(Exception):
    """Base of the tree: the message is written for the user."""

    def __str__(self) -> str:
        """Return the message, without what a terminal would obey: servers have a say in some."""
        return _UNPRINTABLE.sub("?", super().__str__())


class UsageError(NstbenchError):
    """A command line that cannot be right."""


@dataclass(frozen=True)
class Problem:
    """One mistake in a suite, and where it stands (`file:line:column`, or the option's text)."""

    where: str
    what: str
    excerpt: str = ""  # the source line with a caret under the value

    def __str__(self) -> str:
        return f"{self.where}: {self.what}" + (f"\n{self.excerpt}" if self.excerpt else "")


MAX_PROBLEMS = 100
"""With so many mistakes, telling more would help nobody."""


class SuiteError(NstbenchError):
    """All the mistakes of a suite in one go, up to `MAX_PROBLEMS`."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(itertools.islice(problems, MAX_PROBLEMS))
        lines = [str(problem) for problem in self.problems]
        if len(lines) == MAX_PROBLEMS:
            lines.append(f"Only the first {MAX_PROBLEMS} mistakes are listed; there may be more.")
        super().__init__("\n".join(lines))


class Problems(list[Problem]):
    """The mistakes found so far; at `MAX_PROBLEMS` the search for more ends."""

    def append(self, problem: Problem) -> None:
        """Take in one more.

        Raises:
            SuiteError: These are enough.
        """
        super().append(problem)
        if len(self) >= MAX_PROBLEMS:
            raise SuiteError(self)


class UnknownNameError(NstbenchError):
    """A name that does not exist, with the nearest that does."""


class DuplicateNameError(NstbenchError):
    """Two things registered under one name."""


class SourceError(NstbenchError):
    """An image or weights that cannot be had, or are not what they should be."""


class AbsentError(SourceError):
    """The server is there, the file is not."""


class HashError(SourceError):
    """Other bytes than were pinned: nothing stands in for them, somebody has to look."""


class ImageError(SourceError):
    """An image that cannot be had or read."""


class WeightsError(SourceError):
    """Pretrained weights that cannot be had, cannot be read, or do not fit."""


class MissingWeightsError(WeightsError):
    """Pretrained weights that are nowhere to be had: something may stand in for them."""


class RecordError(NstbenchError):
    """A stored record that cannot be read."""


class TooLargeError(NstbenchError):
    """A cell that cannot fit into memory, with the numbers."""


class WorkerError(NstbenchError):
    """The process that cells run in does not start; the message has what it said."""


class StoreError(NstbenchError):
    """A folder that cannot be written: its disk is full, can only be read, is gone, or in use."""


class TrackingError(NstbenchError):
    """MLflow cannot be reached or refuses."""


class Diverged(NstbenchError):  # noqa: N818 - the field's own word for it
    """A method's numbers stopped being finite at `index`; `image` is the last finite one."""

    def __init__(self, index: int, image: Image | None) -> None:
        self.index, self.image = index, image
        super().__init__(f"The loss stopped being finite at step {index}.")

    def __reduce__(self) -> tuple[type[Diverged], tuple[int, Image | None]]:
        return type(self), (self.index, self.image)


SHOWN = 60
"""Characters of a value that a message shows."""

LISTED, SEARCHED = 100, 1000
"""Names that a message lists, and among which it looks for the nearest."""


def nearest(name: str, names: Iterable[str]) -> str:
    """Return ` Did you mean 'x'?` for the nearest of `names`, or nothing."""
    near = get_close_matches(name[:SHOWN], list(itertools.islice(names, SEARCHED)), n=1)
    return f" Did you mean {near[0]!r}?" if near else ""


def quoted(value: object) -> str:
    """Return a value as Python writes it, cut where it is long."""
    text = repr(value[: SHOWN + 1] if isinstance(value, str) else value)
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}..."


def listed(names: Iterable[object]) -> str:
    """Return names with commas between, and how many more there are where they are many."""
    texts = [str(name) for name in names]
    more = f", and {len(texts) - LISTED:,} more" if len(texts) > LISTED else ""
    return ", ".join(texts[:LISTED]) + more
