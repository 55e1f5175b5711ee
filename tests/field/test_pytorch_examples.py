"""The script of pytorch/examples stylizes with an exported checkpoint.

NSTBENCH_PYTORCH_EXAMPLES is the root of a checkout of https://github.com/pytorch/examples.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.helpers.command_line import command
from tests.helpers.small_suite import small_suite

CHECKOUT = os.environ.get("NSTBENCH_PYTORCH_EXAMPLES", "")


@pytest.mark.skipif(not CHECKOUT, reason="NSTBENCH_PYTORCH_EXAMPLES is not set")
@pytest.mark.parametrize(
    "preset", ["{params: {steps: 0}}", "{preset: examples, params: {steps: 0}}"]
)
def test_its_picture_equals_that_of_the_suite_to_a_grey_level(preset: str, tmp_path: Path) -> None:
    suite, runs, checkpoint = tmp_path / "s.yaml", tmp_path / "runs", tmp_path / "net.pth"
    suite.write_text(small_suite("s", f"{{johnson: {preset}}}", "precision: float32"))
    more = ["--set", "sizes=[96]", "--device", "cpu", "--offline", "--no-mlflow"]
    done = command("run", suite, "--out", runs, *more)
    assert done.exit_code == 0, done.output
    (fit,) = (runs / "s" / "fits").iterdir()
    done = command("export", fit.name, "-o", checkpoint, "--out", runs)
    assert done.exit_code == 0, done.output
    (content,) = (runs / "s" / "inputs").glob("coffee-*.png")
    (own,) = (runs / "s" / "cells").glob("*/image.png")
    script = Path(CHECKOUT) / "fast_neural_style" / "neural_style" / "neural_style.py"
    target = tmp_path / "theirs.png"
    subprocess.run(
        [sys.executable, script, "eval", "--content-image", content, "--model", checkpoint,
         "--output-image", target],
        check=True, timeout=280,
    )  # fmt: skip
    pictures = [np.asarray(Image.open(path)).astype(int) for path in (own, target)]
    assert pictures[0].shape == pictures[1].shape == (64, 96, 3)
    difference = np.abs(pictures[0] - pictures[1])
    print(f"{preset}: largest {difference.max()}, mean {difference.mean():.2f} grey levels")
    assert difference.max() <= 1  # it cuts the fraction off, where nstbench rounds
