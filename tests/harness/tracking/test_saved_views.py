"""The contents of the saved views of the MLflow UI."""

from __future__ import annotations

import base64
import json
import zlib
from itertools import product
from typing import Any

from harness.records import Cell, EncoderUse, ImageUse, Record, Score
from harness.tracking import saved_views
from harness.tracking.saved_views import View

ENCODER = EncoderUse("e", "w", "o")


def records(variants: int, contents: int = 3, styles: int = 2, seeds: int = 1) -> list[Record]:
    def image(name: str, number: int) -> ImageUse:
        return ImageUse(f"{name}{number}", f"{name}{number}", "here")

    def record(variant: int, content: int, style: int, seed: int) -> Record:
        name = f"v{variant:02}"
        cell = Cell("s", name, name, "gatys", 1, {}, {}, image("c", content), image("s", style),
                    64, seed, ENCODER, "float32", "cpu")  # fmt: skip
        missing = Score("lpips", None, "", "lower", "alexnet", why_missing="no trunk")
        found = [Score(n, 0.5, "", "lower", "x") for n in ("ssim", "content_loss", "style_loss")]
        return Record(cell, "done", (missing, *found))

    order = product(range(variants), range(contents), range(styles), range(7, 7 + seeds))
    return [record(*numbers) for numbers in order]


def state_of(view: View) -> dict[str, Any]:
    """Return what the UI reads from the tag."""
    tag = json.loads(view.tag(1795294148570))
    assert tag["createdAt"] == tag["updatedAt"] == 1795294148570
    encoding, _, packed = tag["state"].partition(";")
    assert encoding == "deflate"
    state: dict[str, Any] = json.loads(zlib.decompress(base64.b64decode(packed)))
    sections = {section["uuid"] for section in state["compareRunSections"]}
    charts = state["compareRunCharts"]
    # No section is empty, and every chart has a section.
    assert {chart["metricSectionId"] for chart in charts} == sections
    assert len({chart["uuid"] for chart in charts}) == len(charts)
    return state


def test_the_grid_has_one_row_per_pair_and_shows_the_first_seed() -> None:
    views = saved_views.pairs(records(2), {"v00": "run-a", "v01": "run-b", "report": "run-c"})
    assert [view.name for view in views.values()] == ["Pairs × variants"]
    state = state_of(views["nst-pairs"])
    (grid,) = state["compareRunCharts"]
    assert grid["type"] == "IMAGE"
    assert len(grid["imageKeys"]) == 3 * 2
    assert grid["imageKeys"][:3] == ["c0--s0", "c0--s1", "c1--s0"]
    assert grid["step"] == 7
    assert state["searchFilter"] == "attributes.run_id IN ('run-a', 'run-b')"
    assert state["runsHiddenMode"] == "SHOW_ALL"


def test_more_than_ten_variants_get_a_further_view() -> None:
    runs = {f"v{number:02}": f"run-{number:02}" for number in range(13)}
    views = saved_views.pairs(records(13, contents=1, styles=1), runs)
    assert [view.name for view in views.values()] == [
        "Pairs × variants 1–10",
        "Pairs × variants 4–13",
    ]
    shown = [state_of(view)["searchFilter"].count("run-") for view in views.values()]
    assert shown == [10, 10]
    assert "run-12" in state_of(views["nst-pairs-4"])["searchFilter"]


def test_the_view_by_variant_has_bars_curves_and_a_scatter_plot() -> None:
    state = state_of(saved_views.by_variant(records(2)))
    charts = state["compareRunCharts"]
    bars = [chart["metricKey"] for chart in charts if chart["type"] == "BAR"]
    assert bars == ["final/ssim", "final/content_loss", "final/style_loss"]  # lpips has no value
    assert [chart["metricKey"] for chart in charts if chart["type"] == "LINE"] == ["loss/total"]
    (trade,) = [chart for chart in charts if chart["type"] == "SCATTER"]
    assert (trade["xaxis"]["key"], trade["yaxis"]["key"]) == (
        "final/content_loss",
        "final/style_loss",
    )
    assert state["groupBy"]["groupByKeys"] == [{"mode": "param", "groupByData": "variant"}]
    assert set(state["groupsExpanded"]) == {"param.variant.v00", "param.variant.v01"}


def test_with_more_cells_than_the_ui_loads_they_are_sorted_by_pair() -> None:
    def order(seeds: int) -> str:
        cells = records(5, contents=5, styles=2, seeds=seeds)
        return str(state_of(saved_views.by_variant(cells))["orderByKey"])

    assert order(seeds=2) == "attributes.start_time"  # 5 variants x 10 pairs x 2 = 100
    assert order(seeds=3) == "params.`pair`"  # 150: the first 100 by time were three variants
