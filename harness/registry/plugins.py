"""Methods and metrics of other packages: found, and imported at arm's length.

A stranger's package may raise anything, print, or bring less than it promises. What cannot be used
becomes a Fault, which `list` and `doctor` tell and a suite that names it fails on; others go on.
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

from harness.registry.class_rules import ValidationIssue, last_line
from harness.registry.redirect_stdout import stdout_to

STDERR = 2


@dataclass(frozen=True)
class Source:
    """A module that registers classes: a file of a folder of ours, or a package's entry point."""

    name: str  # what a suite is likely to call what it brings
    module: str
    load: Callable[[], object]
    where: str  # to look at where its own file is not found
    package: str = ""  # with its version; none has brought a file of ours

    @property
    def project(self) -> str:
        """The package without its version, as indexes write it."""
        return re.sub(r"[-_.]+", "-", self.package.partition(" ")[0]).lower()

    def brings(self, cls: type[Any]) -> bool:
        """Tell whether a class comes from its module or from below it."""
        return f"{cls.__module__}.".startswith(f"{self.module}.")


@dataclass(frozen=True)
class PluginError:
    """A class, or all that a source would bring, that cannot be used."""

    kind: str
    name: str
    package: str
    file: str
    flaw: ValidationIssue
    traceback: str = ""

    @property
    def origin(self) -> str:
        """The package and the file, as far as they are known."""
        return f"{self.package} ({self.file})" if self.package else self.file

    @property
    def remedy(self) -> str:
        """What would help, and where there is more to read."""
        more = f" `nstbench check {self.name}` shows the whole traceback."
        return self.flaw.remedy + (more if self.traceback else "")

    def __str__(self) -> str:
        what = self.flaw.what.rstrip(".")
        return (
            f"The {self.kind} {self.name!r} of {self.origin} cannot be used: {what}. {self.remedy}"
        )


def in_folder(package: str) -> Iterator[Source]:
    """Yield the modules of a package of ours, helpers left out."""
    for folder in importlib.import_module(package).__path__:
        for found in pkgutil.iter_modules([folder]):
            if not found.name.startswith("_"):
                module = f"{package}.{found.name}"
                load = partial(importlib.import_module, module)
                yield Source(found.name, module, load, str(Path(folder) / f"{found.name}.py"))


def installed(kind: str) -> Iterator[Source | PluginError]:
    """Yield the entry points of all packages; a fault in place of what Python would mix up.

    importlib's own `entry_points` passes over a package that is installed twice.
    """
    group = f"nstbench.{kind}s"
    found = [source for one in distributions() for source in _entries(one, group)]
    for source in sorted(found, key=lambda one: (one.package, one.name)):
        twin = next(one for one in found if one.project == source.project)
        rival = next((one for one in found if one.module == source.module
                      and one.project != source.project), None)  # fmt: skip
        if twin.where != source.where:
            what = f"Python finds {twin.package} in {twin.where} first, the same package"
            yield _fault(kind, source, ValidationIssue(what, "Uninstall one of the two."))
        elif rival:
            what = f"{rival.package} has a module {source.module} too, and Python finds only one"
            yield _fault(kind, source, ValidationIssue(what, "Uninstall one of the two packages."))
        else:
            yield source


def _entries(distribution: Distribution, group: str) -> Iterator[Source]:
    if group not in (distribution.read_text("entry_points.txt") or ""):
        return  # without parsing: there may be hundreds
    where = str(Path(str(distribution.locate_file(""))).resolve())
    package = f"{distribution.name} {distribution.version}"
    for entry in distribution.entry_points:
        if entry.group == group:
            module = re.split(r"[:\[]", entry.value, maxsplit=1)[0].strip()
            yield Source(entry.name, module, entry.load, where, package)


def attempt(kind: str, source: Source) -> PluginError | None:
    """Import what a source names; what it prints goes to stderr: stdout may be read by programs."""
    try:
        with stdout_to(sys.stderr, STDERR):
            source.load()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # SystemExit among them
        mend = f"Mend {source.package} or uninstall it." if source.package else "Mend the file."
        whole = "".join(traceback.format_exception(error))
        place = place_of(source.module, error)
        return _fault(kind, source, ValidationIssue(last_line(error), mend), place, whole)
    return None


def empty(kind: str, source: Source) -> PluginError:
    """Say that a source was imported and registered nothing."""
    what = f"{source.module} was imported and registers no {kind}"
    remedy = f'Put @{kind.upper()}S.register("{source.name}") above its class.'
    return _fault(kind, source, ValidationIssue(what, remedy), _file(source.module))


def unfit(
    kind: str, name: str, cls: type[Any], source: Source | None, flaw: ValidationIssue
) -> PluginError:
    """Say what is wrong with a class that was registered."""
    file = _file(cls.__module__) or (source.where if source else "")
    return PluginError(kind, name, source.package if source else "", file, flaw)


def taken(rivals: Sequence[type[Any]], *, ours: bool) -> ValidationIssue:
    """Say that a name is used by others; ours stay what they are."""
    files = ", ".join(dict.fromkeys(_file(rival.__module__) for rival in rivals))
    if ours:
        return ValidationIssue(
            f"the name is that of {files}, which stays", "Register it under another name."
        )
    return ValidationIssue(
        f"{files} registers the same name", "Rename one of them, or uninstall a package."
    )


def whole(cls: type[Any]) -> bool:
    """Tell whether the import of a class's module, and of all packages above it, came to an end."""
    parts = cls.__module__.split(".")
    return all(".".join(parts[: n + 1]) in sys.modules for n in range(len(parts)))


def place_of(module: str, error: BaseException) -> str:
    """Return the file and line of a module's own package nearest to an error; empty if none is."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}"
    top = module.partition(".")[0]
    for frame, line in reversed(list(traceback.walk_tb(error.__traceback__))):
        if str(frame.f_globals.get("__name__")).partition(".")[0] == top:
            return f"{frame.f_code.co_filename}:{line}"
    return ""


def _file(module: str) -> str:
    return getattr(sys.modules.get(module), "__file__", None) or ""


def _fault(
    kind: str, source: Source, flaw: ValidationIssue, file: str = "", whole_traceback: str = ""
) -> PluginError:
    return PluginError(
        kind, source.name, source.package, file or source.where, flaw, whole_traceback
    )
