"""The definitions of other projects' programs are valid, and say what they lack."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import suite as suites
from harness.registry import METHODS
from methods.command import Command
from tests.helpers.command_line import ROOT

PEERS = sorted((ROOT / "suites" / "peers").glob("*.yaml"))


@pytest.mark.parametrize("path", PEERS, ids=lambda path: path.stem)
def test_a_peer_is_valid_has_a_version_and_names_what_it_lacks(path: Path) -> None:
    suite = suites.load(path)
    commands = [
        METHODS.build("command", spec.params) for spec in suite.methods if spec.method == "command"
    ]
    assert commands
    for method in commands:
        assert isinstance(method, Command)
        assert method.program_version
        assert (
            f"{method.program_version}" in path.read_text(encoding="utf-8").split("version: 1")[0]
        )
    assert suite.name == f"peer-{path.stem}"


def test_every_peer_is_documented() -> None:
    page = (ROOT / "docs" / "bring-your-own.md").read_text(encoding="utf-8")
    assert [path.stem for path in PEERS if f"`{path.stem}`" not in page] == []
