"""The method `folder`: where it looks for the images of other programs, and what it reads."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

from harness import plan, suite
from harness.errors import ImageError, SuiteError
from harness.execution.resource_warnings import resource_warnings
from harness.records import Cell, CellInputs, ImageUse, Skip
from harness.resources.images import to_pixels
from methods.folder import Folder
from tests.harness.plan.test_expand import resources
from tests.helpers.command_line import command

INPUTS = CellInputs("cup", "wave", "photo", "great_wave", 32, 0)

SUITE = """\
version: 1
name: s
sizes: [32]
contents: {coffee: {builtin: coffee}, rocket: {builtin: rocket}}
styles: {grass: {builtin: grass}}
methods:
  theirs: {use: folder, params: {path: "results/{content}_stylized_{style}.png"}}
"""


def save(path: Path, color: Any = (10, 120, 200), size: tuple[int, int] = (32, 21)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Pillow.new("RGB", size, color).save(path)
    return path


def expanded(path: Path) -> tuple[list[Cell], list[Skip]]:
    """Return the cells of a suite, and those that are skipped."""
    uses = {
        name: ImageUse(name, f"sha-{name}", "here", width=600, height=400)
        for name in ("coffee", "rocket", "grass")
    }
    styles = {"grass": uses.pop("grass")}
    return plan.expand(suite.load(path), resources(contents=uses, styles=styles))


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, str], Path]:
    """Write a suite into a folder of its own below the test's."""

    def write(text: str, name: str = "one") -> Path:
        path = tmp_path / name / "suite.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    return write


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"path": "out/{content}/{style}_{seed}.png"}, "out/cup/wave_0.png"),
        ({"path": "{size}/{content_file}-{style_file}.jpg"}, "32/photo-great_wave.jpg"),
        ({"path": "out", "pattern": "{style}.png"}, "out/wave.png"),
        ({"path": "output", **Folder.presets["stytr-2"]}, "output/photo_stylized_great_wave.jpg"),
        ({"path": "o", **Folder.presets["pytorch-adain"]}, "o/photo_stylized_great_wave.jpg"),
        ({"path": "o", **Folder.presets["styleid"]}, "o/photo_stylized_great_wave.png"),
    ],
)
def test_a_path_has_the_names_and_file_names_of_the_pair(
    tmp_path: Path, settings: dict[str, str], expected: str
) -> None:
    file = save(tmp_path / expected)
    method = Folder(**{**settings, "path": str(tmp_path / settings["path"])}).resolve(())
    assert method.cell_files(INPUTS) == {"image": str(file)}


def test_the_same_images_in_another_place_and_by_a_preset_have_the_same_ids(write: Any) -> None:
    preset = SUITE.replace('params: {path: "results/{content}_stylized_{style}.png"}',
                           "preset: styleid, params: {path: moved/results}")  # fmt: skip
    suites = [write(SUITE), write(SUITE, "other"), write(preset, "third")]
    for path, folder in zip(suites, ("results", "results", "moved/results"), strict=True):
        for content in ("coffee", "rocket"):
            save(path.parent / folder / f"{content}_stylized_grass.png", (len(content), 0, 0))
    ids = [[cell.id for cell in expanded(path)[0]] for path in suites]
    assert ids[0] == ids[1] == ids[2]
    assert len(set(ids[0])) == 2

    save(suites[0].parent / "results" / "coffee_stylized_grass.png", (7, 7, 7))
    changed = [cell.id for cell in expanded(suites[0])[0]]
    assert changed[0] != ids[0][0]
    assert changed[1] == ids[0][1]


