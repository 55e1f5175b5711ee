"""jinja2 as this page uses it: everything is escaped, a forgotten name is an error."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from harness.analysis.table import plain
from harness.store import redact
from reports.formatting import numbers

HERE = Path(__file__).parent


def fill(template: str, **context: Any) -> Markup:
    """Return a template of reports/templates/ with its names filled in."""
    return Markup(_environment().get_template(f"{template}.html.j2").render(context))


def static(kind: str) -> list[Markup]:
    """Return all files of a kind in reports/static/ for inlining, in the order of their names."""
    paths = sorted((HERE / "static").glob(f"*.{kind}"))
    return [Markup(path.read_text(encoding="utf-8")) for path in paths]


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        # Not select_autoescape: that looks at the name's end and leaves `.j2` unescaped.
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "breakable": numbers.breakable,
        "duration": numbers.duration,
        "plain": plain,
        "redact": redact,
    }
    return environment
