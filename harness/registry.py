"""Names for methods and metrics: found by folder, or by entry point in other packages.

A class registered here gets its parameters checked by pydantic: strictly, unknown names refused.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import is_dataclass
from functools import cached_property
from importlib.metadata import entry_points
from typing import Any, Generic, TypeVar

from pydantic import ConfigDict, TypeAdapter

from harness.errors import DuplicateNameError, UnknownNameError, nearest

T = TypeVar("T", bound=type)
C = TypeVar("C", bound=type)


class Registry(Generic[T]):
    """Classes of one kind by name; their modules are imported at the first look-up."""

    def __init__(self, kind: str, package: str) -> None:
        self.kind, self.package = kind, package
        self._classes: dict[str, type[Any]] = {}
        self._adapters: dict[type[Any], TypeAdapter[Any]] = {}  # milliseconds to make, each
        self.broken: dict[str, str] = {}  # plug-ins that could not be imported, and why

    def register(self, name: str) -> Callable[[C], C]:
        """Decorate a frozen dataclass to make it known as `name`."""

        def decorate(cls: C) -> C:
            if not is_dataclass(cls):
                raise TypeError(f"{cls.__qualname__} must be a frozen dataclass")
            known = self._classes.setdefault(name, cls)
            if (known.__module__, known.__qualname__) != (cls.__module__, cls.__qualname__):
                raise DuplicateNameError(
                    f"Two {self.kind}s are called {name!r}: "
                    f"{known.__module__} and {cls.__module__}."
                )
            self._classes[name] = cls
            cls.__pydantic_config__ = ConfigDict(extra="forbid", strict=True)  # type: ignore[attr-defined]
            return cls

        return decorate

    @cached_property
    def _loaded(self) -> dict[str, type[Any]]:
        package = importlib.import_module(self.package)
        for module in pkgutil.iter_modules(package.__path__):
            if not module.name.startswith("_"):
                importlib.import_module(f"{self.package}.{module.name}")
        for entry in entry_points(group=f"nstbench.{self.kind}s"):
            try:
                entry.load()
            except Exception as error:  # a stranger's module may raise anything
                self.broken[entry.name] = f"{entry.value}: {type(error).__name__}: {error}"
        return self._classes

    def names(self) -> list[str]:
        """Return all names, sorted."""
        return sorted(self._loaded)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def get(self, name: str) -> type[Any]:
        """Return the class called `name`, or say which names exist."""
        if name in self._loaded:
            return self._loaded[name]
        if name in self.broken:
            raise UnknownNameError(
                f"The {self.kind} {name!r} cannot be imported: {self.broken[name]}."
            )
        raise UnknownNameError(
            f"{name!r} is not a {self.kind}: {', '.join(self.names())}."
            f"{nearest(name, self.names())}"
        )

    def build(self, name: str, params: Mapping[str, Any]) -> Any:
        """Return an instance of `name` with checked parameters, as a suite or a record gives them.

        Raises:
            pydantic.ValidationError: Every parameter that is unknown or of another type or range.
        """
        cls = self.get(name)
        if cls not in self._adapters:
            self._adapters[cls] = TypeAdapter(cls)
        # By way of JSON, since there a list may be a tuple and a map a dataclass, and still a
        # string is no number.
        return self._adapters[cls].validate_json(json.dumps(dict(params)))


METHODS: Registry[type] = Registry("method", "methods")
METRICS: Registry[type] = Registry("metric", "harness.metrics")
