"""`nstbench stylize` with real pictures, a real store and real processes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from harness import suite as suites
from harness.api.run_loop import _store as store_outcome
from harness.execution.prepare import ReadyRun, RunOptions, prepare
from harness.execution.runner import Runner
from harness.filesystem import PART
from harness.resources.images import read, skimage_photograph
from harness.store import Store
from tests.helpers.command_line import ROOT, command

GATYS = ["--method", "gatys", "--set", "iterations=3", "--encoder", "random", "--offline"]

SUITE = """
version: 1
name: own
encoder: random
sizes: [70]
contents: {cat: {path: cat.png}}
styles: {wave: {path: wave.png}}
methods:
  gatys: {params: {iterations: 3, init: noise}}
  color_match:
  johnson: {params: {width: 0.25, steps: 3, batch_size: 1}}
metrics: []
repeats: 1
"""


def save(name: str, path: Path, size: tuple[int, int]) -> Path:
    """Save one of scikit-image's photographs at a size."""
    path.parent.mkdir(parents=True, exist_ok=True)
    read(skimage_photograph(name)).resize(size).save(path)
    return path


def pixels(path: Path) -> Any:
    with Pillow.open(path) as picture:
        return np.asarray(picture.convert("RGB")).astype(int)


def size_and_recipe(path: Path) -> tuple[tuple[int, int], dict[str, Any]]:
    with Pillow.open(path) as picture:
        return picture.size, json.loads(picture.info["nstbench"])


def run_suite(ready: ReadyRun) -> None:
    """Do what the worker and the loop of `nstbench run` do, in this process."""
    ready.store.begin()
    ready.write_inputs()
    runner = Runner(ready.resources)
    for (job,) in ready.batches():
        outcome = runner.execute(job)
        assert outcome.record.ok, outcome.record.failure
        store_outcome(ready.store, outcome)


