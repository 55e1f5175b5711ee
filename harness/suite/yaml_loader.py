"""Load YAML 1.2 scalars, maps and lists with the position of every value.

PyYAML follows YAML 1.1: it reads `1e5` as a string, `no` as False and `10:30` as 630, and keeps the
last of two duplicate keys. This loader reads `1e5` as a number and `no` as a string, and reports
duplicate keys. It resolves no tags, so that a suite cannot run code. It rejects oversized input
before that costs time or memory, and values that a record cannot store: numbers that are not
finite, integers beyond 64 bits, and control characters.
"""

from __future__ import annotations

import math
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from harness.errors import Problem, Problems, SuiteError, quoted
from harness.suite.source import Key, Mark, Source, end_mark, prefixed, split_lines

MAX_BYTES = 2**20
"""Ten thousand pairs, listed one by one, take half of it. Text counts again for every alias."""

MAX_NODES = 50_000
"""Values of a suite. An alias counts as all values that it repeats, which stops alias bombs."""

MAX_DEPTH = 20
"""A list of layers on an axis in a profile is 8 levels deep."""

MAX_KEY_LENGTH = 200
"""Characters. The longest name that a suite may define has 64."""

MAX_INTEGER = 2**63 - 1

UNPRINTABLE = re.compile(r"[^\t\n -~\xa0-\ud7ff\ue000-\U0010ffff]")
"""Control characters and unpaired surrogates, which terminals, pages and files cannot show."""

