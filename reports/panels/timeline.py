"""Timeline: intermediate images of all optimisations of a pair at the same pass."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from harness.analysis import comparable_costs
from harness.records import Record, TracePoint
from reports.formatting.numbers import duration, number
from reports.images import Picture
from reports.templating import fill
from reports.view_model import Pair, View

title = "Timeline"
order = 35

BUDGET = 3_000_000
"""Characters for all intermediate images; pairs beyond this limit are omitted."""


@dataclass(frozen=True)
class Frame:
    """An intermediate image, or the stylized image at the end."""

    step: int
    picture: Picture
    caption: str  # elapsed time and loss


@dataclass(frozen=True)
class Strip:
    """The frames of one cell."""

    record: Record
    frames: list[Frame]


@dataclass(frozen=True)
class Scene:
    """A pair with its strips."""

    pair: Pair
    strips: list[Strip]

    @property
    def weight(self) -> int:
        """Number of characters of its images in the page."""
        return sum(len(frame.picture.source) for strip in self.strips for frame in strip.frames)


def render(view: View) -> Markup | None:
    """Render the pairs whose cells have intermediate images, for the first such seed."""
    places = [
        pair for size in view.sizes for pair in view.pairs(size) if _with_snapshots(view, pair)
    ]
    if not places:
        return None
    scenes = list(_fitting(view, places))
    frames = [frame for scene in scenes for strip in scene.strips for frame in strip.frames]
    return fill(
        "timeline",
        scenes=scenes,
        steps=sorted({frame.step for frame in frames}),
        omitted=len(places) - len(scenes),
        view=view,
    )


def _fitting(view: View, places: list[Pair]) -> Iterator[Scene]:
    """Yield scenes, at least one, until the budget is used up."""
    spent = 0
    for pair in places:
        scene = Scene(pair, [_strip(view, record) for record in _with_snapshots(view, pair)])
        spent += scene.weight
        yield scene
        if spent + scene.weight > BUDGET:  # the next scene has about the same size
            return


def _with_snapshots(view: View, pair: Pair) -> list[Record]:
    """Return the cells of a pair with intermediate images, for the first such seed."""
    records = view.by_place.get((pair.name, pair.size), [])
    found = [record for record in records if view.store.snapshots(record.cell.id)]
    return [record for record in found if record.cell.seed == found[0].cell.seed]


def _strip(view: View, record: Record) -> Strip:
    points = [p for p in view.store.trace(record.cell.id) if p.phase == "stylize"]
    frames = [
        Frame(step, picture, _caption(record, [p for p in points if p.index <= step]))
        for step, path in view.store.snapshots(record.cell.id).items()
        if (picture := view.snapshot(path))
    ]
    if points and record.ok and (last := view.stylized(record)):
        frames.append(Frame(points[-1].index, last, _caption(record, points)))
    return Strip(record, frames)


def _caption(record: Record, points: Sequence[TracePoint]) -> str:
    if not points:
        return ""
    if record.timing is None and record.ok:
        return _loss(points).removeprefix(", ")
    mark = "≈ " if record.timing and record.timing.noisy else ""
    qualifier = comparable_costs.qualifier(record)
    more = f" ({qualifier})" if qualifier else ""
    return f"{mark}{duration(points[-1].seconds)}{more}{_loss(points)}"


def _loss(points: Sequence[TracePoint]) -> str:
    """Format the loss of the saved image, and the lowest loss of the raw pixels so far."""
    losses = [point.losses["total"] for point in points if "total" in point.losses]
    raw = number(min(losses, default=None))
    if "total" in points[-1].saved:
        return f", loss {number(points[-1].saved['total'])} (saved image), {raw} (raw pixels)"
    return f", loss {raw}" if losses else ""
