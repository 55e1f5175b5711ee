"""YAML 1.2 scalars with the place of every value: what error messages point at.

PyYAML follows YAML 1.1: it reads `1e5` as a string, `no` as False, `10:30` as 630, and keeps the
last of two equal keys. Here `1e5` is a number, `no` a word, and equal keys are an error. Nothing
but maps, lists and scalars is ever built: no tags, no code. What no honest suite has is refused
before it costs time or memory, and so is what no record could keep: numbers that are not finite,
whole numbers beyond 64 bits, control characters.
"""

from __future__ import annotations

import math
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from harness.errors import Problem, Problems, SuiteError, quoted

Key = tuple[str | int, ...]
"""Where a value stands: ("methods", "gatys", "axes", "optimizer", 1)."""

MAX_BYTES = 2**20
"""Ten thousand pairs, written one by one, take half of it. Of texts, aliases count each time."""

MAX_NODES = 50_000
"""More than any honest suite has; aliases count each time, so a bomb stops here."""

MAX_DEPTH = 20
"""A list of layers on an axis in a profile is 8 deep."""

MAX_KEY = 200
"""Characters. The longest name that a suite may give has 64."""

MAX_WHOLE = 2**63 - 1

EXCERPT = 160
"""Characters of a line that are shown around a mistake."""

UNPRINTABLE = re.compile(r"[^\t\n -~\xa0-\ud7ff\ue000-\U0010ffff]")
"""Control characters and halves of surrogate pairs: no terminal, page or file should get them."""

