"""Saved views of the MLflow UI: a grid of images by pair and variant, and cells by variant.

The format is undocumented. It is what the UI of MLflow 3.17 writes when a user saves a view: a tag
of the experiment with a name and the state of the page. Other versions ignore such tags, and errors
while writing them are only logged.
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
"""Number of runs whose images the UI shows at once; further variants get further views."""

RUNS_LOADED = 100
"""Number of runs in the UI's charts before the user clicks *load more*."""

GRID_PIXELS = 700
"""Height of the grid, so that its scroll bars fit on the screen of a laptop."""

State = dict[str, Any]


@dataclass(frozen=True)
class View:
    """A name for the menu, and the state of the page; missing keys have the UI's defaults."""

    name: str
    state: State

    def tag(self, now: int) -> str:
        """Return the value of the view's tag; `now` is in milliseconds."""
        return json.dumps({"name": self.name, "createdAt": now, "updatedAt": now,
                           "state": self._packed()})  # fmt: skip

    def same(self, tag: str) -> bool:
        """Return whether a tag holds this view, regardless of when it was written."""
        stored = json.loads(tag)
        return (stored.get("name"), stored.get("state")) == (self.name, self._packed())

    def _packed(self) -> str:
        state = zlib.compress(json.dumps({**_ALWAYS, **self.state}).encode())
        return f"deflate;{base64.b64encode(state).decode()}"


def write(
    client: Any, cells: str, summary: str, records: Sequence[Record], runs: Mapping[str, str]
) -> None:
    """Write the views of both experiments in place of earlier ones; views of users stay.

    Args:
        client: An MlflowClient.
        cells: Id of the experiment with a run per cell.
        summary: Id of the experiment with a run per variant.
        records: The records of the latest run.
        runs: Ids of the runs in `summary`, by variant.
    """
    try:
        _replace(client, cells, {BY_VARIANT: by_variant(records)})
        _replace(client, summary, pairs(records, runs))
    except Exception as error:  # results do not depend on the views
        logging.getLogger(__name__).debug("could not write saved views to MLflow", exc_info=error)


def pairs(records: Sequence[Record], runs: Mapping[str, str]) -> dict[str, View]:
    """Return the grids of images: a row per pair, a column per variant, ten variants a view."""
    variants, first = _variants(records), min(record.cell.seed for record in records)
    grid = _chart("IMAGE", "grid", imageKeys=_distinct(r.cell.pair for r in records), step=first)
    views = {}
    last = max(0, len(variants) - RUNS_WITH_IMAGES)
    for place in range(0, len(variants), RUNS_WITH_IMAGES):
        start = min(place, last)  # the last view shows as many variants as the others
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
    """Return the cells by variant: scores as bars, losses as curves, style against content loss.

    With more cells than the UI loads, it shows those of the first pairs, so that each variant has
    equally many.
    """
    all_loaded = len(records) <= RUNS_LOADED
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
            "orderByKey": "attributes.start_time" if all_loaded else "params.`pair`",
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
    "runsHiddenMode": "SHOW_ALL",  # by default all but ten are hidden
    "isAccordionReordered": True,  # keeps our sections before the UI's own
    "columnOrder": ["attributes.`Run Name`"],  # widths apply only to columns in this list
    "columnWidths": {"attributes.`Run Name`": 300},
}


def _replace(client: Any, experiment: str, views: Mapping[str, View]) -> None:
    now = round(time.time() * 1000)
    tags = client.get_experiment(experiment).tags
    for place, (key, view) in enumerate(views.items()):  # the menu lists the newest first
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
    return _distinct(record.cell.variant for record in records)


def _scores(records: Iterable[Record]) -> list[str]:
    return _distinct(s.name for record in records for s in record.scores if s.value is not None)


def _distinct(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))
