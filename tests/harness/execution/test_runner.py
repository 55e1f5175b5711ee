"""The records and images of single cells, with a method that fails in many ways."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch

from harness.execution.runner import Runner
from harness.metrics.gamut import Gamut
from harness.metrics.ssim import Ssim
from harness.resources.images import to_png, to_tensor
from tests.helpers.faults.faulty_cells import FITS, job, pixels_of

pytestmark = pytest.mark.usefixtures("faulty")


def test_the_saved_image_is_the_measured_one(runner: Runner) -> None:
    single_job = job("well")
    outcome = runner.execute(single_job)
    expected = np.clip(np.round((single_job.content / 255 * 2 - 0.25) * 255), 0, 255)
    assert np.abs(pixels_of(outcome) - expected).max() <= 1  # float32 against float64 rounding
    content, saved = to_tensor(single_job.content), to_tensor(pixels_of(outcome))
    assert outcome.record.scores[0].value == Ssim()(saved, content, content, None)  # type: ignore[arg-type]


def test_a_method_learns_the_style_at_its_own_size_and_the_judge_sees_it_at_the_contents(
    runner: Runner,
) -> None:
    usual = job("", method="style_copy")
    red = np.zeros((12, 16, 3), np.uint8)
    red[..., 0] = 200
    changed = dataclasses.replace(usual.cell, style_size=16)
    own = dataclasses.replace(usual, cell=changed, own_style=red)
    assert (pixels_of(runner.execute(usual)) == usual.style).all()
    image = pixels_of(runner.execute(own))
    assert image.shape == usual.content.shape
    assert (image == [200, 0, 0]).all()
    content = to_tensor(own.content)
    judged = runner.execute(own).record.scores[0].value
    assert judged == Ssim()(to_tensor(image), content, to_tensor(own.style), None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("how", "status", "message"),
    [
        ("raises", "failed", "no such brush"),
        ("returns nan", "failed", "not finite"),
        ("returns another size", "failed", r"shape (1, 3, 24, 31)"),
        ("runs out of memory", "out_of_memory", "CUDA out of memory"),
        ("diverges", "diverged", "stopped being finite at step 2"),
        ("diverges in fit", "diverged", "stopped being finite at step 1"),
    ],
)
def test_the_record_of_a_failed_method_has_the_reason(
    runner: Runner, how: str, status: str, message: str
) -> None:
    record = runner.execute(job(how)).record
    assert record.status == status
    assert not record.ok
    assert record.failure is not None
    assert message in record.failure.message


@pytest.mark.parametrize("how", ["diverges", "diverges in fit", "returns nan"])
def test_a_cell_that_diverges_in_bfloat16_names_the_precision_that_helps(
    runner: Runner, how: str
) -> None:
    single = job(how)
    for precision, helps in (("bfloat16", True), ("float32", False)):
        cell = dataclasses.replace(single.cell, precision=precision)
        failure = runner.execute(dataclasses.replace(single, cell=cell)).record.failure
        assert failure is not None
        assert ("run it with --precision float32" in failure.message) is helps


def test_only_unexpected_exceptions_keep_their_traceback(runner: Runner) -> None:
    bug, plain = (runner.execute(job(how)).record.failure for how in ("raises", "returns nan"))
    assert bug is not None
    assert plain is not None
    assert "faulty_cells.py" in bug.traceback
    assert plain.traceback == ""


def test_a_diverged_cell_keeps_its_last_finite_image_its_scores_and_its_curve(
    runner: Runner,
) -> None:
    single_job = job("diverges")
    outcome = runner.execute(single_job)
    assert np.abs(pixels_of(outcome) - single_job.content * 0.5).max() <= 1
    assert outcome.record.scores[0].value is not None
    assert [p.losses["total"] for p in outcome.trace] == [1.0]


def test_a_fit_runs_once_for_all_contents_even_if_it_fails(
    runner: Runner,
) -> None:
    first, second = (runner.execute(job("well", content)).record for content in ("a", "b"))
    assert FITS == ["well"]
    assert first.timing is not None
    assert second.timing is not None
    assert (first.timing.fit_shared, second.timing.fit_shared) == (False, True)
    assert first.timing.fit_seconds == second.timing.fit_seconds
    FITS.clear()
    statuses = [
        runner.execute(job("diverges in fit", content)).record.status for content in ("a", "b")
    ]
    assert statuses == ["diverged", "diverged"]
    assert FITS == ["diverges in fit"]


def test_a_warning_becomes_a_note(runner: Runner) -> None:
    assert runner.execute(job("warns")).record.notes == ("mind the varnish",)


def test_passes_are_counted_and_timed(runner: Runner) -> None:
    single_job = job("", method="gatys", iterations=12, optimizer="adam")
    outcome = runner.execute(single_job)
    timing = outcome.record.timing
    assert timing is not None
    assert timing.passes == len(outcome.trace) == 12
    assert timing.pass_ms is not None
    low, middle, high = timing.pass_ms
    assert 0 < low <= middle <= high
    assert timing.stylize_seconds >= 12 * low / 1000
    assert timing.peak_mb is not None
    assert timing.peak_mb > 10


def test_a_quick_stylization_is_repeated_and_its_median_counts(runner: Runner) -> None:
    timing = runner.execute(job("well")).record.timing
    assert timing is not None
    assert timing.repeats == 10


def test_variants_see_the_same_noise(runner: Runner) -> None:
    def start(optimizer: str) -> Any:
        single_job = job(
            "", method="gatys", iterations=1, init="noise", optimizer=optimizer, learning_rate=1e-12
        )
        return to_tensor(pixels_of(runner.execute(single_job)))

    assert torch.equal(start("adam"), start("lbfgs"))


def test_a_stored_image_is_scored_again_without_stylizing(runner: Runner, tmp_path: Any) -> None:
    single_job = job("well")
    outcome = runner.execute(single_job)
    (tmp_path / "image.png").write_bytes(to_png(pixels_of(outcome)))
    FITS.clear()
    bare = dataclasses.replace(outcome.record, scores=())
    again = runner.execute(
        dataclasses.replace(single_job, stored=bare, image=tmp_path / "image.png")
    )
    assert again.record.scores == outcome.record.scores
    assert again.pixels is None
    assert FITS == []


def test_a_stored_fit_is_restored_instead_of_trained(runner: Runner) -> None:
    from harness.resources.images import skimage_photograph

    resources = dataclasses.replace(
        runner.resources, training_files=(skimage_photograph("coffee"),)
    )
    params = {"method": "johnson", "steps": 2, "width": 0.25, "batch_size": 1, "crop": 32}
    first = Runner(resources).execute(job("", **params))
    assert first.fitted is not None
    second = Runner(resources).execute(dataclasses.replace(job("", **params), kept=first.fitted))
    assert second.record.image_sha256 == first.record.image_sha256
    assert second.fitted is None
    assert second.record.timing is not None
    assert second.record.timing.fit_shared
    assert [p.losses for p in second.trace] == [p.losses for p in first.trace]


def test_times_come_with_the_calibration_and_the_background_load(
    runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    from harness.execution.machine.background_load import BackgroundLoad

    monkeypatch.setattr(BackgroundLoad, "busy_cores", lambda self: 1000.0)
    timing = runner.execute(job("", method="gatys", iterations=3)).record.timing
    assert timing is not None
    assert timing.noisy.startswith("other processes kept 1000.0 of")
    assert timing.calibration_ms is not None
    assert timing.calibrated == pytest.approx(1000 * timing.stylize_seconds / timing.calibration_ms)
    (again,) = runner.timer.calibrations()
    assert (again.size, again.before_ms) == (32, timing.calibration_ms)
    assert again.after_ms > 0


def test_the_gamut_is_measured_before_clamping_and_kept_on_rescoring(
    runner: Runner, tmp_path: Any
) -> None:
    single_job = job("well")
    raw = single_job.content / 255 * 2 - 0.25
    outside = ((raw < 0) | (raw > 1)).any(axis=-1).mean()
    gamut_runner = Runner(dataclasses.replace(runner.resources, metrics=(Gamut(),)))
    outcome = gamut_runner.execute(single_job)
    (score,) = outcome.record.scores
    assert score.value == pytest.approx(outside)

    (tmp_path / "image.png").write_bytes(to_png(pixels_of(outcome)))
    stored = dataclasses.replace(single_job, stored=outcome.record, image=tmp_path / "image.png")
    assert gamut_runner.execute(stored).record.scores == (score,)  # measured before clamping
    bare = dataclasses.replace(outcome.record, scores=())
    (late,) = gamut_runner.execute(dataclasses.replace(stored, stored=bare)).record.scores
    assert late.value is None
    assert "--fresh" in late.why_missing


@pytest.mark.parametrize("error", [RuntimeError("size 0\nat layer 3"), SystemExit(1)], ids=repr)
def test_a_metric_that_raises_costs_its_score_and_not_the_image(
    error: BaseException, runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> float:
        raise error

    monkeypatch.setattr(Gamut, "__call__", fail)
    resources = dataclasses.replace(runner.resources, metrics=(Gamut(), Ssim()))
    outcome = Runner(resources).execute(job("well"))
    gamut, ssim = outcome.record.scores
    assert (outcome.record.status, ssim.why_missing) == ("done", "")
    assert gamut.value is None
    expected = f"{type(error).__name__} in test_runner.py, line"
    assert gamut.why_missing.startswith(expected)
    assert str(error).splitlines()[0] in gamut.why_missing
    assert "`nstbench rescore`" in gamut.why_missing


def test_a_metric_that_runs_out_of_memory_is_repeated_once(
    runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = [MemoryError()]

    def fail_once(*_: Any) -> float:
        if failures:
            raise failures.pop()
        return 0.25

    monkeypatch.setattr(Gamut, "__call__", fail_once)
    resources = dataclasses.replace(runner.resources, metrics=(Gamut(),))
    (score,) = Runner(resources).execute(job("well")).record.scores
    assert score.value == 0.25


def test_snapshots_of_an_optimisation_approach_its_result(
    runner: Runner,
) -> None:
    params = {"iterations": 12, "optimizer": "adam", "style_layers": ["relu1_1"]}
    outcome = runner.execute(job("", method="gatys", init="content", **params))
    snapshots = outcome.snapshots
    assert list(snapshots) == [1, 2, 5, 10]  # the run ends before pass 20
    assert (snapshots[1] == job("").content).all()  # the first pass evaluates the initial image

    def distance(image: Any) -> float:
        return float(np.abs(image.astype(float) - pixels_of(outcome)).mean())

    assert distance(snapshots[1]) > distance(snapshots[5]) > distance(snapshots[10]) > 0


def test_a_diverged_cell_keeps_its_snapshots(runner: Runner) -> None:
    params = {"iterations": 30, "optimizer": "adam", "learning_rate": 1e30, "bounded": False}
    outcome = runner.execute(job("", method="gatys", style_layers=["relu1_1"], **params))
    assert outcome.record.status == "diverged"
    assert 1 in outcome.snapshots
