"""A bad suite ends in a message with its place: never a traceback, never code run, never a hang."""

from __future__ import annotations

import json
import os
import re
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow

from harness import plan, suite
from harness.cli.main import main
from harness.encoders.architectures import ARCHITECTURES
from harness.errors import MAX_PROBLEMS, SuiteError
from harness.execution.prepare import ReadyRun, RunOptions, check_claims, prepare
from harness.records import EncoderUse, ImageUse, TrainingUse
from harness.resources.downloads import file_name
from harness.suite.yaml_loader import MAX_BYTES
from tests.helpers.hostile_suites import MUSEUM, SUITES, mutated, nothing_done, overrides

GOOD = """\
version: 1
name: good
encoder: random
sizes: [64]
contents: {coffee: {builtin: coffee}}
styles: {grass: {builtin: grass}}
metrics: [ssim]
methods:
  gatys: {params: {iterations: 3}}
"""
COLLECTED = """\
version: 1
name: good
collection: own.yaml
contents: [coffee, chelsea, rocket]
styles: [starry-night]
methods: {identity: }
"""
Write = Callable[[str], Path]


@pytest.fixture(autouse=True)
def _no_hang() -> Iterator[None]:
    """End a test that would never end; it decides nothing else."""

    def stop(*_: object) -> None:
        raise AssertionError("it hangs")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def planned(path: Path, profile: str = "", given: tuple[str, ...] = ()) -> list[Any]:
    """Go as far as `nstbench plan` goes without a look at images or weights."""
    loaded = suite.load(path, profile, given)
    encoders = {name: _encoder(name) for name in ("vgg19", *loaded.encoders)}
    cells, skipped = plan.expand(
        loaded,
        plan.Resources(
            contents={name: _image(name) for name in loaded.contents},
            styles={name: _image(name) for name in loaded.styles},
            encoder=encoders["vgg19"],
            device="cpu",
            precision="float32",
            training=TrainingUse("here", 1, "t"),
            encoders=encoders,
        ),
    )
    check_claims(loaded, cells)
    loaded.resolved.encode()
    json.dumps([cell.components for cell in cells], allow_nan=False)
    return [*cells, *skipped]


def _encoder(name: str) -> EncoderUse:
    network = name.partition(":")[0].replace("auto", "vgg19")
    return EncoderUse(network, name, "here", layers=ARCHITECTURES[network].layers)


def _image(name: str) -> ImageUse:
    return ImageUse(name, name, "here", width=600, height=400)


def outcome(path: Path, profile: str = "", given: tuple[str, ...] = ()) -> str:
    """Return what came of a suite; all but a plan and a message with its place is raised."""
    try:
        with nothing_done():
            planned(path, profile, given)
    except SuiteError as error:
        for problem in error.problems:
            assert re.match(rf"({re.escape(str(path))}:\d+:\d+|--set .*|--profile)$", problem.where)
            assert problem.what.splitlines()[0].endswith((".", "?")), problem.what
        return "told"
    return "planned"


def told(path: Path, **more: Any) -> str:
    """Return what is wrong with a suite, a line for each mistake."""
    with pytest.raises(SuiteError) as caught, nothing_done():
        planned(path, **more)
    return "\n".join(f"{p.where.removeprefix(str(path))} {p.what}" for p in caught.value.problems)


# Mutations of the suites that come along.

PROFILES = st.sampled_from(["", "quick", "full"])
TRIALS: dict[str, tuple[dict[str, Any], int, int]] = {
    # what differs from case to case; examples of the default run and of the slow one
    "suites": ({"suite": mutated(SUITES), "profile": PROFILES}, 180, 7000),
    "collections": ({"collection": mutated([MUSEUM])}, 60, 1500),
    "overrides": (
        {
            "suite": st.sampled_from([path.read_bytes() for path in SUITES]),
            "overrides": st.lists(overrides(), min_size=1, max_size=2),
        },
        60,
        1500,
    ),
}


