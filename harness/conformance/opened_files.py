"""Record which files are read, through Python or through a compiled reader of weights."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache, partial
from importlib import import_module
from pathlib import Path
from typing import Any
from unittest import mock

COMPILED = (("safetensors.torch", "safe_open"), ("torch.jit", "load"))
"""Functions whose compiled code opens files, so that Python does not report them."""

_recording: list[set[str]] = []


@contextmanager
def recorded() -> Iterator[Callable[[], frozenset[Path]]]:
    """Yield a function that returns the files that were opened for reading meanwhile."""
    _install()
    opened: set[str] = set()
    _recording.append(opened)
    try:
        with ExitStack() as stack:
            for module, name in COMPILED:
                _watch(stack, getattr(import_module(module), name), name, opened)
            yield lambda: frozenset(Path(path).resolve() for path in opened)
    finally:
        _recording.remove(opened)


def _watch(stack: ExitStack, original: Any, name: str, opened: set[str]) -> None:
    """Replace a function in every module that has imported it."""
    watched = partial(_call, original, opened)
    for module in list(sys.modules.values()):
        if getattr(module, "__dict__", {}).get(name) is original:
            stack.enter_context(mock.patch.object(module, name, watched))


def _call(original: Any, opened: set[str], path: Any, *args: Any, **kwargs: Any) -> Any:
    if isinstance(path, (str, os.PathLike)):
        opened.add(os.fspath(path))
    return original(path, *args, **kwargs)


@cache
def _install() -> None:
    """Install the hook once: Python cannot remove it."""
    sys.addaudithook(_hear)


def _hear(event: str, args: tuple[Any, ...]) -> None:
    if event != "open" or not _recording:
        return
    path, mode, _ = args
    if isinstance(path, (str, bytes)) and not set("awx") & set(mode or "r"):
        for opened in _recording:
            opened.add(os.fsdecode(path))
