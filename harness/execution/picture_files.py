"""The files of `nstbench stylize`: pictures that are found, and names of those that are written."""

from __future__ import annotations

import itertools
import json
import os.path
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from PIL import Image as Pillow
from PIL.PngImagePlugin import PngInfo

from harness import filesystem
from harness.errors import ImageError
from harness.resources.image_folders import image_files, why_no_photograph

RECIPE_KEY = "nstbench"
"""Text chunk of a written PNG that states how it was made."""

INFIX = "_stylized_"
MAX_NAME_BYTES = 90
"""Of the content and of the style in a file name; file systems allow 255 bytes in all."""


def find_contents(paths: Sequence[Path], output: Path) -> tuple[list[Path], list[tuple[Path, str]]]:
    """Return the pictures at some paths, and files that cannot be used, with the reasons.

    Args:
        paths: Files, or folders that are searched with their subfolders.
        output: Stylized pictures in this folder are not found again.
    """
    found: dict[str, Path] = {}  # by real path: a picture that is named twice is stylized once
    problems: list[tuple[Path, str]] = []
    for path in paths:
        with suppress(OSError):
            if path.is_dir():
                files = image_files(path, lambda file, why: problems.append((file, why)))
                for file in files:
                    if not (why_no_photograph(file) or _is_output(file, output)):
                        found.setdefault(os.path.realpath(file), file)
                continue
        found.setdefault(os.path.realpath(path), path)
    return list(found.values()), problems


def _is_output(file: Path, output: Path) -> bool:
    return INFIX in file.stem and file.resolve().parent == output.resolve()


def output_names(contents: Sequence[Path], style: str) -> list[str]:
    """Return the name of the stylized picture of each content, each name once.

    Contents with the same stem get their suffix or their folders as well, as far as needed.
    """
    stems = _distinct_stems(contents)
    taken: set[str] = set()
    names = []
    for content in contents:
        base = f"{_cut(stems[content])}{INFIX}{_cut(style)}"
        choices = (base, *(f"{base}_{number}" for number in range(2, len(contents) + 2)))
        name = next(one for one in choices if one.casefold() not in taken)
        taken.add(name.casefold())
        names.append(f"{name}.png")
    return names


def _distinct_stems(contents: Sequence[Path]) -> dict[Path, str]:
    groups: dict[str, list[Path]] = {}
    for content in contents:
        groups.setdefault(content.stem.casefold(), []).append(content)
    stems: dict[Path, str] = {}
    for group in groups.values():
        for names in itertools.islice(_longer_stems(group), 40):
            stems |= zip(group, names, strict=True)
            if len({name.casefold() for name in names}) == len(group):
                break
    return stems


def _longer_stems(group: Sequence[Path]) -> Iterator[list[str]]:
    """Yield names: stems, then with suffixes, then with more and more folders."""
    for depth in itertools.count():
        folders = [path.absolute().parent.parts[1:][-depth:] if depth else () for path in group]
        for suffix in (False, True):
            yield ["_".join([*above, path.stem, *([path.suffix[1:]] if suffix else [])])
                   for above, path in zip(folders, group, strict=True)]  # fmt: skip


def _cut(name: str) -> str:
    return name.encode(errors="surrogateescape")[:MAX_NAME_BYTES].decode(errors="ignore")


def recipe_of(path: Path) -> Mapping[str, Any] | None:
    """Return how a stylized picture was made; None if nstbench did not write it.

    Raises:
        ImageError: There is a file, but it is not a picture.
    """
    try:
        with Pillow.open(path) as picture:
            recipe = json.loads(picture.info.get(RECIPE_KEY, "null"))
    except Exception as error:  # decoders raise any exception for broken files
        raise ImageError(f"{path} is not a picture: {error}") from None
    return recipe if isinstance(recipe, dict) else None


def write(path: Path, pixels: Any, recipe: Mapping[str, Any]) -> None:
    """Write a picture and how it was made; a process that ends leaves no incomplete file.

    Raises:
        StoreError: The folder cannot be written.
    """
    text = PngInfo()
    text.add_text(RECIPE_KEY, json.dumps(recipe, sort_keys=True))
    with (
        filesystem.writing(path.parent, "choose another folder with -o"),
        filesystem.replacing(path) as part,
    ):
        Pillow.fromarray(pixels).save(part, format="PNG", pnginfo=text, compress_level=1)


def remove_leftovers(folder: Path) -> None:
    """Delete incomplete files of processes that were killed."""
    for part in folder.glob(f"{filesystem.PART}*"):
        if filesystem.abandoned(part):
            filesystem.discard(part)
