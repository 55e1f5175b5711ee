"""Image collections: YAML files whose entries several suites use as contents and styles."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from harness.errors import Problem, SuiteError, listed, nearest, quoted
from harness.suite import yaml_loader
from harness.suite.schema import ImageModel
from harness.suite.source import Key

_ENTRIES: TypeAdapter[dict[str, ImageModel]] = TypeAdapter(dict[str, ImageModel])


def read(path: Path) -> dict[str, Any]:
    """Return the entries of a collection by name, in the form of a suite's `contents`.

    Raises:
        SuiteError: The file cannot be read, or an entry is not a valid image.
    """
    data, source = yaml_loader.load(path)
    try:
        _ENTRIES.validate_python(data)
    except ValidationError as error:
        places = [(tuple(item["loc"]), item["msg"]) for item in error.errors()]
        raise SuiteError([source.problem(loc, f"{what}.") for loc, what in places]) from None
    entries: dict[str, Any] = data
    return entries


def packaged() -> dict[str, Path]:
    """Return the packaged collections by name."""
    import suites

    folder = Path(suites.__path__[0]) / "collections"
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def resolve_names(
    data: dict[str, Any], folder: Path, read: Callable[[Path], dict[str, Any]]
) -> Iterator[tuple[Key, str]]:
    """Replace a suite's lists of image names with the entries of its collection.

    Args:
        data: The suite; it is changed in place.
        folder: The folder that paths in the suite are relative to.
        read: Returns the entries of the collection in a file.

    Yields:
        Each mistake, with its path.
    """
    lists = [kind for kind in ("contents", "styles") if isinstance(data.get(kind), list)]
    name = data.get("collection")
    if not lists:
        return
    if not isinstance(name, str):
        yield (
            (lists[0],),
            "is a list of names, but the suite has no collection. Add `collection: museum`.",
        )
        return
    try:
        known = read(_path(name, folder))
    except SuiteError as error:
        for problem in error.problems:
            yield ("collection",), str(problem).lstrip(": ")
        return
    for kind in lists:
        names = []
        for i, image in enumerate(data[kind]):
            if isinstance(image, str) and image in known:
                names.append(image)
                continue
            what = f"{quoted(image)} is not in {quoted(name)}: {listed(known)}."
            yield (kind, i), what + nearest(str(image), known)
        data[kind] = {image: known[image] for image in names}


def _path(name: str, folder: Path) -> Path:
    """Return the file of a packaged collection, or a path that ends in .yaml."""
    if Path(name).suffix in {".yaml", ".yml"}:
        return folder / name
    if name in packaged():
        return packaged()[name]
    known = ", ".join(packaged())
    what = f"{quoted(name)} is neither a packaged collection ({known}) nor a .yaml file."
    raise SuiteError([Problem("", what + nearest(name, packaged()))])
