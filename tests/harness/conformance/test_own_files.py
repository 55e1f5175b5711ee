"""Weights that a method reads, with and without naming them in `files`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, safe_open, save_file

from harness.conformance import examine
from harness.conformance.opened_files import recorded
from harness.protocols import Method
from harness.registry import METHODS

CHECK = "files names all data files that are read"


def _load_with_safe_open(path: Path) -> Any:
    with safe_open(str(path), "pt") as file:
        return file.get_tensor("w")


READERS: dict[str, Callable[[Path], Any]] = {
    "w.pth": lambda path: torch.load(path, weights_only=True),
    "mapped.pth": lambda path: torch.load(path, weights_only=True, mmap=True),
    "w.npz": np.load,
    "w.safetensors": load_file,
    "opened.safetensors": _load_with_safe_open,
    "w.bin": lambda path: path.read_bytes(),
}
"""Names of files, and functions that read them."""

SELECTED: list[Path] = []
"""The file that `Reading` reads."""


@dataclass(frozen=True, kw_only=True)
class Reading(Method):
    """Read a file, and return the content.

    Source: none; made up for this test.
    """

    version: ClassVar[int] = 1

    def fit(self, style: Any, context: Any) -> Any:
        READERS.get(SELECTED[0].name, Path.read_bytes)(SELECTED[0])
        return lambda content, context: content.clone()


@pytest.fixture
def reading() -> Iterator[None]:
    """Register the method `reading` during a test."""
    METHODS.names()
    METHODS.register("reading")(Reading)
    yield
    del METHODS._classes["reading"]
    SELECTED.clear()


def _write(path: Path) -> Path:
    tensors = {"w": torch.ones(2)}
    if path.suffix == ".pth":
        torch.save(tensors, path)
    elif path.suffix == ".npz":
        np.savez(path, w=np.ones(2))
    elif path.suffix == ".safetensors":
        save_file(tensors, path)
    else:
        path.write_bytes(b"w")
    return path


@pytest.mark.parametrize("name", READERS)
@pytest.mark.usefixtures("reading")
def test_weights_that_are_read_without_being_named_are_found(name: str, tmp_path: Path) -> None:
    SELECTED.append(_write(tmp_path / name))
    (finding,) = (finding for finding in examine("reading") if finding.name == CHECK)
    assert finding.state == "bad"
    assert finding.what == f"it reads {tmp_path / name}, without naming it in `files`"
    assert "property `files`" in finding.remedy


@pytest.mark.usefixtures("reading")
def test_named_weights_and_other_files_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    SELECTED.append(_write(tmp_path / "font.ttf"))
    assert [f for f in examine("reading") if f.name == CHECK and f.state == "bad"] == []
    SELECTED[0] = _write(tmp_path / "w.safetensors")
    monkeypatch.setattr(Reading, "files", property(lambda self: {"weights": str(SELECTED[0])}))
    assert [f for f in examine("reading") if f.name == CHECK and f.state == "bad"] == []


def test_only_reads_during_the_recording_are_recorded(tmp_path: Path) -> None:
    before, during, written = (tmp_path / name for name in ("before", "during", "written"))
    before.write_text("x")
    during.write_text("x")
    before.read_text()
    with recorded() as files:
        during.read_text()
        written.write_text("x")
    before.read_text()
    assert during.resolve() in files()
    assert not {before.resolve(), written.resolve()} & files()
