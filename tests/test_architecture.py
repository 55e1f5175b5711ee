"""Which package may import which, read off the source of every module."""

from __future__ import annotations

import ast
import subprocess
import sys
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("harness", "methods", "reports", "suites")

FLOORS: tuple[tuple[str, ...], ...] = (
    ("harness.records",),
    ("harness.protocols",),
    ("harness.errors",),
    ("harness.filesystem",),
    ("harness.registry", "suites"),
    ("harness.resources", "harness.store"),
    ("harness.encoders", "harness.analysis"),
    ("harness.suite", "harness.metrics", "methods", "reports"),
    ("harness.plan", "harness.conformance"),
    ("harness.execution", "harness.tracking"),
    ("harness.cli",),
)
"""From the ground up: a package imports from lower floors only."""

CONTRACTS = {"harness.protocols", "harness.records", "harness.registry", "harness.errors",
             "harness.resources.weights", "methods"}  # fmt: skip
"""What a method may use: the same that a package of somebody else's would."""

MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for package in PACKAGES
    for path in sorted((ROOT / package).rglob("*.py"))
}


@cache
def imports(module: str) -> set[str]:
    """Return the modules of ours that a module imports, at its top or inside a function."""
    found = set()
    for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in MODULES else node.module for name in names}
    return found & MODULES.keys()


def package_of(module: str) -> str:
    """Return the package of a module; `harness` has one for each of its folders and files."""
    parts = module.split(".")
    return ".".join(parts[: 2 if parts[0] == "harness" else 1])


FLOOR = {package: height for height, floor in enumerate(FLOORS) for package in floor}


@pytest.mark.parametrize("module", MODULES)
def test_packages_import_from_lower_floors(module: str) -> None:
    package = package_of(module)
    if package == "harness":
        return  # the face, which imports nothing
    others = {package_of(name) for name in imports(module)} - {package, "harness"}
    assert {name for name in others if FLOOR[name] >= FLOOR[package]} == set()


def test_no_modules_import_one_another_in_a_circle() -> None:
    graph = {module: imports(module) - {module} for module in MODULES}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


@pytest.mark.parametrize("module", [name for name in MODULES if package_of(name) == "methods"])
def test_methods_know_contracts_and_nothing_of_the_harness(module: str) -> None:
    assert {
        name
        for name in imports(module)
        if not any(name == known or name.startswith(f"{known}.") for known in CONTRACTS)
    } == set()


@pytest.mark.parametrize(
    "module", ["reports.page", "harness.cli.main", "harness.plan.expand", "methods.gatys"]
)
def test_what_must_start_in_a_blink_does_not_load_torch(module: str) -> None:
    code = f"import sys, {module}; sys.exit('torch' in sys.modules or 'mlflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
