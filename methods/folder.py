"""Images that another program made, read from files.

Source: none of its own. Each preset has the names that a published program gives to its results.
"""

from __future__ import annotations

import bisect
import os
import re
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from harness.errors import ImageError, SourceError, nearest, quoted
from harness.protocols import Method
from harness.records import CellInputs
from harness.registry import LOCATION, METHODS

if TYPE_CHECKING:
    from harness.protocols import Context, Image, Stylizer

PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
PLACEHOLDERS = tuple(one.name for one in fields(CellInputs))

EXAMPLE = "results/{content}_stylized_{style}.png"

MAX_STRETCH = 0.02
"""Relative difference of aspect ratios that rounding of sizes and networks with strides cause."""

NEIGHBOURS = 50
"""Names on either side of a missing one, in alphabetical order, that may be the nearest."""


@METHODS.register("folder")
@dataclass(frozen=True, kw_only=True)
class Folder(Method):
    """Read images that were made before, by any program. Times and memory are not measured.

    `path` is relative to the suite. Placeholders: {content} and {style}, the names in the suite;
    {content_file} and {style_file}, the names of their files without suffix; {seed}; {size}.
    """

    version: ClassVar[int] = 1
    timed = "nothing"
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        # diyiiyiii/StyTR-2 @7ba0e59, test.py: contents and styles are cropped to 512 x 512.
        "stytr-2": {"pattern": "{content_file}_stylized_{style_file}.jpg"},
        # naoto0804/pytorch-AdaIN @77462eb, test.py: the short edge becomes --content_size, 512;
        # --save_ext sets another suffix.
        "pytorch-adain": {"pattern": "{content_file}_stylized_{style_file}.jpg"},
        # jiwoogit/StyleID @35436fc, run_styleid.py: contents and styles are cropped to squares and
        # resized to 512 x 512. File names end at their first dot.
        "styleid": {"pattern": "{content_file}_stylized_{style_file}.png"},
    }

    path: str = field(default="", metadata=LOCATION)
    """Files of the images, with placeholders, or the folder of `pattern`."""
    pattern: str = ""
    """Names of the images in the folder `path`, with placeholders; presets set it."""
    resize: Literal["none", "lanczos"] = "none"
    """What to do with an image of another size than the cell's: fail, or resize it."""

    def resolve(self, given: Collection[str]) -> Folder:
        """Return the method with the whole pattern as its path."""
        if not self.path:
            raise SourceError(f"folder needs a `path`, for example {EXAMPLE}.")
        whole = Path(self.path, self.pattern)
        for name in PLACEHOLDER.findall(str(whole)):
            if name not in PLACEHOLDERS:
                raise SourceError(
                    f"path: {quoted(f'{{{name}}}')} is not a placeholder: "
                    f"{', '.join(f'{{{one}}}' for one in PLACEHOLDERS)}."
                    f"{nearest(name, PLACEHOLDERS)}"
                )
        if whole.is_dir():
            raise SourceError(
                f"path: {whole} is a folder. Add the names of the images, for example {EXAMPLE}, "
                f"or choose a preset: {', '.join(self.presets)}."
            )
        return replace(self, path=str(whole), pattern="")

    def cell_files(self, inputs: CellInputs) -> Mapping[str, str]:
        """Return the path of the image; raise SourceError if there is no such file."""
        path = self._image(inputs)
        if not os.path.isfile(path):  # noqa: PTH113 - Path.is_file raises if a name is too long
            raise SourceError(f"there is no file {path}.{_nearest_file(path)}")
        return {"image": str(path)}

    def fit(self, style: Image, context: Context) -> Stylizer:
        """Learn nothing; the stylizer reads the image of its cell."""
        return self._read

    def _read(self, content: Image, context: Context) -> Image:
        import numpy as np
        from PIL.Image import Resampling

        from harness.resources.images import read, to_tensor

        path = self._image(context.inputs)
        picture = read(path)
        height, width = content.shape[-2:]
        if picture.size != (width, height):
            self._check_resizable(path, picture.size, (width, height))
            context.note(
                f"resized from {picture.width} x {picture.height} to {width} x {height} pixels "
                "(Lanczos)"
            )
            picture = picture.resize((width, height), Resampling.LANCZOS)
        return to_tensor(np.asarray(picture)).to(context.device)

    def _check_resizable(self, path: Path, own: tuple[int, int], cell: tuple[int, int]) -> None:
        """Raise ImageError unless `resize` is set and the image has about the cell's shape."""
        sizes = f"{path} has {own[0]} x {own[1]} pixels, and the cell {cell[0]} x {cell[1]}."
        stretch = (own[0] * cell[1]) / (own[1] * cell[0])
        if not 1 - MAX_STRETCH < stretch < 1 + MAX_STRETCH:
            raise ImageError(
                f"{sizes} Their shapes differ, so resizing would distort the image. If the program "
                "cropped its inputs, use cropped contents in the suite too."
            )
        if self.resize == "none":
            raise ImageError(
                f"{sizes} Set `sizes: [{max(own)}]` in the suite, make the image at the size of "
                "the cell, or set `resize: lanczos`."
            )

    def _image(self, inputs: CellInputs) -> Path:
        values = asdict(inputs)
        return Path(PLACEHOLDER.sub(lambda match: str(values[match[1]]), self.path))


def _nearest_file(path: Path) -> str:
    """Return a sentence with the nearest name in the deepest folder of a path that exists."""
    missing, folder = path.name, path.parent
    while not folder.is_dir():
        missing, folder = folder.name, folder.parent
    try:
        names = sorted(os.listdir(folder))  # noqa: PTH208 - names only
    except OSError as error:
        return f" {folder} cannot be read: {error.strerror}."
    at = bisect.bisect(names, missing)
    near = get_close_matches(missing, names[max(0, at - NEIGHBOURS) : at + NEIGHBOURS], 1, 0.0)
    return f" The nearest name in {folder} is {near[0]}." if near else f" {folder} is empty."
