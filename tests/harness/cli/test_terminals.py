"""Terminals and pipes whose encoding lacks characters that nstbench prints."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.small_suite import small_suite

SUITE = small_suite("cats", "{identity: , style_copy: }")


def run(encoding: str, folder: Path, *arguments: str) -> tuple[int, str, str]:
    """Run the command in a real process and decode what it prints strictly."""
    done = subprocess.run(
        [sys.executable, "-m", "nstbench", *arguments], capture_output=True, cwd=folder,
        env={**os.environ, "PYTHONIOENCODING": encoding}, timeout=280, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout.decode(encoding), done.stderr.decode(encoding)


def test_a_run_prints_its_table_in_ascii(tmp_path: Path) -> None:
    (tmp_path / "süd.yaml").write_text(SUITE, encoding="utf-8")
    code, stdout, stderr = run("ascii", tmp_path, "run", "süd.yaml", "--no-mlflow", "--out", "käse")
    assert (code, stderr) == (0, "")
    assert "ssim ^" in stdout
    assert stdout.endswith("page    k?se/cats/report.html\n")


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_messages_and_usage_errors_are_printed_in_the_encoding_of_the_stream(
    tmp_path: Path, encoding: str
) -> None:
    code, _, stderr = run(encoding, tmp_path, "plan", "süd–東京.yaml")
    name = {"ascii": "s?d-??.yaml", "cp1252": "süd–??.yaml"}.get(encoding, "süd–東京.yaml")
    assert code == 2
    assert stderr.startswith(f"There is no suite {name}.")
    code, _, stderr = run(encoding, tmp_path, "plan", "--東")
    assert code == 2
    assert f"No such option '--{'東' if encoding == 'utf-8' else '?'}'" in stderr


def test_names_that_are_not_unicode_are_printed(tmp_path: Path) -> None:
    code, _, stderr = run("utf-8", tmp_path, "plan", os.fsdecode(b"s\xfcd.yaml"))
    assert code == 2
    assert "There is no suite s?d.yaml" in stderr
