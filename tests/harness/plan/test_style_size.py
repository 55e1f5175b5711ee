"""The size of the style that a method learns, apart from the size of the content."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from harness import plan, suite
from harness.errors import SuiteError
from harness.records import Cell, ImageUse
from tests.harness.plan.test_expand import expand, resources

SUITE = """\
version: 1
name: s
contents: {coffee: {builtin: coffee}}
styles: {grass: {builtin: grass}}
methods: {style_copy: , gatys: {params: {iterations: 5}}}
"""
GATYS = "gatys: {params: {iterations: 5}}"
Write = Callable[[str], Path]


def sizes(cells: list[Cell]) -> dict[str, int | None]:
    """Return the style size of each variant."""
    return {cell.variant: cell.style_size for cell in cells}


def test_without_a_style_size_a_cell_has_the_id_of_earlier_versions(write_suite: Write) -> None:
    cells = expand(write_suite(SUITE))
    assert cells[0].version == 1
    assert cells[0].id == "56d8db6dc516"  # of the version before there was a style size
    assert all("style_size" not in cell.components for cell in cells)


def test_the_style_size_is_part_of_the_ids_of_cell_and_fit(write_suite: Write) -> None:
    (_, usual), (_, large) = (
        expand(write_suite(text)) for text in (SUITE, f"{SUITE}style_size: 512\n")
    )
    assert large.components == {**usual.components, "style_size": 512}
    assert usual.id != large.id
    assert usual.fit_id != large.fit_id


def test_the_content_size_as_style_size_is_the_default(write_suite: Write) -> None:
    cells = expand(write_suite(f"{SUITE}style_size: 256\n"))
    assert [cell.id for cell in cells] == [cell.id for cell in expand(write_suite(SUITE))]
    other = expand(write_suite(f"{SUITE}style_size: 256\nsizes: [128, 256]\n"))
    assert [(cell.size, cell.style_size) for cell in other if cell.label == "gatys"] == [
        (128, 256), (256, None),
    ]  # fmt: skip


def test_the_suites_style_size_does_not_change_anchors(write_suite: Write) -> None:
    text = f"{SUITE}style_size: 512\n"
    assert sizes(expand(write_suite(text))) == {"style_copy": None, "gatys": 512}
    text = text.replace("style_copy: ", "style_copy: {style_size: 64}")
    assert sizes(expand(write_suite(text))) == {"style_copy": 64, "gatys": 512}


def test_the_style_size_can_be_an_axis(write_suite: Write) -> None:
    axis = "gatys: {params: {iterations: 5}, axes: {style_size: [null, 128, 512]}}"
    cells = expand(write_suite(SUITE.replace(GATYS, axis)))
    assert sizes(cells) == {
        "style_copy": None,
        "gatys": None,
        "gatys[style_size=128]": 128,
        "gatys[style_size=512]": 512,
    }
    assert cells[1].id == expand(write_suite(SUITE))[1].id


def test_the_entry_of_a_method_replaces_the_suites_style_size(write_suite: Write) -> None:
    entry = "gatys: {params: {iterations: 5}, style_size: 64}"
    cells = expand(write_suite(f"{SUITE.replace(GATYS, entry)}style_size: 512\n"))
    assert sizes(cells) == {"style_copy": None, "gatys": 64}


def test_a_style_size_can_be_excluded_and_included(write_suite: Write) -> None:
    axis = "gatys: {params: {iterations: 5}, axes: {style_size: [128, 512]}}"
    text = SUITE.replace(GATYS, axis)
    text += "exclude: [{method: gatys, style_size: 128}]\n"
    text += "include: [{method: gatys, style_size: 300}]\n"
    names = {"gatys[style_size=512]": 512, "gatys[style_size=300]": 300}
    assert sizes(expand(write_suite(text))) == {"style_copy": None, **names}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"{SUITE}style_size: 16\n", r"suite\.yaml:6:13: style_size: .*32"),
        (SUITE.replace("5}}", "5}, style_size: big}"), r"methods\.gatys\.style_size: "),
        (SUITE.replace("5}}", "5}, axes: {style_size: [64, 9000]}}"), r"style_size\[1\]: .*8192"),
        (SUITE.replace("5}}", "5}, axes: {style_size: [1.5]}}"), r"axes\.style_size\[0\]: "),
        (
            f"{SUITE}include: [{{method: gatys, style_size: 8}}]\n",
            r"include\[0\]\.style_size: .*32",
        ),
        (
            SUITE.replace("5}}", "5}, axes: {style_size: [256, null]}}"),
            "are the same configuration",
        ),
    ],
)
def test_an_invalid_style_size_is_reported_at_its_place(
    text: str, message: str, write_suite: Write
) -> None:
    with pytest.raises(SuiteError, match=message):
        expand(write_suite(text))


def test_a_style_that_is_too_narrow_at_its_own_size_is_skipped(write_suite: Write) -> None:
    found = resources(
        styles={"grass": ImageUse("grass", "sha-grass", "here", width=400, height=60)}
    )
    cells, (skip,) = plan.expand(suite.load(write_suite(f"{SUITE}style_size: 64\n")), found)
    assert [cell.variant for cell in cells] == ["style_copy"]
    assert (skip.variant, skip.reason) == (
        "gatys",
        "grass is 64 x 10 pixels at 64: at least 16 are needed.",
    )
