"""Pretrained weights of others: found on this machine, or fetched from torchvision's store.

Nothing here unpickles what a stranger wrote: .safetensors, or .pth through torch's restricted
loader, which builds tensors and nothing else.
"""

from __future__ import annotations

import os
import pickle
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import HashError, MissingWeightsError, SourceError, WeightsError, nearest
from harness.resources.downloads import Network, file_sha256

if TYPE_CHECKING:
    import torch

    from harness.resources.mirror import Mirror

TORCHVISION = {
    # name: file in torchvision's store (the digits are the head of its SHA-256), megabytes
    "vgg19": ("vgg19-dcbb9e9d.pth", 548),
    "vgg16": ("vgg16-397923af.pth", 528),
    "squeezenet1_1": ("squeezenet1_1-b8a52dc0.pth", 5),
    "alexnet": ("alexnet-owt-7be5be79.pth", 233),
    "inception_v3": ("inception_v3_google-0cc3c7bd.pth", 104),
}
"""IMAGENET1K_V1 of torchvision; tests compare the names with torchvision's own."""

STORE = "https://download.pytorch.org/models/"


@dataclass(frozen=True)
class WeightsFile:
    """A file of weights that is here, and where it came from."""

    path: Path
    sha256: str
    origin: str


class WeightsStore:
    """Looks for weights: `--weights`, then torch's cache, the mirror, torchvision's store."""

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
        """Locate the weights called `name`, fetching them where allowed.

        Raises:
            MissingWeightsError: They cannot be had; the message says what to do.
            HashError: Torch's cache or the mirror holds other bytes under their name.
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
            remedy = f"`--weights {name}=PATH` takes a file of your own."
            raise MissingWeightsError(f"{error} {remedy}") from None
        return WeightsFile(path, file_sha256(path), f"torchvision {file}")


def torch_cache() -> Path:
    """Return where torch keeps downloaded weights (TORCH_HOME respected), without importing it."""
    cache = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    home = os.environ.get("TORCH_HOME", f"{cache}/torch")
    return Path(home).expanduser() / "hub" / "checkpoints"


def load_tensors(path: Path) -> dict[str, torch.Tensor]:
    """Read named tensors from .safetensors, or from a torch file that holds nothing else.

    Raises:
        WeightsError: Neither of the two, truncated, or a pickle that wants to run code.
    """
    import safetensors.torch
    import torch

    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        _check_unpacked(path)
        tensors = torch.load(path, map_location="cpu", weights_only=True)
    except WeightsError:
        raise
    except pickle.UnpicklingError:
        raise WeightsError(
            f"{path} is no torch file of tensors alone, and nothing else is unpickled: a pickle "
            "can run code. Save its state_dict as .safetensors where you trust it."
        ) from None
    except Exception as error:  # a broken file makes its readers raise anything
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise WeightsError(
            f"{path} cannot be read as weights, it may be cut short: {reason}"
        ) from None
    if isinstance(tensors, dict) and isinstance(tensors.get("state_dict"), dict):
        tensors = tensors["state_dict"]  # gordicaleksa and others wrap it
    if not isinstance(tensors, dict) or not all(torch.is_tensor(t) for t in tensors.values()):
        raise WeightsError(f"{path} holds something else than named tensors.")
    if sum(t.numel() * t.element_size() for t in tensors.values()) > path.stat().st_size:
        raise WeightsError(f"{path} holds fewer numbers than its tensors have, by strides of 0.")
    return dict(tensors)


def _check_unpacked(path: Path) -> None:
    """Refuse an archive that would unpack to more than the file has: torch compresses nothing."""
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        unpacked = sum(entry.file_size for entry in archive.infolist())
    if unpacked > path.stat().st_size:
        raise WeightsError(f"{path} would unpack to {unpacked:,} bytes. Save it with torch.save.")
