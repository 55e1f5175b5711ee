"""Find the file of a stored fit by what a user writes: an id, the start of one, or a path."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import UsageError, listed, nearest

MODEL = "model.safetensors"


@dataclass(frozen=True)
class StoredFit:
    """A fitted method in the folder `<runs>/<suite>/fits/<id>/`."""

    path: Path  # of the tensors

    @property
    def id(self) -> str:
        """The fit id of its cells."""
        return self.path.parent.name

    def style(self, recipe: Mapping[str, Any]) -> str:
        """Return the name of its style in the suite; its id if the suite has no such image."""
        sha256 = str(recipe.get("style", "")) or "?"
        for path in sorted(self.path.parents[2].glob(f"inputs/*-{sha256[:12]}.png")):
            return re.sub(r"-\d+-[0-9a-f]{12}$", "", path.stem)
        return self.id


def find(text: str, runs: Path) -> StoredFit:
    """Return a stored fit.

    Args:
        text: Its id or the first digits of it, its folder, or its file of tensors.
        runs: The folder of all results, which is searched for ids.

    Raises:
        UsageError: There is no such fit, or several.
    """
    given = Path(text).expanduser()
    for path in (given, given / MODEL):
        if os.path.isfile(path):  # noqa: PTH113 - Path.is_file raises for a name too long
            return StoredFit(path.absolute())
    stored = sorted(runs.glob(f"*/fits/[!.]*/{MODEL}"))
    found = [file for file in stored if text and file.parent.name.startswith(text)]
    ids = {file.parent.name: f"{file.parent.name} ({file.parts[-4]})" for file in found or stored}
    if found and len(ids) == 1:  # several suites may share a fit
        return StoredFit(max(found, key=lambda file: file.stat().st_mtime).absolute())
    if found:
        raise UsageError(f"Several fits begin with {text}: {listed(ids.values())}. Add digits.")
    known = f"The fits there are {listed(ids.values())}." if ids else "It has no fits."
    raise UsageError(
        f"{text} is neither a file nor the id of a fit in {runs}. {known}{nearest(text, ids)} "
        "A run of a suite with `johnson` stores its networks there; --runs DIR names another "
        "folder."
    )
