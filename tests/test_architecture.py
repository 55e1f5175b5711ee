"""Who may import whom (DESIGN, section 3), read off the source."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = [p for part in ("harness", "methods", "reports") for p in (ROOT / part).rglob("*.py")]


def imports(path: Path) -> set[str]:
    """Return the modules of ours that a file imports, at its top or inside a function."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return {
        name for name in found if name.split(".")[0] in {"harness", "methods", "reports", "suites"}
    }


def within(names: set[str], *allowed: str) -> bool:
    return all(
        any(n == a or n.startswith(f"{a}.") or a.startswith(f"{n}.") for a in allowed)
        for n in names
    )


@pytest.mark.parametrize(
    "path", [p for p in FILES if p.parts[-2] == "methods"], ids=lambda p: p.stem
)
def test_methods_know_contracts_and_nothing_of_the_bench(path: Path) -> None:
    allowed = ("harness.protocols", "harness.records", "harness.registry", "harness.errors",
               "harness.weights", "methods")  # fmt: skip
    assert within(imports(path), *allowed), imports(path)


@pytest.mark.parametrize("path", [p for p in FILES if "reports" in p.parts], ids=lambda p: p.stem)
def test_reports_know_records_and_the_store(path: Path) -> None:
    allowed = (
        "harness.records",
        "harness.store",
        "harness.errors",
        "harness.redaction",
        "harness.results",
        "harness.claims",
        "reports",
    )
    assert within(imports(path), *allowed), imports(path)


@pytest.mark.parametrize(
    ("module", "allowed"),
    [
        ("errors", ("harness.protocols",)),  # for a type alone
        ("records", ()),
        ("protocols", ("harness.records",)),
        ("streams", ()),
        ("findings", ()),
        ("form", ()),
        ("plugins", ("harness.form", "harness.streams")),
        ("registry", ("harness.errors", "harness.form", "harness.plugins")),
        ("disk", ("harness.errors",)),
        ("store", ("harness.disk", "harness.errors", "harness.records")),
        ("rubbish", ("harness.disk", "harness.errors", "harness.records", "harness.store")),
        ("remembered", ()),
        ("mlflow_draft", ()),
        ("mlflow_views", ("harness.records",)),
        ("mlflow_ui", ("harness.errors", "harness.mlflow_views")),
        ("redaction", ()),
        ("progress", ()),
        ("mlflow_client", ("harness.errors",)),
        ("mlflow_kept", ()),
        ("mlflow_artifacts", ("harness.errors",)),
        ("tracking", ("harness.records", "harness.store", "harness.environment",
                      "harness.errors", "harness.redaction", "harness.mlflow_draft",
                      "harness.mlflow_client", "harness.mlflow_kept", "harness.mlflow_artifacts",
                      "harness.mlflow_views")),
        ("vetting", ("harness.errors", "harness.images", "harness.records", "harness.snapshots",
                     "harness.store")),
        ("mlflow_pull", ("harness.errors", "harness.progress", "harness.records", "harness.store",
                         "harness.mlflow_artifacts", "harness.mlflow_client", "harness.mlflow_kept",
                         "harness.tracking", "harness.vetting")),
        ("mlflow_mirror", ("harness.errors", "harness.records", "harness.store",
                           "harness.tracking")),
        ("plan", ("harness.errors", "harness.records", "harness.registry", "harness.suite",
                  "harness.downloads", "harness.encoders", "harness.images")),
    ],
)  # fmt: skip
def test_the_stages_point_one_way(module: str, allowed: tuple[str, ...]) -> None:
    assert within(imports(ROOT / "harness" / f"{module}.py"), *allowed, "harness.__none__")


def test_only_the_command_line_sees_everything() -> None:
    for path in FILES:
        if path.name != "cli.py":
            assert not any(n.startswith("harness.cli") for n in imports(path)), path
        if path.parts[-2] == "harness" and path.name != "cli.py":
            assert not any(n.startswith("reports") for n in imports(path)), path


@pytest.mark.parametrize("module", ["reports.page", "harness.cli", "harness.plan", "methods.gatys"])
def test_what_must_start_in_a_blink_does_not_load_torch(module: str) -> None:
    code = f"import sys, {module}; sys.exit('torch' in sys.modules or 'mlflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
