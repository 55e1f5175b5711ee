"""Write the network of a stored fit in another format, and compare the file with the network."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import ValidationError
from torch import nn

from harness import encoders, filesystem
from harness.errors import ExportError, UsageError, WeightsError
from harness.execution.context import ignore_step
from harness.execution.onnx_files import OPSET, load_onnx, save_onnx
from harness.protocols import Context, Image, SupportsExport, SupportsModule, SupportsNames
from harness.registry import METHODS
from harness.resources.downloads import Network
from harness.resources.images import read, resize, skimage_photograph, to_tensor
from harness.resources.weights import (
    RECIPE_KEY,
    WeightsStore,
    describe_tensors,
    load_tensors,
    pack_recipe,
    recipe_error,
)

SUFFIXES = {".onnx": "onnx", ".pt": "torchscript", ".pth": "examples"}
"""The format that a file has if no other is given."""

CHECK_SIZES = (63, 128, 254, 513, 1025)
"""Long edges in pixels; with the short edges, all remainders of a division by 4."""

MAX_STYLIZER_SIZE = 254
"""Long edge up to which a file is also compared with the stylizer as a suite runs it. On larger
images, johnson's fast instance normalisation has sums in float32 that lose digits: with one thread
its own images are off by up to 1e-3 at 1025 pixels. The exported network is more precise."""

MAX_DIFFERENCE = 1e-3
"""Allowed difference of a pixel, in [0, 1], between the network and the file: a quarter of a grey
level."""

Stylize = Callable[[Image], Image]


@dataclass(frozen=True)
class StoredNetwork:
    """A fit with its method."""

    path: Path
    recipe: Mapping[str, Any]
    method: Any
    stylizer: Any

    @classmethod
    def load(cls, path: Path) -> StoredNetwork:
        """Load a fit from its file.

        Raises:
            WeightsError: The file is not a finished fit of this version of nstbench.
            UnknownNameError: Its method is not installed.
            ExportError: Its method has no network that could be exported.
        """
        recipe = describe_tensors(path)[1]
        if not {"method", "params"} <= recipe.keys():
            raise WeightsError(
                f"{path} has no recipe in its metadata: it is not a model.safetensors that a run "
                "of nstbench wrote. Run the suite again to store the fit with its recipe."
            )
        try:
            method = METHODS.build(recipe["method"], recipe["params"])
        except ValidationError as error:
            raise recipe_error(str(path), error) from None
        if not (isinstance(method, SupportsExport) and isinstance(method, SupportsModule)):
            able = [name for name in METHODS if issubclass(METHODS.get(name), SupportsModule)]
            raise ExportError(
                f"The method {recipe['method']} has no network to export; "
                f"{', '.join(able)} can be exported."
            )
        return cls(path, recipe, method, method.restore(load_tensors(path), _context()))

    @property
    def notes(self) -> Iterator[str]:
        """What distinguishes the exported network from that of the run."""
        precision = self.recipe.get("precision", "float32")
        if precision != "float32":
            yield f"The run computed in {precision}; the file computes in float32."
        if self.recipe.get("version") != self.method.version:
            yield (
                f"The fit is of version {self.recipe.get('version')} of {self.recipe['method']}, "
                f"and this is version {self.method.version}: it may give other images."
            )

    @cached_property
    def module(self) -> nn.Module:
        """The network that is exported."""
        module: nn.Module = self.method.module(self.stylizer)
        return module.eval()

    def difference(self, content: Image, stylized: Image) -> float:
        """Return the largest difference of an image from those of the network and the stylizer."""
        with torch.inference_mode():
            references = [self.module(content)]
            if max(content.shape) <= MAX_STYLIZER_SIZE:
                references.append(self.stylizer(content, _context()))
        return max(float((stylized - one).abs().max()) for one in references)


def describe(form: str) -> str:
    """Return what a format is called."""
    return {"onnx": f"ONNX, opset {OPSET}", "torchscript": "TorchScript"}.get(
        form, "a checkpoint of pytorch/examples"
    )


def format_of(target: Path, form: str) -> str:
    """Return the format of a file: the given one, or that of its suffix."""
    if form:
        return form
    if target.suffix.lower() not in SUFFIXES:
        known = ", ".join(f"{suffix} ({name})" for suffix, name in SUFFIXES.items())
        raise UsageError(f"{target} has none of the suffixes {known}. Rename it, or pass --format.")
    return SUFFIXES[target.suffix.lower()]


def export(
    network: StoredNetwork, target: Path, form: str, sizes: Sequence[int] = CHECK_SIZES
) -> Iterator[tuple[str, float]]:
    """Write a file, yield its difference from the network at each size, and keep it if all agree.

    Raises:
        ExportError: An operation cannot be exported, a package is missing, or the images differ.
            There is no new file then, and an earlier one of that name stays.
    """
    save, load = FORMATS[form]
    with (
        filesystem.writing(target.parent, "choose another file with -o"),
        filesystem.replacing(target) as temporary,
    ):
        save(network, temporary)
        stylize = load(network, temporary)
        for content in _contents(sizes):
            difference = network.difference(content, stylize(content))
            batch, _, height, width = content.shape
            yield f"{width} x {height}" + (f", batch of {batch}" * (batch > 1)), difference
            if not difference < MAX_DIFFERENCE:  # also if it is not a number
                raise ExportError(
                    f"The image of {target.name} differs by {difference:.1e} at {width} x {height} "
                    f"pixels; less than {MAX_DIFFERENCE} is required. {target.name} was not "
                    "written."
                )


def _contents(sizes: Sequence[int]) -> Iterator[Image]:
    """Yield a photograph at each size, and a batch of two upright ones."""
    photograph = read(skimage_photograph("coffee"))
    for size in sizes:
        yield to_tensor(np.asarray(resize(photograph, size)))
    upright = to_tensor(np.asarray(resize(photograph, sizes[0]))).transpose(2, 3)
    yield torch.cat([upright, upright.flip(3)])


def _save_onnx(network: StoredNetwork, path: Path) -> None:
    save_onnx(network.module, path, pack_recipe(network.recipe))


def _load_onnx(network: StoredNetwork, path: Path) -> Stylize:
    return load_onnx(path)


def _save_torchscript(network: StoredNetwork, path: Path) -> None:
    example = torch.rand(1, 3, 62, 85)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript is deprecated, but programs still read it
        try:
            traced = torch.jit.trace(network.module, example)
        except Exception as error:  # torch raises any exception for operations that it cannot trace
            raise ExportError(f"TorchScript cannot represent this network: {error}") from None
        recipe = json.dumps(network.recipe, sort_keys=True)
        torch.jit.save(traced, path, _extra_files={f"{RECIPE_KEY}.json": recipe})


def _load_torchscript(network: StoredNetwork, path: Path) -> Stylize:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loaded: Stylize = torch.jit.load(path)
    return loaded


def _save_examples(network: StoredNetwork, path: Path) -> None:
    if not isinstance(network.method, SupportsNames):
        raise ExportError(
            f"pytorch/examples has no network like that of {network.recipe['method']}."
        )
    torch.save(network.method.rename(network.stylizer, "examples"), path)


def _load_examples(network: StoredNetwork, path: Path) -> Stylize:
    method = METHODS.build(network.recipe["method"], {"checkpoint": str(path)}).resolve(())
    stylizer = method.fit(torch.zeros(1, 3, 64, 64), _context())
    module: Stylize = method.module(stylizer)
    return module


FORMATS = {
    "onnx": (_save_onnx, _load_onnx),
    "torchscript": (_save_torchscript, _load_torchscript),
    "examples": (_save_examples, _load_examples),
}
"""Format -> how to write a file, and how to read it again as a function of images."""


@cache
def _context() -> Context:
    """Return a context in float32 on the CPU, whose encoder has random weights."""
    found = encoders.find("random", WeightsStore(Network(offline=True), {}))
    return Context(
        device=torch.device("cpu"),
        generator=torch.Generator().manual_seed(0),
        encoder=encoders.load(*found),
        size=64,
        on_step=ignore_step,
        batches=lambda batch_size, crop, skip=0: iter(()),
        note=lambda text: None,
    )
