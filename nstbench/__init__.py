"""The public interface: run suites, read results, write methods; `python -m nstbench` is the CLI.

Its names are imported when they are used, so that packages of the same names as those of nstbench
in the working folder lead to a message.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.api.results import Results, load
    from harness.api.runs import run
    from harness.api.score import score
    from harness.errors import Diverged, NstbenchError
    from harness.protocols import (
        Batches,
        Checkpoints,
        Context,
        Encoder,
        Image,
        Method,
        Metric,
        Objective,
        Scale,
        Step,
        Stylizer,
        SupportsBatches,
        SupportsExport,
        SupportsModule,
        SupportsNames,
        SupportsObjective,
        SupportsTiles,
        Unavailable,
    )
    from harness.records import Cell, Record, Score
    from harness.registry import FOUND, METHODS, METRICS

__all__ = [
    "FOUND", "METHODS", "METRICS", "Batches", "Cell", "Checkpoints", "Context", "Diverged",
    "Encoder", "Image", "Method", "Metric", "NstbenchError", "Objective", "Record", "Results",
    "Scale", "Score", "Step", "Stylizer", "SupportsBatches", "SupportsExport", "SupportsModule",
    "SupportsNames", "SupportsObjective", "SupportsTiles", "Unavailable", "load", "run", "score",
]  # fmt: skip

_PACKAGES = ("harness", "methods", "reports", "suites")
_HOMES = {
    "Results": "harness.api.results",
    "load": "harness.api.results",
    "run": "harness.api.runs",
    "score": "harness.api.score",
}
_MODULES = ("harness.errors", "harness.protocols", "harness.records", "harness.registry")
"""Where the other names are."""


def main() -> None:
    """Run the command line."""
    if problem := _foreign_packages():
        print(problem, file=sys.stderr)
        sys.exit(2)
    from harness.cli.main import main as run

    run(prog_name="nstbench")  # also for `python -m nstbench`


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'nstbench' has no attribute {name!r}")
    if problem := _foreign_packages():
        raise ImportError(problem)
    homes = [_HOMES[name]] if name in _HOMES else _MODULES
    modules = map(importlib.import_module, homes)
    globals()[name] = next(getattr(one, name) for one in modules if hasattr(one, name))
    return globals()[name]


def __dir__() -> list[str]:
    return __all__


def _foreign_packages() -> str:
    """Return a message if Python imports a package of nstbench from another folder."""
    own = Path(__file__).resolve().parents[1]
    found = {
        name: folder for name in _PACKAGES if (folder := _folder(name)) not in (own / name, None)
    }
    if not found:
        return ""
    places = " and ".join(f"{name} from {folder}" for name, folder in found.items())
    return (
        f"Python imports {places}, but nstbench requires its own packages from {own}. The working "
        "folder (with `python -m`) or a folder of PYTHONPATH has packages of the same names. Run "
        "`nstbench` in place of `python -m nstbench`, run it in another folder, remove the folder "
        "from PYTHONPATH, or rename its packages."
    )


def _folder(package: str) -> Path | None:
    """Return the folder or file that an import of a package would use, or None if unknown."""
    try:
        spec = importlib.util.find_spec(package)
    except ValueError:  # a module without a specification
        return None
    places = [*(spec.submodule_search_locations or ()), spec.origin] if spec else []
    return Path(places[0]).resolve() if places and places[0] else None
