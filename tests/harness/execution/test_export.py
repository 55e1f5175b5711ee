"""Exported files give the images of the network, or are not written."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from harness.errors import ExportError, NstbenchError, WeightsError
from harness.execution.export import CHECK_SIZES, MAX_DIFFERENCE, StoredNetwork, export
from harness.execution.onnx_files import save_onnx
from tests.helpers.command_line import command
from tests.helpers.stored_fits import store_fit
from tests.methods.test_checkpoint_files import examples_forward
from tests.methods.test_plain_network import STRUCTURES

pytest.importorskip("onnxruntime")


@pytest.mark.slow
@pytest.mark.parametrize("structure", STRUCTURES, ids=lambda one: " ".join(one.values()))
def test_onnx_gives_the_same_images_for_every_structure(
    structure: dict[str, str], tmp_path: Path
) -> None:
    # Without the marker `slow`, the tests of the command and of the method `onnx` export two.
    network = StoredNetwork.load(store_fit(tmp_path, width=0.12, **structure))
    found = dict(export(network, tmp_path / "net.onnx", "onnx"))
    assert len(found) == len(CHECK_SIZES) + 1
    assert max(found.values()) < MAX_DIFFERENCE, found


def test_the_command_finds_a_fit_by_the_start_of_its_id_and_writes_its_recipe(
    tmp_path: Path,
) -> None:
    import onnx

    file, target = (
        store_fit(tmp_path / "runs", width=0.12, interpolation="bilinear"),
        tmp_path / "new" / "net.onnx",
    )
    done = command("export", "0123", "-o", target, "--runs", tmp_path / "runs")
    assert done.exit_code == 0, done.output
    assert f"{file}: johnson as ONNX, opset 18" in done.output
    assert "1025 x 683: differs by" in done.output
    assert f"{target}: 0.3 MB, largest difference" in done.output
    model = onnx.load(target)
    onnx.checker.check_model(model, full_check=True)
    assert [one.version for one in model.opset_import if one.domain in {"", "ai.onnx"}] == [18]
    for value, name in ((model.graph.input[0], "image"), (model.graph.output[0], "stylized")):
        shape = [one.dim_param or one.dim_value for one in value.type.tensor_type.shape.dim]
        assert (value.name, shape) == (name, ["batch", 3, "height", "width"])
    metadata = {one.key: one.value for one in model.metadata_props}
    assert '"width": 0.12' in metadata["nstbench"]
    assert "sRGB in [0, 1]" in metadata["images"]


def test_torchscript_gives_the_same_images_and_has_the_recipe(tmp_path: Path) -> None:
    file, target = store_fit(tmp_path, width=0.12, norm="batch"), tmp_path / "net.pt"
    done = command("export", file, "-o", target)
    assert done.exit_code == 0, done.output
    recipe = {"nstbench.json": ""}
    with pytest.warns(Warning, match=r"torch\.jit\.load"):
        torch.jit.load(target, _extra_files=recipe)
    assert b'"norm": "batch"' in recipe["nstbench.json"]  # type: ignore[operator]


@pytest.mark.parametrize("output", ["linear", "centered"])
def test_a_checkpoint_for_pytorch_examples_gives_the_same_image_in_its_network(
    output: str, tmp_path: Path
) -> None:
    file, target = store_fit(tmp_path, output=output), tmp_path / "net.pth"
    network = StoredNetwork.load(file)
    assert max(dict(export(network, target, "examples", (64,))).values()) < 1e-5
    state = torch.load(target, weights_only=True)
    image = torch.rand(1, 3, 64, 48, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(
        examples_forward(state, image * 255) / 255, network.module(image), atol=1e-4
    )


def test_a_network_that_pytorch_examples_does_not_have_is_refused(tmp_path: Path) -> None:
    file = store_fit(tmp_path, norm="batch", width=0.12)
    done = command("export", file, "-o", tmp_path / "net.pth")
    assert done.exit_code == 2
    assert "norm: batch, width: 0.12; that of pytorch/examples has norm: instance" in done.output
    assert not (tmp_path / "net.pth").exists()


class Unknown(nn.Module):
    """A network with an operation that ONNX lacks."""

    def forward(self, image: Tensor) -> Tensor:
        return image + torch.linalg.eigvalsh(image @ image.transpose(2, 3))[..., None]


def test_an_operation_that_onnx_lacks_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"ONNX cannot represent this network: .*eigh"):
        save_onnx(Unknown(), tmp_path / "net.onnx", {})


@dataclass(frozen=True)
class Wrong:
    """A method whose exported network differs from its stylizer."""

    method: Any

    def module(self, stylizer: Any) -> nn.Module:
        return nn.Sequential(self.method.module(stylizer), nn.Hardtanh(0.4, 0.6))


def test_a_file_that_gives_other_images_is_not_kept(tmp_path: Path) -> None:
    network, target = StoredNetwork.load(store_fit(tmp_path, width=0.12)), tmp_path / "net.x"
    target.write_text("earlier")
    with pytest.raises(ExportError, match=r"net.x differs by .* at 63 x 42 pixels; less than"):
        list(export(replace(network, method=Wrong(network.method)), target, "torchscript"))
    assert target.read_text() == "earlier"
    assert {path.name for path in tmp_path.iterdir()} == {"net.x", "s"}


@pytest.mark.parametrize(
    ("fit", "target", "message"),
    [
        ("77", "net.onnx", "77 is neither a file nor the id of a fit in"),
        ("01", "net.onnx", "Several fits begin with 01: 0123456789ab (a), 01ffffffffff (b)"),
        ("0123", "net.bin", "has none of the suffixes .onnx (onnx), .pt (torchscript), .pth"),
        ("bare.safetensors", "net.onnx", "has no recipe in its metadata"),
    ],
)
def test_mistakes_are_explained(fit: str, target: str, message: str, tmp_path: Path) -> None:
    store_fit(tmp_path, "0123456789ab", "a", width=0.12)
    store_fit(tmp_path, "01ffffffffff", "b", width=0.12)
    save_file({"x": torch.zeros(3)}, tmp_path / "bare.safetensors")
    fit = str(tmp_path / fit) if "bare" in fit else fit
    done = command("export", fit, "-o", tmp_path / target, "--runs", tmp_path)
    assert done.exit_code == 2
    assert message in done.output


def test_missing_packages_are_named_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = store_fit(tmp_path, width=0.12)
    for name in ("onnxruntime", "onnxscript"):
        monkeypatch.setitem(sys.modules, name, None)
    done = command("export", file, "-o", tmp_path / "net.onnx")
    assert done.exit_code == 3
    assert (
        "requires onnxruntime, onnxscript; run: pip install onnxruntime onnxscript" in done.output
    )


def test_a_fit_of_another_version_is_refused(tmp_path: Path) -> None:
    file = store_fit(tmp_path, width=0.12)
    file.write_bytes(file.read_bytes().replace(b'"reflect\\"', b'"mirrors\\"'))
    with pytest.raises(WeightsError, match=r"another version of nstbench: .*padding: 'mirrors'"):
        StoredNetwork.load(file)
    assert issubclass(ExportError, NstbenchError)