def tried(kind: str, folder: Path, examples: int) -> Counter[str]:
    """Count what comes of so many cases; they are the same in every run."""
    found: Counter[str] = Counter()
    path = folder / "suite.yaml"
    planned(SUITES[0])  # what is imported late is imported before anything is watched

    @settings(
        max_examples=examples, deadline=None, derandomize=True, database=None,
        suppress_health_check=[*HealthCheck],
    )  # fmt: skip
    @given(st.fixed_dictionaries(TRIALS[kind][0]))
    def try_one(case: dict[str, Any]) -> None:
        path.write_bytes(case.get("suite", COLLECTED.encode()))
        path.with_name("own.yaml").write_bytes(case.get("collection", b""))
        found[outcome(path, case.get("profile", ""), tuple(case.get("overrides", ())))] += 1

    try_one()
    assert {path.name for path in folder.iterdir()} == {"suite.yaml", "own.yaml"}
    return found


@pytest.mark.parametrize("kind", TRIALS)
def test_whatever_is_changed_comes_to_a_plan_or_to_a_message_with_its_place(
    kind: str, tmp_path: Path
) -> None:
    found = tried(kind, tmp_path, TRIALS[kind][1])
    assert set(found) == {"planned", "told"}  # else the changes are too mild, or too wild


@pytest.mark.slow
def test_so_do_ten_thousand_changes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    signal.alarm(0)
    for kind, (_, _, examples) in TRIALS.items():
        found = tried(kind, tmp_path, examples)
        with capsys.disabled():
            print(f"\n{kind}: {found.total():,} tried, {dict(found)}", end="")


# Files that are no suites.


def test_a_folder_is_told(tmp_path: Path) -> None:
    assert told(tmp_path) == " is a folder. Give a YAML file."


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "suite.yaml"
    os.mkfifo(path)
    assert told(path) == " is a pipe or a device. Give a YAML file."


def test_a_device_is_not_read() -> None:
    assert told(Path("/dev/zero")) == " is a pipe or a device. Give a YAML file."


def test_a_file_that_may_not_be_read_is_told(write_suite: Write) -> None:
    path = write_suite(GOOD)
    path.chmod(0)
    if os.geteuid():
        assert told(path) == " cannot be read: Permission denied."
        return
    os.seteuid(65534)  # root may read everything
    try:
        assert told(path) == " cannot be read: Permission denied."
    finally:
        os.seteuid(0)


@pytest.mark.parametrize("name", [10_000 * "x", "nul\0.yaml", "missing.yaml"])
def test_a_name_that_no_file_has_is_told(name: str, tmp_path: Path) -> None:
    assert "cannot be read" in told(tmp_path / name)


def test_a_hundred_megabytes_are_refused_by_their_size(tmp_path: Path) -> None:
    path = tmp_path / "suite.yaml"
    with path.open("wb") as file:
        file.truncate(100 * 10**6)  # takes no space
    assert told(path) == f" has more than {MAX_BYTES:,} bytes."


@pytest.mark.parametrize("text", ["", "# a comment\n", "~", "word", "5", "[a, b]", "---\n"])
def test_what_is_no_map_is_told(text: str, write_suite: Write) -> None:
    assert told(write_suite(text)).startswith(":1:1 is not a map of keys to values")