def test_a_missing_file_skips_its_cell_and_the_reason_names_the_nearest(write: Any) -> None:
    path = write(SUITE)
    results = path.parent / "results"
    cells, skipped = expanded(path)
    assert cells == []
    assert f"there is no file {results}/coffee_stylized_grass.png" in skipped[0].reason
    assert f"The nearest name in {path.parent} is suite.yaml." in skipped[0].reason
    save(results / "rocket_stylized_grass.png")
    save(results / "coffee_stylised_grass.png")
    cells, skipped = expanded(path)
    assert [cell.content.name for cell in cells] == ["rocket"]
    assert f"The nearest name in {results} is coffee_stylised_grass.png." in skipped[0].reason


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ("{}", "folder needs a `path`, for example results/{content}_stylized_{style}.png"),
        ('{path: "a/{contents}.png"}', "'{contents}' is not a placeholder: {content}, {style},"),
        ('{path: "a/{contents}.png"}', "Did you mean 'content'?"),
        ("{path: .}", "is a folder. Add the names of the images, for example results/{content}"),
        ("{path: a.png, resize: bicubic}", "params.resize"),
    ],
)
def test_a_path_that_cannot_be_used_is_an_error_of_the_suite(
    write: Any, params: str, message: str
) -> None:
    given = '{path: "results/{content}_stylized_{style}.png"}'
    with pytest.raises(SuiteError) as raised:
        expanded(write(SUITE.replace(given, params)))
    assert message in str(raised.value)


def read(context: Any, path: Path, notes: list[str] | None = None, **settings: Any) -> Any:
    """Return the pixels that the method reads for a cell of 32 x 21 pixels."""
    method = Folder(path=str(path), **settings).resolve(())
    note = ([] if notes is None else notes).append
    own = dataclasses.replace(context(), inputs=INPUTS, note=note)
    content = torch.zeros(1, 3, 21, 32)
    return to_pixels(method.fit(content, own)(content, own))


def test_the_pixels_are_those_of_the_file(context: Any, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (21, 32, 3), np.uint8)
    Pillow.fromarray(pixels).save(tmp_path / "cup.png")
    assert (read(context, tmp_path / "{content}.png") == pixels).all()


def test_rotation_and_transparency_are_applied(context: Any, tmp_path: Path) -> None:
    upright = Pillow.new("RGBA", (21, 32), (255, 0, 0, 0))
    exif = upright.getexif()
    exif[0x0112] = 6  # rotate by 90 degrees
    upright.save(tmp_path / "x.png", exif=exif)
    assert (read(context, tmp_path / "x.png") == 255).all()


def test_another_size_is_an_error_with_both_sizes_or_is_resized_with_a_note(
    context: Any, tmp_path: Path
) -> None:
    large = save(tmp_path / "large.png", size=(320, 210))
    with pytest.raises(ImageError, match=r"320 x 210 pixels, and the cell 32 x 21\. .*lanczos"):
        read(context, large)
    notes: list[str] = []
    pixels = read(context, large, notes, resize="lanczos")
    assert pixels.shape == (21, 32, 3)
    assert (pixels == (10, 120, 200)).all()
    assert notes == ["resized from 320 x 210 to 32 x 21 pixels (Lanczos)"]


def test_an_image_of_another_shape_is_never_distorted(context: Any, tmp_path: Path) -> None:
    square = save(tmp_path / "square.png", size=(64, 64))
    for resize in ("none", "lanczos"):
        with pytest.raises(ImageError, match=r"64 x 64 pixels, .* 32 x 21\. Their shapes"):
            read(context, square, resize=resize)


def test_equal_images_for_several_seeds_or_pairs_give_a_warning(write: Any) -> None:
    def warnings(text: str) -> list[str]:
        cells, _ = expanded(write(text))
        return list(resource_warnings(resources(), (), cells, frozenset()))

    for color, content in enumerate(("coffee", "rocket")):
        file = f"{content}_stylized_grass.png"
        save(write(SUITE).parent / "results" / file, (color, 0, 0))
    assert warnings(SUITE) == []
    (seeds,) = warnings(f"{SUITE}seeds: [0, 3]\n")
    assert seeds.startswith("theirs: the images of seeds 0 and 3 are the same")
    (pairs,) = warnings(SUITE.replace("{content}", "coffee"))
    assert pairs.startswith("theirs: coffee--grass and rocket--grass have the same image.")


def test_a_check_says_that_it_has_nothing_to_run() -> None:
    done = command("check", "folder")
    assert done.exit_code == 0
    assert "fit and stylize run: skipped (folder needs a `path`" in done.output
