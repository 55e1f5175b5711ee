"""Provenance: images, weights, parameters, software and machine."""

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
    """An image and its role: content or style."""

    role: str
    use: ImageUse
    picture: Picture | None


@dataclass(frozen=True)
class Settings:
    """Resolved parameters of a variant: those that differ within its label, and the others."""

    variant: str
    method: str
    version: int
    differing: Mapping[str, Any]
    shared: Mapping[str, Any]


@dataclass(frozen=True)
class Origin:
    """Command, machine, software and suite of one run."""

    title: str
    command: str
    environment: Mapping[str, list[str]]
    suite: str


def render(view: View) -> Markup:
    """Render what is needed to reproduce the run."""
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
    # The section with the settings shows the command of a single run.
    command = redact(view.run.command) if view.parent else ""
    return Origin(view.qualify(""), command, _environment(view), suite)


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
    """Return the environment of the run, and differing values of reused cells with counts."""
    names = dict.fromkeys(
        (*view.run.environment, *(k for r in view.records for k in r.environment))
    )
    table: dict[str, list[str]] = {}
    for name in names:
        values = Counter(r.environment[name] for r in view.records if name in r.environment)
        current = view.run.environment.get(name)
        others = [f"{value} ({n} cells)" for value, n in values.items() if value != current]
        table[name] = [*([current] if current is not None else []), *others]
    return table


def _settings(view: View) -> list[Settings]:
    cells: dict[str, Cell] = {}
    for record in view.records:
        cells.setdefault(record.cell.variant, record.cell)
    return [_of_variant(cell, list(cells.values())) for cell in cells.values()]


def _of_variant(cell: Cell, cells: list[Cell]) -> Settings:
    peers = [other for other in cells if other.label == cell.label]
    differing = {
        name: value
        for name, value in cell.params.items()
        if any(peer.params.get(name) != value for peer in peers)
    }
    shared = {name: value for name, value in cell.params.items() if name not in differing}
    return Settings(cell.variant, cell.method, cell.version, differing, shared)
