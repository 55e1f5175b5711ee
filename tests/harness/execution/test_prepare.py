from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image as Pillow

from harness import suite
from harness.errors import NstbenchError, SuiteError, UsageError
from harness.execution.prepare import ReadyRun, RunOptions, prepare
from harness.records import Record, Score
from harness.store.serialization import dump, parse_record

SUITE = """\
version: 1
name: s
encoder: random
sizes: [64]
contents: {coffee: {builtin: coffee, title: A cup}}
styles: {grass: {builtin: grass}}
methods: {identity: }
metrics: [ssim]
"""
Write = Callable[[str], Path]


def prepared(path: Path, tmp_path: Path, **more: Any) -> ReadyRun:
    return prepare(suite.load(path), RunOptions(out=tmp_path / "out", offline=True, **more))


def test_a_result_is_reused_under_a_new_name(write_suite: Write, tmp_path: Path) -> None:
    first = prepared(write_suite(SUITE), tmp_path)
    (cell,) = first.plan.cells
    scores = (Score("ssim", 1.0, "", "higher", "pixels"),)
    first.store.write(Record(cell, "done", scores=scores), b"png", [])
    renamed = SUITE.replace("identity: ", "nothing: {use: identity}").replace("A cup", "Coffee")
    second = prepared(write_suite(renamed), tmp_path)
    assert [entry.action for entry in second.plan.entries] == ["reuse"]
    second.rename_records()
    record = second.store.read(cell.id)
    assert record is not None
    assert (record.cell.variant, record.cell.content.title) == ("nothing", "Coffee")
    assert record.scores == scores
    assert second.store.image(cell.id) is not None


def test_contents_and_styles_are_stored_as_they_are_used(
    write_suite: Write, tmp_path: Path
) -> None:
    from PIL import Image as Pillow

    found = prepared(write_suite(SUITE), tmp_path)
    found.write_inputs()
    (cell,) = found.plan.cells
    with Pillow.open(found.store.input_path(cell.content, 64)) as picture:
        assert max(picture.size) == 64
    ((job,),) = found.batches()
    assert job.content.shape[1] == 64


def test_only_fresh_repeats_finished_and_interrupted_trainings(
    write_suite: Write, tmp_path: Path
) -> None:
    path = write_suite(SUITE.replace("{identity: }", "{johnson: {params: {steps: 2}}}"))
    default = prepared(path, tmp_path)
    store, (cell,) = default.store, default.plan.cells
    store.write_fit(cell, b"tensors", {})
    store.write_checkpoint(cell.fit_id, b"state")
    for found, expected_fit in (
        (default, (b"tensors", {})),
        (prepared(path, tmp_path, fresh=True), None),
    ):
        ((job,),) = found.batches()
        assert job.kept == expected_fit
        found.drop_checkpoints()
        assert store.checkpoint_path(cell.fit_id).exists() == bool(expected_fit)


