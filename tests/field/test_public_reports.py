"""Inputs of public bug reports of other projects, each with its address."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from harness import encoders
from harness.errors import WeightsError
from harness.records import Record
from harness.resources.downloads import Network
from harness.resources.weights import WeightsStore
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
    records = Store(folder / "runs", "reports").all_records()
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


def vgg19(prefix: str = "features.") -> dict[str, torch.Tensor]:
    """Return tensors of the first two convolutions of VGG-19."""
    generator = torch.Generator().manual_seed(0)
    shapes = {"0": (64, 3, 3, 3), "2": (64, 64, 3, 3)}
    weights = {
        f"{prefix}{k}.weight": torch.randn(s, generator=generator) for k, s in shapes.items()
    }
    return weights | {f"{prefix}{k}.bias": torch.zeros(64) for k in shapes}


def layers_of(name: str, path: Path) -> tuple[str, ...]:
    use, _ = encoders.find(name, WeightsStore(Network(offline=True), {name: path}))
    return use.layers


@pytest.mark.parametrize(
    "prefix",
    [
        "features.",
        "module.features.",  # saved from DataParallel
        "",  # github.com/EnchanterXiao/video-style-transfer/issues/2: of `features` alone
    ],
)
def test_weights_load_under_every_usual_prefix(tmp_path: Path, prefix: str) -> None:
    torch.save(vgg19(prefix), tmp_path / "vgg19.pth")
    assert "relu1_2" in layers_of("vgg19", tmp_path / "vgg19.pth")


def test_classifiers_of_other_layouts_are_ignored(tmp_path: Path) -> None:
    """github.com/ProGamerGov/neural-style-pt/issues/5: `classifier.1` for `classifier.0`."""
    torch.save(vgg19() | {"classifier.1.weight": torch.zeros(1)}, tmp_path / "vgg19.pth")
    assert "relu1_2" in layers_of("vgg19", tmp_path / "vgg19.pth")


@pytest.mark.parametrize(
    ("name", "tensors", "reason"),
    [
        # github.com/zsyOAOA/InvSR/issues/47: the networks of LPIPS
        ("vgg16", vgg19("net.slice1."), "features.0.weight is missing. The file has net.slice1.0"),
        # github.com/creotiv/hdrnet-pytorch/issues/8: VGG with batch normalisation
        (
            "vgg19",
            vgg19() | {"features.1.running_mean": torch.zeros(64)},
            "contains weights of another network: vgg19 has no features.1.running_mean",
        ),
        # VGG-19 given as VGG-16, whose first seven convolutions have the same names and shapes
        (
            "vgg16",
            vgg19() | {"features.16.weight": torch.zeros(256, 256, 3, 3)},
            "contains weights of another network: vgg16 has no features.16.weight",
        ),
    ],
)
def test_weights_of_another_network_are_rejected(
    tmp_path: Path, name: str, tensors: dict[str, torch.Tensor], reason: str
) -> None:
    torch.save(tensors, tmp_path / "weights.pth")
    with pytest.raises(WeightsError, match=re.escape(reason)):
        layers_of(name, tmp_path / "weights.pth")


@pytest.mark.parametrize("key", [0, ""])
def test_tensors_without_usable_names_are_rejected(tmp_path: Path, key: object) -> None:
    torch.save({key: torch.zeros(1)}, tmp_path / "weights.pth")
    with pytest.raises(WeightsError, match="does not contain"):
        layers_of("vgg19", tmp_path / "weights.pth")


def test_files_of_other_frameworks_are_named(tmp_path: Path) -> None:
    """github.com/jcjohnson/neural-style/issues/149 uses vgg_normalised.caffemodel."""
    (tmp_path / "vgg_normalised.caffemodel").write_bytes(b"\n\x05VGG19")
    with pytest.raises(WeightsError, match=r"is a file of Caffe\. Convert it to a state_dict"):
        layers_of("vgg19", tmp_path / "vgg_normalised.caffemodel")
