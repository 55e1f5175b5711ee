"""Untrusted input runs no code, writes to no other folder and uses limited memory."""

from __future__ import annotations

import ast
import os
import re
import stat
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image as Pillow

from harness.analysis.claims import ClaimRow
from harness.analysis.claims.export import FORMATS
from harness.errors import ImageError, SourceError, WeightsError
from harness.resources.downloads import Network
from harness.resources.images import read
from harness.resources.weights import load_tensors
from harness.store import Store
from methods.johnson import Johnson
from reports import page
from tests.helpers.command_line import ROOT, command
from tests.helpers.report_page import CAT, CUP, cell, record, store_of
from tests.helpers.web_server import Request, Web

SOURCES = [p for part in ("harness", "methods", "reports") for p in (ROOT / part).rglob("*.py")]

FORBIDDEN = re.compile(
    r"eval|exec|compile|__import__"
    r"|yaml\.(load|load_all|unsafe_load|unsafe_load_all|full_load|full_load_all)"
    r"|(pickle|marshal)\.(load|loads|Unpickler)|(dill|cloudpickle|joblib|shelve)\.\w+"
    r"|.*\.(extract|extractall)|shutil\.unpack_archive|tempfile\.mktemp"
    r"|os\.(system|popen)|subprocess\.(getoutput|getstatusoutput)"
    r"|pandas\.read_pickle|pd\.read_pickle"
)
ALLOWED = {ROOT / "harness" / "execution" / "executors" / "ipc.py": {"pickle.load"}}
"""Messages between processes of one run, which no other program writes."""


def forbidden_calls(code: str) -> Iterator[str]:
    """Yield calls and constants that the project's code must not contain."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Constant) and node.value in {"0.0.0.0", "::"}:
            yield repr(node.value)  # listens on every network interface instead of 127.0.0.1
        if not isinstance(node, ast.Call):
            continue
        name, options = ast.unparse(node.func), {k.arg: ast.unparse(k.value) for k in node.keywords}
        first = node.args[0] if node.args else None
        if (
            FORBIDDEN.fullmatch(name)
            or (name == "torch.load" and options.get("weights_only") != "True")
            or options.get("allow_pickle") == "True"
            or options.get("shell", "False") != "False"
            or (name.endswith("Environment") and options.get("autoescape") != "True")
            or (name == "Markup" and isinstance(first, (ast.JoinedStr, ast.BinOp)))
        ):
            yield name


def test_the_code_runs_no_data_and_listens_to_no_other_machine() -> None:
    found = {path: set(forbidden_calls(path.read_text(encoding="utf-8"))) for path in SOURCES}
    assert {path: names for path, names in found.items() if names} == ALLOWED


@pytest.mark.parametrize(
    "code",
    [
        "yaml.load(text, yaml.Loader)", "pickle.loads(data)", "torch.load(path)",
        "torch.load(path, weights_only=False)", "np.load(path, allow_pickle=True)",
        "tar.extractall()", "subprocess.run(text, shell=True)", "os.system(text)", "eval(text)",
        "serve(host='0.0.0.0')", "Environment(loader)", "Markup(f'<b>{name}</b>')",
    ],
)  # fmt: skip
def test_the_check_finds_each_forbidden_call(code: str) -> None:
    assert list(forbidden_calls(code))


def test_templates_escape_everything_except_hashes() -> None:
    paths = (ROOT / "reports" / "templates").glob("*.j2")
    lines = [line for path in paths for line in path.read_text(encoding="utf-8").splitlines()]
    found = [line for line in lines if re.search(r"\|\s*safe|autoescape|Markup", line)]
    (line,) = found
    assert "{{ hashes | join(' ') | safe }}" in line  # computed hashes, which contain quotes


def test_a_checkpoint_with_code_is_rejected(tmp_path: Path, context: Callable[..., Any]) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (tmp_path / "ran",)

    path = tmp_path / "net.pth"
    torch.save({"layer": Evil()}, path)
    with pytest.raises(WeightsError, match=r"net\.pth contains objects other than tensors"):
        Johnson(checkpoint=str(path)).fit(torch.rand(1, 3, 48, 48), context())
    assert not (tmp_path / "ran").exists()


def test_a_weights_file_that_unpacks_to_a_thousand_times_its_size_is_rejected(
    tmp_path: Path,
) -> None:
    plain, bomb = tmp_path / "plain.pth", tmp_path / "bomb.pth"
    torch.save({"a": torch.zeros(1_000_000)}, plain)
    with zipfile.ZipFile(plain) as old, zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as new:
        for entry in old.infolist():
            new.writestr(entry.filename, old.read(entry))
    assert bomb.stat().st_size < 10_000
    with pytest.raises(
        WeightsError, match=r"bomb\.pth is compressed and unpacks to 4,\d{3},\d{3} bytes"
    ):
        load_tensors(bomb)
    assert load_tensors(plain)["a"].numel() == 1_000_000


def test_a_tensor_larger_than_its_storage_is_rejected(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(1).expand(10**6, 10**6)}, tmp_path / "x.pth")  # four terabytes
    with pytest.raises(WeightsError, match=r"x\.pth has tensors larger than the file"):
        load_tensors(tmp_path / "x.pth")


@pytest.fixture
def ghostscript(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fake Ghostscript that creates a file when it runs."""
    from PIL import EpsImagePlugin

    folder, ran = tmp_path / "bin", tmp_path / "ran"
    folder.mkdir()
    (folder / "gs").write_text(f"#!/bin/sh\ntouch {ran}\n")
    (folder / "gs").chmod(stat.S_IRWXU)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
    monkeypatch.setattr(EpsImagePlugin, "gs_binary", "gs")
    return ran