@pytest.mark.parametrize(
    ("content", "place"),
    [
        (GOOD.encode("utf-16"), ":1:1 is not UTF-8: byte 0xff"),
        (GOOD.encode("utf-16-le"), ":1:2 the character '\\x00'"),
        (GOOD.replace("good", "gööd").encode("latin-1"), ":2:8 is not UTF-8: byte 0xf6"),
        (GOOD.replace("good", "go\0d").encode(), ":2:9 the character '\\x00'"),
        (GOOD.replace("good", "go\x1bd").encode(), ":2:9 the character '\\x1b'"),
        (GOOD.replace("good", r'"go\ud800d"').encode(), r":2:7 name: holds '\ud800'"),
        (GOOD.replace("good", r'"\UFFFFFFFF"').encode(), ":2:10 is not YAML"),
        ((f"%YAML 1.{5000 * '9'}\n---\n" + GOOD).encode(), ":1:9 is not YAML"),
        (GOOD.replace("good", "'\u202egood'").encode(), r":2:7 name: '\u202egood' does not match"),
        ((GOOD + "---\n" + GOOD).encode(), ":10:1 is not YAML"),
    ],
)
def test_what_is_wrong_with_characters_is_told(content: bytes, place: str, tmp_path: Path) -> None:
    path = tmp_path / "suite.yaml"
    path.write_bytes(content)
    assert told(path).startswith(place)


def test_a_byte_order_mark_and_the_line_ends_of_windows_are_no_fault(tmp_path: Path) -> None:
    path = tmp_path / "suite.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode())
    assert len(planned(path)) == 1


# What takes time and memory before it is found to be wrong.


@pytest.mark.parametrize("text", [10_000 * "[", 10_000 * "{a: ", 10_000 * "- ", 10_000 * "? "])
def test_deep_nesting_ends_early(text: str, write_suite: Write) -> None:
    assert "is nested more than 20 deep" in told(write_suite(text))
    assert "is nested more than 20 deep" in told(write_suite(GOOD), given=(f"sizes={text}",))


@pytest.mark.parametrize(
    ("bomb", "what"),
    [
        # 10^9 values in nine lines; values that contain themselves; a long text a thousand times.
        ("".join(f"a{i}: &a{i} [{10 * f'*a{i - 1}, ' if i else 'x'}]\n" for i in range(10)),
         "has more than 50,000 values"),
        ("a: &a [*a, *a]", "is nested more than 20 deep"),
        ("a: &a {b: *a}", "is nested more than 20 deep"),
        (f"a: &a {10_000 * 'x'}\nb: [{1000 * '*a, '}]", "has more than 1,048,576 characters"),
        (f"a: [{60_000 * '0,'}]", "has more than 50,000 values"),
    ],
)  # fmt: skip
def test_a_bomb_does_not_go_off(bomb: str, what: str, write_suite: Write) -> None:
    found = told(write_suite(bomb))
    assert re.match(rf":\d+:\d+ {what}", found), found


def test_ten_million_seeds_are_too_long_a_file(write_suite: Write) -> None:
    assert "has more than" in told(write_suite(f"seeds: [{10**7 * '0,'}]"))


def test_many_mistakes_make_no_endless_message(write_suite: Write) -> None:
    unknown = ", ".join(f"wrong{i}: 0" for i in range(10_000))
    found = told(write_suite(GOOD.replace("iterations: 3", unknown)))
    assert len(found.splitlines()) == MAX_PROBLEMS
    with pytest.raises(SuiteError, match=f"the first {MAX_PROBLEMS} are told"):
        suite.load(write_suite(GOOD.replace("iterations: 3", unknown)))


def test_many_profiles_are_refused_before_each_is_checked(write_suite: Write) -> None:
    profiles = "".join(f"  p{i}: {{}}\n" for i in range(1000))
    assert ":11:3 profiles: 1,000 are too many" in told(write_suite(f"{GOOD}profiles:\n{profiles}"))


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
        ("params: {iterations: 3}", AXES, "1,000,000,000 variants are 1,000,000,000 cells"),
        ("{coffee: {builtin: coffee}}", f"{{{IMAGES}}}", None),  # 2,000 pairs are a plan
        ("sizes: [64]", f"seeds: {[*range(1000)]}\nsizes: {[*range(64, 264)]}", "200,000 cells"),
        ("metrics", f"{MANY_PLACES}metrics", "include[0]: adds 200,000 cells"),
        ("params: {iterations: 3}", f"axes: {{history: [500]}}}}\n{MANY_INCLUDES}#",
         "include: makes more than the 100,000 cells"),
    ],
)  # fmt: skip
def test_more_cells_than_can_be_planned_are_counted_not_made(
    old: str, new: str, what: str | None, write_suite: Write
) -> None:
    path = write_suite(GOOD.replace(old, new))
    if what is None:
        assert len(planned(path)) == 2000
    else:
        found = told(path)
        assert re.match(r":\d+:\d+ ", found)
        assert what in found


