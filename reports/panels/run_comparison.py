"""What several runs on one page have in common, and what they have not."""

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
    """One fact, of each run or of all."""

    name: str
    values: list[str]

    @property
    def shared(self) -> bool:
        """Whether it is the same in all."""
        return len(set(self.values)) == 1


def render(view: View) -> Markup | None:
    """Show the runs beside each other, and first of all what does not compare between them."""
    if len(view.parts) == 1:
        return None
    often = Counter(record.cell.id for part in view.parts for record in part.records)
    shared = sum(times > 1 for times in often.values())
    return fill(
        "together",
        parts=view.parts,
        counts={**counts(view), **({"of them in several runs": shared} if shared else {})},
        warnings=[*comparability.warnings(view.sources), *_warnings(view)],
        recipes=comparability.recipes(view.sources),
        aliases=comparability.aliases(view.sources),
        facts=_facts(view),
    )


def _warnings(view: View) -> Iterator[str]:
    """Yield what the runs themselves warn of, and before it which of them do, if not all."""
    found: dict[str, list[str]] = {}
    for part in view.parts:
        for warning in warnings(part):
            found.setdefault(warning, []).append(part.title)
    for warning, labels in found.items():
        yield warning if len(labels) == len(view.parts) else f"{', '.join(labels)}: {warning}"


def _facts(view: View) -> list[Fact]:
    each = [{"Cells": _said(counts(part)), **facts(part)} for part in view.parts]
    names = dict.fromkeys(name for one in each for name in one)
    return [Fact(name, [one.get(name, "") for one in each]) for name in names]


def _said(found: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in found.items())
