"""Packages of other people, as far as an import and an entry point can tell."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).parents[2]


def install(
    site: Path,
    name: str,
    code: str | None,
    *,
    entry: str = "",
    distribution: str = "",
    version: str = "1.0",
    group: str = "nstbench.methods",
) -> None:
    """Put a module into a folder, with an entry point that leads to it.

    Args:
        site: To be on the path.
        name: Of the entry point, and of the module unless `entry` says otherwise.
        code: Of the module; None brings no module.
        entry: What the entry point leads to; the module.
        distribution: The package's own name; that of the module.
        version: The package's.
        group: Of the entry point.
    """
    distribution = distribution or name
    info = site / f"{distribution}-{version}.dist-info"
    info.mkdir(parents=True)
    if code is not None:
        module = (entry or name).split(":")[0]
        (site / f"{module}.py").write_text(code, encoding="utf-8")
    head = f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n"
    (info / "METADATA").write_text(head, encoding="utf-8")
    text = f"[{group}]\n{name} = {entry or name}\n"
    (info / "entry_points.txt").write_text(text, encoding="utf-8")


def path(*sites: Path) -> dict[str, str]:
    """Return the environment in which packages are found, and this checkout."""
    return {"PYTHONPATH": os.pathsep.join(map(str, (*sites, ROOT)))}
