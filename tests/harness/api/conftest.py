"""One small suite that `nstbench.run` has run, for all tests of this folder."""

from __future__ import annotations

from pathlib import Path

import pytest

import nstbench
from nstbench import Results
from tests.helpers.small_suite import small_suite

METHODS = (
    "{identity: , gatys: {params: {iterations: 2}, axes: {optimizer: [lbfgs, adam]}}, "
    "absent: {use: gatys, encoder: vgg19}}"
)
CLAIM = (
    'claims: {C1: {statement: "L-BFGS keeps more.", method: gatys, factor: optimizer, '
    "levels: [adam, lbfgs], metric: ssim, predicts: higher}}"
)
SUITE = small_suite("s", METHODS, "metrics: [lpips, gamut]", "repeats: 1", CLAIM).replace(
    "{coffee: {builtin: coffee}}", "{coffee: {builtin: coffee}, chelsea: {builtin: chelsea}}"
)
METRICS = ["ssim", "lpips", "content_loss", "style_loss", "noise_sigma", "gamut"]


@pytest.fixture(scope="package")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """Its results; `absent` is skipped, because there are no weights."""
    folder = tmp_path_factory.mktemp("api")
    (folder / "s.yaml").write_text(SUITE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NSTBENCH_CACHE", str(folder / "cache"))
        patch.setenv("TORCH_HOME", str(folder / "cache"))
        return nstbench.run(
            folder / "s.yaml", metrics=METRICS, out=folder / "runs", offline=True, mlflow=False,
            quiet=True,
        )  # fmt: skip


@pytest.fixture
def suite_file(tmp_path: Path) -> Path:
    """The file of the smallest suite."""
    path = tmp_path / "s.yaml"
    path.write_text(small_suite("s", "{identity: }", "metrics: [ssim]"))
    return path