YAML = "tag:yaml.org,2002:"
SCALARS = {
    # kind: what it looks like, and what it may begin with
    "bool": (r"true|True|TRUE|false|False|FALSE", "tTfF"),
    "int": (r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789"),
    "float": (
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        "-+.0123456789",
    ),
    "null": (r"~|null|Null|NULL|", ["~", "n", "N", ""]),
}


class _LimitError(yaml.MarkedYAMLError):
    """A limit of ours, not of YAML."""


class _Loader(yaml.SafeLoader):
    """SafeLoader with YAML 1.2's core schema, and an end to depth and number."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.depth = self.nodes = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        self.depth += 1
        self.nodes += index is not None  # not the keys
        if self.depth > MAX_DEPTH:
            raise self._limit(f"is nested more than {MAX_DEPTH} deep")
        if self.nodes > MAX_NODES:
            raise self._limit(f"has more than {MAX_NODES:,} values")
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def _limit(self, what: str) -> _LimitError:
        return _LimitError(problem=what, problem_mark=self.get_mark())


_Loader.yaml_implicit_resolvers = {}
for kind, (pattern, first) in SCALARS.items():
    _Loader.add_implicit_resolver(f"{YAML}{kind}", re.compile(f"^(?:{pattern})$"), list(first))


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
                return self.at(mark, said)
        return Problem(self.name, said)

    def at(self, mark: tuple[int, int], what: str) -> Problem:
        """Say what is wrong at a line and column, both counted from 0."""
        line, column = mark
        return Problem(f"{self.name}:{line + 1}:{column + 1}", what, self._excerpt(mark))

    def _excerpt(self, mark: tuple[int, int]) -> str:
        line, column = mark
        if line >= len(self.lines):
            return ""
        start = max(0, column - EXCERPT // 2)
        shown = self.lines[line][start : start + EXCERPT]
        text = "".join(c if c.isprintable() else " " for c in shown)
        token = re.match(r"[^\s,\]\}#:]+", text[column - start :])
        carets = "^" * max(1, len(token[0]) if token else 1)
        return f"{line + 1:5} | {text}\n      | {' ' * (column - start)}{carets}"


def dotted(key: Key) -> str:
    """Write a key as people do: methods.gatys.axes.optimizer[1]."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in key)
    return text.removeprefix(".")


def load(path: Path) -> tuple[Any, Source]:
    """Read a file.

    Raises:
        SuiteError: It cannot be read, is not YAML, or has equal keys; all of them in one go.
    """
    text = _text(path)
    source = Source(str(path), _lines(text))
    return _read(text, source), source


def parse(text: str) -> Any:
    """Read one value as a suite would, for `--set key=value`."""
    return _read(text, Source("--set"))


def _text(path: Path) -> str:
    """Return the text of a plain file; a pipe or a device might never end, and is not opened."""
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            kind = "a folder" if stat.S_ISDIR(mode) else "a pipe or a device"
            raise SuiteError([Problem(str(path), f"is {kind}. Give a YAML file.")])
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: NUL in a name
        raise SuiteError([Problem(str(path), f"cannot be read: {_reason(error)}.")]) from None
    if len(content) > MAX_BYTES:
        raise SuiteError([Problem(str(path), f"has more than {MAX_BYTES:,} bytes.")])
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        source = Source(str(path))
        before = content[: error.start].decode("utf-8-sig", errors="replace")
        what = f"is not UTF-8: byte 0x{content[error.start]:02x}. Save the file as UTF-8."
        raise SuiteError([source.at(_end(before), what)]) from None


def _lines(text: str) -> list[str]:
    return re.split("\r\n|[\n\r\x85\u2028\u2029]", text)  # YAML's own line breaks


def _end(text: str) -> tuple[int, int]:
    """Return line and column of what follows a text."""
    lines = _lines(text)
    return len(lines) - 1, len(lines[-1])


def _read(text: str, source: Source) -> Any:
    if len(text) > MAX_BYTES:  # of --set: the length of a file has been seen to
        raise SuiteError([Problem(source.name, f"has more than {MAX_BYTES:,} characters.")])
    node = _compose(text, source)
    source.values[()] = (0, 0)
    builder = _Builder(source)
    data = builder.build(node, ()) if node else None
    if builder.problems:
        raise SuiteError(builder.problems)
    return data


def _compose(text: str, source: Source) -> yaml.Node | None:
    loader = None
    try:
        loader = _Loader(text)
        return loader.get_single_node()
    except yaml.reader.ReaderError as error:
        what = f"the character {quoted(chr(error.character))} is not allowed."
        raise SuiteError([source.at(_end(text[: error.position]), what)]) from None
    except (yaml.MarkedYAMLError, ValueError, OverflowError) as error:  # \UFFFFFFFF, %YAML 1.9...
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        if mark is None and loader is not None:
            mark = loader.get_mark()
        at = (mark.line, mark.column) if mark else (0, 0)
        ours = isinstance(error, _LimitError)
        what = f"{_reason(error)}." if ours else f"is not YAML: {_reason(error)}."
        raise SuiteError([source.at(at, what)]) from None


def _reason(error: Exception) -> str:
    if isinstance(error, yaml.MarkedYAMLError):
        return ", ".join(part for part in (error.context, error.problem) if part)
    return getattr(error, "strerror", None) or str(error)


class _Builder:
    """Turns nodes into plain values and notes where each stands."""

    def __init__(self, source: Source) -> None:
        self.source, self.problems = source, Problems()
        self.count = self.characters = 0

    def build(self, node: yaml.Node, key: Key) -> Any:
        self._count(node, key)
        self.source.values.setdefault(key, _mark(node))
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, key)
        self._plain_tag(node, key, "map" if isinstance(node, yaml.MappingNode) else "seq")
        if isinstance(node, yaml.MappingNode):
            return dict(self._items(node, key))
        return [self.build(item, (*key, i)) for i, item in enumerate(node.value)]

    def _count(self, node: yaml.Node, key: Key) -> None:
        self.count += 1
        self.characters += len(node.value) if isinstance(node, yaml.ScalarNode) else 0
        if len(key) > MAX_DEPTH:
            what = f"is nested more than {MAX_DEPTH} deep."
        elif self.count > MAX_NODES:
            what = f"has more than {MAX_NODES:,} values."
        elif self.characters > MAX_BYTES:
            what = f"has more than {MAX_BYTES:,} characters of text."
        else:
            return
        raise SuiteError([self.source.at(_mark(node), what)])

    def _items(self, node: yaml.MappingNode, key: Key) -> Iterator[tuple[str, Any]]:
        seen: dict[str, int] = {}
        for name_node, value_node in node.value:
            mark = _mark(name_node)
            if wrong := _wrong_key(name_node):
                self._say(name_node, key, wrong)
                continue
            name = name_node.value
            self.characters += len(name)
            self.source.keys.setdefault((*key, name), mark)
            if name in seen:
                first = f"first in line {seen[name] + 1}"
                self._say(name_node, (*key, name), f"stands twice, {first}. Keep one.")
                continue
            seen[name] = mark[0]
            yield name, self.build(value_node, (*key, name))

    def _scalar(self, node: yaml.ScalarNode, key: Key) -> Any:
        kind, text = node.tag.removeprefix(YAML), node.value
        if kind == "str":
            if found := UNPRINTABLE.search(text):
                self._say(node, key, f"holds {quoted(found[0])}; take that character out.")
            return text
        if kind not in SCALARS or not re.fullmatch(SCALARS[kind][0], text):
            self._say(node, key, f"{_short(node.tag)} {quoted(text)} is not a plain value.")
            return text
        if kind == "null":
            return None
        if kind == "bool":
            return text.lower() == "true"
        number = _whole(text) if kind == "int" else _decimal(text)
        if number is None:
            most = f"a whole number of at most {MAX_WHOLE:,}" if kind == "int" else "finite"
            self._say(node, key, f"{quoted(text)} is not {most}.")
        return number

    def _plain_tag(self, node: yaml.Node, key: Key, kind: str) -> None:
        if node.tag != YAML + kind:
            self._say(node, key, f"{_short(node.tag)} is not a plain map or list.")

    def _say(self, node: yaml.Node, key: Key, what: str) -> None:
        said = f"{dotted(key)}: {what}" if key else what
        self.problems.append(self.source.at(_mark(node), said))


def _mark(node: yaml.Node) -> tuple[int, int]:
    return node.start_mark.line, node.start_mark.column


def _wrong_key(node: yaml.Node) -> str:
    """Say why a node cannot be a key; empty where it can."""
    if not isinstance(node, yaml.ScalarNode) or node.tag not in {
        YAML + kind for kind in (*SCALARS, "str")
    }:
        return "a key is a plain word, not a map, a list or a tag."
    if len(node.value) > MAX_KEY:
        return f"the key {quoted(node.value)} has more than {MAX_KEY} characters."
    if found := UNPRINTABLE.search(node.value):
        return f"the key {quoted(node.value)} holds {quoted(found[0])}; take that character out."
    if node.value == "<<" and node.style is None:
        return "merge keys (<<) are not read. Write the values out, or use a profile."
    return ""


def _whole(text: str) -> int | None:
    try:
        number = int(text, 0 if text[:2] in {"0o", "0x"} else 10)
    except ValueError:  # more digits than Python reads
        return None
    return number if abs(number) <= MAX_WHOLE else None


def _decimal(text: str) -> float | None:
    number = float(re.sub(r"\.(?=inf|nan)", "", text.lower()))
    return number if math.isfinite(number) else None


def _short(tag: str) -> str:
    return quoted(tag.replace(YAML, "!!", 1))