YAML = "tag:yaml.org,2002:"
SCALARS = {
    # tag: pattern, and possible first characters
    "bool": (r"true|True|TRUE|false|False|FALSE", "tTfF"),
    "int": (r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789"),
    "float": (
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        "-+.0123456789",
    ),
    "null": (r"~|null|Null|NULL|", ["~", "n", "N", ""]),
}


class _LimitError(yaml.MarkedYAMLError):
    """The text exceeds a limit of this loader."""


class _Loader(yaml.SafeLoader):
    """SafeLoader with the core schema of YAML 1.2 and limits on depth and number of values."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.depth = self.nodes = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        self.depth += 1
        self.nodes += index is not None  # keys do not count
        if self.depth > MAX_DEPTH:
            raise self._limit(f"is nested more than {MAX_DEPTH} levels deep")
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


def load(path: Path) -> tuple[Any, Source]:
    """Return the values of a YAML file and their positions.

    Raises:
        SuiteError: The file cannot be read, is not YAML, exceeds a limit, or has duplicate keys or
            unsupported values. One error lists all of the latter.
    """
    text = _text(path)
    source = Source(str(path), split_lines(text))
    return _read(text, source), source


def parse(text: str) -> Any:
    """Return one YAML value, for `--set key=value`."""
    return _read(text, Source("--set"))


def _text(path: Path) -> str:
    """Return the text of a regular file; reading a pipe or a device might never end."""
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            kind = "a folder" if stat.S_ISDIR(mode) else "a pipe or a device"
            raise SuiteError([Problem(str(path), f"is {kind}. Give a YAML file.")])
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: NUL in a name
        raise SuiteError([Problem(str(path), f"cannot be read: {_describe(error)}.")]) from None
    if len(content) > MAX_BYTES:
        what = f"has more than {MAX_BYTES:,} bytes, the maximum of a suite file."
        raise SuiteError([Problem(str(path), what)])
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        source = Source(str(path))
        before = content[: error.start].decode("utf-8-sig", errors="replace")
        what = f"is not UTF-8: byte 0x{content[error.start]:02x}. Save the file as UTF-8."
        raise SuiteError([source.at(end_mark(before), what)]) from None


def _read(text: str, source: Source) -> Any:
    if len(text) > MAX_BYTES:  # only of --set: `_text` limits files
        raise SuiteError(
            [Problem(source.name, f"has more than {MAX_BYTES:,} characters, the maximum.")]
        )
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
        what = f"contains {quoted(chr(error.character))}, which YAML does not allow. Remove it."
        raise SuiteError([source.at(end_mark(text[: error.position]), what)]) from None
    except (yaml.MarkedYAMLError, ValueError, OverflowError) as error:  # \UFFFFFFFF, %YAML 1.9...
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        if mark is None and loader is not None:
            mark = loader.get_mark()
        position = (mark.line, mark.column) if mark else (0, 0)
        what = "" if isinstance(error, _LimitError) else "is not YAML: "
        raise SuiteError([source.at(position, f"{what}{_describe(error)}.")]) from None


def _describe(error: Exception) -> str:
    if isinstance(error, yaml.MarkedYAMLError):
        return ", ".join(part for part in (error.context, error.problem) if part)
    return getattr(error, "strerror", None) or str(error)


class _Builder:
    """Turns nodes into plain values and records the position of each."""

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
            what = f"is nested more than {MAX_DEPTH} levels deep."
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
            if wrong := _key_error(name_node):
                self._report(name_node, key, wrong)
                continue
            name = name_node.value
            self.characters += len(name)
            self.source.keys.setdefault((*key, name), mark)
            if name in seen:
                what = f"is a duplicate of the key in line {seen[name] + 1}. Remove one of them."
                self._report(name_node, (*key, name), what)
                continue
            seen[name] = mark[0]
            yield name, self.build(value_node, (*key, name))

    def _scalar(self, node: yaml.ScalarNode, key: Key) -> Any:
        kind, text = node.tag.removeprefix(YAML), node.value
        if kind == "str":
            if match := UNPRINTABLE.search(text):
                self._report(node, key, f"contains {quoted(match[0])}. Remove that character.")
            return text
        if kind not in SCALARS or not re.fullmatch(SCALARS[kind][0], text):
            self._report(
                node,
                key,
                f"{_short(node.tag)} {quoted(text)} is not a plain value. Remove the tag.",
            )
            return text
        if kind == "null":
            return None
        if kind == "bool":
            return text.lower() == "true"
        number = _integer(text) if kind == "int" else _float(text)
        if number is None:
            allowed = f"an integer up to {MAX_INTEGER:,}" if kind == "int" else "a finite number"
            self._report(node, key, f"{quoted(text)} is not {allowed}.")
        return number

    def _plain_tag(self, node: yaml.Node, key: Key, kind: str) -> None:
        if node.tag != YAML + kind:
            self._report(
                node, key, f"{_short(node.tag)} is not a plain map or list. Remove the tag."
            )

    def _report(self, node: yaml.Node, key: Key, what: str) -> None:
        self.problems.append(self.source.at(_mark(node), prefixed(key, what)))


def _mark(node: yaml.Node) -> Mark:
    return node.start_mark.line, node.start_mark.column


def _key_error(node: yaml.Node) -> str:
    """Return why a node is not a valid key, or an empty text if it is."""
    if not isinstance(node, yaml.ScalarNode) or node.tag not in {
        YAML + kind for kind in (*SCALARS, "str")
    }:
        return "a key must be a plain word, not a map, a list or a tagged value."
    if len(node.value) > MAX_KEY_LENGTH:
        return (
            f"the key {quoted(node.value)} has more than {MAX_KEY_LENGTH} characters, the maximum."
        )
    if match := UNPRINTABLE.search(node.value):
        return f"the key {quoted(node.value)} contains {quoted(match[0])}. Remove that character."
    if node.value == "<<" and node.style is None:
        return "merge keys (<<) are not supported. Write the values out, or use a profile."
    return ""


def _integer(text: str) -> int | None:
    try:
        number = int(text, 0 if text[:2] in {"0o", "0x"} else 10)
    except ValueError:  # more digits than Python converts
        return None
    return number if abs(number) <= MAX_INTEGER else None


def _float(text: str) -> float | None:
    number = float(re.sub(r"\.(?=inf|nan)", "", text.lower()))
    return number if math.isfinite(number) else None


def _short(tag: str) -> str:
    return quoted(tag.replace(YAML, "!!", 1))
