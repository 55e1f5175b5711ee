"""Strategies for malicious or broken suites, and an audit of side effects."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from harness.suite import yaml_loader

ROOT = Path(__file__).parents[2]
SUITES = sorted((ROOT / "suites").glob("*.yaml"))
MUSEUM = ROOT / "suites" / "collections" / "museum.yaml"

FRAGMENTS = (
    # Empty and ambiguous scalars, and numbers at and beyond every limit.
    "", "~", "null", "true", "no", '""', "0", "-1", "1", "2.5", "1e5", "0x10", "07", "1_000",
    "1000000000", "1000000000000", "9223372036854775808", "1" + 5000 * "0", "0x" + 5000 * "f",
    "1e400", "-1e400", ".inf", "-.inf", ".nan", "NaN", "1e-400",
    # Text with control characters, markup and YAML syntax.
    r'"\0"', r'"\ud800"', r'"\U0010ffff"', r'"\UFFFFFFFF"', r'"\e[2J"', "'\u202e\u200f'", "\ufeff",
    "\u2028", "[/bold]", 10_000 * "a", '"unterminated', "'", "|", ">-", "%YAML 1.2", "---", "...",
    # Shapes.
    "[]", "{}", "[[]]", "[null]", "{a: 1}", "{1: 2}", "{[a]: b}", "{null: null}", "{? {a: b} : c}",
    "{a: 1, a: 2}", "{<<: {a: 1}}", "[0, 0]", "[1, 1.0, true]", 30 * "[" + 30 * "]", 10_000 * "[",
    10_000 * "{", 1000 * "- ", 1000 * "? ", "]", "}", ",", ": ", "\t",
    # Tags and anchors.
    '!!python/object/apply:os.system ["true"]', "!!python/name:os.system", "!!binary aGk=",
    "!!set {a, b}", "!custom x", "!custom {a: b}", "!!int x", "!!float x", "!!bool no", "!!str 5",
    "!!null x", "!a!b c", "&a [*a]", "&a {a: *a}", "*missing", "&x",
    # Paths and addresses.
    "../../etc/passwd", "../../etc/passwd.yaml", "/etc/passwd", "/dev/zero", "~/x", "~nobodys/x",
    "con", "a/b", "..", ".yaml", "http://[", "https://", "https://x.org?/../../../../etc/x",
    # Words of suites, for wrong places.
    "coffee", "museum", "gatys", "johnson", "identity", "random:1", "random:x", "random:²",
    f"random:{30 * '9'}", "vgg19", "encoder", "method", "variant", "seed", "size", "style_layers",
    "lpips", "ssim",
    "one-at-a-time", "{use: gatys}", "{use: lpips, network_file: x}", "{use: gram_distance}",
    "{use: gram_distance, judge: x}", "{builtin: coffee}", "{path: x.png}", "{iterations: 1}",
    "{method: gatys, encoder: vgg16}", "{method: gatys, seed: x, size: 1000000000}",
    "{method: gatys, tv_weight: [1, 2]}", "[{content: coffee, style: coffee}]", "[relu1_1, x]",
)  # fmt: skip
"""YAML text that replaces a value or a key."""

FEW = st.sampled_from([1, 1, 1, 2, 3])

HOLE = "@@{}@@"
"""Placeholder in JSON for YAML text that JSON cannot express."""


def mutated(files: list[Path]) -> st.SearchStrategy[bytes]:
    """Return one of the files with a change of its structure, its text or its bytes."""
    return st.sampled_from(files).flatmap(
        lambda path: st.one_of(_structures(path), _texts(path), _texts(path).flatmap(_bytes))
    )


@st.composite
def _structures(draw: st.DrawFn, path: Path) -> bytes:
    """Replace, delete, duplicate or move values and keys of a parsed file; write it as JSON."""
    data = json.loads(_as_json(path))
    holes: list[str] = []

    def hole() -> str:
        holes.append(draw(st.sampled_from(FRAGMENTS)))
        return HOLE.format(len(holes) - 1)

    for _ in range(draw(FEW)):
        parents = [data, *_containers(data)]
        parent = parents[draw(st.integers(0, len(parents) - 1))]
        keys = list(parent) if isinstance(parent, dict) else list(range(len(parent)))
        if not keys:
            continue
        key = keys[draw(st.integers(0, len(keys) - 1))]
        match draw(
            st.sampled_from(["like", "like", "replace", "key", "insert", "delete", "graft"])
        ):
            case "like":  # a value of the same type
                like = [
                    v
                    for p in parents
                    for v in (p.values() if isinstance(p, dict) else p)
                    if type(v) is type(parent[key]) and not isinstance(v, (dict, list))
                ]
                parent[key] = draw(st.sampled_from(like)) if like else [parent[key], parent[key]]
            case "replace":
                parent[key] = hole()
            case "key" if isinstance(parent, dict):
                parent[hole()] = parent.pop(key)
            case "insert" if isinstance(parent, dict):
                parent[hole()] = hole()
            case "insert" | "key":
                parent.insert(key, hole())
            case "delete":
                del parent[key]
            case "graft":
                other = parents[draw(st.integers(0, len(parents) - 1))]
                parent[key] = json.loads(json.dumps(other))
    text = json.dumps(data, indent=draw(st.sampled_from([None, 1])), ensure_ascii=False)
    return re.sub(r'"@@(\d+)@@"', lambda m: holes[int(m[1])], text).encode("utf-8", "surrogatepass")


@cache
def _as_json(path: Path) -> str:
    return json.dumps(yaml_loader.load(path)[0])


def _containers(data: Any) -> Iterator[Any]:
    for value in data.values() if isinstance(data, dict) else data:
        if isinstance(value, (dict, list)):
            yield value
            yield from _containers(value)


@st.composite
def _texts(draw: st.DrawFn, path: Path) -> bytes:
    """Delete, duplicate, swap, indent or truncate lines; replace words; truncate the file."""
    lines = path.read_text(encoding="utf-8").splitlines()

    def line() -> int:
        return draw(st.integers(0, len(lines) - 1))

    for _ in range(draw(FEW)):
        at = line()
        words = list(re.finditer(r"[\w./+-]+", lines[at]))
        match draw(st.sampled_from(["word", "word", "delete", "double", "swap", "indent", "cut"])):
            case "word" if words:
                word = words[draw(st.integers(0, len(words) - 1))]
                own = re.findall(r"[\w./+-]+", "\n".join(lines))
                new = draw(st.one_of(st.sampled_from(FRAGMENTS), st.sampled_from(own)))
                lines[at] = lines[at][: word.start()] + new + lines[at][word.end() :]
            case "delete" if len(lines) > 1:
                del lines[at]
            case "double":
                lines.insert(at, lines[at])
            case "swap":
                other = line()
                lines[at], lines[other] = lines[other], lines[at]
            case "indent":
                lines[at] = draw(st.sampled_from(["  ", "\t", "- ", "? ", ": ", "&a ", "*a "])) + (
                    lines[at].strip() if draw(st.booleans()) else lines[at]
                )
            case "cut":
                lines[at:] = [lines[at][: draw(st.integers(0, len(lines[at])))]]
    return "\n".join(lines).encode("utf-8", "surrogatepass")


@st.composite
def _bytes(draw: st.DrawFn, content: bytes) -> bytes:
    """Flip or insert bytes, or change the encoding of the file."""
    match draw(st.sampled_from(["flip", "flip", "insert", "utf-16", "utf-32", "latin-1", "bom"])):
        case "flip":
            changed = bytearray(content)
            for _ in range(draw(st.integers(1, 3))):
                at = draw(st.integers(0, max(0, len(changed) - 1)))
                changed[at : at + 1] = bytes([draw(st.integers(0, 255))])
            return bytes(changed)
        case "insert":
            at = draw(st.integers(0, len(content)))
            return content[:at] + draw(st.binary(min_size=1, max_size=8)) + content[at:]
        case "bom":
            return b"\xef\xbb\xbf" + content
        case encoding:
            return content.decode("utf-8", "replace").encode(encoding, "replace")


OVERRIDES = {
    # plausible overrides and their values
    "gatys.iterations": ("5", "1"), "gatys.axes.optimizer": ("[adam]", "[lbfgs, adam]"),
    "johnson.steps": ("0", "5"), "johnson.width": ("0.5", "1"), "johnson.checkpoint": ("~",),
    "sizes": ("[64]", "[64, 96]"), "seeds": ("[0]", "[0, 1]", "[5]"), "sizes.0": ("64",),
    "pairs": ("[]", "~"), "metrics": ("[ssim]",), "include": ("[]",), "exclude": ("[]",),
    "claims": ("{}",), "encoder": ("compact", "random:1"), "gatys.encoder": ("vgg16",),
    "name": ("other", "con"), "training.images": ("~", "photographs"), "repeats": ("1", "0"),
    "contents.new": ("{builtin: rocket}", "{path: x.png}"), "collection": ("museum",),
}  # fmt: skip
PARTS = (
    "name", "sizes", "seeds", "contents", "styles", "methods", "gatys", "johnson", "params", "axes",
    "iterations", "optimizer", "encoder", "metrics", "pairs", "exclude", "include", "claims",
    "profiles", "quick", "training", "images", "collection", "version", "repeats", "0", "1", "-1",
    "²", "١", "999999999999", 5000 * "9", "", " ", "\udcff", "\0", 300 * "x",
)  # fmt: skip


@st.composite
def overrides(draw: st.DrawFn) -> str:
    """Return an arbitrary value of `--set`."""
    kind = draw(st.sampled_from(["valid", "valid", "value", "value", "key", "key", "odd"]))
    known = draw(st.sampled_from(sorted(OVERRIDES)))
    if kind == "valid":
        return f"{known}={draw(st.sampled_from(OVERRIDES[known]))}"
    if kind == "odd":
        return draw(st.sampled_from(["", "=", "sizes", "sizes:[64]", 10_000 * "sizes." + "=1"]))
    if kind == "key":
        known = ".".join(draw(st.lists(st.sampled_from(PARTS), min_size=1, max_size=5)))
    return f"{known}={draw(st.sampled_from(FRAGMENTS))}"


FORBIDDEN = (
    "os.", "subprocess.", "socket.", "shutil.", "sqlite3.", "urllib.", "ctypes.", "pty.",
)  # fmt: skip
HARMLESS = {"os.listdir", "os.scandir", "os.walk", "os.fwalk"}
_observers: list[Callable[[str, tuple[Any, ...]], None]] = []


@contextmanager
def no_side_effects() -> Iterator[None]:
    """Fail if the block writes a file, starts a process or opens a connection."""
    done: list[str] = []

    def note(event: str, arguments: tuple[Any, ...]) -> None:
        writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & 0b11
        if writes or (event.startswith(FORBIDDEN) and event not in HARMLESS):
            done.append(f"{event}{arguments}")

    _observers.append(note)
    try:
        yield
    finally:
        _observers.clear()
    assert not done, done


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    for note in _observers:
        note(event, arguments)


sys.addaudithook(_audit)  # Python cannot remove an audit hook
