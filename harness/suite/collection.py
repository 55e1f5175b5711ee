"""Images that several suites name: a YAML file of entries, as a suite's own contents and styles."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from harness.errors import Problem, SuiteError, listed, nearest, quoted
from harness.suite import yaml_loader
from harness.suite.schema import ImageModel
from harness.suite.yaml_loader import Key

_ENTRIES: TypeAdapter[dict[str, ImageModel]] = TypeAdapter(dict[str, ImageModel])


def read(path: Path) -> dict[str, Any]:
    """Return the entries of a collection by name, each as a suite would have it.

    Raises:
        SuiteError: It cannot be read, or an entry of it is no image.
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
    """Return the collections that come with nstbench, by name."""
    import suites

    folder = Path(suites.__path__[0]) / "collections"
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def collected(
    data: dict[str, Any], folder: Path, read: Callable[[Path], dict[str, Any]]
) -> Iterator[tuple[Key, str]]:
    """Put the entries of its collection in place of a suite's lists of names.

    Args:
        data: The suite, which is changed.
        folder: Where its paths begin.
        read: Returns the entries of the collection in a file.

    Yields:
        What is wrong, each with its place.
    """
    lists = [kind for kind in ("contents", "styles") if isinstance(data.get(kind), list)]
    name = data.get("collection")
    if not lists:
        return
    if not isinstance(name, str):
        yield (lists[0],), "is a list of names, and the suite names no collection of images."
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
    """Take the name of a collection that comes along, or a path that ends in .yaml."""
    if Path(name).suffix in {".yaml", ".yml"}:
        return folder / name
    if name in packaged():
        return packaged()[name]
    known = ", ".join(packaged())
    what = f"{quoted(name)} is not one of {known}, nor a .yaml file.{nearest(name, packaged())}"
    raise SuiteError([Problem("", what)])
