"""Cell -> Outcome, with a method that fails in many ways."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from harness import encoders
from harness.errors import Diverged
from harness.execution.batch_runner import execute_batch
from harness.execution.jobs import Job, Outcome
from harness.execution.machine import memory_estimate
from harness.execution.runner import Runner
from harness.metrics.ssim import Ssim
from harness.plan import Resources
from harness.protocols import Method, Step
from harness.records import Cell, ImageUse
from harness.registry import METHODS
from harness.resources.downloads import Network
from harness.resources.images import to_png
from harness.resources.weights import WeightsStore

FITS: list[str] = []


@dataclass(frozen=True, kw_only=True)
class Faulty(Method):
    """Behaves as its parameter says."""

    version: ClassVar[int] = 1
    how: str = "well"

    def fit(self, style: Any, context: Any) -> Any:
        FITS.append(self.how)
        if self.how == "diverges in fit":
            context.on_step(Step(1, 2, {"total": math.inf}))
            raise Diverged(1, None)

        def stylize(content: torch.Tensor, context: Any) -> torch.Tensor:
            if self.how == "raises":
                raise ValueError("no such brush")
            if self.how == "returns nan":
                return content * math.nan
            if self.how == "returns another size":
                return content[..., :-1]
            if self.how == "runs out of memory":
                raise torch.OutOfMemoryError("CUDA out of memory")
            if self.how == "diverges":
                context.on_step(Step(1, 2, {"total": 1.0}))
                raise Diverged(2, content * 0.5)
            if self.how == "warns":
                import warnings

                warnings.warn("mind the varnish", stacklevel=1)
            return content * 2 - 0.25  # out of gamut: to be clamped

        return stylize


ENCODER, _ = encoders.find("random", WeightsStore(Network(offline=True), {}))


@pytest.fixture(autouse=True)
def _registered() -> Iterator[None]:
    METHODS.names()
    METHODS._classes["faulty"] = METHODS.register("faulty")(Faulty)
    FITS.clear()
    yield
    del METHODS._classes["faulty"]


@pytest.fixture(scope="module")
def runner() -> Runner:
    return Runner(
        Resources(
            encoder=ENCODER,
            encoder_files={ENCODER.sha256: None},
            device="cpu",
            precision="float32",
            metrics=(Ssim(),),
        )
    )


def job(how: str, content: str = "c", **params: Any) -> Job:
    rng = np.random.default_rng(0)
    images = {n: ImageUse(n, f"sha-{n}", "here") for n in (content, "s")}
    method = params.pop("method", "faulty")
    given = params if method != "faulty" else {"how": how}
    cell = Cell("s", "v", "v", method, 1, given, {}, images[content], images["s"], 32, 0,
                ENCODER, "float32", "cpu")  # fmt: skip
    pixels = rng.integers(0, 256, (24, 32, 3), dtype=np.uint8)
    return Job(cell, pixels, pixels[::-1].copy())


def pixels_of(outcome: Outcome) -> Any:
    assert outcome.pixels is not None
    return outcome.pixels


def test_the_saved_image_is_the_measured_one(runner: Runner) -> None:
    given = job("well")
    outcome = runner.execute(given)
    expected = np.clip(np.round((given.content / 255 * 2 - 0.25) * 255), 0, 255)
    assert np.abs(pixels_of(outcome) - expected).max() <= 1  # float32 against float64 rounding
    from harness.resources.images import to_tensor

    content, saved = to_tensor(given.content), to_tensor(pixels_of(outcome))
    assert outcome.record.scores[0].value == Ssim()(saved, content, content, None)  # type: ignore[arg-type]


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


def test_only_unexpected_exceptions_keep_their_traceback(runner: Runner) -> None:
    bug, plain = (runner.execute(job(how)).record.failure for how in ("raises", "returns nan"))
    assert bug is not None
    assert plain is not None
    assert "test_runner.py" in bug.traceback
    assert plain.traceback == ""


def test_a_diverged_cell_keeps_its_last_finite_image_its_scores_and_its_curve(
    runner: Runner,
) -> None:
    given = job("diverges")
    outcome = runner.execute(given)
    assert np.abs(pixels_of(outcome) - given.content * 0.5).max() <= 1
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
    given = job("", method="gatys", iterations=12, optimizer="adam")
    outcome = runner.execute(given)
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
    from harness.resources.images import to_tensor

    def start(optimizer: str) -> Any:
        made = job(
            "", method="gatys", iterations=1, init="noise", optimizer=optimizer, learning_rate=1e-12
        )
        return to_tensor(pixels_of(runner.execute(made)))

    assert torch.equal(start("adam"), start("lbfgs"))


def test_a_stored_image_is_scored_again_without_stylizing(runner: Runner, tmp_path: Any) -> None:
    given = job("well")
    outcome = runner.execute(given)
    (tmp_path / "image.png").write_bytes(to_png(pixels_of(outcome)))
    FITS.clear()
    bare = dataclasses.replace(outcome.record, scores=())
    again = runner.execute(dataclasses.replace(given, stored=bare, image=tmp_path / "image.png"))
    assert again.record.scores == outcome.record.scores
    assert again.pixels is None
    assert FITS == []


def test_a_stored_fit_is_restored_instead_of_trained(runner: Runner) -> None:
    from harness.resources.images import skimage_photograph

    resources = dataclasses.replace(
        runner.resources, training_files=(skimage_photograph("coffee"),)
    )
    brief = {"method": "johnson", "steps": 2, "width": 0.25, "batch_size": 1, "crop": 32}
    first = Runner(resources).execute(job("", **brief))
    assert first.fitted is not None
    second = Runner(resources).execute(dataclasses.replace(job("", **brief), kept=first.fitted))
    assert second.record.image_sha256 == first.record.image_sha256
    assert second.fitted is None
    assert second.record.timing is not None
    assert second.record.timing.fit_shared
    assert [p.losses for p in second.trace] == [p.losses for p in first.trace]


def test_a_batch_gives_each_cell_its_own_record_and_an_even_share_of_the_seconds(
    runner: Runner,
) -> None:
    jobs = [job("", content, method="gatys", iterations=3) for content in ("a", "b")]
    jobs[1] = dataclasses.replace(jobs[1], content=jobs[1].content[:, ::-1].copy())
    outcomes = execute_batch(runner, jobs)
    timings = [outcome.record.timing for outcome in outcomes]
    assert all(timing is not None for timing in timings)
    assert [timing.shared_by for timing in timings if timing] == [2, 2]
    assert timings[0] is not None
    assert timings[1] is not None
    assert timings[0].stylize_seconds == timings[1].stylize_seconds
    assert timings[0].passes == timings[1].passes == 3
    assert outcomes[0].record.cell.id != outcomes[1].record.cell.id
    assert not np.array_equal(pixels_of(outcomes[0]), pixels_of(outcomes[1]))
    for given, outcome in zip(jobs, outcomes, strict=True):
        alone = runner.execute(given)
        assert np.abs(pixels_of(alone).astype(int) - pixels_of(outcome)).mean() < 1


def test_cells_of_a_failed_batch_run_alone_and_only_the_faulty_one_fails(
    runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stylize_batch(self: Faulty, stylizers: Any, contents: Any, contexts: Any) -> torch.Tensor:
        raise RuntimeError("one cell of the batch is faulty")

    monkeypatch.setattr(Faulty, "stylize_batch", stylize_batch, raising=False)
    outcomes = execute_batch(runner, [job("well", "a"), job("raises", "b")])
    assert [outcome.record.status for outcome in outcomes] == ["done", "failed"]
    assert outcomes[0].record.timing is not None
    assert outcomes[0].record.timing.shared_by == 1


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
    from harness.metrics.gamut import Gamut

    given = job("well")
    raw = given.content / 255 * 2 - 0.25
    outside = ((raw < 0) | (raw > 1)).any(axis=-1).mean()
    watching = Runner(dataclasses.replace(runner.resources, metrics=(Gamut(),)))
    outcome = watching.execute(given)
    (score,) = outcome.record.scores
    assert score.value == pytest.approx(outside)

    (tmp_path / "image.png").write_bytes(to_png(pixels_of(outcome)))
    stored = dataclasses.replace(given, stored=outcome.record, image=tmp_path / "image.png")
    assert watching.execute(stored).record.scores == (score,)  # measured before clamping
    bare = dataclasses.replace(outcome.record, scores=())
    (late,) = watching.execute(dataclasses.replace(stored, stored=bare)).record.scores
    assert late.value is None
    assert "--fresh" in late.why_missing


def test_snapshots_of_an_optimisation_approach_its_result(
    runner: Runner,
) -> None:
    params = {"iterations": 12, "optimizer": "adam", "style_layers": ["relu1_1"]}
    outcome = runner.execute(job("", method="gatys", init="content", **params))
    kept = outcome.snapshots
    assert list(kept) == [1, 2, 5, 10]  # 20 comes after the end
    assert (kept[1] == job("").content).all()  # the first pass evaluates the start

    def away(image: Any) -> float:
        return float(np.abs(image.astype(float) - pixels_of(outcome)).mean())

    assert away(kept[1]) > away(kept[5]) > away(kept[10]) > 0


def test_cells_of_a_batch_have_their_own_snapshots(runner: Runner) -> None:
    params = {"iterations": 3, "optimizer": "adam", "style_layers": ["relu1_1"]}
    both = [job("", name, method="gatys", init="noise", **params) for name in "cd"]
    together = execute_batch(runner, both)
    alone = [runner.execute(one) for one in both]
    for one, other in zip(together, alone, strict=True):
        assert list(one.snapshots) == [1, 2]
        assert np.abs(one.snapshots[2].astype(int) - other.snapshots[2]).max() <= 1
    assert (together[0].snapshots[1] != together[1].snapshots[1]).any()


def test_a_diverged_cell_keeps_its_snapshots(runner: Runner) -> None:
    params = {"iterations": 30, "optimizer": "adam", "learning_rate": 1e30, "bounded": False}
    outcome = runner.execute(job("", method="gatys", style_layers=["relu1_1"], **params))
    assert outcome.record.status == "diverged"
    assert 1 in outcome.snapshots


PER_PIXEL = (3 + 24) * 4
"""Bytes: the input of the convolution, and 24 channels that the ReLU overwrites in place."""


def test_the_memory_of_a_pass_is_proportional_to_pixels_and_batch(runner: Runner) -> None:
    encoder = runner.contexts.encoder(ENCODER)
    given = job("", method="gatys", style_layers=["relu1_1"], content_layers=[])
    method = METHODS.build("gatys", given.cell.params)
    need = memory_estimate.lower_bound(method, encoder, given.cell, torch.zeros(2, 3, 50, 40))
    assert (need.batch, need.height, need.width) == (2, 50, 40)
    assert need.bytes == pytest.approx(PER_PIXEL * 2 * 50 * 40, rel=1e-4)
    trained = METHODS.build("johnson", {"batch_size": 3, "crop": 32, "style_layers": ["relu1_1"],
                                        "content_layers": ["relu1_1"]})  # fmt: skip
    need = memory_estimate.lower_bound(trained, encoder, given.cell, torch.zeros(1, 3, 500, 400))
    assert need.bytes == pytest.approx(
        PER_PIXEL * 3 * 32 * 32, rel=1e-4
    )  # whatever the size of the contents


def test_a_cell_that_is_too_large_is_skipped_with_the_numbers(
    runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory_estimate, "MIN_CHECKED_BYTES", 0)
    monkeypatch.setattr("harness.execution.machine.memory_limit.free", lambda: 10_000_000)
    params = {"iterations": 1, "style_layers": ["relu1_1"], "content_layers": []}
    assert runner.execute(job("", method="gatys", **params)).record.ok
    monkeypatch.setattr(
        "harness.execution.machine.memory_limit.free", lambda: 24 * 32 * PER_PIXEL - 1
    )
    record = runner.execute(job("", method="gatys", **params)).record
    assert record.status == "skipped"
    assert record.failure is not None
    assert "1 × 24 × 32 pixels through random in float32" in record.failure.message
    assert record.failure.traceback == ""
