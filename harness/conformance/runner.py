"""One method through all checks.

The encoder has random weights, the images are small and the budgets a few passes: enough to see
the contract kept, not enough to see a painting.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from pydantic import ValidationError

from harness.conformance.checks import ALWAYS, FIRST, ONCE, OPTIONAL, Check, documented
from harness.conformance.probe import Lab, undisturbed
from harness.registry import METHODS, class_rules, plugins
from harness.registry.class_rules import ValidationIssue
from harness.registry.diagnostics import Finding
from harness.registry.redirect_stdout import stdout_to

BRIEF = {"iterations": 3, "steps": 2, "batch_size": 2}
"""What these parameters are set to, where a method has them and takes so little."""


def tried(name: str) -> Iterator[Finding]:
    """Run every check that applies: by the method's defaults, and by each of its presets."""
    cls = METHODS.get(name)
    for holds, look in {
        "it is a frozen dataclass with a version, all its parameters have defaults": lambda: (
            class_rules.flaws(cls, METHODS.kind)
        ),
        "it can be made from its defaults, and they from a record": lambda: class_rules.built(cls),
        "it says what it is and where it is from": lambda: documented(cls),
    }.items():
        yield from _told(name, holds, look, cls)
    yield from _run(name, name, {}, {**ALWAYS, **ONCE})
    for preset, params in cls.presets.items():
        wrong = [f for f in _run("presets", name, params, ALWAYS) if f.state != "good"]
        yield from (replace(one, name=f"{preset}: {one.name}") for one in wrong)
        if not wrong:
            yield Finding("presets", preset, "good", "ok")


def _run(
    section: str, name: str, params: Mapping[str, Any], checks: Mapping[str, Check]
) -> Iterator[Finding]:
    """Run a method and look at what it did, as far as it can be run at all."""
    cls = METHODS.get(name)
    try:
        lab = Lab(_brief(name, params))
    except ValidationError as error:
        what = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        yield Finding(section, "its parameters are right", "bad", what, "Mend them.")
        return
    for holds, check in FIRST.items():
        found = list(_told(section, holds, partial(check, lab), cls))
        yield from found
        if found[0].state == "bad":
            return
        if lab.missing:
            why = f"not tried: the encoder of random weights has no {', '.join(lab.missing)}"
            yield Finding(section, "it runs", "fair", why)
            return
    for holds, check in checks.items():
        missing = [name for name in OPTIONAL.get(check, ()) if name not in dir(cls)]
        if missing and len(missing) == len(OPTIONAL[check]):
            yield Finding(section, holds, "good", f"it has no {' and no '.join(missing)}")
            continue
        yield from _told(section, holds, partial(check, lab), cls)


def _brief(name: str, params: Mapping[str, Any]) -> Any:
    """Return the method with small budgets."""
    METHODS.build(name, params)  # raises where a budget of the preset's own is wrong
    given = dict(params)
    fields = {field.name for field in dataclasses.fields(METHODS.get(name))}
    for key in fields & BRIEF.keys():
        try:
            METHODS.build(name, {**given, key: BRIEF[key]})
        except ValidationError:
            continue
        given[key] = BRIEF[key]
    return METHODS.build(name, given)


def _told(
    section: str, holds: str, look: Callable[[], Iterable[ValidationIssue]], cls: type[Any]
) -> Iterator[Finding]:
    """Run one check; a method may raise anything, and what it prints is none of our answer."""
    try:
        with undisturbed(), stdout_to(sys.stderr, plugins.STDERR):
            found = list(look())
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        where = plugins.place_of(cls.__module__, error)
        found = [
            ValidationIssue(
                f"it raised {class_rules.last_line(error)} ({where})",
                "Mend that line, or what it leans on.",
            )
        ]
    for flaw in found:
        yield Finding(section, holds, "bad", flaw.what, flaw.remedy)
    if not found:
        yield Finding(section, holds, "good", "ok")
