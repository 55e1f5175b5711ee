"""Unreadable, oversized and unsafe suite files, and unsafe files that a suite refers to."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image as Pillow

from harness import suite
from harness.cli.main import main
from harness.errors import MAX_PROBLEMS, SuiteError
from harness.execution.prepare import ReadyRun, RunOptions, prepare
from harness.suite.yaml_loader import MAX_BYTES
from tests.helpers.suite_outcomes import GOOD, Write, mistakes, plan_suite

# Files that are not suites.


def test_a_folder_is_rejected(tmp_path: Path) -> None:
    assert mistakes(tmp_path) == " is a folder. Give a YAML file."


def test_a_pipe_is_not_opened(tmp_path: Path) -> None:
    path = tmp_path / "suite.yaml"
    os.mkfifo(path)
    assert mistakes(path) == " is a pipe or a device. Give a YAML file."


def test_a_device_is_not_read() -> None:
    assert mistakes(Path("/dev/zero")) == " is a pipe or a device. Give a YAML file."


def test_an_unreadable_file_is_reported(write_suite: Write) -> None:
    path = write_suite(GOOD)
    path.chmod(0)
    if os.geteuid():
        assert mistakes(path) == " cannot be read: Permission denied."
        return
    os.seteuid(65534)  # root may read everything
    try:
        assert mistakes(path) == " cannot be read: Permission denied."
    finally:
        os.seteuid(0)


@pytest.mark.parametrize("name", [10_000 * "x", "nul\0.yaml", "missing.yaml"])
def test_an_invalid_file_name_is_reported(name: str, tmp_path: Path) -> None:
    assert "cannot be read" in mistakes(tmp_path / name)


def test_a_file_of_100_megabytes_is_rejected(tmp_path: Path) -> None:
    path = tmp_path / "suite.yaml"
    with path.open("wb") as file:
        file.truncate(100 * 10**6)  # takes no space
    assert mistakes(path) == f" has more than {MAX_BYTES:,} bytes, the maximum of a suite file."


@pytest.mark.parametrize("text", ["", "# a comment\n", "~", "word", "5", "[a, b]", "---\n"])
def test_a_suite_must_be_a_map(text: str, write_suite: Write) -> None:
    assert mistakes(write_suite(text)).startswith(":1:1 is not a map of keys to values")


@pytest.mark.parametrize(
    ("content", "place"),
    [
        (GOOD.encode("utf-16"), ":1:1 is not UTF-8: byte 0xff"),
        (GOOD.encode("utf-16-le"), ":1:2 contains '\\x00'"),
        (GOOD.replace("good", "gööd").encode("latin-1"), ":2:8 is not UTF-8: byte 0xf6"),
        (GOOD.replace("good", "go\0d").encode(), ":2:9 contains '\\x00'"),
        (GOOD.replace("good", "go\x1bd").encode(), ":2:9 contains '\\x1b'"),
        (GOOD.replace("good", r'"go\ud800d"').encode(), r":2:7 name: contains '\ud800'"),
        (GOOD.replace("good", r'"\UFFFFFFFF"').encode(), ":2:10 is not YAML"),
        ((f"%YAML 1.{5000 * '9'}\n---\n" + GOOD).encode(), ":1:9 is not YAML"),
        (GOOD.replace("good", "'\u202egood'").encode(), r":2:7 name: '\u202egood' does not match"),
        ((GOOD + "---\n" + GOOD).encode(), ":10:1 is not YAML"),
    ],
)
def test_invalid_characters_are_reported(content: bytes, place: str, tmp_path: Path) -> None:
    path = tmp_path / "suite.yaml"
    path.write_bytes(content)
    assert mistakes(path).startswith(place)


def test_a_byte_order_mark_and_windows_line_ends_are_accepted(tmp_path: Path) -> None:
    path = tmp_path / "suite.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode())
    assert len(plan_suite(path)) == 1


# Input that costs time and memory.


@pytest.mark.parametrize("text", [10_000 * "[", 10_000 * "{a: ", 10_000 * "- ", 10_000 * "? "])
def test_deep_nesting_ends_early(text: str, write_suite: Write) -> None:
    assert "is nested more than 20 levels deep" in mistakes(write_suite(text))
    assert "is nested more than 20 levels deep" in mistakes(
        write_suite(GOOD), overrides=(f"sizes={text}",)
    )


@pytest.mark.parametrize(
    ("bomb", "what"),
    [
        # 10^9 values in nine lines; values that contain themselves; a long text a thousand times.
        ("".join(f"a{i}: &a{i} [{10 * f'*a{i - 1}, ' if i else 'x'}]\n" for i in range(10)),
         "has more than 50,000 values"),
        ("a: &a [*a, *a]", "is nested more than 20 levels deep"),
        ("a: &a {b: *a}", "is nested more than 20 levels deep"),
        (f"a: &a {10_000 * 'x'}\nb: [{1000 * '*a, '}]", "has more than 1,048,576 characters"),
        (f"a: [{60_000 * '0,'}]", "has more than 50,000 values"),
    ],
)  # fmt: skip
def test_alias_bombs_are_rejected(bomb: str, what: str, write_suite: Write) -> None:
    found = mistakes(write_suite(bomb))
    assert re.match(rf":\d+:\d+ {what}", found), found


def test_a_file_with_ten_million_seeds_is_rejected(write_suite: Write) -> None:
    assert "has more than" in mistakes(write_suite(f"seeds: [{10**7 * '0,'}]"))


def test_the_number_of_listed_mistakes_is_limited(write_suite: Write) -> None:
    unknown = ", ".join(f"wrong{i}: 0" for i in range(10_000))
    found = mistakes(write_suite(GOOD.replace("iterations: 3", unknown)))
    assert len(found.splitlines()) == MAX_PROBLEMS
    with pytest.raises(SuiteError, match=f"Only the first {MAX_PROBLEMS} mistakes are listed"):
        suite.load(write_suite(GOOD.replace("iterations: 3", unknown)))


def test_too_many_profiles_are_rejected_before_their_check(write_suite: Write) -> None:
    profiles = "".join(f"  p{i}: {{}}\n" for i in range(1000))
    found = mistakes(write_suite(f"{GOOD}profiles:\n{profiles}"))
    assert ":11:3 profiles: has 1,000 entries; the maximum is 32" in found


AXES = "axes: {" + ", ".join(
    f"{axis}: [{', '.join(str(i + 1) for i in range(1000))}]"
    for axis in ("iterations", "history", "style_weight")
) + "}"  # fmt: skip
MANY_PLACES = f"include: [{{method: gatys, seed: {[*range(1000)]}, size: {[*range(64, 264)]}}}]\n"
MANY_INCLUDES = f"""\
seeds: {[*range(1000)]}
include: [{{method: gatys, history: 1, size: {[*range(64, 124)]}}}, {{method: gatys, history: 2,
           size: {[*range(64, 124)]}}}]"""
IMAGES = ", ".join(f"i{i}: {{builtin: coffee}}" for i in range(2000))


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("params: {iterations: 3}", AXES, "1,000,000,000 variants make 1,000,000,000 cells"),
        ("{coffee: {builtin: coffee}}", f"{{{IMAGES}}}", None),  # 2,000 pairs are allowed
        ("sizes: [64]", f"seeds: {[*range(1000)]}\nsizes: {[*range(64, 264)]}", "200,000 cells"),
        ("metrics", f"{MANY_PLACES}metrics", "include[0]: adds 200,000 cells"),
        ("params: {iterations: 3}", f"axes: {{history: [500]}}}}\n{MANY_INCLUDES}#",
         "include: makes more than the 100,000 cells"),
    ],
)  # fmt: skip
def test_too_many_cells_are_rejected_before_the_plan(
    old: str, new: str, what: str | None, write_suite: Write
) -> None:
    path = write_suite(GOOD.replace(old, new))
    if what is None:
        assert len(plan_suite(path)) == 2000
    else:
        found = mistakes(path)
        assert re.match(r":\d+:\d+ ", found)
        assert what in found


def test_too_many_pairs_are_rejected_before_they_are_built(write_suite: Write) -> None:
    text = GOOD.replace("{coffee: {builtin: coffee}}", f"{{{IMAGES}}}")
    text = text.replace("{grass: {builtin: grass}}", f"{{{IMAGES}}}")
    assert "4,000,000 pairs" in mistakes(write_suite(text))
    assert "4,000,000 pairs" in mistakes(write_suite(text.replace("gatys", "gatis")))


def test_an_oversized_parameter_is_rejected_before_the_axes_are_checked(
    write_suite: Write,
) -> None:
    layers = f"style_layers: [{3000 * 'relu1_1, '}]"
    axes = f"axes: {{iterations: {[*range(1, 3000)]}}}"
    found = mistakes(write_suite(GOOD.replace("{iterations: 3}", f"{{{layers}}}, {axes}")))
    assert found.startswith(":9:34 methods.gatys.params.style_layers: has 33,000 characters")


def test_ten_thousand_cells_are_accepted(write_suite: Write) -> None:
    axes = f"axes: {{iterations: {[*range(1, 101)]}}}"
    path = write_suite(GOOD.replace("params: {iterations: 3}", axes) + f"seeds: {[*range(100)]}\n")
    assert len(plan_suite(path)) == 10_000


def test_a_suite_without_cells_may_have_claims(write_suite: Write) -> None:
    claim = (
        "{statement: x, method: gatys, factor: iterations, levels: [1, 2], metric: ssim, "
        "predicts: none}"
    )
    path = write_suite(f"{GOOD}pairs: []\nclaims: {{A: {claim}}}\n")
    assert plan_suite(path) == []


# Files that a suite refers to.


def prepared(path: Path, tmp_path: Path) -> ReadyRun:
    return prepare(suite.load(path), RunOptions(out=tmp_path / "out", offline=True))


def test_an_invalid_image_skips_only_its_own_cells(write_suite: Write, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    Pillow.new("1", (16, 16)).save(tmp_path / "huge.bmp")
    with (tmp_path / "huge.bmp").open("r+b") as file:
        file.seek(18)  # width and height in a BMP's head
        file.write(2 * (10**9).to_bytes(4, "little"))
    bad = {
        **dict.fromkeys(
            [".", "pipe", "loop", "/dev/zero", 300 * "x", "a[/b]\\"], "there is no file"
        ),
        f"{20 * '../'}etc/passwd": "cannot be read as an image",
        "huge.bmp": "has more pixels than the maximum of 64,000,000",
    }
    images = {f"bad{i}": {"path": path} for i, path in enumerate(bad)}
    contents = f"contents: {json.dumps({**images, 'coffee': {'builtin': 'coffee'}})}"
    path = write_suite(re.sub("contents.*", lambda _: contents, GOOD))
    found = prepared(path, tmp_path)
    assert [cell.content.name for cell in found.plan.cells] == ["coffee"]
    for skip, why in zip(found.plan.skipped, bad.values(), strict=True):
        assert why in skip.reason, skip
    result = CliRunner().invoke(main, ["plan", str(path), "--out", str(tmp_path / "out")])
    assert (result.exit_code, "a[/b]\\" in result.output) == (0, True)


@pytest.mark.parametrize("folder", ["/dev/zero", "missing", "~nobodys/x", 300 * "x"])
def test_an_invalid_training_folder_is_reported(
    folder: str, write_suite: Write, tmp_path: Path
) -> None:
    path = write_suite(f"{GOOD}training: {{images: {folder}}}\n")
    with pytest.raises(SuiteError, match=r"suite\.yaml:10:20: training\.images: "):
        prepared(path, tmp_path)


@pytest.mark.parametrize("checkpoint", ["/dev/zero", "/etc", 300 * "x", "../../etc/none"])
def test_an_invalid_checkpoint_is_reported(checkpoint: str, write_suite: Write) -> None:
    method = f"johnson: {{params: {{checkpoint: {checkpoint}}}}}"
    text = GOOD.replace("gatys: {params: {iterations: 3}}", method)
    assert ":9:12 methods.johnson: checkpoint: there is no file" in mistakes(write_suite(text))


# The command line.


@pytest.mark.parametrize(
    "text", ["", "[", GOOD + "profiles: 5\n", GOOD + "profiles: quickly\n",
             GOOD + "profiles: [quick]\n", 10_000 * "[", "name: !!python/name:os.system x\n"],
)  # fmt: skip
def test_the_command_exits_with_2_and_the_position(text: str, write_suite: Write) -> None:
    path = write_suite(text)
    result = CliRunner().invoke(main, ["plan", str(path)])
    assert result.exit_code == 2
    assert re.match(rf"{re.escape(str(path))}:\d+:\d+: ", result.stderr)
    assert isinstance(result.exception, SystemExit)


def test_an_overlong_suite_name_is_reported(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["plan", 10_000 * "x"])
    assert result.exit_code == 2
    assert "There is no suite" in result.stderr
