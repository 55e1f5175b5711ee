"""Images that several suites name: a YAML file of entries, as a suite's own contents and styles."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from harness.errors import Problem, SuiteError, nearest
from harness.suite import marked_yaml
from harness.suite.schema import ImageModel

_ENTRIES: TypeAdapter[dict[str, ImageModel]] = TypeAdapter(dict[str, ImageModel])


def read(path: Path) -> dict[str, Any]:
    """Return the entries of a collection by name, each as a suite would have it.

    Raises:
        SuiteError: It cannot be read, or an entry of it is no image.
    """
    data, source = marked_yaml.load(path)
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


def collected(data: dict[str, Any], folder: Path) -> list[tuple[tuple[str | int, ...], str]]:
    """Put the entries of its collection in place of a suite's lists of names.

    Args:
        data: The suite, which is changed.
        folder: Where its paths begin.

    Returns:
        What is wrong, each with its place.
    """
    lists = [kind for kind in ("contents", "styles") if isinstance(data.get(kind), list)]
    name = data.get("collection")
    if not lists:
        return []
    if not isinstance(name, str):
        return [((lists[0],), "is a list of names, and the suite names no collection of images.")]
    try:
        known = read(_path(name, folder))
    except SuiteError as error:
        return [(("collection",), str(problem).lstrip(": ")) for problem in error.problems]
    wrong: list[tuple[tuple[str | int, ...], str]] = []
    for kind in lists:
        for i, image in enumerate(data[kind]):
            if image not in known:
                what = f"{image!r} is not in {name}: {', '.join(known)}."
                wrong.append(((kind, i), what + nearest(str(image), known)))
        data[kind] = {image: known[image] for image in data[kind] if image in known}
    return wrong


def _path(name: str, folder: Path) -> Path:
    """Take the name of a collection that comes along, or a path that ends in .yaml."""
    if Path(name).suffix:
        return folder / name
    if name in packaged():
        return packaged()[name]
    known = ", ".join(packaged())
    what = f"{name!r} is not one of {known}, nor a .yaml file.{nearest(name, packaged())}"
    raise SuiteError([Problem("", what)])