def test_an_eps_image_is_rejected_without_running_ghostscript(
    ghostscript: Path, tmp_path: Path
) -> None:
    eps = tmp_path / "painting.png"
    Pillow.new("RGB", (40, 30)).save(eps, format="EPS")
    with pytest.raises(ImageError, match=r"painting\.png is EPS, which contains a program"):
        read(eps)
    one = record(cell("gatys[adam]"))
    store = store_of(tmp_path, [one])
    store.write(one, eps.read_bytes(), [])  # results from another machine
    page.write(store)
    assert not ghostscript.exists()
    with Pillow.open(eps) as picture, pytest.raises(OSError, match=r"unable|cannot"):
        picture.load()
    assert ghostscript.exists()  # Pillow would run it


def test_sync_of_untrusted_results_writes_only_to_the_output_folder(tmp_path: Path) -> None:
    """Image names contain `..`; MLflow writes its telemetry settings to the home folder."""
    up = "../../../../evil"
    names = [replace(CUP, name=up), replace(CAT, name=f"/{tmp_path}/evil")]
    store_of(tmp_path / "out", [record(cell("gatys[adam]", name, label=up)) for name in names])
    for name in ("home", "temporary", "work"):
        (tmp_path / name).mkdir()
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST", "MLFLOW"))}
    environment |= {"HOME": str(tmp_path / "home"), "TMPDIR": str(tmp_path / "temporary")}
    environment.pop("CI", None)  # MLflow sends no telemetry if CI is set
    result = subprocess.run(
        [sys.executable, "-m", "nstbench", "sync", "artists", "--out", str(tmp_path / "out")],
        cwd=tmp_path / "work", env={**environment, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "out" / "mlflow.db").exists()
    beside = {path for path in tmp_path.rglob("*") if not path.is_relative_to(tmp_path / "out")}
    assert beside == {tmp_path / name for name in ("home", "temporary", "work")}


def test_control_characters_from_a_server_are_replaced(
    web_server: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fault(request: Request) -> None:
        request.send_response(403, "\x1b]0;I am your title now\x07\x9b2J")
        request.end_headers()

    web_server.faults["a.png"] = fault
    with pytest.raises(SourceError) as caught:
        Network().fetch(f"{web_server.url}/a.png", tmp_path / "a", "0" * 64)
    assert str(caught.value).endswith("answers 403 ?]0;I am your title now??2J.")


def test_exported_tables_escape_text() -> None:
    evil = "^^5cinput{/etc/passwd}$\\x~\n| <img src=x>"
    row = ClaimRow(
        claim_id="F1", statement="", source="", factors=evil, predicted_sign="lower",
        metric="ssim", primary=True, unit="x", better="lower", smallest=1.1,
        verdict="inconclusive", notes=(evil,),
    )  # fmt: skip
    latex, markdown = (FORMATS[form]([row]) for form in ("latex", "markdown"))
    assert r"\textasciicircum{}\textasciicircum{}5cinput\{/etc/passwd\}\$\textbackslash{}x" in latex
    assert "^" not in latex
    assert all(line.startswith(("\\", "%", "F1", "claim")) for line in latex.splitlines())
    (line,) = (line for line in markdown.splitlines() if line.startswith("| F1"))
    assert line.count("|") - line.count(r"\|") == markdown.splitlines()[0].count("|")
    assert "<img" not in markdown


@pytest.mark.parametrize("name", ["..", ".", "runs/.."])
def test_report_rejects_names_outside_the_output_folder(name: str, tmp_path: Path) -> None:
    store_of(tmp_path, [record(cell("gatys[adam]"))])
    result = command("report", name, "--out", tmp_path / "artists" / "cells")
    assert result.exit_code == 2
    assert "names no suite" in result.stderr
    assert not Store(tmp_path, "artists").page_paths()
