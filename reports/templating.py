"""Render jinja2 templates: all values are escaped, an undefined name is an error."""

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
    """Return a rendered template of reports/templates/."""
    return Markup(_environment().get_template(f"{template}.html.j2").render(context))


def static(kind: str) -> list[Markup]:
    """Return the contents of all files in reports/static/ with an extension, in order of name."""
    paths = sorted((HERE / "static").glob(f"*.{kind}"))
    return [Markup(path.read_text(encoding="utf-8")) for path in paths]


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        # select_autoescape decides by file extension and would not escape `.j2`.
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
