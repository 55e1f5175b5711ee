"""Names for methods and metrics: found by folder, or by entry point in other packages.

A class registered here gets its parameters checked by pydantic: strictly, unknown names refused.
What cannot be used is kept aside as a fault, and is an error for whoever asks for it by name.
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
from harness.registry.class_rules import ValidationIssue
from harness.registry.plugins import PluginError, Source

T = TypeVar("T", bound=type)
C = TypeVar("C", bound=type)


FOUND = {"found": True}
"""Metadata of a field that `equip` fills on the machine: no suite may set it."""


def settings(cls: type[Any]) -> list[str]:
    """Return what a suite may set of a method or metric."""
    return [field.name for field in fields(cls) if not field.metadata.get("found")]


@dataclass(frozen=True)
class Registration:
    """A class that asks to be known by a name, and whose import it came with."""

    name: str
    cls: type[Any]
    source: Source | None


class Registry(Generic[T]):
    """Classes of one kind by name; their modules are imported at the first look-up."""

    def __init__(self, kind: str, package: str) -> None:
        self.kind, self.package = kind, package
        self._classes: dict[str, type[Any]] = {}
        self._adapters: dict[type[Any], TypeAdapter[Any]] = {}  # milliseconds to make, each
        self._faults: list[PluginError] = []
        self._offers: list[Registration] = []  # until everything is imported
        self._sources: list[Source] = []
        self._loading = self._loaded = False

    def register(self, name: str) -> Callable[[C], C]:
        """Decorate a frozen dataclass to make it known as `name`."""
        if not isinstance(name, str):
            call = f"@{self.kind.upper()}S.register"
            raise TypeError(f'{call} takes a name: write {call}("name")')

        def decorate(cls: C) -> C:
            if self._loaded:
                self._take(name, cls)
            else:  # raising would take what else the module registers
                source = self._sources[-1] if self._sources else None
                self._offers.append(Registration(name, cls, source))
            return cls

        return decorate

    def _take(self, name: str, cls: type[Any]) -> None:
        """Make a class known after all others: a script's own, or one that is imported again."""
        for flaw in (*class_rules.frozen(cls), *class_rules.inherits(cls, self.kind)):
            raise TypeError(f"{flaw.what}. {flaw.remedy}")
        known = self._classes.get(name, cls)
        if (known.__module__, known.__qualname__) != (cls.__module__, cls.__qualname__):
            raise DuplicateNameError(
                f"Two {self.kind}s are called {name!r}: {known.__module__} and {cls.__module__}."
            )
        self._classes[name] = _strict(cls)

    def _load(self) -> None:
        """Import everything, ours first: a plug-in may build on ours, and cannot replace them."""
        if self._loaded or self._loading:
            return
        self._loading = True
        try:
            for source in plugins.in_folder(self.package):
                self._import(source)
            ours = [o for o in self._offers if o.cls.__module__.startswith(f"{self.package}.")]
            self._settle(ours)
            for found in plugins.installed(self.kind):
                if isinstance(found, PluginError):
                    self._faults.append(found)
                else:
                    self._import(found)
            self._settle([offer for offer in self._offers if offer not in ours], self._classes)
            self._loaded = True
        finally:
            self._loading = False

    def _import(self, source: Source) -> None:
        """Have a source register what it brings; what an import that fails has left is dropped."""
        self._sources.append(source)
        self._drop([o for o in self._offers if source.brings(o.cls) and not plugins.whole(o.cls)])
        fault = plugins.attempt(self.kind, source)
        brought = [o for o in self._offers if o.source is source or source.brings(o.cls)]
        if fault is None and not brought:
            fault = plugins.empty(self.kind, source)
        if fault is not None:
            lost = [o for o in brought if o.name == source.name or not plugins.whole(o.cls)]
            self._drop(lost)
            names = [offer.name for offer in lost] or [source.name]
            self._faults += [replace(fault, name=name) for name in dict.fromkeys(names)]

    def _drop(self, lost: Sequence[Registration]) -> None:
        self._offers = [offer for offer in self._offers if offer not in lost]

    def _settle(
        self, offers: Sequence[Registration], ours: Mapping[str, type[Any]] | None = None
    ) -> None:
        """Make classes known, or say why not; with `ours` given, they are other people's."""
        settled: dict[str, type[Any]] = {}
        for offer in offers:
            rivals = [o.cls for o in offers if o.name == offer.name and o is not offer]
            flaws = self._flaws(offer, rivals, ours)
            source = next((s for s in self._sources if s.brings(offer.cls)), offer.source)
            self._faults += [
                plugins.unfit(self.kind, offer.name, offer.cls, source, flaw) for flaw in flaws
            ]
            if not flaws:
                settled[offer.name] = _strict(offer.cls)
        self._classes |= settled

    def _flaws(
        self, offer: Registration, rivals: Sequence[type[Any]], ours: Mapping[str, type[Any]] | None
    ) -> list[ValidationIssue]:
        if ours is not None and offer.name in ours:
            return [plugins.taken([ours[offer.name]], ours=True)]
        if rivals:
            return [plugins.taken(rivals, ours=False)]
        flaws = class_rules.flaws(offer.cls, self.kind)
        if flaws or ours is None:  # our own are tested
            return flaws
        return list(class_rules.built(_strict(offer.cls)))

    @property
    def faults(self) -> Sequence[PluginError]:
        """What was found and cannot be used, and why."""
        self._load()
        return list(dict.fromkeys(self._faults))

    def names(self) -> list[str]:
        """Return all names, sorted."""
        self._load()
        return sorted(self._classes)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def get(self, name: str) -> type[Any]:
        """Return the class called `name`, or say which names exist."""
        self._load()
        if name in self._classes:
            return self._classes[name]
        for fault in self._faults:
            if fault.name == name:
                raise UnknownNameError(str(fault))
        lost = ", ".join(sorted({fault.name for fault in self._faults} - self._classes.keys()))
        raise UnknownNameError(
            f"{quoted(name)} is not a {self.kind}: {', '.join(self.names())}."
            f"{nearest(name, self.names())}"
            + (f" Some cannot be used, and `nstbench doctor` says why: {lost}." if lost else "")
        )

    def build(self, name: str, params: Mapping[str, Any]) -> Any:
        """Return an instance of `name` with checked parameters, as a suite or a record gives them.

        Raises:
            pydantic.ValidationError: Every parameter that is unknown or of another type or range,
                or whatever else keeps the class from being made.
        """
        cls = self.get(name)
        try:
            if cls not in self._adapters:
                self._adapters[cls] = TypeAdapter(cls)
            # By way of JSON, since there a list may be a tuple and a map a dataclass, and still a
            # string is no number.
            return self._adapters[cls].validate_json(json.dumps(dict(params)))
        except ValidationError:
            raise
        except Exception as error:  # of its __post_init__, or of pydantic about its annotations
            why = {"why": f"{name} cannot be made: {class_rules.last_line(error)}"}
            detail = InitErrorDetails(
                type=PydanticCustomError("unfit", "{why}", why), input=dict(params)
            )
            raise ValidationError.from_exception_data(name, [detail]) from error


def _strict(cls: type[Any]) -> type[Any]:
    cls.__pydantic_config__ = ConfigDict(extra="forbid", strict=True)
    return cls


METHODS: Registry[type] = Registry("method", "methods")
METRICS: Registry[type] = Registry("metric", "harness.metrics")
