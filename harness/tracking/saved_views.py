"""Saved views of the MLflow UI: all pairs and variants as one grid of images, cells by variant.

MLflow does not document them. What is written is what its UI (3.17) writes when a person saves a
view: an experiment's tag that holds a name and the state of the page. Best effort: a UI that knows
nothing of such tags leaves them alone, and a view that cannot be written costs nothing else.
"""

from __future__ import annotations

import base64
import json
import logging
import time
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.records import Record

TAG = "mlflow.sharedViewState."
OURS = f"{TAG}nst-"
PAIRS, BY_VARIANT = "nst-pairs", "nst-by-variant"

RUNS_WITH_IMAGES = 10
"""The UI shows images of so many runs, however many it lists: more variants, more views."""

RUNS_LOADED = 100
"""The UI takes so many runs into its charts until somebody asks for more."""

GRID_PIXELS = 700
"""How high the grid is: its bars for scrolling stay on a laptop's screen."""

State = dict[str, Any]


@dataclass(frozen=True)
class View:
    """A name for the menu, and what the UI keeps of a page; what it lacks is as by default."""

    name: str
    state: State

    def tag(self, now: int) -> str:
        """Return the value of the tag that holds the view; `now` in milliseconds."""
        return json.dumps({"name": self.name, "createdAt": now, "updatedAt": now,
                           "state": self._packed()})  # fmt: skip

    def same(self, tag: str) -> bool:
        """Tell whether a tag holds this very view, whenever it was written."""
        held = json.loads(tag)
        return (held.get("name"), held.get("state")) == (self.name, self._packed())

    def _packed(self) -> str:
        state = zlib.compress(json.dumps({**_ALWAYS, **self.state}).encode())
        return f"deflate;{base64.b64encode(state).decode()}"


def write(
    client: Any, cells: str, summary: str, records: Sequence[Record], runs: Mapping[str, str]
) -> None:
    """Write the views of both experiments in place of earlier ones; people's own are left alone.

    Args:
        client: An MlflowClient.
        cells: Id of the experiment with a run per cell.
        summary: Id of the experiment with a run per variant.
        records: What the latest run holds.
        runs: Ids of the summary's runs by variant.
    """
    try:
        _replace(client, cells, {BY_VARIANT: by_variant(records)})
        _replace(client, summary, pairs(records, runs))
    except Exception as error:  # whatever it is: all results are there without the views
        logging.getLogger(__name__).debug("no saved views in MLflow", exc_info=error)


def pairs(records: Sequence[Record], runs: Mapping[str, str]) -> dict[str, View]:
    """Return the grids of images: a row per pair, a column per variant, ten variants a view."""
    variants, first = _variants(records), min(record.cell.seed for record in records)
    grid = _chart("IMAGE", "grid", imageKeys=_each(r.cell.pair for r in records), step=first)
    views = {}
    last = max(0, len(variants) - RUNS_WITH_IMAGES)
    for place in range(0, len(variants), RUNS_WITH_IMAGES):
        start = min(place, last)  # the last view is as wide as the others
        shown = variants[start : start + RUNS_WITH_IMAGES]
        part = f" {start + 1}–{start + len(shown)}" if last else ""
        ids = ", ".join(f"'{runs[variant]}'" for variant in shown)
        key = f"{PAIRS}-{start + 1}" if start else PAIRS
        views[key] = View(
            f"Pairs × variants{part}",
            {
                "searchFilter": f"attributes.run_id IN ({ids})",
                "runListHidden": True,
                "selectedColumns": [f"metrics.`mean/final/{name}`" for name in _scores(records)],
                "compareRunSections": [
                    _section("grid", "Pairs × variants", columns=1, cardHeight=GRID_PIXELS)
                ],
                "compareRunCharts": [grid],
            },
        )
    return views


def by_variant(records: Sequence[Record]) -> View:
    """Return the cells in groups: scores as bars, the objective as curves, style against content.

    Of more cells than the UI loads, those of the first pairs: then each variant has its share.
    """
    few = len(records) <= RUNS_LOADED
    finals = [f"final/{name}" for name in _scores(records)]
    bars = [_chart("BAR", "scores", metricKey=key) for key in finals]
    curve = _chart("LINE", "curves", metricKey="loss/total", scaleType="log",
                   useGlobalXaxisKey=True, useGlobalLineSmoothing=True)  # fmt: skip
    content, style = "final/content_loss", "final/style_loss"
    trade = _chart("SCATTER", "curves", xaxis=_metric(content), yaxis=_metric(style))
    return View(
        "By variant",
        {
            "groupBy": {
                "aggregateFunction": "average",
                "groupByKeys": [{"mode": "param", "groupByData": "variant"}],
            },
            "groupsExpanded": {f"param.variant.{name}": False for name in _variants(records)},
            "orderByKey": "attributes.start_time" if few else "params.`pair`",
            "orderByAsc": True,
            "selectedColumns": [f"metrics.`{key}`" for key in (*finals, "time/total_s")],
            "compareRunSections": [
                _section("scores", "Scores, means of cells", columns=2),
                _section("curves", "Curves and trade-off", columns=2),
            ],
            "compareRunCharts": [
                *bars,
                curve,
                *([trade] if {content, style} <= set(finals) else []),
            ],
        },
    )


_ALWAYS: State = {
    "runsHiddenMode": "SHOW_ALL",  # else all but ten are hidden
    "isAccordionReordered": True,  # else our sections are sorted in between the UI's own
    "columnOrder": ["attributes.`Run Name`"],  # only columns in this list take their width
    "columnWidths": {"attributes.`Run Name`": 300},
}


def _replace(client: Any, experiment: str, views: Mapping[str, View]) -> None:
    now = round(time.time() * 1000)
    tags = client.get_experiment(experiment).tags
    for place, (key, view) in enumerate(views.items()):  # the menu has the newest first
        if not view.same(tags.get(TAG + key, "{}")):
            client.set_experiment_tag(experiment, TAG + key, view.tag(now - place))
    for tag in {tag for tag in tags if tag.startswith(OURS)} - {TAG + key for key in views}:
        client.delete_experiment_tag(experiment, tag)


def _chart(kind: str, section: str, **rest: Any) -> State:
    name = rest.get("metricKey", kind)
    return {"type": kind, "uuid": f"nst-{name}", "metricSectionId": f"nst-{section}",
            "deleted": False, "isGenerated": False, **rest}  # fmt: skip


def _section(key: str, name: str, **rest: Any) -> State:
    return {"uuid": f"nst-{key}", "name": name, "display": True, "isReordered": True,
            "deleted": False, "isGenerated": False, **rest}  # fmt: skip


def _metric(key: str) -> State:
    return {"key": key, "type": "METRIC"}


def _variants(records: Iterable[Record]) -> list[str]:
    return _each(record.cell.variant for record in records)


def _scores(records: Iterable[Record]) -> list[str]:
    return _each(s.name for record in records for s in record.scores if s.value is not None)


def _each(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))
