"""Build the page from records, as one file or as a folder with images.

The page contains everything that it needs and makes no network requests.
"""

from __future__ import annotations

import base64
import hashlib
import importlib
import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

from markupsafe import Markup

from harness.analysis.claims.export import comma_separated
from harness.store import Store, write_page, write_page_folder
from reports import panels
from reports.images import Album, EmbeddedAlbum, FolderAlbum
from reports.merged_runs import MergedRuns
from reports.templating import fill, static
from reports.view_model import View


class Panel(Protocol):
    """A module of reports/panels/: one section of the page."""

    title: str
    order: int

    @staticmethod
    def render(view: View) -> Markup | None:
        """Return the body of the section, or None if there is nothing to show."""


@dataclass(frozen=True)
class Section:
    """A panel with content."""

    anchor: str
    title: str
    body: Markup


def write(store: Store) -> Path:
    """Write results.csv, claims.csv (if there are claims) and the page; return its path."""
    view = View(store)
    _write_tables(store, view)
    return store.write_report(_render(view))


def write_folder(store: Store) -> Path:
    """Write the same files, with the page as a folder of thumbnails and lossless images."""

    def render_into(folder: Path) -> str:
        view = View(store, FolderAlbum(folder))
        _write_tables(store, view)
        return _render(view)

    return store.write_report_folder(render_into)


def write_about(stores: Mapping[str, Store], path: Path) -> Path:
    """Write one page about several stores, by label, and return its path."""
    return write_page(path, render_about(stores))


def write_folder_about(stores: Mapping[str, Store], path: Path) -> Path:
    """Write the same page as a folder and return the path of the page in it."""
    return write_page_folder(path, lambda folder: render_about(stores, FolderAlbum(folder)))


def render(store: Store) -> str:
    """Return the page about the latest run of a store."""
    return _render(View(store))


def render_about(stores: Mapping[str, Store], album: Album | None = None) -> str:
    """Return one page about one or more stores, by label."""
    merged = MergedRuns.of(stores)
    source = merged if len(stores) > 1 else merged.parts[0]
    return _render(View(source, album or EmbeddedAlbum(), label=merged.label))


def find_panels() -> dict[str, Panel]:
    """Return the panels by module name, in the order of the page."""
    names = [m.name for m in pkgutil.iter_modules(panels.__path__) if not m.name.startswith("_")]
    modules = {name: importlib.import_module(f"reports.panels.{name}") for name in names}
    found = {name: cast(Panel, module) for name, module in modules.items()}
    return dict(sorted(found.items(), key=lambda item: (item[1].order, item[0])))


def _write_tables(store: Store, view: View) -> None:
    store.write_results(view.rows)
    if view.run.claims:
        store.write_claims(comma_separated(view.claims))


def _render(view: View) -> str:
    sections = [
        Section(f"panel-{name.replace('_', '-')}", panel.title, body)
        for name, panel in find_panels().items()
        if (body := _body(name, panel, view)) is not None
    ]
    summary, *others = sections
    scripts = static("js")  # one element each, so that an error in one does not stop the others
    return fill(
        "page",
        title=view.title,
        descriptions=_descriptions(view),
        summary=summary,
        sections=others,
        originals=view.album.originals,
        style=Markup("\n").join(static("css")),
        scripts=scripts,
        hashes=[_hash(script) for script in scripts],
    )


def _descriptions(view: View) -> dict[str, list[str]]:
    """Return the descriptions of the suites, each with the titles of its sources."""
    found: dict[str, list[str]] = {}
    for part in view.parts:
        if part.run.description:
            found.setdefault(part.run.description, []).append(part.title)
    return found


def _hash(script: str) -> str:
    """Return the source expression of a script for the content security policy."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


def _body(name: str, panel: Panel, view: View) -> Markup | None:
    try:
        return panel.render(view)
    except Exception as error:
        error.add_note(f"while rendering reports/panels/{name}.py")
        raise
