"""`nstbench fetch` and `nstbench doctor` report what is present, what is missing and the remedy."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image as Pillow

from harness.cli.main import main
from harness.encoders.architectures import ARCHITECTURES
from harness.resources import weights
from tests.helpers.web_server import Web


def nstbench(*arguments: str | Path, offline: bool = True, **env: str) -> Result:
    environment = {"NSTBENCH_OFFLINE": "1" if offline else "0", **env}
    return CliRunner().invoke(main, list(map(str, arguments)), env=environment)


def by_name(result: Result) -> dict[str, dict[str, Any]]:
    return {entry["name"]: entry for entry in json.loads(result.stdout)}


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def lab(web_server: Web, write_suite: Callable[[str], Path], monkeypatch: Any) -> Path:
    """A suite with a photograph and a painting; a server with the painting and LPIPS weights."""
    buffer = io.BytesIO()
    Pillow.new("RGB", (40, 30), "red").save(buffer, format="PNG")
    web_server.files["wave.png"] = painting = buffer.getvalue()

    network = ARCHITECTURES["squeezenet1_1"].build()
    tensors = {key: torch.zeros(value.shape) for key, value in network.state_dict().items()}
    buffer = io.BytesIO()
    torch.save(tensors, buffer)
    file = f"squeezenet1_1-{sha(buffer.getvalue())[:8]}.pth"
    web_server.files[file] = buffer.getvalue()
    monkeypatch.setitem(weights.TORCHVISION, "squeezenet1_1", (file, 5))
    monkeypatch.setattr(weights, "STORE", f"{web_server.url}/")
    return write_suite(f"""\
version: 1
name: lab
encoder: squeezenet1_1
contents: {{coffee: {{builtin: coffee}}}}
styles:
  wave: {{url: "{web_server.url}/wave.png", sha256: {sha(painting)}, stand_in: great-wave}}