def test_contents_and_styles_are_not_paired_where_there_are_too_many(write_suite: Write) -> None:
    text = GOOD.replace("{coffee: {builtin: coffee}}", f"{{{IMAGES}}}")
    text = text.replace("{grass: {builtin: grass}}", f"{{{IMAGES}}}")
    assert "4,000,000 pairs" in told(write_suite(text))
    assert "4,000,000 pairs" in told(write_suite(text.replace("gatys", "gatis")))


def test_a_parameter_of_great_length_is_not_tried_with_every_value_of_an_axis(
    write_suite: Write,
) -> None:
    layers = f"style_layers: [{3000 * 'relu1_1, '}]"
    axes = f"axes: {{iterations: {[*range(1, 3000)]}}}"
    found = told(write_suite(GOOD.replace("{iterations: 3}", f"{{{layers}}}, {axes}")))
    assert found.startswith(":9:34 methods.gatys.params.style_layers: has 33,000 characters")


def test_ten_thousand_cells_are_a_plan(write_suite: Write) -> None:
    axes = f"axes: {{iterations: {[*range(1, 101)]}}}"
    path = write_suite(GOOD.replace("params: {iterations: 3}", axes) + f"seeds: {[*range(100)]}\n")
    assert len(planned(path)) == 10_000


def test_a_suite_that_leaves_nothing_to_run_has_no_claims_to_judge(write_suite: Write) -> None:
    claim = (
        "{statement: x, method: gatys, factor: iterations, levels: [1, 2], metric: ssim, "
        "predicts: none}"
    )
    path = write_suite(f"{GOOD}pairs: []\nclaims: {{A: {claim}}}\n")
    assert planned(path) == []


# What is no plain value.


@pytest.mark.parametrize(
    "value",
    [
        '!!python/object/apply:os.system ["touch owned"]', "!!python/name:os.system",
        "!!python/object/new:os.system {}", "!!binary aGVsbG8=", "!custom x", "!custom {a: b}",
        "!!set {a, b}", "!!omap [a: b]", "!!timestamp 2020-01-01", "!!int x", "!!bool no",
        "!!null x",
    ],
)  # fmt: skip
def test_a_tag_builds_nothing_wherever_it_stands(value: str, write_suite: Write) -> None:
    for old in ("good", "[64]", "3"):
        assert "is not a plain" in told(write_suite(GOOD.replace(old, f"{value} ", 1)))
    assert ":10:3 " in told(write_suite(f"{GOOD}? {value}\n: 1\n"))
    assert "is not a plain" in told(write_suite(GOOD), given=(f"sizes={value}",))


@pytest.mark.parametrize(
    "number", ["1" + 5000 * "0", "9223372036854775808", "0x" + 5000 * "f", "1e400", ".inf",
               "-.inf", ".nan"],
)  # fmt: skip
def test_a_number_that_no_record_can_keep_is_told(number: str, write_suite: Write) -> None:
    for old in ("64", "3", "ssim", "random"):
        found = told(write_suite(GOOD.replace(old, number)))
        assert " is not finite." in found or " is not a whole number of at most " in found
    params = f"params: {{learning_rate: {number}}}"
    assert ":9:35 " in told(write_suite(GOOD.replace("params: {iterations: 3}", params)))


