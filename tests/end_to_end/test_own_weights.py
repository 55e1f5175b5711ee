"""A plug-in with weights of its own: the example of docs/methods.md, installed as a package."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from tests.helpers import fake_packages
from tests.helpers.command_line import ROOT, nstbench

(EXAMPLE,) = re.findall(
    r"```python\n(# my_package/.*?)```",
    (ROOT / "docs" / "methods.md").read_text(encoding="utf-8"),
    re.DOTALL,
)
COLORS = """\
version: 1
name: colors
encoder: random
sizes: [64]
metrics: [ssim]
contents: {cat: {builtin: chelsea}}
styles: {brick: {builtin: brick}}
methods: {color_matrix: }
"""


def _package_with_weights(site: Path, code: str) -> Path:
    """Install the example of docs/methods.md as a package; return the file of its weights."""
    fake_packages.install(
        site, "color_matrix", None, entry="my_package.color_matrix", distribution="my_package"
    )
    package = site / "my_package"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "color_matrix.py").write_text(code, encoding="utf-8")
    return package / "color_matrix.safetensors"


def _plan(suite: Path, out: Path, env: dict[str, str]) -> Any:
    done = nstbench("plan", suite, "--out", out, "--offline", "--json", env=env)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_example_of_a_method_with_weights_runs_again_after_they_have_changed(
    tmp_path: Path,
) -> None:
    weights, env = _package_with_weights(tmp_path, EXAMPLE), fake_packages.path(tmp_path)
    save_file({"matrix": torch.eye(3)}, weights)
    suite, out = tmp_path / "colors.yaml", tmp_path / "runs"
    suite.write_text(COLORS, encoding="utf-8")
    done = nstbench("run", suite, "--out", out, "--offline", "--no-mlflow", env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [cell["action"] for cell in _plan(suite, out, env)["cells"]] == ["reuse"]
    save_file({"matrix": torch.eye(3).flip(0)}, weights)
    plan = _plan(suite, out, env)
    assert [cell["action"] for cell in plan["cells"]] == ["run"]
    assert not any("files" in warning for warning in plan["warnings"])
    done = nstbench("check", "color_matrix", env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    weights.unlink()
    done = nstbench("plan", suite, "--out", out, "--offline", env=env)
    assert done.returncode == 2
    assert "weights: there is no file" in done.stderr


def test_weights_that_the_example_would_not_name_are_reported(tmp_path: Path) -> None:
    code = re.sub(r"    @property\n.*?\n\n(?=    def fit)", "", EXAMPLE, flags=re.DOTALL)
    code = code.replace('self.files["weights"]', "WEIGHTS")
    weights, env = _package_with_weights(tmp_path, code), fake_packages.path(tmp_path)
    save_file({"matrix": torch.eye(3)}, weights)
    suite = tmp_path / "colors.yaml"
    suite.write_text(COLORS, encoding="utf-8")
    warnings = " ".join(_plan(suite, tmp_path / "runs", env)["warnings"])
    assert "color_matrix: its package contains color_matrix.safetensors, but the" in warnings
    done = nstbench("check", "color_matrix", env=env)
    assert done.returncode != 0
    assert f"it reads {weights}, without naming it in `files`" in done.stdout
