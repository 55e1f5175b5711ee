"""The command that lists what a suite can name: methods, presets, metrics, suites."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli import options as opts
from harness.errors import MAX_QUOTED_LENGTH, UnknownNameError, nearest, quoted

if TYPE_CHECKING:
    from harness.registry import Registry

Facts = dict[str, dict[str, Any]]
"""Name -> parameters and their defaults, and `about`."""


KINDS = ("methods", "metrics", "presets", "suites")
WIDTH = 44
"""Columns of a parameter and its default before its description."""


@click.command(name="list")
@click.argument("kind", metavar="KIND", type=click.Choice([*KINDS, *(k[:-1] for k in KINDS)]))
@click.argument("name", default="")
@opts.as_json
def list_(kind: str, name: str, as_json: bool) -> None:
    """List methods, metrics, presets or suites, or describe one of them.

    KIND is methods, metrics, presets or suites. Parameters, defaults and what they do are shown
    too. With the NAME of a method or metric, its choices, ranges and sources are shown, as in `list
    method gatys`. Plug-ins of other packages that cannot be used are reported on stderr.
    """
    from harness.registry import METHODS, METRICS

    kind = kind if kind in KINDS else f"{kind}s"
    registry = {"methods": METHODS, "presets": METHODS, "metrics": METRICS}.get(kind)
    for fault in registry.faults if registry else ():
        click.echo(f"! {fault}", err=True)
    if registry and kind != "presets":
        text = _text_of_classes(registry, name, as_json=as_json)
    else:
        facts = _selected(_presets() if registry else _suites(), kind, name)
        text = json.dumps(facts, indent=1) if as_json else "\n".join(_lines_of_facts(facts))
    click.echo(text)


def _text_of_classes(registry: Registry[Any], name: str, *, as_json: bool) -> str:
    if name:
        cls = registry.get(name)
        return json.dumps(_facts(cls), indent=1) if as_json else "\n".join(_description(name, cls))
    return json.dumps(_defaults(registry), indent=1) if as_json else "\n".join(_lines(registry))


def _lines_of_facts(listed: Facts) -> Iterator[str]:
    for name, facts in listed.items():
        yield f"{click.style(name, bold=True)}  {facts.pop('about', '')}".rstrip()
        for key, value in facts.items():
            yield f"    {key} = {value if isinstance(value, str) else json.dumps(value)}"


def _selected(listed: Facts, kind: str, name: str) -> Facts:
    """Return the entry of a name, or the presets of a method."""
    found = {key: value for key, value in listed.items() if name in ("", key, key.split("/")[0])}
    if not found:
        raise UnknownNameError(
            f"{quoted(name)} is not one of the {kind}: {', '.join(listed)}.{nearest(name, listed)}"
        )
    return found


def _lines(registry: Registry[Any]) -> Iterator[str]:
    """Yield a line for each class and each of its parameters."""
    from harness.registry.parameters import parameters

    for name in registry:
        cls = registry.get(name)
        yield f"{click.style(name, bold=True)}  {_about(cls)}"
        for one in parameters(cls):
            head = f"    {one.name} = {one.value}"
            head = head if len(head) <= MAX_QUOTED_LENGTH else f"{head[: MAX_QUOTED_LENGTH - 3]}..."
            yield f"{head:<{WIDTH}}  {one.about}".rstrip()


def _about(cls: type[Any]) -> str:
    """Return what a method does, or what a metric measures and how to read it."""
    from harness.registry.parameters import source, summary

    own, better = summary(cls.__doc__), getattr(cls, "better", "neither")
    if not hasattr(cls, "unit"):
        return own
    direction = f"{better.capitalize()} is better." if better != "neither" else ""
    return " ".join(filter(None, (summary(source(cls)), own, direction)))


def _description(name: str, cls: type[Any]) -> Iterator[str]:
    """Yield the lines that describe a method or metric completely."""
    from harness.registry import parameters as of

    yield f"{click.style(name, bold=True)} {cls.version}"
    yield f"{inspect.getdoc(cls)}\n"
    allowed = of.allowed(cls)
    for one in of.parameters(cls):
        values = f"   ({allowed[one.name]})" if allowed.get(one.name) else ""
        yield f"    {one.name} = {one.value}{values}"
        if one.about:
            yield f"        {one.about}"
    if presets := getattr(cls, "presets", None):
        yield f"\npresets: {', '.join(presets)}"
        yield f"`nstbench list presets {name}` shows their parameters."
    yield f"\n{of.source(cls)}"


def _facts(cls: type[Any]) -> dict[str, Any]:
    """Return the same as JSON."""
    from harness.registry import parameters as of

    allowed = of.allowed(cls)
    return {
        "about": inspect.getdoc(cls),
        "version": cls.version,
        "parameters": {
            one.name: {
                "default": one.default,
                "allowed": allowed.get(one.name, ""),
                "about": one.about,
            }
            for one in of.parameters(cls)
        },
        "presets": [*getattr(cls, "presets", ())],
        "source": of.source(cls),
    }


def _defaults(registry: Registry[Any]) -> Facts:
    from harness.registry.parameters import parameters

    listed: Facts = {}
    for name in registry:
        cls = registry.get(name)
        about = next(iter((cls.__doc__ or "").strip().splitlines()), "")
        listed[name] = {"about": about, **{one.name: one.default for one in parameters(cls)}}
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