@pytest.mark.parametrize(
    ("line", "place"),
    [
        ("name: twice", ":10:1 name: stands twice, first in line 2."),
        ("<<: {sizes: [64]}", ":10:1 merge keys (<<) are not read."),
        ("profiles: {quick: {<<: {sizes: [64]}}}", ":10:20 profiles.quick: merge keys"),
        ("? [a, b]\n: 1", ":10:3 a key is a plain word"),
        ("? {a: b}\n: 1", ":10:3 a key is a plain word"),
        ("~: 1", ":10:1 ~: '~' is not a known key"),
        ("5: 1", ":10:1 5: '5' is not a known key"),
        ("'': 1", ":10:1 : '' is not a known key"),
        (f"{300 * 'x'}: 1", ":10:1 the key 'xxx"),
        (r'"a\0b": 1', r":10:1 the key 'a\x00b' holds '\x00'"),
    ],
)
def test_a_key_that_cannot_be_one_is_told(line: str, place: str, write_suite: Write) -> None:
    assert told(write_suite(f"{GOOD}{line}\n")).startswith(place)


def test_a_profile_cannot_rewrite_profiles(write_suite: Write) -> None:
    path = write_suite(GOOD + "profiles: {quick: {profiles: {quick: {sizes: [96]}}}}\n")
    assert outcome(path, "quick") == "planned"


# Sizes, numbers and names in their places.


@pytest.mark.parametrize("size", ["0", "-1", "31", "8193", "1000000000", "64.0", "true", "'64'"])
@pytest.mark.parametrize("place", ["[SIZE]", "[64]\ninclude: [{method: gatys, size: SIZE}]"])
def test_a_size_that_no_image_can_have_is_told(size: str, place: str, write_suite: Write) -> None:
    found = told(write_suite(GOOD.replace("[64]", place.replace("SIZE", size))))
    assert re.match(r":\d+:\d+ .*size", found), found
    assert "Did you mean" not in found


@pytest.mark.parametrize("crop", ["0", "-1", "1000000000"])
def test_a_crop_that_no_image_can_have_is_told(crop: str, write_suite: Write) -> None:
    text = GOOD.replace(
        "gatys: {params: {iterations: 3}}", f"johnson: {{params: {{crop: {crop}}}}}"
    )
    assert ":9:28 methods.johnson.params.crop" in told(write_suite(text))


def test_a_trillion_passes_are_planned_as_asked(write_suite: Write) -> None:
    assert len(planned(write_suite(GOOD.replace("3}", f"{10**12}}}")))) == 1


@pytest.mark.parametrize(
    "entry", ["seed: x", "seed: -1", "seed: true", "seed: [0, y]", "encoder: vgg91", "encoder: [x]"]
)
def test_what_an_include_adds_is_checked_like_the_suites_own(
    entry: str, write_suite: Write
) -> None:
    assert re.match(r":10:\d+ include\[0\]\.", told(
        write_suite(f"{GOOD}include: [{{method: gatys, {entry}}}]\n")
    ))  # fmt: skip


def test_an_include_may_bring_an_encoder(write_suite: Write) -> None:
    path = write_suite(GOOD + "include: [{method: gatys, encoder: vgg16, history: 5}]\n")
    assert {cell.encoder.name for cell in planned(path)} == {"vgg16"}


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("seeds: [0, 1, 0]", ":10:15 seeds[2]: 0 stands twice."),
        ("metrics: [ssim, ssim]", ":10:17 metrics[1]: 'ssim' stands twice."),
        ("pairs: [{content: coffee, style: grass}, {content: coffee, style: grass}]",
         ":10:42 pairs[1]: "),
    ],
)  # fmt: skip
def test_what_stands_twice_would_count_twice(text: str, place: str, write_suite: Write) -> None:
    good = GOOD.replace("metrics: [ssim]\n", "\n")
    assert told(write_suite(f"{good}{text}\n")).startswith(place)


def test_one_level_in_two_spellings_is_told(write_suite: Write) -> None:
    text = GOOD.replace("params: {iterations: 3}", "axes: {tv_weight: [1, 1.0]}")
    assert "are the same configuration" in told(write_suite(text))


