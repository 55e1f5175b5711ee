"""The table of results at the end of `nstbench run`."""

from __future__ import annotations

import io
from dataclasses import replace

from rich.console import Console

from harness.cli.tables import print_results
from tests.helpers.report_page import CAT, cell, record


def test_a_mean_over_fewer_images_is_named_with_its_reason() -> None:
    console = Console(file=io.StringIO(), width=200)
    print_results(console, [record(cell("a"), ssim=0.5), record(cell("a", CAT), ssim=None)])
    assert isinstance(console.file, io.StringIO)
    table, note = console.file.getvalue().rstrip().rsplit("\n", 1)
    assert "0.5" in table
    assert note == "  ssim is not available for 1 of 2 images: too small"


def test_times_that_are_not_comparable_are_marked() -> None:
    console = Console(file=io.StringIO(), width=200)
    usual, command = record(cell("a")), record(cell("command"))
    assert command.timing is not None
    command = replace(command, timing=replace(command.timing, includes_start_up=True))
    print_results(console, [usual, command, record(cell("folder"), timing=None)])
    assert isinstance(console.file, io.StringIO)
    lines = console.file.getvalue().splitlines()
    ends = {line.split()[0]: line.split("0.1 ")[-1].split() for line in lines[1:4]}
    assert ends["a"][-2:] == ["4", "2"]
    assert ends["command"][-2:] == ["4*", "2*"]
    assert ends["folder"][-4:] == ["not", "measured", "not", "measured"]
    assert lines[-1].startswith("  * Includes start-up: a program starts and loads its weights")
