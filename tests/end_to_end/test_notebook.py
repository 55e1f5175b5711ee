"""The notebook of the documentation: its cells run one after the other, as in Jupyter."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.command_line import ROOT

NOTEBOOKS = sorted((ROOT / "docs" / "examples").glob("*.ipynb"))

DRIVER = """
import ast, json, sys
names = {"__name__": "__main__"}
for number, source in enumerate(json.load(sys.stdin)):
    tree = ast.parse(source)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, f"cell {number}", "exec"), names)
    if last is not None:  # Jupyter shows the value of the last expression
        value = eval(compile(ast.Expression(last.value), f"cell {number}", "eval"), names)
        html = value._repr_html_() if hasattr(value, "_repr_html_") else ""
        print(f"[{number}] {value!r} {len(html)} characters of HTML")
"""


def sources(notebook: Path, kind: str) -> list[str]:
    """Return the cells of a notebook that have a kind."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == kind]


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.name)
def test_the_cells_of_a_notebook_run_in_a_process_of_their_own(
    notebook: Path, tmp_path: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", DRIVER], cwd=tmp_path, capture_output=True, text=True, check=False,
        input=json.dumps(sources(notebook, "code")), timeout=280,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert "<Results of optimizers in runs/optimizers: 6 done>" in done.stdout
    assert "runs/optimizers/report.html" in done.stdout
    assert (tmp_path / "runs" / "optimizers" / "report.html").exists()


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_is_stored_without_outputs(notebook: Path) -> None:
    content = json.loads(notebook.read_text(encoding="utf-8"))
    assert (content["nbformat"], content["nbformat_minor"]) == (4, 5)
    for cell in content["cells"]:
        assert cell.get("outputs", []) == []
        assert cell.get("execution_count") is None
        assert cell["id"]