@pytest.mark.parametrize(
    "name",
    ["../up", "a/b", "/etc", "~", "a\\b", "..", ".hidden", "CON", 10_000 * "n", "naïve", "a b"],
)
def test_a_name_that_becomes_a_files_is_a_plain_word(name: str, write_suite: Write) -> None:
    quoted = json.dumps(name, ensure_ascii=False)
    for old in ("good", "coffee", "gatys"):
        found = told(write_suite(GOOD.replace(old, quoted, 1)))
        assert re.match(r":\d+:\d+ ", found)
        assert "does not match" in found or len(name) > 64


def test_a_name_that_windows_reserves_is_told(write_suite: Write) -> None:
    assert told(write_suite(GOOD.replace("good", "con"))).startswith(":2:7 name: 'con' is reserved")


@pytest.mark.parametrize(
    "collection", ["../../etc/passwd", "/etc/passwd", "/dev/zero", "'~'", "missing.yaml", "/.yaml",
                   f"{300 * 'x'}.yaml", ".", "pipe.yaml", "''"],
)  # fmt: skip
def test_a_collection_that_is_none_is_told(
    collection: str, write_suite: Write, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    found = told(write_suite(COLLECTED.replace("own.yaml", collection)))
    assert found.startswith(":3:13 collection: ")
    assert "root:" not in found  # nothing of the file's text


@pytest.mark.parametrize("item", ["[a]", "{a: b}", "5", "~"])
def test_an_image_of_a_collection_is_asked_for_by_name(
    item: str, write_suite: Write, tmp_path: Path
) -> None:
    (tmp_path / "own.yaml").write_text(MUSEUM.read_text(encoding="utf-8"), encoding="utf-8")
    found = told(write_suite(COLLECTED.replace("rocket", item)))
    assert found.startswith(":4:29 contents[2]: ")


@pytest.mark.parametrize("url", ["http://[", "https://", "https://[::1"])
def test_an_address_that_is_none_is_told(url: str, write_suite: Write) -> None:
    image = f"{{url: '{url}', sha256: {64 * '0'}}}"
    assert ":5:26 contents.coffee.url: " in told(
        write_suite(GOOD.replace("{builtin: coffee}", image))
    )


@pytest.mark.parametrize(
    "url", ["https://x.org?/../../../../etc/x", "https://x.org/%2e%2e%2f%2e%2e%2fetc%2fx",
            "https://x.org/..%00", f"https://x.org/{10_000 * 'x'}", "https://x.org/", "https:///x/.."],
)  # fmt: skip
def test_a_fetched_file_stays_in_its_folder(url: str, tmp_path: Path) -> None:
    path = (tmp_path / "images" / f"hash-{file_name(url)}").resolve()
    assert path.parent == (tmp_path / "images").resolve()
    assert not path.exists()  # the file system can have such a name


# `--set`, and the metrics' own findings.


@pytest.mark.parametrize(
    "override",
    ["²=1", "seeds.²=1", f"seeds.{5000 * '9'}=1", "seeds.-1=1", "=1", ".=1", "a=1", "sizes",
     "sizes=.nan", "sizes=[", f"{10_000 * 'sizes.'}=1", "methods.gatys=5", "methods=5",
     "contents.a\udcff=1", "contents.'a'={}", r'name="\UFFFFFFFF"', "version.x=1"],
)  # fmt: skip
def test_a_wrong_override_names_itself(override: str, write_suite: Write) -> None:
    for text in (GOOD, GOOD.replace("methods:\n  gatys", "methods: 5\nprofiles")):
        found = told(write_suite(text), given=(override,))
        assert f"--set {override[:200]}" in found


def test_an_override_reaches_a_name_of_digits(write_suite: Write) -> None:
    cells = planned(write_suite(GOOD), given=("contents.2016={builtin: rocket}",))
    assert [cell.content.name for cell in cells] == ["coffee", "2016"]


def test_a_suite_cannot_say_what_a_metric_finds_out(write_suite: Write) -> None:
    for entry in (
        "{use: lpips, network_file: /tmp/x}",
        "{use: gram_distance, network_file: /tmp/x}",
        "{use: style_loss, layers: [x]}",
    ):
        assert re.match(
            r":7:\d+ metrics\[0\]\.\w+: \w+ finds this out by itself",
            told(write_suite(GOOD.replace("[ssim]", f"[{entry}]"))),
        )
    entry = "{use: gram_distance, judge: alexnett}"
    assert ":7:39 metrics[0].judge: 'alexnett' is not an encoder" in told(
        write_suite(GOOD.replace("[ssim]", f"[{entry}]"))
    )


@pytest.mark.parametrize("seed", ["²", "-1", 5000 * "9", "x"])
def test_the_seed_of_a_random_encoder_is_a_number(seed: str, write_suite: Write) -> None:
    assert ":3:10 encoder: 'random:" in told(write_suite(GOOD.replace("random", f"random:{seed}")))


# Files that a suite names.


def prepared(path: Path, tmp_path: Path) -> ReadyRun:
    return prepare(suite.load(path), RunOptions(out=tmp_path / "out", offline=True))


def test_an_image_that_is_none_costs_its_own_cells(write_suite: Write, tmp_path: Path) -> None:
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
        "huge.bmp": "has more pixels than the 64,000,000 that are read",
    }
    images = {f"bad{i}": {"path": path} for i, path in enumerate(bad)}
    contents = f"contents: {json.dumps({**images, 'coffee': {'builtin': 'coffee'}})}"
    path = write_suite(re.sub("contents.*", lambda _: contents, GOOD))
    found = prepared(path, tmp_path)
    assert [cell.content.name for cell in found.plan.cells] == ["coffee"]
    for skip, why in zip(found.plan.skipped, bad.values(), strict=True):
        assert why in skip.reason, skip
    shown = CliRunner().invoke(main, ["plan", str(path), "--out", str(tmp_path / "out")])
    assert (shown.exit_code, "a[/b]\\" in shown.output) == (0, True)