methods: {{identity: }}
sizes: [64]
metrics: [ssim, {{use: lpips, net: squeeze}}]
""")


def test_after_fetch_a_suite_runs_offline_without_warnings(lab: Path) -> None:
    first = by_name(nstbench("fetch", lab, "--json", offline=False))
    assert {name: need["state"] for name, need in first.items()} == {
        "coffee": "present",
        "wave": "fetched", "squeezenet1_1": "fetched",
        "lpips_squeeze": "fetched",
    }  # fmt: skip
    assert Path(first["wave"]["path"]).read_bytes()[:4] == b"\x89PNG"
    again = nstbench("fetch", lab)
    assert again.exit_code == 0, again.output
    assert "fetched" not in again.stdout
    assert again.stdout.count(" present ") == 4
    planned = json.loads(nstbench("plan", lab, "--json").stdout)
    assert planned["warnings"] == []


def test_a_metric_that_uses_the_encoder_itself_is_reported(lab: Path) -> None:
    lab.write_text(lab.read_text().replace("[ssim,", "[ssim, gram_distance,"))
    needs = by_name(nstbench("fetch", lab, "--json", offline=False))
    assert needs["gram_distance"]["state"] == "stand-in"
    said = "no weights but those of squeezenet1_1, the network that the methods minimize."
    assert needs["gram_distance"]["why"] == said
    planned = json.loads(nstbench("plan", lab, "--json").stdout)
    assert planned["warnings"] == [f"gram_distance had {said}"]


def test_fetch_reports_missing_files_and_stand_ins_and_exits_with_3(lab: Path) -> None:
    result = nstbench("fetch", lab, "--json")
    assert result.exit_code == 3
    needs = by_name(result)
    assert needs["wave"]["state"] == "stand-in"
    assert needs["wave"]["origin"] == "great-wave"
    assert needs["squeezenet1_1"]["state"] == "missing"
    assert "--weights squeezenet1_1=PATH" in needs["squeezenet1_1"]["why"]
    shown = nstbench("fetch", lab)
    assert shown.exit_code == 3
    assert "! wave: wave.png cannot be fetched: --offline was given." in shown.stdout


def test_fetch_reports_both_hashes_of_a_wrong_file_and_continues(
    lab: Path, web_server: Web
) -> None:
    expected = sha(web_server.files["wave.png"])
    web_server.files["wave.png"] = b"a login page"
    result = nstbench("fetch", lab, "--json", offline=False)
    assert result.exit_code == 3
    needs = by_name(result)
    assert needs["wave"]["state"] == "missing"
    assert sha(b"a login page") in needs["wave"]["why"]
    assert expected in needs["wave"]["why"]
    assert needs["squeezenet1_1"]["state"] == "fetched"


def test_the_mirror_can_be_set_by_environment_variable(lab: Path, web_server: Web) -> None:
    text = lab.read_text().replace(f"{web_server.url}/wave.png", "http://127.0.0.2:1/wave.png")
    lab.write_text(text)
    closed = "http://127.0.0.3:1"
    needs = by_name(nstbench("fetch", lab, "--json", offline=False, NSTBENCH_MIRROR=closed))
    assert needs["wave"]["state"] == "stand-in"
    assert f"The mirror {closed} failed" in needs[closed]["why"]
    needs = by_name(nstbench("fetch", lab, "--json", offline=False, NSTBENCH_MIRROR=web_server.url))
    assert needs["wave"]["state"] == "fetched"


def findings(*arguments: str | Path, **env: Any) -> dict[tuple[str, str], dict[str, Any]]:
    result = nstbench("doctor", "--json", *arguments, **env)
    assert result.exit_code in {0, 3}, result.output
    found = json.loads(result.stdout)
    bad = any(finding["state"] == "bad" for finding in found)
    assert result.exit_code == (3 if bad else 0)
    return {(finding["section"], finding["name"]): finding for finding in found}


def states(found: dict[tuple[str, str], dict[str, Any]], section: str) -> dict[str, str]:
    return {name: finding["state"] for (part, name), finding in found.items() if part == section}


def test_doctor_on_a_machine_without_network_or_weights(tmp_path: Path) -> None:
    found = findings("--out", tmp_path / "out")
    assert states(found, "encoders") == {
        **dict.fromkeys(weights.TORCHVISION, "fair"), "compact": "good", "chosen": "fair",
    }  # fmt: skip
    assert found["encoders", "chosen"]["what"].startswith("compact")
    assert found["lpips trunks", "chosen"]["what"] == "none, LPIPS is not available"
    assert found["network", "offline"]["state"] == "fair"
    assert found["results", "mlflow"]["what"].endswith("the first run creates it")
    problems = [
        finding
        for (section, _), finding in found.items()
        if finding["state"] == "bad" or (finding["state"] == "fair" and section == "encoders")
    ]
    assert problems
    assert all(finding["remedy"] for finding in problems)
    assert not (tmp_path / "out").exists()  # doctor creates nothing


def test_doctor_checks_the_files_of_weights(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    network = ARCHITECTURES["squeezenet1_1"].build()
    tensors = {key: torch.zeros(value.shape) for key, value in network.state_dict().items()}
    save_file(tensors, tmp_path / "squeeze.safetensors")
    (tmp_path / "vgg.safetensors").write_bytes(b"cut short")
    given = [f"squeezenet1_1={tmp_path}/squeeze.safetensors", f"vgg19={tmp_path}/vgg.safetensors"]
    found = findings("--weights", given[0], "--weights", given[1], "--out", tmp_path)
    assert found["encoders", "squeezenet1_1"]["state"] == "good"
    assert found["lpips trunks", "chosen"]["what"].startswith("squeeze")
    assert found["encoders", "vgg19"]["state"] == "bad"
    assert "vgg.safetensors cannot be read" in found["encoders", "vgg19"]["what"]
    assert found["encoders", "vgg19"]["remedy"]


def test_doctor_chooses_the_same_encoder_as_a_run(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    shapes = {"0.weight": (64, 3, 3, 3), "0.bias": (64,)}  # only the first layer
    tensors = {f"features.{key}": torch.zeros(shape) for key, shape in shapes.items()}
    save_file(tensors, tmp_path / "first.safetensors")
    found = findings("--weights", f"vgg19={tmp_path}/first.safetensors", "--out", tmp_path)
    assert found["encoders", "vgg19"]["what"].endswith("layers up to relu1_1")
    assert found["encoders", "chosen"]["what"].startswith("vgg19")


def test_doctor_connects_to_the_servers_and_the_mirror(web_server: Web, monkeypatch: Any) -> None:
    monkeypatch.setattr(weights, "STORE", "http://127.0.0.2:1/models/")
    monkeypatch.setattr("harness.cli.doctor.image_urls", list)
    found = findings("--mirror", web_server.url, offline=False)
    assert states(found, "network") == {"mirror": "good", "127.0.0.1": "good", "127.0.0.2": "fair"}
    assert found["network", "127.0.0.2"]["remedy"]


@pytest.mark.parametrize(
    ("arguments", "finding", "message"),
    [
        (["--tracking-uri", "http://127.0.0.1:1"], ("results", "mlflow"), "MLflow at http"),
        (["--tracking-uri", "sqlite:///{}/notes.db"], ("results", "mlflow"), "MLflow at sqlite"),
        (["--out", "{}/notes.db/out"], ("results", "folder"), "not writable"),
    ],
)
def test_doctor_reports_problems_that_make_a_run_fail(
    tmp_path: Path, arguments: Sequence[str], finding: tuple[str, str], message: str
) -> None:
    (tmp_path / "notes.db").write_text("no database")
    given = [argument.format(tmp_path) for argument in arguments]
    found = findings("--out", tmp_path, *given)[finding]
    assert found["state"] == "bad"
    assert message in found["what"]
    assert found["remedy"]


def test_doctor_prints_a_line_for_each_finding(tmp_path: Path) -> None:
    result = nstbench("doctor", "--out", tmp_path)
    assert result.exit_code == 0, result.output
    assert "  ✓ compact: comes with nstbench" in result.stdout
    assert "  ! vgg19: vgg19-dcbb9e9d.pth (548 MB) is missing" in result.stdout
