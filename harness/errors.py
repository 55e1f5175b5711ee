"""Errors that a user can fix, as one tree.

NstbenchError
├── UsageError              an invalid command line
├── SuiteError              mistakes in a suite, each with its position
├── UnknownNameError        an unknown method, metric, encoder, layer ...
├── DuplicateNameError      a name that is registered twice
├── SourceError             an image or weights that are missing, unreadable or wrong
│   ├── AbsentError         the server answers, but does not have the file
│   ├── HashError           a file differs from its pinned hash; no stand-in replaces it
│   ├── ImageError
│   └── WeightsError
│       └── MissingWeightsError
├── RecordError             a stored record that cannot be read
├── ExportError             a network that cannot be exported, or whose export differs
├── TooLargeError           a cell that needs more memory than there is
├── ProgramError            a program of another project that failed
├── WorkerError             a worker process that does not start
├── StoreError              a folder that cannot be written: disk full, read-only, removed ...
├── TrackingError           MLflow is unreachable or rejects a request
└── Diverged                a method's loss is no longer finite; has the last finite image

The command line prints their messages without a traceback and exits with code 2. Any other
exception is a bug of nstbench.
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
    from harness.records import Status


_UNPRINTABLE = re.compile(r"[^\t\n -~\xa0-\ud7ff\ue000-\U0010ffff]")


class NstbenchError(Exception):
    """Base class. The message is written for the user."""

    def __str__(self) -> str:
        """Return the message without control characters: parts of it may come from a server."""
        return _UNPRINTABLE.sub("?", super().__str__())


class UsageError(NstbenchError):
    """An invalid command line."""


@dataclass(frozen=True)
class Problem:
    """One mistake in a suite and its position: `file:line:column`, or the text of an option."""

    where: str
    what: str
    excerpt: str = ""  # the source line with a caret under the value

    def __str__(self) -> str:
        return f"{self.where}: {self.what}" + (f"\n{self.excerpt}" if self.excerpt else "")


MAX_PROBLEMS = 100
"""Mistakes that one error lists."""


class SuiteError(NstbenchError):
    """All mistakes of a suite, up to `MAX_PROBLEMS`."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(itertools.islice(problems, MAX_PROBLEMS))
        lines = [str(problem) for problem in self.problems]
        if len(lines) == MAX_PROBLEMS:
            lines.append(f"Only the first {MAX_PROBLEMS} mistakes are listed; there may be more.")
        super().__init__("\n".join(lines))


class Problems(list[Problem]):
    """A list of mistakes that stops the search at `MAX_PROBLEMS`."""

    def append(self, problem: Problem) -> None:
        """Add a mistake.

        Raises:
            SuiteError: The list has `MAX_PROBLEMS` entries.
        """
        super().append(problem)
        if len(self) >= MAX_PROBLEMS:
            raise SuiteError(self)


class UnknownNameError(NstbenchError):
    """An unknown name; the message suggests the nearest known one."""


class DuplicateNameError(NstbenchError):
    """A name that is registered twice."""


class SourceError(NstbenchError):
    """An image or weights that are missing, unreadable or wrong."""


class AbsentError(SourceError):
    """The server answers, but does not have the file."""


class HashError(SourceError):
    """A file differs from its pinned hash. No stand-in replaces it: the user has to decide."""


class ImageError(SourceError):
    """An image that is missing or unreadable."""


class WeightsError(SourceError):
    """Pretrained weights that are missing, unreadable, or do not fit the network."""


class MissingWeightsError(WeightsError):
    """Pretrained weights that no source has; another encoder may replace them."""


class RecordError(NstbenchError):
    """A stored record that cannot be read."""


class ExportError(NstbenchError):
    """A network that cannot be exported, or whose exported file gives other images."""


class TooLargeError(NstbenchError):
    """A cell that needs more memory than there is; the message has both numbers."""


class ProgramError(NstbenchError):
    """A program of another project that failed; `status` is that of its cell."""

    def __init__(self, message: str, status: Status = "failed") -> None:
        self.status: Status = status
        super().__init__(message)


class WorkerError(NstbenchError):
    """A worker process that does not start; the message has its output."""


class StoreError(NstbenchError):
    """A folder that cannot be written: the disk is full, read-only or removed, or it is in use."""


class TrackingError(NstbenchError):
    """MLflow is unreachable or rejects a request."""


class Diverged(NstbenchError):  # noqa: N818 - the term of the field
    """A method's loss is not finite at step `index`; `image` is the last finite one."""

    def __init__(self, index: int, image: Image | None) -> None:
        self.index, self.image = index, image
        super().__init__(f"The loss stopped being finite at step {index}.")

    def __reduce__(self) -> tuple[type[Diverged], tuple[int, Image | None]]:
        return type(self), (self.index, self.image)


MAX_QUOTED_LENGTH = 60
"""Characters of a value that a message shows."""

MAX_LISTED, MAX_SEARCHED = 100, 1000
"""Names that a message lists, and names that the search for the nearest one reads."""


def nearest(name: str, names: Iterable[str]) -> str:
    """Return ` Did you mean 'x'?` for the nearest of `names`, or nothing."""
    near = get_close_matches(
        name[:MAX_QUOTED_LENGTH], list(itertools.islice(names, MAX_SEARCHED)), n=1
    )
    return f" Did you mean {near[0]!r}?" if near else ""


def quoted(value: object) -> str:
    """Return the `repr` of a value, cut to `MAX_QUOTED_LENGTH` characters."""
    text = repr(value[: MAX_QUOTED_LENGTH + 1] if isinstance(value, str) else value)
    return text if len(text) <= MAX_QUOTED_LENGTH else f"{text[: MAX_QUOTED_LENGTH - 3]}..."


def listed(names: Iterable[object]) -> str:
    """Return names separated by commas; after `MAX_LISTED`, only the number of the rest."""
    texts = [str(name) for name in names]
    more = f", and {len(texts) - MAX_LISTED:,} more" if len(texts) > MAX_LISTED else ""
    return ", ".join(texts[:MAX_LISTED]) + more
