"""Find pretrained weights on this machine, or download them from torchvision.

No untrusted pickle is loaded: files are .safetensors, or .pth read with torch's restricted loader,
which builds only tensors.
"""

from __future__ import annotations

import json
import os
import pickle
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import HashError, MissingWeightsError, SourceError, WeightsError, nearest
from harness.resources.downloads import Network, file_sha256
from harness.resources.hash_cache import cache_folder, recall

if TYPE_CHECKING:
    import torch
    from pydantic import ValidationError

    from harness.resources.mirror import Mirror

TORCHVISION = {
    # name: file of torchvision (with leading digits of its SHA-256), megabytes
    "vgg19": ("vgg19-dcbb9e9d.pth", 548),
    "vgg16": ("vgg16-397923af.pth", 528),
    "squeezenet1_1": ("squeezenet1_1-b8a52dc0.pth", 5),
    "alexnet": ("alexnet-owt-7be5be79.pth", 233),
    "inception_v3": ("inception_v3_google-0cc3c7bd.pth", 104),
}
"""IMAGENET1K_V1 weights of torchvision."""

FOREIGN_SUFFIXES = {
    ".caffemodel": "Caffe", ".t7": "Lua Torch", ".h5": "Keras", ".onnx": "ONNX", ".mat": "MATLAB",
}  # fmt: skip

RECIPE_KEY = "nstbench"
"""Entry in the metadata of stored fits."""

STORE = "https://download.pytorch.org/models/"


@dataclass(frozen=True)
class WeightsFile:
    """A local file of weights and its origin."""

    path: Path
    sha256: str
    origin: str


class WeightsStore:
    """Searches `--weights`, torch's cache, the mirror and torchvision's server, in this order."""

    def __init__(
        self, network: Network, given: Mapping[str, Path], mirror: Mirror | None = None
    ) -> None:
        for name, path in given.items():
            if name not in TORCHVISION:
                raise WeightsError(
                    f"--weights {name}={path}: {name!r} is not one of "
                    f"{', '.join(TORCHVISION)}.{nearest(name, TORCHVISION)}"
                )
            if not path.is_file():
                raise WeightsError(f"--weights {name}={path}: there is no such file.")
        self.network, self.given, self.mirror = network, given, mirror

    def find(self, name: str) -> WeightsFile:
        """Locate the weights called `name`, and download them if allowed.

        Raises:
            MissingWeightsError: No source has them; the message has the remedy.
            HashError: The file in torch's cache or in the mirror has another hash.
        """
        if name in self.given:
            path = self.given[name]
            return WeightsFile(path, file_sha256(path), path.name)
        file = TORCHVISION[name][0]
        sha256 = file.rsplit("-", 1)[1].removesuffix(".pth")
        path = torch_cache() / file
        try:
            found = (
                None if path.exists() or not self.mirror else self.mirror.find(file, sha256, path)
            )
            path = found or self.network.fetch(STORE + file, path, sha256)
        except HashError:
            raise
        except SourceError as error:
            remedy = f"To use a local file, pass --weights {name}=PATH."
            raise MissingWeightsError(f"{error} {remedy}") from None
        return WeightsFile(path, file_sha256(path), f"torchvision {file}")


def torch_cache() -> Path:
    """Return torch's folder of downloaded weights (see TORCH_HOME), without importing torch.

    A user without a home folder has it in the cache folder of nstbench.
    """
    cache = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    home = Path(os.environ.get("TORCH_HOME", f"{cache}/torch"))
    with suppress(RuntimeError):
        return home.expanduser() / "hub" / "checkpoints"
    return cache_folder() / "torch" / "hub" / "checkpoints"


def load_tensors(path: Path) -> dict[str, torch.Tensor]:
    """Read named tensors from .safetensors, or from a torch file that contains only tensors.

    Names from DataParallel lose their prefix `module.`.

    Raises:
        WeightsError: The file has another format, is truncated, or contains other objects.
    """
    import safetensors.torch
    import torch

    if framework := FOREIGN_SUFFIXES.get(path.suffix.lower()):
        raise WeightsError(
            f"{path} is a file of {framework}. Convert it to a state_dict of PyTorch with "
            "torchvision's names (features.0.weight, ...), and save that as .safetensors."
        )
    try:
        if path.suffix == ".safetensors":
            tensors: Any = safetensors.torch.load_file(path)
        else:
            _check_unpacked(path)
            tensors = torch.load(path, map_location="cpu", weights_only=True)
    except WeightsError:
        raise
    except pickle.UnpicklingError:
        raise WeightsError(
            f"{path} contains objects other than tensors. They are not loaded, since a pickle can "
            "run code. If you trust the file, save its state_dict as .safetensors."
        ) from None
    except Exception as error:  # readers raise any exception for broken files
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise WeightsError(
            f"{path} cannot be read as weights; it may be truncated: {reason}"
        ) from None
    if isinstance(tensors, dict) and isinstance(tensors.get("state_dict"), dict):
        tensors = tensors["state_dict"]  # as in files of gordicaleksa's repositories
    if not isinstance(tensors, dict) or not all(
        isinstance(name, str) and torch.is_tensor(tensor) for name, tensor in tensors.items()
    ):
        raise WeightsError(f"{path} does not contain a map of named tensors. Save a state_dict.")
    if sum(t.numel() * t.element_size() for t in tensors.values()) > path.stat().st_size:
        raise WeightsError(
            f"{path} has tensors larger than the file (strides of 0). Save contiguous tensors."
        )
    return {name.removeprefix("module."): tensor for name, tensor in tensors.items()}


def describe_tensors(path: Path) -> tuple[dict[str, tuple[int, ...]], dict[str, Any]]:
    """Return the shapes of a file's tensors by name, and the recipe that `pack_recipe` was given.

    Cached: a later call does not read the file. Other files than stored fits have an empty recipe.

    Raises:
        WeightsError: As `load_tensors`.
    """
    answer = recall([path], "shapes of tensors and recipe, version 2", _describe_tensors)[0]
    shapes, recipe = json.loads(answer)
    return {name: tuple(shape) for name, shape in shapes.items()}, recipe


def _describe_tensors(path: Path) -> str:
    shapes = {name: list(tensor.shape) for name, tensor in load_tensors(path).items()}
    return json.dumps([shapes, _load_recipe(path)])


def _load_recipe(path: Path) -> dict[str, Any]:
    import safetensors

    if path.suffix != ".safetensors":
        return {}
    with safetensors.safe_open(path, "pt") as file:
        text = (file.metadata() or {}).get(RECIPE_KEY, "{}")
    try:
        recipe = json.loads(text)
    except ValueError:
        return {}
    return recipe if isinstance(recipe, dict) else {}


def pack_recipe(recipe: Mapping[str, Any]) -> dict[str, str]:
    """Return the metadata of a safetensors file that states how its tensors were made."""
    return {RECIPE_KEY: json.dumps(recipe, sort_keys=True)}


def recipe_error(name: str, error: ValidationError) -> WeightsError:
    """Return the error of a file whose recipe this version cannot use, from its first problem."""
    problem = error.errors()[0]
    return WeightsError(
        f"{name} was written by another version of nstbench: its recipe has "
        f"{'.'.join(map(str, problem['loc']))}: {problem['input']!r}."
    )


def _check_unpacked(path: Path) -> None:
    """Reject an archive that unpacks to more bytes than the file has: torch does not compress."""
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        unpacked = sum(entry.file_size for entry in archive.infolist())
    if unpacked > path.stat().st_size:
        raise WeightsError(
            f"{path} is compressed and unpacks to {unpacked:,} bytes. Save it with torch.save."
        )
