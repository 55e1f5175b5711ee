"""Options that the environment can set."""

from __future__ import annotations

import os
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from harness.api.settings import weights_paths
from harness.cli import options as opts


def test_weights_from_the_environment_may_have_spaces_in_their_paths(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    values = ["vgg19=/data/my weights/v.pth", "alexnet=/a b.pth"]
    monkeypatch.setenv("NSTBENCH_WEIGHTS", os.pathsep.join(values))

    @click.command()
    @opts.sources
    def show(weights: tuple[str, ...], **_: object) -> None:
        click.echo(repr(weights_paths(weights)))

    expected = {name: Path(path) for name, _, path in (v.partition("=") for v in values)}
    assert CliRunner().invoke(show).output == f"{expected!r}\n"
