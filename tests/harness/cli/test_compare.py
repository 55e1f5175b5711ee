"""`nstbench compare` on results that have too little to compare."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from harness.analysis.claims import ClaimDataset, check_comparable
from harness.errors import UsageError
from harness.records import EncoderUse, Run
from tests.helpers.claim_results import loss, make_results
from tests.helpers.command_line import command
from tests.helpers.small_suite import small_suite

ANCHORS = small_suite("anchors", "{identity: , style_copy: }")


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of two anchors."""
    folder = tmp_path_factory.mktemp("anchors")
    (folder / "anchors.yaml").write_text(ANCHORS)
    done = command("run", folder / "anchors.yaml", "--out", folder, "--no-mlflow", "--offline")
    assert done.exit_code == 0, done.output
    return folder


@pytest.mark.parametrize("options", [[], ["--variance"], ["--by", "optimizer"]])
def test_a_comparison_of_anchors_alone_says_what_is_needed(out: Path, options: list[str]) -> None:
    done = command("compare", "anchors", "--out", out, *options)
    assert done.exit_code == 2
    assert done.stderr.startswith(
        "anchors has no variants to compare: identity, style_copy are anchors"
    )
    assert "Add a method with two variants to the suite, such as `gatys" in done.stderr
    assert "`nstbench run anchors` again" in done.stderr


def dataset(frame: pd.DataFrame, *metrics: str, command: str = "") -> ClaimDataset:
    encoder = EncoderUse("random", "0", "test")
    run = Run("s", "", "", (), (), metrics, encoder, "cpu", "float32", command=command)
    return ClaimDataset(run, frame, {})


def test_a_comparison_of_one_variant_names_the_variant_and_the_command() -> None:
    results = dataset(make_results(loss, norm=["batch"]), "ssim", command="nstbench run s.yaml")
    with pytest.raises(UsageError, match=r"only one variant .* net\[batch\]") as caught:
        check_comparable(results, ["ssim"])
    assert "run `nstbench run s.yaml` again" in str(caught.value)
    assert "--by" not in str(caught.value)


def test_a_comparison_of_one_variant_with_several_seeds_suggests_the_seeds() -> None:
    frame = make_results(loss, seed=[0, 1]).assign(variant="net")
    with pytest.raises(UsageError, match=r"or compare the levels of seed with --by"):
        check_comparable(dataset(frame, "ssim"), ["ssim"])
    check_comparable(dataset(frame, "ssim"), ["ssim"], by="seed")


def test_shares_of_variance_require_two_levels_of_each_factor() -> None:
    one_style = make_results(loss, styles=["s1"], norm=["batch", "instance"])
    with pytest.raises(UsageError, match=r"two variants that are not anchors; s has 1, 6 and 2"):
        check_comparable(dataset(one_style, "ssim"), ["ssim"], variance=True)
    check_comparable(dataset(one_style, "ssim"), ["ssim"])


def test_a_comparison_of_failed_cells_points_to_the_reasons() -> None:
    failed = make_results(loss, norm=["batch", "instance"]).assign(
        status="failed", ssim=None, style_loss=None
    )
    with pytest.raises(UsageError, match=r"72 of 72 cells failed, .* `nstbench report s`"):
        check_comparable(dataset(failed, "ssim"), [])


def test_a_comparison_without_cells_names_the_command() -> None:
    with pytest.raises(UsageError, match=r"no finished cells .* run `nstbench run s` again"):
        check_comparable(dataset(pd.DataFrame(), "ssim"), ["ssim"])
    skipped = pd.DataFrame([{"status": "skipped", "variant": "net"}] * 3)
    with pytest.raises(UsageError, match=r"3 cells were skipped"):
        check_comparable(dataset(skipped, "ssim"), ["ssim"])


def test_shares_of_variance_have_the_requested_format(
    monkeypatch: pytest.MonkeyPatch, out: Path
) -> None:
    frame = make_results(loss, norm=["batch", "instance"])
    frame.loc[0, "style_loss"] = None
    frame["gamut"] = frame["ssim"].where(frame["variant"] == "net[batch]")
    data = dataset(frame, "ssim", "style_loss", "gamut")
    monkeypatch.setattr(ClaimDataset, "of", lambda store: data)
    done = command("compare", "anchors", "--out", out, "--variance", "--json")
    shares = json.loads(done.stdout)
    assert shares.keys() == {"ssim", "style_loss"}
    assert sum(shares["style_loss"].values()) == pytest.approx(1)
    assert done.stderr.startswith("! The variance of gamut cannot be split")
    markdown = command("compare", "anchors", "--out", out, "--variance", "--format", "markdown")
    assert markdown.stdout.startswith("| score | style | content | variant |")
    csv = command("compare", "anchors", "--out", out, "--variance", "--format", "csv")
    assert csv.stdout.startswith("score,style,content,variant,")
    latex = command("compare", "anchors", "--out", out, "--variance", "--format", "latex")
    assert r"style\_loss & " in latex.stdout


def test_variance_cannot_be_combined_with_a_factor_or_a_baseline(out: Path) -> None:
    for option in ("--by", "--baseline"):
        done = command("compare", "anchors", "--out", out, "--variance", option, "x")
        assert (done.exit_code, done.stderr.split(" cannot")[0]) == (2, f"{option} x")
