"""Find methods and metrics in the folders of nstbench and in other packages, and import them.

A module of another package may raise any exception, print, or register nothing. What cannot be
used becomes a `PluginError`: a warning of `list` and `doctor`, an error in a suite that names it.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any

from harness.registry.diagnostics import ValidationIssue, describe_exception
from harness.registry.redirect_stdout import stdout_to

STDERR = 2


@dataclass(frozen=True)
class Source:
    """A module that registers classes: a file of nstbench, or an entry point of a package."""

    name: str  # of the file or entry point, usually that of the class as well
    module: str
    load: Callable[[], object]
    where: str  # path to report if the file of the module is unknown
    package: str = ""  # name and version; empty for files of nstbench

    @property
    def project(self) -> str:
        """The normalised name of the package, without its version."""
        return re.sub(r"[-_.]+", "-", self.package.partition(" ")[0]).lower()

    def defines(self, cls: type[Any]) -> bool:
        """Return whether a class is defined in this module or in a submodule."""
        return f"{cls.__module__}.".startswith(f"{self.module}.")


@dataclass(frozen=True)
class PluginError:
    """A class, or a source with all its classes, that cannot be used."""

    kind: str
    name: str
    package: str
    file: str
    issue: ValidationIssue
    traceback: str = ""

    @property
    def origin(self) -> str:
        """The package and the file, if they are known."""
        return f"{self.package} ({self.file})" if self.package else self.file

    @property
    def remedy(self) -> str:
        """The remedy, and the command that shows the traceback if there is one."""
        hint = f" `nstbench check {self.name}` shows the traceback."
        return self.issue.remedy + (hint if self.traceback else "")

    def __str__(self) -> str:
        what = self.issue.what.rstrip(".")
        return (
            f"The {self.kind} {self.name!r} of {self.origin} cannot be used: {what}. {self.remedy}"
        )


def builtin_sources(package: str) -> Iterator[Source]:
    """Yield the modules of a package of nstbench, except those with a leading underscore."""
    for folder in importlib.import_module(package).__path__:
        for found in pkgutil.iter_modules([folder]):
            if not found.name.startswith("_"):
                module = f"{package}.{found.name}"
                load = partial(importlib.import_module, module)
                yield Source(found.name, module, load, str(Path(folder) / f"{found.name}.py"))


def entry_point_sources(kind: str) -> Iterator[Source | PluginError]:
    """Yield the entry points of all packages, and an error for each package in a conflict.

    `importlib.metadata.entry_points` is not used: it ignores the second copy of a package that is
    installed twice.
    """
    group = f"nstbench.{kind}s"
    sources = [source for one in distributions() for source in _entry_points(one, group)]
    for source in sorted(sources, key=lambda one: (one.package, one.name)):
        first = next(one for one in sources if one.project == source.project)
        rival = next((one for one in sources if one.module == source.module
                      and one.project != source.project), None)  # fmt: skip
        if first.where != source.where:
            what = f"the package is installed twice, and Python imports {first.package} in "
            issue = ValidationIssue(what + first.where, "Uninstall one of the two.")
            yield _source_error(kind, source, issue)
        elif rival:
            what = f"{rival.package} has a module {source.module} too, and Python imports only one"
            issue = ValidationIssue(what, "Uninstall one of the two packages.")
            yield _source_error(kind, source, issue)
        else:
            yield source


def _entry_points(distribution: Distribution, group: str) -> Iterator[Source]:
    if group not in (distribution.read_text("entry_points.txt") or ""):
        return  # parsing the metadata of hundreds of packages is slow
    where = str(Path(str(distribution.locate_file(""))).resolve())
    package = f"{distribution.name} {distribution.version}"
    for entry in distribution.entry_points:
        if entry.group == group:
            module = re.split(r"[:\[]", entry.value, maxsplit=1)[0].strip()
            yield Source(entry.name, module, entry.load, where, package)


def import_source(kind: str, source: Source) -> PluginError | None:
    """Import a source, and return the error if that fails.

    Its output goes to stderr, since programs may parse stdout.
    """
    try:
        with stdout_to(sys.stderr, STDERR):
            source.load()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # includes SystemExit
        remedy = f"Fix {source.package} or uninstall it." if source.package else "Fix the file."
        issue = ValidationIssue(describe_exception(error), remedy)
        full_traceback = "".join(traceback.format_exception(error))
        return _source_error(kind, source, issue, locate(source.module, error), full_traceback)
    return None


def no_class_error(kind: str, source: Source) -> PluginError:
    """Return the error for a source that was imported and registered nothing."""
    what = f"{source.module} was imported and registers no {kind}"
    remedy = f'Decorate its class with @{kind.upper()}S.register("{source.name}").'
    return _source_error(kind, source, ValidationIssue(what, remedy), _file(source.module))


def class_error(
    kind: str, name: str, cls: type[Any], source: Source | None, issue: ValidationIssue
) -> PluginError:
    """Return the error for a registered class that breaks a rule."""
    file = _file(cls.__module__) or (source.where if source else "")
    return PluginError(kind, name, source.package if source else "", file, issue)


def name_conflict(rivals: Sequence[type[Any]], *, builtin: bool) -> ValidationIssue:
    """Return the issue of a name that other classes use; those of nstbench keep theirs."""
    files = ", ".join(dict.fromkeys(_file(rival.__module__) for rival in rivals))
    if builtin:
        return ValidationIssue(
            f"the name is used by {files} and cannot be replaced", "Register it under another name."
        )
    return ValidationIssue(
        f"{files} registers the same name", "Rename one of them, or uninstall a package."
    )


def is_imported(cls: type[Any]) -> bool:
    """Return whether the import of a class's module and of all parent packages has completed."""
    parts = cls.__module__.split(".")
    return all(".".join(parts[: n + 1]) in sys.modules for n in range(len(parts)))


def locate(module: str, error: BaseException) -> str:
    """Return `file:line` of the innermost frame in the module's package; empty if there is none."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}"
    top = module.partition(".")[0]
    for frame, line in reversed(list(traceback.walk_tb(error.__traceback__))):
        if str(frame.f_globals.get("__name__")).partition(".")[0] == top:
            return f"{frame.f_code.co_filename}:{line}"
    return ""


def _file(module: str) -> str:
    return getattr(sys.modules.get(module), "__file__", None) or ""


def _source_error(
    kind: str, source: Source, issue: ValidationIssue, file: str = "", full_traceback: str = ""
) -> PluginError:
    return PluginError(
        kind, source.name, source.package, file or source.where, issue, full_traceback
    )
