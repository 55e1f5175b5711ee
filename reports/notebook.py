"""A small grid of images for notebooks: HTML without scripts, which contains its images."""

from __future__ import annotations

from dataclasses import dataclass

from harness.records import Record
from reports.formatting.numbers import number
from reports.images import EmbeddedAlbum, Picture
from reports.templating import fill
from reports.view_model import Pair, Variant, View

MAX_PAIRS, MAX_VARIANTS = 6, 6
EDGE = 112
"""Long edge of the images in pixels. With all pairs and variants, noise takes less than 1 MB."""


class RepeatingAlbum(EmbeddedAlbum):
    """Embedded images, of which each use is complete: no script replaces later uses."""

    def _reuse(self, picture: Picture) -> Picture:
        return picture


@dataclass(frozen=True)
class Box:
    """One image of the grid, or the reason why there is none."""

    picture: Picture | None
    title: str
    state: str = ""


def render(view: View) -> str:
    """Return the grid of the first pairs and variants at the first size, as HTML."""
    size, album = view.sizes[0], RepeatingAlbum()
    pairs = view.pairs(size)
    variants = sorted(view.variants, key=lambda variant: variant.anchor)  # anchors come last
    shown = variants[:MAX_VARIANTS]
    rows = [(pair, _boxes(view, album, pair, shown)) for pair in pairs[:MAX_PAIRS]]
    return str(fill("notebook", view=view, size=size, variants=shown, rows=rows, edge=EDGE,
                    all_variants=len(variants), all_pairs=len(pairs)))  # fmt: skip


def _boxes(view: View, album: EmbeddedAlbum, pair: Pair, variants: list[Variant]) -> list[Box]:
    inputs = [
        Box(album.picture(view.store.input_path(use, pair.size), EDGE), f"{role}: {use.name}")
        if use
        else Box(None, role)
        for role, use in (("content", pair.content), ("style", pair.style))
    ]
    records: dict[str, Record] = {}
    for record in view.by_place.get((pair.name, pair.size), []):
        records.setdefault(record.cell.variant, record)  # of the first seed
    return [*inputs, *(_box(view, album, records.get(v.name), pair, v) for v in variants)]


def _box(
    view: View, album: EmbeddedAlbum, record: Record | None, pair: Pair, variant: Variant
) -> Box:
    if record is None:
        reasons = [
            s.reason for s in view.run.skipped if (s.pair, s.variant) == (pair.name, variant.name)
        ]
        return Box(None, reasons[0] if reasons else "no result", "skipped" if reasons else "–")
    scores = [f"{s.name} {number(s.value)}" for s in record.scores if s.value is not None]
    title = "\n".join([record.cell.name, *scores])
    picture = album.picture(view.store.image(record.cell.id), EDGE)
    if record.failure:
        title = f"{title}\n{record.failure.message}"
    state = "image missing" if record.ok else record.status.replace("_", " ")
    return Box(picture, title, state)
