"""Find stored fits by id, in all suites of a folder of results."""

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
    """A fitted method in the folder `<out>/<suite>/fits/<id>/`."""

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


def find(spec: str, out: Path) -> StoredFit:
    """Return a stored fit.

    Args:
        spec: Its id or the first digits of it, its folder, or its file of tensors.
        out: The folder of all results.

    Raises:
        UsageError: There is no such fit, or several.
    """
    for path in (Path(spec), Path(spec) / MODEL):
        if os.path.isfile(path):  # noqa: PTH113 - Path.is_file raises for a name too long
            return StoredFit(path.absolute())
    fits = {path.parent.name: StoredFit(path.absolute())
            for path in sorted(out.glob(f"*/fits/[!.]*/{MODEL}"))}  # fmt: skip
    found = [fit for name, fit in fits.items() if spec and name.startswith(spec)]
    if len(found) == 1:
        return found[0]
    if found:
        names = listed(fit.id for fit in found)
        raise UsageError(f"--fit {spec}: several fits start with it: {names}. Add digits.")
    known = f"The fits in {out} are {listed(fits)}." if fits else f"{out} has no fits."
    raise UsageError(
        f"--fit {spec}: there is no such fit, folder or file. {known}{nearest(spec, fits)} A run "
        "of a suite with `johnson` stores its networks there; --runs DIR names another folder."
    )
