"""Run all checks on one method.

Images are small, budgets are a few passes, and most checks use an encoder with random weights.
This is enough to test the rules for methods, but not to judge the images.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from pydantic import ValidationError

from harness.conformance.checks import (
    DEFAULTS_ONLY,
    EVERY_PRESET,
    OPTIONAL_MEMBERS,
    PRECONDITIONS,
    Check,
)
from harness.conformance.declarations import check_documentation
from harness.conformance.probe import Probe, restore_global_state
from harness.errors import SourceError
from harness.registry import METHODS, class_rules, plugins
from harness.registry.diagnostics import Finding, ValidationIssue, describe_exception
from harness.registry.redirect_stdout import stdout_to

SMALL_BUDGETS = {"iterations": 3, "steps": 2, "batch_size": 2}
"""Values of these parameters, for methods that have them and accept such small ones."""


def run_checks(name: str) -> Iterator[Finding]:
    """Run the checks of a method's class, of its defaults and of each of its presets."""
    cls = METHODS.get(name)
    class_checks: dict[str, Callable[[], Iterable[ValidationIssue]]] = {
        "the class is a frozen dataclass with a version, and all parameters have defaults": (
            partial(class_rules.check_class, cls, METHODS.kind)
        ),
        "the defaults are valid and can be stored in a record": (
            partial(class_rules.check_construction, cls)
        ),
        "docstrings describe the method and name its source": partial(check_documentation, cls),
    }
    for title, check in class_checks.items():
        yield from _run_check(name, title, check, cls)
    yield from _check_params(name, name, {}, {**EVERY_PRESET, **DEFAULTS_ONLY})
    for preset, params in cls.presets.items():
        findings = _check_params("presets", name, params, EVERY_PRESET)
        problems = [finding for finding in findings if finding.state != "good"]
        yield from (replace(one, name=f"{preset}: {one.name}") for one in problems)
        if not problems:
            yield Finding("presets", preset, "good", "ok")


def _check_params(
    section: str, name: str, params: Mapping[str, Any], checks: Mapping[str, Check]
) -> Iterator[Finding]:
    """Run the preconditions and, if they are met, the checks of a method with parameters."""
    cls = METHODS.get(name)
    try:
        probe = Probe(_build_small(name, params))
    except ValidationError as error:
        what = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        remedy = "Correct these parameters."
        yield Finding(section, "the parameters are valid", "bad", what, remedy)
        return
    if why := probe.method.unavailable:
        yield Finding(section, "fit and stylize run", "good", f"skipped ({why})")
        return
    try:
        probe.method.resolve(())
    except SourceError as error:
        yield Finding(section, "fit and stylize run", "good", f"skipped ({error})")
        return
    except Exception as error:
        what = f"it raised {describe_exception(error)}"
        yield Finding(section, "resolve runs", "bad", what, "Raise SourceError for wrong files.")
        return
    if unset := [key for key, path in probe.method.files.items() if not path]:
        why = f"skipped (a suite has to set {', '.join(unset)})"
        yield Finding(section, "fit and stylize run", "good", why)
        return
    for title, check in PRECONDITIONS.items():
        findings = list(_run_check(section, title, partial(check, probe), cls))
        yield from findings
        if findings[0].state == "bad":
            return
        if probe.missing_layers:
            missing = ", ".join(probe.missing_layers)
            why = f"skipped (the encoder with random weights has no {missing})"
            yield Finding(section, "fit and stylize run", "fair", why)
            return
    for title, check in checks.items():
        members = OPTIONAL_MEMBERS.get(check, ())
        if members and not any(member in dir(cls) for member in members):
            why = f"skipped (no {' and no '.join(members)})"
            yield Finding(section, title, "good", why)
            continue
        yield from _run_check(section, title, partial(check, probe), cls)


def _build_small(name: str, params: Mapping[str, Any]) -> Any:
    """Return the method with small budgets."""
    METHODS.build(name, params)  # raises if a budget of the preset is invalid
    small = dict(params)
    fields = {field.name for field in dataclasses.fields(METHODS.get(name))}
    for key in fields & SMALL_BUDGETS.keys():
        try:
            METHODS.build(name, {**small, key: SMALL_BUDGETS[key]})
        except ValidationError:
            continue
        small[key] = SMALL_BUDGETS[key]
    return METHODS.build(name, small)


def _run_check(
    section: str, title: str, check: Callable[[], Iterable[ValidationIssue]], cls: type[Any]
) -> Iterator[Finding]:
    """Run one check. An exception is an issue, and the method's output goes to stderr."""
    try:
        with restore_global_state(), stdout_to(sys.stderr, plugins.STDERR):
            issues = list(check())
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        location = plugins.locate(cls.__module__, error)
        what = f"it raised {describe_exception(error)}" + (f" ({location})" if location else "")
        issues = [ValidationIssue(what, "Fix the error, or what causes it.")]
    for issue in issues:
        yield Finding(section, title, "bad", issue.what, issue.remedy)
    if not issues:
        yield Finding(section, title, "good", "ok")
