from __future__ import annotations

from typing import Any

from harness.execution.batching import group_into_batches
from harness.plan import Entry
from harness.records import Cell, EncoderUse, ImageUse

ENCODER = EncoderUse("random", "0" * 64, "seed 0")


def entry(
    content: str = "a", style: str = "s", *, method: str = "gatys", action: Any = "run",
    edges: tuple[int, int] = (600, 400), **more: Any,
) -> Entry:  # fmt: skip
    cell = Cell(
        "suite", more.pop("variant", method), method, method, 1, more.pop("params", {}), {},
        ImageUse(content, f"sha-{content}", "here", width=edges[0], height=edges[1]),
        ImageUse(style, f"sha-{style}", "here", width=50, height=50),
        more.pop("size", 64), more.pop("seed", 0), ENCODER, "float32", "cpu",
    )  # fmt: skip
    return Entry(cell, action, "new")


def names(groups: list[list[Entry]]) -> list[str]:
    return [" ".join(f"{e.cell.content.name}{e.cell.style.name}" for e in g) for g in groups]


def test_gatys_mixes_styles_and_johnson_does_not() -> None:
    pairs = [(c, s) for s in "st" for c in "ab"]
    assert names(group_into_batches([entry(*p) for p in pairs], 8)) == ["as bs at bt"]
    assert names(group_into_batches([entry(*p, method="johnson") for p in pairs], 8)) == [
        "as bs",
        "at bt",
    ]


def test_no_batch_is_larger_than_the_limit() -> None:
    assert [len(g) for g in group_into_batches([entry(seed=i) for i in range(7)], 3)] == [3, 3, 1]


def test_a_batch_has_cells_of_one_shape_and_one_variant() -> None:
    wide, tall = entry("a"), entry("b", edges=(400, 600))
    same = entry("c", edges=(900, 600))  # another file, the same shape at 64 pixels: 64 x 43
    other = entry("d", variant="gatys[adam]")
    changed = entry("e", params={"iterations": 7})
    groups = group_into_batches([wide, tall, same, other, changed, entry("f", size=128)], 8)
    assert names(groups) == ["as cs", "bs", "ds", "es", "fs"]


def test_cells_whose_method_has_no_batches_run_alone() -> None:
    groups = group_into_batches([entry("a", method="identity"), entry("b", method="identity"),
                      entry("c", action="score"), entry("d", action="score")], 8)  # fmt: skip
    assert names(groups) == ["as", "bs", "cs", "ds"]