def test_an_unreadable_image_skips_only_its_own_cells(write_suite: Write, tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("hello")
    text = SUITE.replace("contents: {", "contents: {broken: {path: text.jpg}, ")
    found = prepared(write_suite(text), tmp_path)
    assert [cell.content.name for cell in found.plan.cells] == ["coffee"]
    (skip,) = found.plan.skipped
    assert skip.pair == "broken--grass"
    assert "text.jpg cannot be read as an image" in skip.reason


def test_random_weights_and_missing_scores_are_reported(write_suite: Write, tmp_path: Path) -> None:
    text = SUITE.replace("[ssim]", "[ssim, lpips]")
    warnings = prepared(write_suite(text), tmp_path).warnings
    assert any("random weights" in w for w in warnings)
    assert any(w.startswith("lpips is not available") for w in warnings)


def test_contents_among_the_training_photographs_are_reported(
    write_suite: Write, tmp_path: Path
) -> None:
    text = SUITE.replace("identity: ", "johnson: {params: {width: 0.25}}")
    assert any("have seen coffee" in w for w in prepared(write_suite(text), tmp_path).warnings)


def test_the_style_of_a_job_has_the_size_that_the_method_learns(
    write_suite: Write, tmp_path: Path
) -> None:
    text = SUITE.replace("identity: ", "identity: {axes: {style_size: [null, 32, 128]}}")
    ready = prepared(write_suite(text), tmp_path)
    jobs = [job for batch in ready.batches() for job in batch]
    assert [max(job.style_to_learn.shape) for job in jobs] == [64, 32, 128]
    assert {max(job.style.shape) for job in jobs} == {64}  # the judge's
    ready.store.begin()
    ready.write_inputs()
    cell = jobs[2].cell
    assert ready.store.input_path(cell.style, 64).exists()
    assert parse_record(dump(Record(cell, "done")).encode(), "x").cell.id == cell.id


def _broken(folder: Path, good: int, bad: int) -> None:
    folder.mkdir()
    for number in range(good):
        Pillow.new("RGB", (40, 40), (number, 0, 0)).save(folder / f"{number}.png")
    for number in range(bad):
        (folder / f"bad{number}.png").touch()


def test_unusable_training_photographs_are_named_before_the_training(
    write_suite: Write, tmp_path: Path
) -> None:
    _broken(tmp_path / "photos", good=18, bad=2)
    suite = f"{SUITE}training: {{images: photos}}\n"
    trained = suite.replace("identity: ", "johnson: {params: {width: 0.25}}")
    found = prepared(write_suite(trained), tmp_path)
    (warning,) = (w for w in found.warnings if "photos" in w)
    assert warning == (
        "2 files in photos cannot be used and are left out of the training: "
        "bad0.png (is empty), bad1.png (is empty)."
    )
    assert len(found.resources.training_files) == 18
    assert found.run_record().training == found.resources.training
    assert not any("photos" in w for w in prepared(write_suite(suite), tmp_path).warnings)


def test_too_many_unusable_training_photographs_are_reported_at_the_folder(
    write_suite: Write, tmp_path: Path
) -> None:
    _broken(tmp_path / "photos", good=6, bad=2)
    suite = SUITE.replace("identity: ", "johnson: {params: {width: 0.25}}")
    path = write_suite(f"{suite}training: {{images: photos}}\n")
    with pytest.raises(SuiteError, match=r"training\.images: 2 of 8 images in .* \(25 %\)"):
        prepared(path, tmp_path)
    path = write_suite(f"{suite}training: {{images: photos, max_unusable_percent: 25}}\n")
    assert len(prepared(path, tmp_path).resources.training_files) == 6


def test_an_unavailable_encoder_is_reported_where_it_was_named(
    write_suite: Write, tmp_path: Path
) -> None:
    path = write_suite(SUITE.replace("random", "vgg19"))
    with pytest.raises(SuiteError, match=r"suite\.yaml:3:10: encoder: .*--offline was given"):
        prepared(path, tmp_path)
    with pytest.raises(UsageError, match="--encoder: 'vgg91' is not an encoder"):
        prepared(write_suite(SUITE), tmp_path, encoder="vgg91")


def test_a_missing_gpu_is_reported(write_suite: Write, tmp_path: Path) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(UsageError, match="sees no CUDA device"):
        prepared(write_suite(SUITE), tmp_path, device="cuda")


def test_weights_for_an_unknown_network_name_the_nearest(
    write_suite: Write, tmp_path: Path
) -> None:
    with pytest.raises(NstbenchError, match="Did you mean 'vgg19'"):
        prepared(write_suite(SUITE), tmp_path, weights={"vgg9": tmp_path / "x"})


def test_there_is_no_estimate_before_every_method_has_run(
    write_suite: Write, tmp_path: Path
) -> None:
    from harness.api.display import Estimate
    from harness.records import Timing

    (cell,) = prepared(write_suite(SUITE), tmp_path).plan.cells
    cells = [dataclasses.replace(cell, seed=seed) for seed in range(3)]
    estimate = Estimate(cells)
    assert estimate.seconds() is None
    timing = Timing(4.0, False, 2.0, 1, 0.0, 0, None, None, "process")
    estimate.finished(Record(cells[0], "done", timing=timing))
    # Two cells remain, each with its own fit because of its seed: 2 * (2 + 4) seconds.
    assert estimate.seconds() == 12


def test_images_that_were_made_before_take_no_time(write_suite: Write, tmp_path: Path) -> None:
    from harness.api.display import Estimate

    ready = prepared(write_suite(SUITE + "seeds: [0, 1]\n"), tmp_path)
    done = Record(ready.plan.cells[0], "done", timing=None)
    estimate = Estimate(ready.plan.cells)
    estimate.finished(done)
    assert estimate.seconds() == 0
    ready.store.write(done, None, [])
    estimate = Estimate(ready.plan.cells)
    for record in ready.earlier_records():
        estimate.learn(record)
    assert estimate.seconds() == 0


def test_the_estimate_uses_an_earlier_run_until_this_one_has_times(
    write_suite: Write, tmp_path: Path
) -> None:
    from harness.api.display import Estimate
    from harness.records import Timing

    ready = prepared(write_suite(SUITE + "seeds: [0, 1, 2]\n"), tmp_path)
    cells = ready.plan.cells
    assert list(ready.earlier_records()) == []
    earlier = Timing(4.0, False, 2.0, 1, 0.0, 0, None, None, "process")
    ready.store.write(Record(cells[0], "failed", timing=earlier), None, [])
    estimate = Estimate(cells)
    for record in ready.earlier_records():
        estimate.learn(record)
    assert estimate.seconds() == 3 * (2 + 4)
    this_run = dataclasses.replace(earlier, fit_seconds=1.0, stylize_seconds=0.5)
    estimate.finished(Record(cells[0], "done", timing=this_run))
    assert estimate.seconds() == 2 * (0.5 + 1)
