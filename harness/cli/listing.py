"""The command that lists what a suite can name: methods, presets, metrics, suites."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli import options as opts

if TYPE_CHECKING:
    from harness.registry import Registry

Facts = dict[str, dict[str, Any]]
"""Name -> parameters and their defaults, and `about`."""


@click.command(name="list")
@click.argument("kind", type=click.Choice(["methods", "metrics", "suites", "presets"]))
@opts.as_json
def list_(kind: str, as_json: bool) -> None:
    """List methods, metrics, suites or presets.

    Parameters and defaults are shown too. Plug-ins of other packages that cannot be used are
    reported on stderr.
    """
    from harness.registry import METHODS, METRICS

    listed = {
        "methods": lambda: _classes(METHODS),
        "metrics": lambda: _classes(METRICS),
        "presets": _presets,
        "suites": _suites,
    }[kind]()
    registries = {"methods": METHODS, "presets": METHODS, "metrics": METRICS}
    for fault in registries[kind].faults if kind in registries else ():
        click.echo(f"! {fault}", err=True)
    if as_json:
        click.echo(json.dumps(listed, indent=1))
        return
    for name, facts in listed.items():
        click.secho(name, bold=True, nl=False)
        click.echo(f"  {facts.pop('about', '')}")
        for key, value in facts.items():
            click.echo(f"    {key} = {value}")


def _classes(registry: Registry[Any]) -> Facts:
    from harness.registry import class_rules, settings

    listed: Facts = {}
    for name in registry:
        cls = registry.get(name)
        own = settings(cls)
        defaults = {
            field.name: class_rules.default(field)
            for field in dataclasses.fields(cls)
            if field.name in own
        }
        about = next(iter((cls.__doc__ or "").strip().splitlines()), "")
        listed[name] = {"about": about, **defaults}
    return listed


def _presets() -> Facts:
    from harness.registry import METHODS

    return {
        f"{method}/{preset}": {"about": "", **params}
        for method in METHODS
        for preset, params in METHODS.get(method).presets.items()
    }


def _suites() -> Facts:
    import suites
    from harness.suite import yaml_loader

    descriptions = {
        path.stem: yaml_loader.load(path)[0].get("description", "")
        for path in sorted(Path(suites.__path__[0]).glob("*.yaml"))
    }
    return {name: {"about": " ".join(str(text).split())} for name, text in descriptions.items()}
