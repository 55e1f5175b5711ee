"""Minimal installed packages: a module and its entry point."""

from __future__ import annotations

import os
from pathlib import Path

from tests.helpers.command_line import ROOT


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
    """Write a module and the metadata of its entry point into a folder.

    Args:
        site: Folder for the module, to be added to PYTHONPATH.
        name: Name of the entry point, and of the module without `entry`.
        code: Source of the module; None writes no module.
        entry: Target of the entry point; by default the module.
        distribution: Name of the package; by default that of the module.
        version: Version of the package.
        group: Group of the entry point.
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
    """Return environment variables that put the folders and this checkout on the path."""
    return {"PYTHONPATH": os.pathsep.join(map(str, (*sites, ROOT)))}
