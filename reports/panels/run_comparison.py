"""Compare the settings of several runs on one page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from markupsafe import Markup

from reports import comparability
from reports.panels.summary import counts, facts, warnings
from reports.templating import fill
from reports.view_model import View

title = "These runs"
order = 10


@dataclass(frozen=True)
class Fact:
    """One setting, with its value in each run."""

    name: str
    values: list[str]

    @property
    def shared(self) -> bool:
        """Whether the value is the same in all runs."""
        return len(set(self.values)) == 1


def render(view: View) -> Markup | None:
    """Render warnings about incomparable numbers, then the settings of all runs side by side."""
    if len(view.parts) == 1:
        return None
    uses = Counter(record.cell.id for part in view.parts for record in part.records)
    shared = sum(count > 1 for count in uses.values())
    return fill(
        "run_comparison",
        parts=view.parts,
        counts={**counts(view), **({"in several runs": shared} if shared else {})},
        warnings=[*comparability.warnings(view.sources), *_warnings(view)],
        recipes=comparability.recipe_differences(view.sources),
        aliases=comparability.aliases(view.sources),
        facts=_facts(view),
    )


def _warnings(view: View) -> Iterator[str]:
    """Yield the warnings of the runs, prefixed by their titles unless all runs have them."""
    found: dict[str, list[str]] = {}
    for part in view.parts:
        for warning in warnings(part):
            found.setdefault(warning, []).append(part.title)
    for warning, labels in found.items():
        yield warning if len(labels) == len(view.parts) else f"{', '.join(labels)}: {warning}"


def _facts(view: View) -> list[Fact]:
    settings = [{"Cells": _format_counts(counts(part)), **facts(part)} for part in view.parts]
    names = dict.fromkeys(name for one in settings for name in one)
    return [Fact(name, [one.get(name, "") for one in settings]) for name in names]


def _format_counts(cells: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in cells.items())
