"""What there is to name in a suite: methods, presets, metrics, suites."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.registry import METHODS, METRICS, Registry, class_rules, settings
from harness.registry.plugins import PluginError


def of(kind: str) -> dict[str, dict[str, Any]]:
    """Return name -> facts, `about` among them, for `methods`, `metrics`, `presets`, `suites`."""
    return {
        "methods": lambda: _classes(METHODS),
        "metrics": lambda: _classes(METRICS),
        "presets": _presets,
        "suites": _suites,
    }[kind]()


def _classes(registry: Registry[Any]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for name in registry:
        cls = registry.get(name)
        own = settings(cls)
        fields = {f.name: class_rules.default(f) for f in dataclasses.fields(cls) if f.name in own}
        found[name] = {"about": _first_line(cls.__doc__), **fields}
    return found


def unusable(kind: str) -> Sequence[PluginError]:
    """Return what would be listed as well, were it not at fault."""
    registries = {"methods": METHODS, "presets": METHODS, "metrics": METRICS}
    return registries[kind].faults if kind in registries else ()


def _presets() -> dict[str, dict[str, Any]]:
    return {
        f"{method}/{preset}": {"about": "", **params}
        for method in METHODS
        for preset, params in getattr(METHODS.get(method), "presets", {}).items()
    }


def image_urls() -> list[str]:
    """Return where the suites that come with nstbench have their images from."""
    from harness.suite import collection

    paths = collection.packaged().values()
    images = (image for path in paths for image in collection.read(path).values())
    return list(dict.fromkeys(image["url"] for image in images if "url" in image))


def _suites() -> dict[str, dict[str, Any]]:
    return {
        name: {"about": " ".join(str(data.get("description", "")).split())}
        for name, data in _packaged().items()
    }


def _packaged() -> dict[str, Any]:
    import suites
    from harness.suite import yaml_loader

    paths = sorted(Path(suites.__path__[0]).glob("*.yaml"))
    return {path.stem: yaml_loader.load(path)[0] for path in paths}


def _first_line(text: str | None) -> str:
    return next(iter((text or "").strip().splitlines()), "")
