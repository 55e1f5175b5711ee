"""YAML 1.2 scalars with the place of every value: what error messages point at.

PyYAML follows YAML 1.1: it reads `1e5` as a string, `no` as False, `10:30` as 630, and keeps the
last of two equal keys. Here `1e5` is a number, `no` a word, and equal keys are an error. Nothing
but maps, lists and scalars is ever built: no tags, no code.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from harness.errors import Problem, SuiteError

Key = tuple[str | int, ...]
"""Where a value stands: ("methods", "gatys", "axes", "optimizer", 1)."""

MAX_NODES = 50_000
"""More than any honest suite has; aliases count each time, so a bomb stops here."""


class _Loader(yaml.SafeLoader):
    """SafeLoader with YAML 1.2's core schema."""


_Loader.yaml_implicit_resolvers = {}
for tag, pattern, first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789"),
    (
        "float",
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        "-+.0123456789",
    ),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
):
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{tag}", re.compile(f"^(?:{pattern})$"), list(first)
    )


@dataclass
class Source:
    """Where values were written: file, line, column, or the option that set them."""

    name: str
    lines: list[str] = field(default_factory=list)
    values: dict[Key, tuple[int, int]] = field(default_factory=dict)
    keys: dict[Key, tuple[int, int]] = field(default_factory=dict)
    options: dict[Key, str] = field(default_factory=dict)
    moved: dict[Key, Key] = field(default_factory=dict)  # a profile's value -> where it stands

    def problem(self, key: Key, what: str, *, at_key: bool = False) -> Problem:
        """Say what is wrong with the value (or the key itself) at `key`."""
        said = f"{dotted(key)}: {what}" if key else what
        for depth in range(len(key), -1, -1):
            near = key[:depth]
            if near in self.options:
                return Problem(self.options[near], said)
            written = self.moved.get(near, near)
            marks = self.keys if at_key and depth == len(key) else self.values
            if (mark := marks.get(written)) or (mark := self.values.get(written)):
                return Problem(self._where(mark), said, self._excerpt(mark))
        return Problem(self.name, said)

    def _where(self, mark: tuple[int, int]) -> str:
        return f"{self.name}:{mark[0] + 1}:{mark[1] + 1}"

    def _excerpt(self, mark: tuple[int, int]) -> str:
        line, column = mark
        if line >= len(self.lines):
            return ""
        text = self.lines[line]
        token = re.match(r"[^\s,\]\}#:]+", text[column:])
        carets = "^" * max(1, len(token[0]) if token else 1)
        return f"{line + 1:5} | {text}\n      | {' ' * column}{carets}"


def dotted(key: Key) -> str:
    """Write a key as people do: methods.gatys.axes.optimizer[1]."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in key)
    return text.removeprefix(".")


def load(path: Path) -> tuple[Any, Source]:
    """Read a file.

    Raises:
        SuiteError: It cannot be read, is not YAML, or has equal keys; all of them in one go.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SuiteError([Problem(str(path), f"cannot be read: {error}")]) from None
    source = Source(str(path), text.splitlines())
    try:
        node = yaml.compose(text, Loader=_Loader)
    except (yaml.YAMLError, RecursionError) as error:
        raise SuiteError([_syntax(source, error)]) from None
    problems: list[Problem] = []
    builder = _Builder(source, problems)
    try:
        data = builder.build(node, ()) if node else None
    except RecursionError:
        raise SuiteError([Problem(source.name, "is nested too deeply.")]) from None
    if problems:
        raise SuiteError(problems)
    return data, source


def parse(text: str) -> Any:
    """Read one value as a suite would, for `--set key=value`."""
    source = Source("--set")
    problems: list[Problem] = []
    try:
        node = yaml.compose(text, Loader=_Loader)
    except yaml.YAMLError as error:
        raise SuiteError([Problem(f"--set {text}", _reason(error))]) from None
    value = _Builder(source, problems).build(node, ()) if node else None
    if problems:
        raise SuiteError(problems)
    return value


class _Builder:
    """Turns nodes into plain values and notes where each stands."""

    def __init__(self, source: Source, problems: list[Problem]) -> None:
        self.source, self.problems, self.count = source, problems, 0

    def build(self, node: yaml.Node, key: Key) -> Any:
        self.count += 1
        if self.count > MAX_NODES:
            raise SuiteError([Problem(self.source.name, f"has more than {MAX_NODES:,} values.")])
        self.source.values.setdefault(key, (node.start_mark.line, node.start_mark.column))
        if isinstance(node, yaml.MappingNode):
            return dict(self._items(node, key))
        if isinstance(node, yaml.SequenceNode):
            return [self.build(item, (*key, i)) for i, item in enumerate(node.value)]
        return self._scalar(node, key)

    def _items(self, node: yaml.MappingNode, key: Key) -> Iterator[tuple[str, Any]]:
        seen: dict[str, int] = {}
        for name_node, value_node in node.value:
            name = str(name_node.value)
            mark = (name_node.start_mark.line, name_node.start_mark.column)
            self.source.keys.setdefault((*key, name), mark)
            if name in seen:
                self.problems.append(
                    Problem(
                        self.source._where(mark),
                        f"{dotted((*key, name))}: stands twice, first in line {seen[name] + 1}. "
                        "Keep one.",
                        self.source._excerpt(mark),
                    )
                )
                continue
            seen[name] = mark[0]
            yield name, self.build(value_node, (*key, name))

    def _scalar(self, node: yaml.Node, key: Key) -> Any:
        tag = node.tag.removeprefix("tag:yaml.org,2002:")
        try:
            if tag == "bool":
                return node.value.lower() == "true"
            if tag == "int":
                return int(node.value, 0 if node.value[:2] in {"0o", "0x"} else 10)
            if tag == "float":
                return float(re.sub(r"\.(?=inf|nan)", "", node.value.lower()))
        except ValueError:  # an integer of more digits than Python reads
            tag = "unreadable"
        if tag == "null":
            return None
        if tag != "str":
            mark = (node.start_mark.line, node.start_mark.column)
            what = f"{dotted(key)}: {node.tag} {node.value[:40]!r} is not a plain value."
            self.problems.append(
                Problem(self.source._where(mark), what, self.source._excerpt(mark))
            )
        return node.value


def _syntax(source: Source, error: Exception) -> Problem:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    if mark is None:
        return Problem(source.name, _reason(error))
    at = (mark.line, mark.column)
    return Problem(source._where(at), _reason(error), source._excerpt(at))


def _reason(error: Exception) -> str:
    if isinstance(error, yaml.MarkedYAMLError):
        parts = (error.context, error.problem)
        return f"is not YAML: {', '.join(part for part in parts if part)}."
    return f"is not YAML: {error}."
