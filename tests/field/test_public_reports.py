"""Inputs of public bug reports of other projects, each with its address."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from harness.records import Record
from harness.store import Store
from tests.helpers.command_line import nstbench

SUITE = """
version: 1
name: reports
encoder: random
contents:
  odd: {path: odd.png}
  rgba: {path: rgba.png}
  suffix: {path: jpeg.png}
  truncated: {path: truncated.jpg}
  huge: {path: huge.png}
  text: {path: text.png}
  empty: {path: empty.jpg}
styles:
  rgba: {path: rgba.png}
  grey: {path: grey.png}
  upright: {path: upright.png}
methods:
  identity:
  style_copy:
  johnson: {params: {width: 0.25, steps: 1, batch_size: 1, crop: 32}}
  diverging: {use: johnson, params: {width: 0.25, steps: 30, batch_size: 1, crop: 32, learning_rate: 1.0e+30}}
exclude:
  - {method: diverging, style: grey}
  - {method: diverging, style: upright}
  - {method: johnson, style: upright}
sizes: [53]
metrics: [ssim]
"""  # noqa: E501


def picture(width: int, height: int) -> Image.Image:
    ramp = np.add.outer(np.arange(height) * 3, np.arange(width) * 2) % 256
    return Image.fromarray(np.stack([ramp, ramp[::-1], ramp[:, ::-1]], -1).astype(np.uint8))


def write_files(folder: Path) -> None:
    picture(80, 53).save(folder / "odd.png")
    transparent = picture(80, 60)
    transparent.putalpha(128)
    transparent.save(folder / "rgba.png")
    picture(80, 60).convert("L").save(folder / "grey.png")
    picture(40, 90).save(folder / "upright.png")
    picture(80, 60).save(folder / "jpeg.jpg")
    data = (folder / "jpeg.jpg").read_bytes()
    (folder / "jpeg.png").write_bytes(data)
    (folder / "truncated.jpg").write_bytes(data[:-20])
    Image.new("1", (20_000, 10_000)).save(folder / "huge.png")
    (folder / "text.png").write_text("<html>404 Not Found</html>", encoding="ascii")
    (folder / "empty.jpg").touch()
    (folder / "suite.yaml").write_text(SUITE, encoding="ascii")


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Mapping[str, Record]]:
    """The text of a run with all files, and its records by name."""
    folder = tmp_path_factory.mktemp("reports")
    write_files(folder)
    done = nstbench("run", folder / "suite.yaml", "--no-mlflow", "--out", folder / "runs")
    assert done.returncode == 3, done.stdout + done.stderr
    records = {
        record.cell.name: record for record in Store(folder / "runs", "reports").all_records()
    }
    return done.stdout, {record.cell.name: record for record in records}


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        # github.com/lengstrom/fast-style-transfer/issues/267
        ("truncated.jpg", "image file is truncated"),
        # github.com/linxiaohui/image-service/issues/23: a large image ends the process
        ("huge.png", "has more pixels than the maximum of 64,000,000"),
        # A web page that was saved as an image, and a download without data.
        ("text.png", "cannot be read as an image"),
        ("empty.jpg", "cannot be read as an image"),
    ],
)
def test_an_unreadable_image_skips_its_cells_with_the_reason(
    output: tuple[str, Mapping[str, Record]], file: str, reason: str
) -> None:
    (line,) = (line for line in output[0].splitlines() if f"/{file} " in line)
    assert line.strip().startswith("skipped: ")
    assert reason in line


@pytest.mark.parametrize(
    "name",
    [
        "identity/rgba--rgba/s0",  # github.com/anishathalye/neural-style/issues/53
        "johnson/odd--rgba/s0",  # github.com/pytorch/examples/issues/738: alpha of the style
        "johnson/odd--grey/s0",  # github.com/limingcv/Photorealistic-Style-Transfer/issues/3
        "style_copy/odd--upright/s0",  # github.com/srijarkoroy/ArtiStyle/issues/1: two sizes
        "identity/suffix--rgba/s0",  # a JPEG file with the suffix .png
    ],
)
def test_images_of_any_mode_shape_and_suffix_are_stylized(
    output: tuple[str, Mapping[str, Record]], name: str
) -> None:
    assert output[1][name].status == "done"


def test_networks_keep_sizes_that_are_no_multiple_of_four(
    output: tuple[str, Mapping[str, Record]],
) -> None:
    """github.com/yusuketomoto/chainer-fast-neuralstyle/issues/78: 800 x 528 for 800 x 531."""
    record = output[1]["johnson/odd--rgba/s0"]
    assert (record.width, record.height) == (53, 35)


def test_a_training_that_diverges_is_reported_and_other_cells_run(
    output: tuple[str, Mapping[str, Record]],
) -> None:
    """github.com/lengstrom/fast-style-transfer/issues/40: a loss of NaN gives black images."""
    record = output[1]["diverging/odd--rgba/s0"]
    assert record.status == "diverged"
    assert record.failure is not None
    assert "stopped being finite at step" in record.failure.message