def pictures(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with pictures, and the results of a suite that used them."""
    folder = tmp_path_factory.mktemp("site")
    save("chelsea", folder / "cat.png", (90, 61))
    save("hubble_deep_field", folder / "wave.png", (80, 50))
    (folder / "own.yaml").write_text(SUITE, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NSTBENCH_CACHE", str(folder / "cache"))
        ready = prepare(suites.load(folder / "own.yaml"), RunOptions(folder / "runs", offline=True))
        run_suite(ready)
    return folder


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("gatys", ["--set", "iterations=3", "--set", "gatys.init=noise", "--encoder", "random"]),
        ("color_match", []),
        ("johnson", ["--fit"]),
    ],
)
def test_a_picture_equals_that_of_a_suite(
    site: Path, tmp_path: Path, method: str, options: list[str]
) -> None:
    store = Store(site / "runs", "own")
    (record,) = (r for r in store.all_records() if r.cell.method == method)
    network = options == ["--fit"]
    source = ["--fit", record.cell.fit_id[:7]] if network else ["--style", site / "wave.png"]
    done = command("stylize", site / "cat.png", *source, "--size", "70", "-o", tmp_path, "--method",
                   method, "--runs", site / "runs", *([] if network else options))  # fmt: skip
    assert done.exit_code == 0, done.output
    expected = store.image(record.cell.id)
    assert expected is not None
    assert (pixels(tmp_path / "cat_stylized_wave.png") == pixels(expected)).all()


def test_a_folder_of_pictures_is_stylized_and_broken_files_are_reported(
    site: Path, tmp_path: Path
) -> None:
    folder, out = tmp_path / "pictures", tmp_path / "out"
    save("coffee", folder / "wide.jpg", (133, 47))
    save("rocket", folder / "trip 1" / "Über.jpg", (61, 90))
    save("coffee", folder / "trip 2" / "Über.jpg", (40, 40))
    transparent = read(skimage_photograph("chelsea")).resize((51, 35)).convert("RGBA")
    transparent.putalpha(Pillow.linear_gradient("L").resize((51, 35)))
    transparent.save(folder / "alpha.png")
    (folder / "broken.jpg").write_bytes((folder / "wide.jpg").read_bytes()[:900])
    (folder / "tiny.png").write_bytes(b"")
    (folder / "notes.txt").write_text("no picture")
    arguments = ["stylize", folder, tmp_path / "absent.jpg", "--style", site / "wave.png",
                 "-o", out, "--method", "color_match"]  # fmt: skip
    done = command(*arguments)
    assert done.exit_code == 3
    assert "absent.jpg" in done.output
    assert "broken.jpg cannot be read as an image" in done.output
    assert "4 stylized, 0 existed, 3 failed" in done.output
    sizes = {path.name: size_and_recipe(path)[0] for path in out.iterdir()}
    assert sizes == {
        "wide_stylized_wave.png": (133, 47),
        "alpha_stylized_wave.png": (51, 35),
        "trip 1_Über_stylized_wave.png": (61, 90),
        "trip 2_Über_stylized_wave.png": (40, 40),
    }
    times = {path: path.stat().st_mtime_ns for path in out.iterdir()}
    again = command(*arguments)  # continues: nothing is left to do
    assert "0 stylized, 4 existed, 3 failed" in again.output
    assert {path: path.stat().st_mtime_ns for path in out.iterdir()} == times


def test_a_picture_that_was_made_in_another_way_is_replaced_only_on_request(
    site: Path, tmp_path: Path
) -> None:
    arguments = ["stylize", site / "cat.png", "--style", site / "wave.png", "-o", tmp_path]
    assert command(*arguments, *GATYS, "--size", "40").exit_code == 0
    (path,) = tmp_path.iterdir()
    first = path.read_bytes()
    other = command(*arguments, *GATYS, "--size", "48")
    assert other.exit_code == 3
    assert "made in another way. To replace it, pass --overwrite" in other.output
    assert path.read_bytes() == first
    assert command(*arguments, *GATYS, "--size", "48", "--overwrite").exit_code == 0
    size, recipe = size_and_recipe(path)
    assert size == (48, 33)
    assert recipe["params"]["iterations"] == 3
    assert str(tmp_path) not in json.dumps(recipe)


def test_stylized_pictures_in_the_same_folder_are_not_stylized_again(
    site: Path, tmp_path: Path
) -> None:
    save("coffee", tmp_path / "cup.jpg", (50, 40))
    arguments = ["stylize", tmp_path, "--style", site / "wave.png", "-o", tmp_path,
                 "--method", "identity"]  # fmt: skip
    for _ in range(2):
        assert command(*arguments).exit_code == 0
    assert pictures(tmp_path) == ["cup.jpg", "cup_stylized_wave.png"]


def test_kept_colors_are_those_of_the_content(site: Path, tmp_path: Path) -> None:
    images = {}
    for color in ("style", "keep"):
        out = tmp_path / color
        arguments = ["--style", site / "wave.png", "--method", "color_match", "--color", color]
        assert command("stylize", site / "cat.png", "-o", out, *arguments).exit_code == 0
        images[color] = pixels(out / "cat_stylized_wave.png")
    content, weights = pixels(site / "cat.png"), np.array([0.299, 0.587, 0.114])
    inside = ((images["keep"] > 0) & (images["keep"] < 255)).all(-1)  # not clamped
    assert inside.mean() > 0.2
    change = (images["keep"] - images["style"]) @ weights
    assert np.abs(change[inside]).max() < 1.5
    chroma = (images["keep"] - content)[inside]
    assert np.abs(chroma - chroma.mean(-1, keepdims=True)).max() < 1.5  # grey is all that changed


def test_tiles_give_the_same_picture(site: Path, tmp_path: Path) -> None:
    (model,) = (site / "runs").glob("own/fits/*/model.safetensors")
    content = save("coffee", tmp_path / "cup.png", (203, 131))
    for name, options in (("whole", []), ("tiles", ["--tile", "64"])):
        done = command("stylize", content, "--checkpoint", model, "-o", tmp_path / name,
                       "--precision", "float32", *options)  # fmt: skip
        assert done.exit_code == 0, done.output
    whole, tiles = (pixels(tmp_path / n / "cup_stylized_model.png") for n in ("whole", "tiles"))
    assert whole.shape == (131, 203, 3)
    assert np.abs(whole - tiles).max() <= 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--method", "gatsy"], "Did you mean 'gatys'"),
        (["--method", "johnson"], "pass --fit ID, or pass a trained network with --checkpoint"),
        (["--set", "iterations=many"], "iterations"),
        (["--set", "iteration=3"], "Did you mean 'iterations'"),
        (["--preset", "gatys2017"], "Did you mean 'gatys2016'"),
        (["--fit", "123"], "123 is neither a file nor the id of a fit in"),
        (["--checkpoint", "absent.pth"], "there is no such file"),
        (["--tile", "256"], "gatys cannot work in tiles"),
        (["--size", "large"], "'large' is neither native nor a number of at least 32"),
        (["--style", "absent.jpg"], "--style: there is no file"),
    ],
)
def test_mistakes_are_reported_before_any_picture(
    site: Path, tmp_path: Path, options: list[str], message: str
) -> None:
    arguments = ["--style", site / "wave.png", "--encoder", "random", "-o", tmp_path / "out"]
    done = command("stylize", site / "cat.png", *arguments, *options, "--runs", site / "runs")
    assert done.exit_code == 2, done.output
    assert message in done.output
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_process_loses_no_picture_and_leaves_no_incomplete_one(
    site: Path, tmp_path: Path, number: signal.Signals
) -> None:
    folder, out = tmp_path / "pictures", tmp_path / "out"
    for index in range(3):
        save("coffee", folder / f"{index}.png", (60, 40 + index))
    arguments = ["stylize", folder, "--style", site / "wave.png", "-o", out, *GATYS]
    slow = [*arguments, "--set", "iterations=60"]
    process = subprocess.Popen(
        [sys.executable, "-m", "nstbench", *map(str, slow)], cwd=ROOT, stdout=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert any("[1/3] done" in line for line in process.stdout)
    process.send_signal(number)
    rest, _ = process.communicate(timeout=60)
    if number == signal.SIGTERM:
        assert process.returncode == 130
        assert "To continue, run the same command again." in rest
        assert not list(out.glob(f"{PART}*"))
    before = {path: path.stat().st_mtime_ns for path in out.glob("*.png")}
    for path in before:
        pixels(path)  # complete
    assert command(*slow).exit_code == 0
    assert pictures(out) == [f"{index}_stylized_wave.png" for index in range(3)]
    assert {path: path.stat().st_mtime_ns for path in before} == before
