"""Where everything came from: images, weights, software, parameters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from harness.records import Cell, ImageUse
from harness.store import redact
from reports.images import Picture
from reports.templating import fill
from reports.view_model import View

title = "Provenance"
order = 60


@dataclass(frozen=True)
class Source:
    """An image, in the role that it plays."""

    role: str
    use: ImageUse
    picture: Picture | None


@dataclass(frozen=True)
class Settings:
    """A variant's resolved parameters: what sets it apart from its label's others, and the rest."""

    variant: str
    method: str
    version: int
    apart: Mapping[str, Any]
    shared: Mapping[str, Any]


@dataclass(frozen=True)
class Origin:
    """What one run stood on."""

    title: str
    command: str
    environment: Mapping[str, list[str]]
    suite: str


def render(view: View) -> Markup:
    """Show what it takes to do the run again elsewhere."""
    runs = [part.run for part in view.parts]
    trainings = {run.training.sha256: run.training for run in runs if run.training}
    return fill(
        "provenance",
        encoders=view.encoders,
        judges={run.encoder.sha256 for run in runs},
        trainings=trainings.values(),
        sources=_sources(view),
        settings=_settings(view),
        origins=[_origin(part) for part in view.parts],
    )


def _origin(view: View) -> Origin:
    suite = redact(view.store.suite_text())
    # That of a run alone stands in the summary.
    command = redact(view.run.command) if view.whole else ""
    return Origin(view.under(""), command, _environment(view), suite)


def _sources(view: View) -> list[Source]:
    found: dict[tuple[str, str], Source] = {}
    for role in ("content", "style"):
        for record in view.records:
            use: ImageUse = getattr(record.cell, role)
            if (role, use.sha256) not in found:
                picture = view.input(use, record.cell.size)
                found[role, use.sha256] = Source(role, use, picture)
    return list(found.values())


def _environment(view: View) -> dict[str, list[str]]:
    """Return the run's facts; where reused cells were made under others, those with counts."""
    names = dict.fromkeys(
        (*view.run.environment, *(k for r in view.records for k in r.environment))
    )
    table: dict[str, list[str]] = {}
    for name in names:
        values = Counter(r.environment[name] for r in view.records if name in r.environment)
        own = view.run.environment.get(name)
        others = [f"{value} ({n} cells)" for value, n in values.items() if value != own]
        table[name] = [*([own] if own is not None else []), *others]
    return table


def _settings(view: View) -> list[Settings]:
    cells: dict[str, Cell] = {}
    for record in view.records:
        cells.setdefault(record.cell.variant, record.cell)
    return [_of_variant(cell, list(cells.values())) for cell in cells.values()]


def _of_variant(cell: Cell, cells: list[Cell]) -> Settings:
    peers = [other for other in cells if other.label == cell.label]
    apart = {
        name: value
        for name, value in cell.params.items()
        if any(peer.params.get(name) != value for peer in peers)
    }
    shared = {name: value for name, value in cell.params.items() if name not in apart}
    return Settings(cell.variant, cell.method, cell.version, apart, shared)