@pytest.mark.parametrize("folder", ["/dev/zero", "missing", "~nobodys/x", 300 * "x"])
def test_a_folder_of_photographs_that_is_none_is_told(
    folder: str, write_suite: Write, tmp_path: Path
) -> None:
    path = write_suite(f"{GOOD}training: {{images: {folder}}}\n")
    with pytest.raises(SuiteError, match=r"suite\.yaml:10:20: training\.images: "):
        prepared(path, tmp_path)


@pytest.mark.parametrize("checkpoint", ["/dev/zero", "/etc", 300 * "x", "../../etc/none"])
def test_a_checkpoint_that_is_none_is_told(checkpoint: str, write_suite: Write) -> None:
    method = f"johnson: {{params: {{checkpoint: {checkpoint}}}}}"
    text = GOOD.replace("gatys: {params: {iterations: 3}}", method)
    assert ":9:12 methods.johnson: checkpoint: there is no file" in told(write_suite(text))


# The command line.


@pytest.mark.parametrize(
    "text", ["", "[", GOOD + "profiles: 5\n", GOOD + "profiles: quickly\n",
             GOOD + "profiles: [quick]\n", 10_000 * "[", "name: !!python/name:os.system x\n"],
)  # fmt: skip
def test_the_command_ends_with_2_and_the_place(text: str, write_suite: Write) -> None:
    path = write_suite(text)
    shown = CliRunner().invoke(main, ["plan", str(path)])
    assert shown.exit_code == 2
    assert re.match(rf"{re.escape(str(path))}:\d+:\d+: ", shown.stderr)
    assert isinstance(shown.exception, SystemExit)


def test_a_suite_of_an_impossible_name_is_told(tmp_path: Path) -> None:
    shown = CliRunner().invoke(main, ["plan", 10_000 * "x"])
    assert shown.exit_code == 2
    assert "There is no suite" in shown.stderr
