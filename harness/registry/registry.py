"""Register the methods and metrics of nstbench and, by entry point, of other packages.

Parameters of registered classes are validated by pydantic in strict mode; unknown ones are errors.
A class that cannot be used becomes a `PluginError`, raised only when its name is requested.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Generic, TypeVar

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from harness.errors import DuplicateNameError, UnknownNameError, nearest, quoted
from harness.registry import class_rules, plugins
from harness.registry.diagnostics import ValidationIssue, describe_exception
from harness.registry.plugins import PluginError, Source

T = TypeVar("T", bound=type)
C = TypeVar("C", bound=type)


FOUND = {"found": True}
"""Metadata of fields that `Metric.resolve` sets; a suite cannot set them."""


LOCATION = {"location": True}
"""Metadata of fields with a path, relative to the suite's file, that is no part of a cell's id. An
empty path stays empty."""


def locations(cls: type[Any]) -> tuple[str, ...]:
    """Return the parameters of a method that are marked with LOCATION."""
    return tuple(field.name for field in fields(cls) if field.metadata.get("location"))


def settings(cls: type[Any]) -> list[str]:
    """Return the parameters of a method or metric that a suite can set."""
    return [field.name for field in fields(cls) if not field.metadata.get("found")]


@dataclass(frozen=True)
class Registration:
    """A class, the name to register it under, and the source whose import defined it."""

    name: str
    cls: type[Any]
    source: Source | None


class Registry(Generic[T]):
    """Classes of one kind by name; their modules are imported at the first look-up."""

    def __init__(self, kind: str, package: str) -> None:
        self.kind, self.package = kind, package
        self._classes: dict[str, type[Any]] = {}
        self._adapters: dict[type[Any], TypeAdapter[Any]] = {}  # each takes milliseconds to build
        self._faults: list[PluginError] = []
        self._pending: list[Registration] = []  # until all sources are imported
        self._sources: list[Source] = []
        self._loading = self._loaded = False

    def register(self, name: str) -> Callable[[C], C]:
        """Decorate a frozen dataclass to register it as `name`."""
        if not isinstance(name, str):
            call = f"@{self.kind.upper()}S.register"
            raise TypeError(f'{call} requires a name: write {call}("name")')

        def decorate(cls: C) -> C:
            if self._loaded:
                self._register_late(name, cls)
            else:  # an error here would also discard the other classes of the module
                source = self._sources[-1] if self._sources else None
                self._pending.append(Registration(name, cls, source))
            return cls

        return decorate

    def _register_late(self, name: str, cls: type[Any]) -> None:
        """Register a class after all sources: of a script, or of a module that is reloaded."""
        for issue in (*class_rules.check_frozen(cls), *class_rules.check_base(cls, self.kind)):
            raise TypeError(f"{issue.what}. {issue.remedy}")
        known = self._classes.get(name, cls)
        if (known.__module__, known.__qualname__) != (cls.__module__, cls.__qualname__):
            raise DuplicateNameError(
                f"The {self.kind} {name!r} is registered by two modules, {known.__module__} and "
                f"{cls.__module__}. Register one of them under another name."
            )
        self._classes[name] = _strict(cls)

    def _load(self) -> None:
        """Import all sources, those of nstbench first: plug-ins can extend, not replace, them."""
        if self._loaded or self._loading:
            return
        self._loading = True
        try:
            for source in plugins.builtin_sources(self.package):
                self._import(source)
            prefix = f"{self.package}."
            builtin = [one for one in self._pending if one.cls.__module__.startswith(prefix)]
            self._accept(builtin)
            for found in plugins.entry_point_sources(self.kind):
                if isinstance(found, PluginError):
                    self._faults.append(found)
                else:
                    self._import(found)
            self._accept([one for one in self._pending if one not in builtin], self._classes)
            self._loaded = True
        finally:
            self._loading = False

    def _import(self, source: Source) -> None:
        """Import a source, and discard registrations of modules whose import failed."""
        self._sources.append(source)
        self._discard(
            [r for r in self._pending if source.defines(r.cls) and not plugins.is_imported(r.cls)]
        )
        fault = plugins.import_source(self.kind, source)
        registered = [r for r in self._pending if r.source is source or source.defines(r.cls)]
        if fault is None and not registered:
            fault = plugins.no_class_error(self.kind, source)
        if fault is not None:
            failed = [
                r for r in registered if r.name == source.name or not plugins.is_imported(r.cls)
            ]
            self._discard(failed)
            names = [one.name for one in failed] or [source.name]
            self._faults += [replace(fault, name=name) for name in dict.fromkeys(names)]

    def _discard(self, registrations: Sequence[Registration]) -> None:
        self._pending = [one for one in self._pending if one not in registrations]

    def _accept(
        self,
        registrations: Sequence[Registration],
        builtin: Mapping[str, type[Any]] | None = None,
    ) -> None:
        """Add classes, or the reasons why they cannot be used.

        Args:
            registrations: All from nstbench, or all from other packages.
            builtin: Classes of nstbench by name, if `registrations` are from other packages.
        """
        accepted: dict[str, type[Any]] = {}
        for one in registrations:
            rivals = [r.cls for r in registrations if r.name == one.name and r is not one]
            issues = self._check(one, rivals, builtin)
            source = next((s for s in self._sources if s.defines(one.cls)), one.source)
            self._faults += [
                plugins.class_error(self.kind, one.name, one.cls, source, issue) for issue in issues
            ]
            if not issues:
                accepted[one.name] = _strict(one.cls)
        self._classes |= accepted

    def _check(
        self,
        registration: Registration,
        rivals: Sequence[type[Any]],
        builtin: Mapping[str, type[Any]] | None,
    ) -> list[ValidationIssue]:
        name, cls = registration.name, registration.cls
        if builtin is not None and name in builtin:
            return [plugins.name_conflict([builtin[name]], builtin=True)]
        if rivals:
            return [plugins.name_conflict(rivals, builtin=False)]
        issues = class_rules.check_class(cls, self.kind)
        if issues or builtin is None:  # tests check the construction of built-in classes
            return issues
        return list(class_rules.check_construction(_strict(cls)))

    @property
    def faults(self) -> Sequence[PluginError]:
        """Classes and sources that cannot be used, with the reasons."""
        self._load()
        return list(dict.fromkeys(self._faults))

    def names(self) -> list[str]:
        """Return all names, sorted."""
        self._load()
        return sorted(self._classes)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def get(self, name: str) -> type[Any]:
        """Return the class that is registered as `name`.

        Raises:
            UnknownNameError: No class has this name, or the class cannot be used.
        """
        self._load()
        if name in self._classes:
            return self._classes[name]
        for fault in self._faults:
            if fault.name == name:
                raise UnknownNameError(str(fault))
        unusable = ", ".join(sorted({fault.name for fault in self._faults} - self._classes.keys()))
        raise UnknownNameError(
            f"{quoted(name)} is not a {self.kind}: {', '.join(self.names())}."
            f"{nearest(name, self.names())}"
            + (
                f" Some {self.kind}s cannot be used: {unusable}. Run `nstbench doctor` for the "
                "reasons."
                if unusable
                else ""
            )
        )

    def build(self, name: str, params: Mapping[str, Any]) -> Any:
        """Return an instance of `name` with parameters from a suite or a record.

        Raises:
            pydantic.ValidationError: A parameter is unknown or has a wrong type or value, or the
                class raises an exception.
        """
        cls = self.get(name)
        try:
            if cls not in self._adapters:
                self._adapters[cls] = TypeAdapter(cls)
            # In strict mode only JSON input converts lists to tuples and mappings to dataclasses.
            return self._adapters[cls].validate_json(json.dumps(dict(params)))
        except ValidationError:
            raise
        except Exception as error:  # from __post_init__, or from pydantic about an annotation
            why = {"why": f"{name} cannot be constructed: {describe_exception(error)}"}
            detail = InitErrorDetails(
                type=PydanticCustomError("unfit", "{why}", why), input=dict(params)
            )
            raise ValidationError.from_exception_data(name, [detail]) from error


def _strict(cls: type[Any]) -> type[Any]:
    cls.__pydantic_config__ = ConfigDict(extra="forbid", strict=True)
    return cls


METHODS: Registry[type] = Registry("method", "methods")
METRICS: Registry[type] = Registry("metric", "harness.metrics")
