"""How images came about: all optimisations of a pair at the same pass, under one slider."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from harness.records import Record, TracePoint
from reports.formatting.numbers import duration, number
from reports.images import Picture
from reports.templating import fill
from reports.view_model import Pair, View

title = "Time line"
order = 35

BUDGET = 3_000_000
"""Characters for all images on the way; the first pairs are shown that fit."""


@dataclass(frozen=True)
class Frame:
    """An image on the way, or the stylized image at its end."""

    step: int
    picture: Picture
    words: str  # what it took until then, and its loss


@dataclass(frozen=True)
class Strip:
    """The frames of one cell."""

    record: Record
    frames: list[Frame]


@dataclass(frozen=True)
class Scene:
    """A pair, with what was made of it."""

    pair: Pair
    strips: list[Strip]

    @property
    def weight(self) -> int:
        """Characters that its images take up in the page."""
        return sum(len(frame.picture.source) for strip in self.strips for frame in strip.frames)


def render(view: View) -> Markup | None:
    """Show the pairs whose cells kept images on the way, each with its first seed."""
    places = [pair for size in view.sizes for pair in view.pairs(size) if _kept(view, pair)]
    if not places:
        return None
    scenes = list(_fitting(view, places))
    frames = [frame for scene in scenes for strip in scene.strips for frame in strip.frames]
    return fill(
        "timeline",
        scenes=scenes,
        steps=sorted({frame.step for frame in frames}),
        left_out=len(places) - len(scenes),
        view=view,
    )


def _fitting(view: View, places: list[Pair]) -> Iterator[Scene]:
    """Yield the scenes, at least one, until the budget is spent."""
    spent = 0
    for pair in places:
        scene = Scene(pair, [_strip(view, record) for record in _kept(view, pair)])
        spent += scene.weight
        yield scene
        if spent + scene.weight > BUDGET:  # so will the next one's be
            return


def _kept(view: View, pair: Pair) -> list[Record]:
    """Return a pair's cells that have images on the way, of the first seed that any has."""
    records = view.by_place.get((pair.name, pair.size), [])
    found = [record for record in records if view.store.snapshots(record.cell.id)]
    return [record for record in found if record.cell.seed == found[0].cell.seed]


def _strip(view: View, record: Record) -> Strip:
    points = [p for p in view.store.trace(record.cell.id) if p.phase == "stylize"]
    frames = [
        Frame(step, picture, _words(record, [p for p in points if p.index <= step]))
        for step, path in view.store.snapshots(record.cell.id).items()
        if (picture := view.snapshot(path))
    ]
    if points and record.ok and (last := view.stylized(record)):
        frames.append(Frame(points[-1].index, last, _words(record, points)))
    return Strip(record, frames)


def _words(record: Record, until: Sequence[TracePoint]) -> str:
    if not until:
        return ""
    rough = "≈ " if record.timing and record.timing.noisy else ""
    return f"{rough}{duration(until[-1].seconds)}{_loss(until)}"


def _loss(until: Sequence[TracePoint]) -> str:
    """Write the loss of the image that is shown, and the lowest of raw pixels so far."""
    losses = [point.losses["total"] for point in until if "total" in point.losses]
    raw = number(min(losses, default=None))
    if "total" in until[-1].saved:
        return f", loss {number(until[-1].saved['total'])} saved image, {raw} raw pixels"
    return f", loss {raw}" if losses else ""
