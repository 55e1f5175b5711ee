"""Check the imports between packages in the source of every module."""

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
    ("harness.registry", "harness.programs", "suites"),
    ("harness.resources", "harness.store"),
    ("harness.encoders", "harness.analysis"),
    ("harness.suite", "harness.metrics", "methods", "reports"),
    ("harness.plan", "harness.conformance"),
    ("harness.execution", "harness.tracking"),
    ("harness.api",),
    ("harness.cli",),
)
"""From the ground up: a package imports from lower floors only."""

CONTRACTS = {"harness.protocols", "harness.records", "harness.registry", "harness.errors",
             "harness.programs", "harness.resources.images", "harness.resources.weights",
             "methods"}  # fmt: skip
"""What a method may import: the same as a method of another package."""

MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for package in PACKAGES
    for path in sorted((ROOT / package).rglob("*.py"))
}


@cache
def imports(module: str) -> set[str]:
    """Return the modules of this repository that a module imports, at its top or in a function."""
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
        return  # an empty package file
    others = {package_of(name) for name in imports(module)} - {package, "harness"}
    assert {name for name in others if FLOOR[name] >= FLOOR[package]} == set()


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph = {module: imports(module) - {module} for module in MODULES}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


@pytest.mark.parametrize("module", [name for name in MODULES if package_of(name) == "methods"])
def test_methods_import_only_the_shared_vocabulary(module: str) -> None:
    assert {
        name
        for name in imports(module)
        if not any(name == allowed or name.startswith(f"{allowed}.") for allowed in CONTRACTS)
    } == set()


@pytest.mark.parametrize(
    "module", ["reports.page", "harness.cli.main", "harness.plan.expand", "methods.gatys"]
)
def test_commands_that_need_no_torch_do_not_import_it(module: str) -> None:
    code = f"import sys, {module}; sys.exit('torch' in sys.modules or 'mlflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
