"""Import the code of a peer from its checkout, and provide weights without a download."""

from __future__ import annotations

import contextlib
import copy
import importlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import torchvision


class BudgetReached(Exception):  # noqa: N818 - not an error
    """Ends the loop of a peer, whose number of iterations is fixed in its code."""


def import_from(folder: Path, module: str) -> Any:
    """Import a module of a peer, with its folder first on the path.

    Raises:
        SystemExit: The folder is not a checkout of the peer, or a package that it needs is missing.
    """
    sys.path.insert(0, str(folder))
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise SystemExit(
            f"{folder} cannot be used: {error}. Pass the root of a checkout to --peer; "
            "gordicaleksa's also needs the packages opencv-python-headless and matplotlib."
        ) from None
    finally:
        sys.path.remove(str(folder))


def replace_weights(name: str, tensors: dict[str, torch.Tensor] | None) -> None:
    """Replace `torchvision.models.<name>` by a function that returns a network with `tensors`.

    Layers without a tensor have random weights from seed 0, which take the same time.
    """
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = getattr(torchvision.models, name)(weights=None)
    if tensors is not None:
        network.load_state_dict(tensors, strict=False)
    setattr(torchvision.models, name, lambda *_, **__: copy.deepcopy(network))


@contextlib.contextmanager
def discarded_output() -> Iterator[None]:
    """Discard what a peer prints; printing stays part of its time."""
    with Path(os.devnull).open("w") as null, contextlib.redirect_stdout(null):
        yield
