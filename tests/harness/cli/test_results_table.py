"""The table of results at the end of `nstbench run`."""

from __future__ import annotations

import io

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
