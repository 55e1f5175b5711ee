"""Stylize single pictures as a suite would, without records: the work of `nstbench stylize`.

A picture becomes the cell that a suite has for the same image, recipe, size and seed, and gives
the same pixels.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from harness import encoders, plan
from harness.encoders.feature_extractor import LayeredEncoder
from harness.errors import ImageError, TooLargeError, UsageError
from harness.execution.context import ContextFactory
from harness.execution.failures import check_image
from harness.execution.machine import memory_estimate
from harness.execution.picture_recipe import Recipe, check, make_suite
from harness.execution.prepare import RunOptions, find_resources
from harness.execution.scoring import is_out_of_memory, release_cached_memory
from harness.protocols import Image, Step, Stylizer, SupportsTiles
from harness.records import Cell, EncoderUse, ImageUse
from harness.registry import METHODS
from harness.resources.downloads import Network
from harness.resources.images import ImageSource, ImageStore, to_pixels, to_tensor
from harness.resources.mirror import open_mirror
from harness.resources.weights import WeightsStore

OPTIMISED_SIZE = 512
"""Long edge of pictures from methods that compute with an encoder, unless a size is given: that of
neural-style and of crowsonkb/style-transfer-pytorch. Time and memory grow with the pixels."""

TILE = 1024
"""Edge of tiles where a picture does not fit into memory, pixels; smaller ones if needed."""
MIN_TILE = 64

MEMORY_SHARE = 0.7
"""Of the free memory that a call may take: libraries need work space besides tensors."""

LUMA = (0.299, 0.587, 0.114)
"""Weights of the luminance Y in YIQ and YUV (ITU-R BT.601)."""


@dataclass(frozen=True)
class Picture:
    """A picture that can be stylized."""

    cell: Cell
    images: ImageStore = field(repr=False)  # has its pixels
    recipe: Mapping[str, Any]  # what decides the result, stored with it


class PictureStylizer:
    """Stylizes pictures with one method and one style.

    Raises:
        NstbenchError: The recipe, the style or the machine cannot be used.
    """

    def __init__(self, recipe: Recipe, options: RunOptions) -> None:
        self.recipe, self.network = recipe, Network(offline=options.offline)
        self.mirror = open_mirror(options.mirror, self.network)
        self.suite = make_suite(recipe)
        spec = self.suite.methods[0]
        self.method = METHODS.build(spec.method, spec.params)
        check(self.method, recipe)
        if not self.method.layers and not options.encoder:
            options = replace(options, encoder="random")  # it is not used; VGG has 548 MB
        weights = WeightsStore(self.network, options.weights or {}, self.mirror)
        images = ImageStore(self.network, self.mirror)
        self.resources = find_resources(self.suite, options, images, weights)
        (style,) = self.resources.styles.values()
        if isinstance(style, str):
            raise UsageError(f"--style: {style}")
        self._styles = images
        device = torch.device("cpu" if self.resources.device == "cpu" else "cuda")
        self.device, self.contexts = device, ContextFactory(self.resources, device)
        self._fit: tuple[str, Stylizer] | None = None  # the last one, with its id
        with suppress(ImageError):  # errors of the recipe are raised before any picture
            self._cell(ImageSource("content", builtin="chelsea"), images)

    @property
    def warnings(self) -> list[str]:
        """What the user should know before the first picture."""
        texts = [self.mirror.complaint if self.mirror else ""]
        if self.method.layers:
            name = self.suite.methods[0].encoder
            use = self.resources.encoders[name] if name else self.resources.encoder
            if isinstance(use, EncoderUse):  # otherwise every picture states why it is missing
                texts += [use.warning, _stand_ins(self.method, use)]
        return list(filter(None, texts))

    def open(self, path: Path) -> Picture:
        """Read a picture.

        Raises:
            ImageError: It cannot be used; the message has the reason.
        """
        images = ImageStore(self.network, self.mirror)
        cell = self._cell(ImageSource(path.stem, path=path), images)
        recipe = {**cell.components, "color": self.recipe.color}
        del recipe["device"]  # another machine continues a folder of pictures
        return Picture(cell, images, json.loads(json.dumps(recipe)))

    def _cell(self, content: ImageSource, images: ImageStore) -> Cell:
        """Return the cell of a suite with this content alone."""
        use = images.find(content)
        (style,) = self.suite.styles
        one = replace(self.suite, contents={use.name: content}, pairs=[(use.name, style)],
                      sizes=[self._size(use)])  # fmt: skip
        cells, skipped = plan.expand(one, replace(self.resources, contents={use.name: use}))
        if skipped:
            raise ImageError(f"{use.origin}: {skipped[0].reason}")
        return cells[0]

    def stylize(
        self, picture: Picture, progress: Callable[[str, int, int], None]
    ) -> tuple[NDArray[np.uint8], list[str]]:
        """Return the stylized pixels (H, W, 3), and notes about them.

        Args:
            picture: From `open`.
            progress: Called with (phase, index, of).

        Raises:
            TooLargeError: The memory does not suffice.
        """
        cell, notes = picture.cell, list[str]()
        method = METHODS.build(cell.method, cell.params)
        encoder = self.contexts.encoder_for(method, cell)
        content = to_tensor(picture.images.pixels(cell.content, cell.size)).to(self.device)

        def step(phase: str) -> Callable[[Step], None]:
            return lambda step: progress(phase, step.index, step.of)

        self._check_memory(method, encoder, cell, content)
        progress("fit", 0, 1)
        stylizer = self._fitted(method, encoder, cell, content, step("fit"), notes)
        progress("stylize", 0, 1)

        def run(tile: int) -> Image:
            context = self.contexts.make(cell, encoder, cell.content.name, cell.style.name,
                                         on_step=step("stylize"), notes=notes)  # fmt: skip
            if not tile:
                return stylizer(content, context)
            image: Image = method.stylize_in_tiles(stylizer, content, context, tile)
            return image

        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("default")
            tile = self._tile(method, stylizer, encoder, cell, content)
            image = self._with_less_memory(run, tile, method, content)
        notes += (str(warning.message) for warning in caught)
        check_image(image, content, cell.precision)
        if self.recipe.color == "keep":
            image = keep_color(image, content)
        return to_pixels(image), list(dict.fromkeys(notes))

    def _size(self, use: ImageUse) -> int:
        native = max(use.width, use.height)
        if isinstance(self.recipe.size, int):
            return self.recipe.size
        limited = self.recipe.size is None and self.method.layers
        return min(native, OPTIMISED_SIZE) if limited else native

    def _fitted(
        self, method: Any, encoder: LayeredEncoder, cell: Cell, content: Image,
        on_step: Callable[[Step], None], notes: list[str],
    ) -> Stylizer:  # fmt: skip
        """Return the fit of a cell: the last one, or a new one."""
        if self._fit is None or self._fit[0] != cell.fit_id:
            self._fit = None  # one fit in memory
            size = cell.style_size or cell.size
            # A trained network does not read the style: it is not enlarged to the content's size.
            style = content if method.trains else to_tensor(self._styles.pixels(cell.style, size))
            context = self.contexts.make(
                cell, encoder, "fit", cell.style.name, on_step=on_step, notes=notes
            )
            self._fit = cell.fit_id, method.fit(style.to(self.device), context)
        return self._fit[1]

    def _check_memory(
        self, method: Any, encoder: LayeredEncoder, cell: Cell, content: Image
    ) -> None:
        need = memory_estimate.lower_bound(method, encoder, cell, content).bytes
        free = memory_estimate.free_bytes(self.device)
        if need > free:
            fitting = int(cell.size * (MEMORY_SHARE * free / need) ** 0.5)
            raise TooLargeError(
                f"{cell.method} needs more than {need / 1e9:.1f} GB for {_shape(content)} "
                f"pixels, and {free / 1e9:.1f} GB are free. It optimises the whole picture, so "
                f"that it cannot work in tiles. Pass --size {fitting} or less."
            )

    def _tile(
        self, method: Any, stylizer: Stylizer, encoder: LayeredEncoder, cell: Cell, content: Image
    ) -> int:
        """Return the edge of the tiles, 0 for none."""
        if self.recipe.tile is not None or not isinstance(method, SupportsTiles):
            return self.recipe.tile or 0

        def call(sample: Image) -> Image:
            return stylizer(sample, self.contexts.make(cell, encoder, "sample"))

        need = memory_estimate.bytes_of_call(call, content)
        free = MEMORY_SHARE * memory_estimate.free_bytes(self.device)
        if need <= free:
            return 0
        fitting = (free / 2 / need * content[0, 0].numel()) ** 0.5  # half is for the whole picture
        return int(max(MIN_TILE, min(TILE, fitting)))

    def _with_less_memory(
        self, run: Callable[[int], Image], tile: int, method: Any, content: Image
    ) -> Image:
        """Run; without enough memory, run once more in small tiles if the method can."""
        try:
            return run(tile)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
        release_cached_memory()
        advice = f"The memory does not suffice for {_shape(content)} pixels. Pass a smaller --size."
        if not isinstance(method, SupportsTiles) or self.recipe.tile is not None:
            raise TooLargeError(advice)
        try:
            return run(MIN_TILE * 4)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
        release_cached_memory()
        raise TooLargeError(advice)


def keep_color(image: Image, content: Image) -> Image:
    """Return an image with its own luminance and the colours of the content.

    Source: jcjohnson/neural-style @07c4b82, neural_style.lua (`-original_colors 1`): Y of the
        result, U and V of the content; Gatys et al. 2016, arXiv 1606.05897, section 3.2, transfer
        the luminance alone, too, and also match the style's luminance to the content's before.
    Deviations: the luminance is clamped to [0, 1] before, as in the saved image; U and V of YUV
        and I and Q of YIQ give the same result, the content plus the change of its luminance.
    """
    weights = image.new_tensor(LUMA)[:, None, None]
    change = ((image.clamp(0, 1) - content) * weights).sum(1, keepdim=True)
    return content + change


def _stand_ins(method: Any, encoder: EncoderUse) -> str:
    pairs = encoders.replacement_layers(method, encoder.layers).items()
    shown = ", ".join(f"{shallow} for {deep}" for deep, shallow in pairs)
    return shown and f"Replacement layers, because {encoder.name} has no deeper ones: {shown}."


def _shape(content: Image) -> str:
    return f"{content.shape[-1]} x {content.shape[-2]}"
