"""Find a suite by its path or its packaged name, and load it with a profile for the device."""

from __future__ import annotations

import os.path
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import UsageError

if TYPE_CHECKING:
    from harness.execution.prepare import RunOptions
    from harness.suite import Suite


def load_suite(path: Path, profile: str, overrides: Iterable[str], options: RunOptions) -> Suite:
    """Load a suite with the profile that suits the device."""
    from harness import suite as suites
    from harness.suite import yaml_loader

    path = suite_path(path)
    if profile == "auto":
        data, _ = yaml_loader.load(path)
        profiles = data.get("profiles") if isinstance(data, dict) else None
        default = "quick" if options.found_device == "cpu" else "full"
        profile = default if isinstance(profiles, dict) and default in profiles else "none"
    return suites.load(path, "" if profile == "none" else profile, overrides)


def suite_path(path: Path) -> Path:
    """Return the path of a suite file, given its path or the name of a packaged suite.

    Raises:
        UsageError: There is neither such a file nor such a packaged suite.
    """
    import suites as packaged

    paths = {p.stem: p for p in sorted(Path(packaged.__path__[0]).glob("*.yaml"))}
    if os.path.exists(path):  # noqa: PTH110 - Path.exists raises where a name is too long
        return path
    name = path.name.removesuffix(".yaml")
    if name in paths and path.name in {str(path), f"{name}.yaml"}:
        return paths[name]
    raise UsageError(
        f"There is no suite {path}. Pass the path of a suite file or the name of a packaged suite: "
        f"{', '.join(paths)}."
    )
