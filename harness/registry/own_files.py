"""Files that come with a method, for example weights: they decide its results.

A method names them in `files`, and their hashes are part of the cell ids. Nothing can notice for
certain that a method lacks `files`, so a run warns, and `nstbench check` observes what it reads.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from harness.protocols import Method

WEIGHTS = frozenset({
    ".bin", ".caffemodel", ".ckpt", ".gguf", ".h5", ".hdf5", ".joblib", ".mat", ".msgpack", ".npy",
    ".npz", ".onnx", ".pb", ".pickle", ".pkl", ".pt", ".pth", ".safetensors", ".t7", ".tflite",
})  # fmt: skip
"""Suffixes of files with weights."""

CODE = frozenset({".dll", ".dylib", ".py", ".pyc", ".pyd", ".pyi", ".so"})

NSTBENCH = frozenset({"harness", "methods", "nstbench", "reports", "suites"})
"""The top-level packages of nstbench itself."""

REMEDY = (
    "Return the path of every file that decides the result from the property `files`, so that "
    "cells run again when a file changes (docs/methods.md)."
)


def decides_result(path: Path, cls: type[Any]) -> bool:
    """Return whether a file that a method reads is data: weights, or other data of its package."""
    suffix, folder = path.suffix.lower(), _package_folder(cls)
    own = folder is not None and path.is_relative_to(folder) and suffix not in CODE
    return path.is_file() and (own or suffix in WEIGHTS)


def unnamed_weights(cls: type[Any], classes: Iterable[type[Any]]) -> list[Path]:
    """Return the weights in the package of a method, unless a method of that package names files.

    Args:
        cls: The method.
        classes: All methods.
    """
    folder = _package_folder(cls)
    same = [one for one in classes if _top(one) == _top(cls)]
    if folder is None or any(one.files is not Method.files for one in (cls, *same)):
        return []
    found = (Path(parent, name) for parent, _, names in os.walk(folder) for name in names)
    return sorted(path for path in found if path.suffix.lower() in WEIGHTS)


def _package_folder(cls: type[Any]) -> Path | None:
    """Return the folder of the package that defines a method; None for single modules."""
    if _top(cls) in NSTBENCH:
        return None
    paths = list(getattr(sys.modules.get(_top(cls)), "__path__", ()))
    return Path(paths[0]).resolve() if paths else None


def _top(cls: type[Any]) -> str:
    return str(cls.__module__).partition(".")[0]
