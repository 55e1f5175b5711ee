"""ONNX files as variants of a suite."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from harness.conformance import checks, runner
from harness.errors import WeightsError
from harness.execution.export import StoredNetwork, export
from methods.onnx import Onnx
from tests.helpers.command_line import command
from tests.helpers.small_suite import small_suite
from tests.helpers.stored_fits import store_fit

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a stored fit and its export."""
    folder = tmp_path_factory.mktemp("onnx")
    structure = {"norm": "batch", "upsample": "pixel_shuffle", "padding": "zero"}
    fit = store_fit(folder, width=0.12, output="tanh150", **structure).rename(
        folder / "net.safetensors"
    )
    list(export(StoredNetwork.load(fit), folder / "net.onnx", "onnx", (63,)))
    return folder


def test_an_exported_network_is_a_variant_that_gives_the_image_of_its_fit(
    files: Path, tmp_path: Path
) -> None:
    methods = (
        "{torch: {use: johnson, params: {checkpoint: net.safetensors}}, "
        "onnx: {params: {path: net.onnx}}}"
    )
    suite = files / "s.yaml"
    suite.write_text(small_suite("s", methods, "metrics: [ssim]", "precision: float32"))
    done = command("run", suite, "--out", tmp_path, "--offline", "--no-mlflow", "--device", "cpu")
    assert done.exit_code == 0, done.output
    records = {}
    for path in (tmp_path / "s" / "cells").glob("*/record.json"):
        record = json.loads(path.read_text())
        records[record["cell"]["label"]] = record, np.asarray(Image.open(path.parent / "image.png"))
    (_, expected), (record, image) = records["torch"], records["onnx"]
    assert np.abs(image.astype(int) - expected).max() <= 1
    assert "CPUExecutionProvider" in " ".join(record["notes"])
    assert set(record["cell"]["files"]) == {"path"}


def test_the_method_passes_every_check_on_a_file(files: Path) -> None:
    params = {"path": str(files / "net.onnx")}
    every = {**checks.EVERY_PRESET, **checks.DEFAULTS_ONLY}
    findings = list(runner._check_params("onnx", "onnx", params, every))
    assert len(findings) > 10
    assert [one for one in findings if one.state != "good"] == []


def test_a_suite_without_a_file_and_a_machine_without_onnxruntime_are_explained(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite = files / "t.yaml"
    suite.write_text(small_suite("t", "{onnx: }"))
    done = command("plan", suite, "--out", tmp_path, "--offline")
    assert "methods.onnx: path: give the path of a file." in done.output
    suite.write_text(small_suite("t", "{onnx: {params: {path: net.onnx}}}"))
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    done = command("plan", suite, "--out", tmp_path, "--offline")
    assert "onnxruntime is not installed; run: pip install onnxruntime." in done.output
    assert "1 skipped" in done.output


def test_networks_for_0_to_255_run_as_well(tmp_path: Path, context: Callable[..., Any]) -> None:
    shape = ["n", 3, "h", "w"]
    path = _save(tmp_path, "Min", shape, [100.0])
    image = torch.tensor([0.2, 0.8]).expand(1, 3, 8, 2)
    result = Onnx(path=path, white=255.0).fit(image, context())(image, context())
    assert torch.allclose(result, image.clamp(max=100 / 255))


def test_files_that_do_not_fit_are_refused_with_the_reason(
    tmp_path: Path, context: Callable[..., Any]
) -> None:
    image = torch.rand(1, 3, 8, 8)
    other = tmp_path / "other.onnx"
    other.write_text("not a network")
    with pytest.raises(WeightsError, match=r"other\.onnx cannot be read as ONNX"):
        Onnx(path=str(other)).fit(image, context())
    fixed = Onnx(path=_save(tmp_path, "Min", [1, 3, 224, 224], [1.0]))
    with pytest.raises(WeightsError, match=r"made\.onnx .* \(1, 3, 8, 8\): .*224"):
        fixed.fit(image, context())(image, context())


def _save(folder: Path, operation: str, shape: list[Any], constant: list[float]) -> str:
    """Write a network of one operation with a constant, and return its path."""
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        [helper.make_node(operation, ["x", "c"], ["y"])],
        "net",
        [helper.make_tensor_value_info("x", kind, shape)],
        [helper.make_tensor_value_info("y", kind, shape)],
        [helper.make_tensor("c", kind, [1], constant)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, folder / "made.onnx")
    return str(folder / "made.onnx")
