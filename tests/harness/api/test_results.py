"""The results of a suite in Python equal what the commands write and print."""

from __future__ import annotations

import csv
import io
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import nstbench
from harness.errors import RecordError, UnknownNameError, UsageError
from harness.store import Store
from nstbench import Results
from tests.helpers.command_line import command


def test_cells_equal_results_csv_to_the_character(ran: Results) -> None:
    """Integers stay integers where cells without them are missing, as in the file."""
    written = (ran.folder / "results.csv").read_text(encoding="utf-8")
    assert ran.cells.to_csv(index=False, lineterminator="\n") == written.replace("\r\n", "\n")
    assert str(ran.cells["passes"].dtype) == "Int64"
    assert list(ran.cells["status"].value_counts().items()) == [("done", 6), ("skipped", 2)]


def test_an_image_is_found_by_id_name_row_and_number(ran: Results) -> None:
    cells = ran.cells
    first = cells.iloc[0]
    found = [ran.image(key) for key in (first["cell"], first["name"], first, first.to_dict(), 0)]
    found.append(ran.image(np.int64(0)))  # type: ignore[arg-type]
    assert {image.tobytes() for image in found} == {ran.image(0).tobytes()}
    assert (found[0].mode, found[0].size) == ("RGB", (first["width"], first["height"]))


@pytest.mark.parametrize(
    ("cell", "error", "message"),
    [
        ("gatys[adm]/coffee--grass/s0", UnknownNameError, "Did you mean 'gatys[adam]/coffee--"),
        ("", UnknownNameError, "'' is neither the id nor the name of a cell of s"),
        (8, UnknownNameError, "There is no row 8: `cells` has 8 rows."),
        (2.5, UsageError, "2.5 is not a cell. Pass an id, a name, a row of `cells`"),
        ({"id": "x"}, UsageError, "{'id': 'x'} is not a cell."),
        (7, UsageError, "absent/chelsea--grass/s0 has no image (skipped): "),
    ],
)  # fmt: skip
def test_a_cell_without_image_is_refused_with_the_reason(
    ran: Results, cell: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error) as raised:
        ran.image(cell)
    assert message in str(raised.value)


@pytest.fixture
def copied(ran: Results, tmp_path: Path) -> Store:
    """A copy of the results, to damage."""
    shutil.copytree(ran.folder, tmp_path / "runs" / "s")
    return Store(tmp_path / "runs", "s")


def test_a_failed_cell_states_its_failure_and_a_broken_file_its_path(copied: Store) -> None:
    first, second, *_ = copied.records(copied.run())
    copied.write(replace(first, status="timeout", failure=None), None, [])
    path = copied.image(second.cell.id)
    assert path
    path.write_bytes(b"no image")
    results = nstbench.load(copied.root)
    with pytest.raises(UsageError, match=r"has no image \(timeout\)"):
        results.image(0)
    with pytest.raises(RecordError, match=r"image.png cannot be read as an image"):
        results.image(1)
    assert repr(results) == f"<Results of s in {copied.root}: 1 timeout, 5 done, 2 skipped>"


def test_compare_has_the_numbers_of_the_command(ran: Results) -> None:
    out = ran.folder.parent
    for options, frame in (
        (["--by", "optimizer"], ran.compare(by="optimizer")),
        (["--metric", "ssim"], ran.compare(metrics=["ssim"])),
        (["--baseline", "gatys[adam]"], ran.compare(baseline="gatys[adam]")),
    ):
        done = command("compare", "s", "--out", out, *options, "--format", "csv")
        assert done.exit_code == 0, done.output
        printed = pd.read_csv(io.StringIO(done.output))
        assert list(frame.columns) == list(printed.columns)
        for name in ("claim_id", "metric", "estimate", "n_content", "permutation_p", "verdict"):
            assert list(frame[name]) == list(printed[name])
        assert frame["ci_lo"].dtype == frame["estimate"].dtype == float


def test_claims_have_the_verdicts_of_the_command(ran: Results) -> None:
    done = command("claims", "s", "--out", ran.folder.parent, "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(done.output)))
    assert list(ran.claims()["verdict"]) == [row["verdict"] for row in rows]
    assert list(ran.claims()["claim_id"]) == ["C1"]


def test_what_cannot_be_compared_is_refused_with_the_message_of_the_command(ran: Results) -> None:
    done = command("compare", "s", "--out", ran.folder.parent, "--by", "optimiser")
    with pytest.raises(UsageError) as raised:
        ran.compare(by="optimiser")
    assert f"{raised.value}\n" == done.output
    assert "Did you mean 'optimizer'?" in done.output


def test_the_page_of_the_latest_run_is_the_one_of_the_command(ran: Results) -> None:
    path = ran.page()
    before = path.read_text(encoding="utf-8")
    assert path == ran.folder / "report.html"
    assert command("report", "s", "--out", ran.folder.parent).output == f"{path}\n"
    assert path.read_text(encoding="utf-8") == before
    assert ran.page(folder=True) == ran.folder / "report" / "index.html"


def test_results_are_found_by_folder_name_and_revision(
    ran: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = ran.folder.parent
    monkeypatch.setenv("NSTBENCH_OUT", str(out))
    for found in (
        nstbench.load(ran.folder), nstbench.load("s", out=out), nstbench.load("s"),
        nstbench.load("s~0"), nstbench.load(f"{ran.folder}/"),
    ):  # fmt: skip
        assert found.cells.equals(ran.cells)
    with pytest.raises(RecordError, match="holds no results"):
        nstbench.load("missing")
    with pytest.raises(UsageError, match="there are not that many runs"):
        nstbench.load("s~3")
