"""Importing a peer from its checkout, and giving it weights without a download."""

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


def imported(folder: Path, module: str) -> Any:
    """Import a peer's module, its folder first on the path; say what is missing.

    Raises:
        SystemExit: The folder is no checkout of the peer, or something that it needs is missing.
    """
    sys.path.insert(0, str(folder))
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise SystemExit(
            f"{folder} cannot be used: {error}. Give the root of a checkout with --peer; "
            "gordicaleksa's needs opencv-python-headless and matplotlib besides."
        ) from None
    finally:
        sys.path.remove(str(folder))


def give_weights(name: str, tensors: dict[str, torch.Tensor] | None) -> None:
    """Have `torchvision.models.<name>` return a network with our tensors, whatever is asked.

    Without tensors its weights are random, drawn from seed 0: they take the same time.
    """
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = getattr(torchvision.models, name)(weights=None)
    if tensors is not None:
        network.load_state_dict(tensors, strict=False)
    setattr(torchvision.models, name, lambda *_, **__: copy.deepcopy(network))


@contextlib.contextmanager
def silent() -> Iterator[None]:
    """Let a peer print as it likes, into nothing: printing is part of its loop."""
    with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stdout(nowhere):
        yield
