"""Failed and skipped cells, and notes that methods recorded."""

from __future__ import annotations

from markupsafe import Markup

from reports.templating import fill
from reports.view_model import View

title = "Failures, skips and notes"
order = 50


def render(view: View) -> Markup | None:
    """Render every reason, with all cells that share it."""
    failed = [record for record in view.records if not record.ok]
    skipped: dict[str, list[str]] = {}
    for skip in view.run.skipped:
        skipped.setdefault(skip.reason, []).append(skip.name)
    notes: dict[str, list[str]] = {}
    for record in view.records:
        for note in record.notes:
            notes.setdefault(note, []).append(record.cell.name)
    if not (failed or skipped or notes):
        return None
    return fill("failures", failed=failed, skipped=skipped, notes=notes)
