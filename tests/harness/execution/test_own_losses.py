"""Records have the objective of the saved image, for a synthetic method and for `gatys`."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from harness import encoders
from harness.execution.batch_runner import execute_batch
from harness.execution.jobs import Job, Outcome
from harness.execution.runner import Runner
from harness.plan import Resources
from harness.protocols import Method, Step
from harness.records import Cell, ImageUse
from harness.registry import METHODS
from harness.resources.downloads import Network
from harness.resources.images import to_png, to_tensor
from harness.resources.weights import WeightsStore

ENCODER, _ = encoders.find("random", WeightsStore(Network(offline=True), {}))
HEIGHT, WIDTH = 24, 32
PASSES = 6


def two_tone(left: float, rest: float, width: int = WIDTH) -> torch.Tensor:
    """Return an image whose left quarter has one value and the rest another."""
    image = torch.full((1, 3, HEIGHT, width), rest)
    image[..., : width // 4] = left
    return image


def losses(image: torch.Tensor) -> dict[str, float]:
    """Return the distance to 3 on the left and 0 elsewhere as style, and the mean as content."""
    style = float((image - two_tone(3.0, 0.0)).square().mean())
    content = float(image.mean())
    return {"style": style, "content": content, "total": style + content}


@dataclass(frozen=True, kw_only=True)
class Overshooting(Method):
    """Sets the left quarter to 1, 2, 3 ... and finally to `left`; the rest is 0 and finally 1."""

    version: ClassVar[int] = 1
    mixes_styles: ClassVar[bool] = True
    left: float = 3.0
    coarse: int = 0  # number of passes at half the width
    wait: float = 0.0

    def fit(self, style: Any, context: Any) -> Any:
        return self.stylize

    def stylize(self, content: torch.Tensor, context: Any) -> torch.Tensor:
        for i in range(1, PASSES + 1):
            image = two_tone(float(i), 0.0, WIDTH // 2 if i <= self.coarse else WIDTH)
            context.on_step(Step(i, PASSES, {"total": 12 / i}, image))
        return two_tone(self.left, 1.0)

    def stylize_batch(self, stylizers: Any, contents: torch.Tensor, contexts: Any) -> torch.Tensor:
        each = zip(stylizers, contents.split(1), contexts, strict=True)
        return torch.cat([stylizer(one, context) for stylizer, one, context in each])

    def objective(self, stylizer: Any, content: torch.Tensor, context: Any) -> Any:
        time.sleep(self.wait)
        return losses


@dataclass(frozen=True, kw_only=True)
class WithoutHook(Overshooting):
    """The same method without the hook `objective`."""

    objective: ClassVar[None] = None  # type: ignore[assignment,misc]


@pytest.fixture(autouse=True)
def _registered() -> Iterator[None]:
    METHODS.names()
    METHODS._classes["overshooting"] = METHODS.register("overshooting")(Overshooting)
    METHODS._classes["without_hook"] = METHODS.register("without_hook")(WithoutHook)
    yield
    del METHODS._classes["overshooting"], METHODS._classes["without_hook"]


@pytest.fixture(scope="module")
def runner() -> Runner:
    files = {ENCODER.sha256: None}
    return Runner(
        Resources(encoder=ENCODER, encoder_files=files, device="cpu", precision="float32")
    )


def job(method: str = "overshooting", seed: int = 0, **params: Any) -> Job:
    images = [ImageUse(name, f"sha-{name}", "here") for name in ("c", "s")]
    cell = Cell("s", "v", "v", method, 1, params, {}, *images, 32, seed, ENCODER, "float32", "cpu")
    pixels = np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    return Job(cell, pixels, pixels[::-1].copy())


def saved(outcome: Outcome) -> dict[int, float]:
    return {p.index: p.saved["total"] for p in outcome.trace if p.saved}


# A quarter of the pixels ends at 3 and is saved as 1: style 0.25 (3 - 1)^2 + 0.75 (0 - 1)^2 = 1.75
# instead of 0.75, content 1.
END, SNAPSHOT = 1.75 + 1.0, 0.25 * (3 - 1) ** 2 + 0.25


def test_a_record_has_the_objective_of_the_saved_image_and_of_raw_pixels(
    runner: Runner,
) -> None:
    outcome = runner.execute(job())
    record = outcome.record
    assert record.objective == pytest.approx(END)
    assert record.objective_raw == 12 / PASSES  # the lowest of all steps
    assert record.objective_of == "saved image"
    assert saved(outcome) == pytest.approx({1: SNAPSHOT, 2: SNAPSHOT, 5: SNAPSHOT, 6: END})
    last = outcome.trace[-1]
    assert last.saved == pytest.approx({"style": 1.75, "content": 1.0, "total": 2.75})
    assert last.losses == {"total": 2.0}


def test_a_note_reports_a_saved_image_with_a_higher_style_loss(runner: Runner) -> None:
    # 1.75 / 0.75 = 2.33; a left quarter of 2 gives 1.75 / (0.25 + 0.75) and no note.
    (note,) = runner.execute(job()).record.notes
    assert note == (
        "The saved image has 2.33 times the style loss of the raw pixels: "
        "25% of its pixels lay outside [0, 1] and were clamped."
    )
    assert runner.execute(job(left=2.0)).record.notes == ()


def test_snapshots_of_smaller_scales_are_not_evaluated(runner: Runner) -> None:
    outcome = runner.execute(job(coarse=3))
    assert list(outcome.snapshots) == [1, 2, 5]
    assert list(saved(outcome)) == [5, 6]


def test_a_batch_gives_each_cell_its_own_losses(runner: Runner) -> None:
    outcomes = execute_batch(runner, [job(), job(seed=1)])
    assert [o.record.timing.shared_by for o in outcomes if o.record.timing] == [2, 2]
    assert [o.record.objective for o in outcomes] == pytest.approx([END, END])
    assert [list(saved(o)) for o in outcomes] == [[1, 2, 5, 6]] * 2


def test_the_evaluation_is_not_timed(runner: Runner) -> None:
    timing = runner.execute(job(wait=1.0)).record.timing
    assert timing is not None
    assert timing.fit_seconds + timing.stylize_seconds < 0.9


def test_without_the_hook_the_objective_is_the_lowest_loss_of_raw_pixels(runner: Runner) -> None:
    outcome = runner.execute(job("without_hook"))
    record = outcome.record
    assert (record.objective, record.objective_raw) == (12 / PASSES, None)
    assert record.objective_of == "raw pixels"
    assert saved(outcome) == {}


GATYS = {"iterations": 12, "init": "content", "style_layers": ["relu1_1"]}


def test_the_initial_image_of_gatys_has_equal_saved_and_raw_losses(runner: Runner) -> None:
    # The initial image is the content, which has 8 bits.
    outcome = runner.execute(job("gatys", **GATYS))
    first = outcome.trace[0]
    assert first.saved == pytest.approx(dict(first.losses), rel=1e-5)
    assert list(saved(outcome)) == [1, 2, 5, 10, 12]


def test_the_objective_of_gatys_is_that_of_the_stored_file(runner: Runner, tmp_path: Any) -> None:
    from harness.resources.images import read

    single_job = job("gatys", **GATYS)
    outcome = runner.execute(single_job)
    assert outcome.pixels is not None
    (tmp_path / "image.png").write_bytes(to_png(outcome.pixels))
    stored = to_tensor(np.asarray(read(tmp_path / "image.png")))
    method = METHODS.build("gatys", single_job.cell.params)
    context = runner.contexts.make(single_job.cell, runner.contexts.encoder(ENCODER), "x")
    content, style = to_tensor(single_job.content), to_tensor(single_job.style)
    found = method.objective(method.fit(style, context), content, context)(stored)
    assert outcome.record.objective == pytest.approx(found["total"], rel=1e-6)


def test_cells_of_a_gatys_batch_have_the_same_losses_as_single_cells(runner: Runner) -> None:
    jobs = [dataclasses.replace(job("gatys", seed, **GATYS)) for seed in (0, 1)]
    for outcome, single_job in zip(execute_batch(runner, jobs), jobs, strict=True):
        alone = runner.execute(single_job).record
        assert outcome.record.objective == pytest.approx(alone.objective, rel=0.1)
        assert list(saved(outcome)) == [1, 2, 5, 10, 12]
