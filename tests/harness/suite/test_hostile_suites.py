"""An invalid suite ends in a message with its position, without traceback, side effect or hang."""

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
from harness.execution.prepare import Options, ReadyRun, check_claims, prepare
from harness.records import EncoderUse, ImageUse, TrainingUse
from harness.resources.downloads import file_name
from harness.suite.yaml_loader import MAX_BYTES
from tests.helpers.hostile_suites import MUSEUM, SUITES, mutated, no_side_effects, overrides

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
    """Fail a test that hangs."""

    def stop(*_: object) -> None:
        raise AssertionError("the test hangs")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def plan_suite(path: Path, profile: str = "", given: tuple[str, ...] = ()) -> list[Any]:
    """Load and plan a suite without reading images or weights."""
    loaded = suite.load(path, profile, given)
    encoders = {name: _encoder(name) for name in ("vgg19", *loaded.encoders)}
    cells, skipped = plan.expand(
        loaded,
        plan.Facts(
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


def outcome_of(path: Path, profile: str = "", given: tuple[str, ...] = ()) -> str:
    """Return `planned` or `rejected`; raise for any other outcome."""
    try:
        with no_side_effects():
            plan_suite(path, profile, given)
    except SuiteError as error:
        for problem in error.problems:
            assert re.match(rf"({re.escape(str(path))}:\d+:\d+|--set .*|--profile)$", problem.where)
            assert problem.what.splitlines()[0].endswith((".", "?")), problem.what
        return "rejected"
    return "planned"


def mistakes(path: Path, **more: Any) -> str:
    """Return the mistakes of a suite, one per line."""
    with pytest.raises(SuiteError) as caught, no_side_effects():
        plan_suite(path, **more)
    return "\n".join(f"{p.where.removeprefix(str(path))} {p.what}" for p in caught.value.problems)


# Mutations of the packaged suites.

PROFILES = st.sampled_from(["", "quick", "full"])
TRIALS: dict[str, tuple[dict[str, Any], int, int]] = {
    # strategies; number of examples in the default run and in the slow one
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


def count_outcomes(kind: str, folder: Path, examples: int) -> Counter[str]:
    """Count the outcomes of generated cases, which are the same in every run."""
    found: Counter[str] = Counter()
    path = folder / "suite.yaml"
    plan_suite(SUITES[0])  # complete lazy imports before the audit

    @settings(
        max_examples=examples, deadline=None, derandomize=True, database=None,
        suppress_health_check=[*HealthCheck],
    )  # fmt: skip
    @given(st.fixed_dictionaries(TRIALS[kind][0]))
    def try_one(case: dict[str, Any]) -> None:
        path.write_bytes(case.get("suite", COLLECTED.encode()))
        path.with_name("own.yaml").write_bytes(case.get("collection", b""))
        found[outcome_of(path, case.get("profile", ""), tuple(case.get("overrides", ())))] += 1

    try_one()
    assert {path.name for path in folder.iterdir()} == {"suite.yaml", "own.yaml"}
    return found


@pytest.mark.parametrize("kind", TRIALS)
def test_every_mutation_gives_a_plan_or_a_message_with_its_position(
    kind: str, tmp_path: Path
) -> None:
    found = count_outcomes(kind, tmp_path, TRIALS[kind][1])
    assert set(found) == {
        "planned",
        "rejected",
    }  # else mutations are too weak or strong


@pytest.mark.slow
def test_ten_thousand_mutations_give_a_plan_or_a_message(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    signal.alarm(0)
    for kind, (_, _, examples) in TRIALS.items():
        found = count_outcomes(kind, tmp_path, examples)
        with capsys.disabled():
            print(f"\n{kind}: {found.total():,} tried, {dict(found)}", end="")


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
        write_suite(GOOD), given=(f"sizes={text}",)
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


def test_ten_million_seeds_are_too_long_a_file(write_suite: Write) -> None:
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
        ("{coffee: {builtin: coffee}}", f"{{{IMAGES}}}", None),  # 2,000 pairs are a plan
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


def test_ten_thousand_cells_are_a_plan(write_suite: Write) -> None:
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


# Values that are not plain.


@pytest.mark.parametrize(
    "value",
    [
        '!!python/object/apply:os.system ["touch owned"]', "!!python/name:os.system",
        "!!python/object/new:os.system {}", "!!binary aGVsbG8=", "!custom x", "!custom {a: b}",
        "!!set {a, b}", "!!omap [a: b]", "!!timestamp 2020-01-01", "!!int x", "!!bool no",
        "!!null x",
    ],
)  # fmt: skip
def test_tags_are_rejected_everywhere(value: str, write_suite: Write) -> None:
    for old in ("good", "[64]", "3"):
        assert "is not a plain" in mistakes(write_suite(GOOD.replace(old, f"{value} ", 1)))
    assert ":10:3 " in mistakes(write_suite(f"{GOOD}? {value}\n: 1\n"))
    assert "is not a plain" in mistakes(write_suite(GOOD), given=(f"sizes={value}",))


@pytest.mark.parametrize(
    "number", ["1" + 5000 * "0", "9223372036854775808", "0x" + 5000 * "f", "1e400", ".inf",
               "-.inf", ".nan"],
)  # fmt: skip
def test_numbers_that_records_cannot_store_are_rejected(number: str, write_suite: Write) -> None:
    for old in ("64", "3", "ssim", "random"):
        found = mistakes(write_suite(GOOD.replace(old, number)))
        assert " is not a finite number." in found or " is not an integer up to " in found
    params = f"params: {{learning_rate: {number}}}"
    assert ":9:35 " in mistakes(write_suite(GOOD.replace("params: {iterations: 3}", params)))


@pytest.mark.parametrize(
    ("line", "place"),
    [
        ("name: twice", ":10:1 name: is a duplicate of the key in line 2."),
        ("<<: {sizes: [64]}", ":10:1 merge keys (<<) are not supported."),
        ("profiles: {quick: {<<: {sizes: [64]}}}", ":10:20 profiles.quick: merge keys"),
        ("? [a, b]\n: 1", ":10:3 a key must be a plain word"),
        ("? {a: b}\n: 1", ":10:3 a key must be a plain word"),
        ("~: 1", ":10:1 ~: '~' is not a known key"),
        ("5: 1", ":10:1 5: '5' is not a known key"),
        ("'': 1", ":10:1 : '' is not a known key"),
        (f"{300 * 'x'}: 1", ":10:1 the key 'xxx"),
        (r'"a\0b": 1', r":10:1 the key 'a\x00b' contains '\x00'"),
    ],
)
def test_invalid_keys_are_reported(line: str, place: str, write_suite: Write) -> None:
    assert mistakes(write_suite(f"{GOOD}{line}\n")).startswith(place)


def test_a_profile_cannot_change_profiles(write_suite: Write) -> None:
    path = write_suite(GOOD + "profiles: {quick: {profiles: {quick: {sizes: [96]}}}}\n")
    assert outcome_of(path, "quick") == "planned"


# Sizes, numbers and names.


@pytest.mark.parametrize("size", ["0", "-1", "31", "8193", "1000000000", "64.0", "true", "'64'"])
@pytest.mark.parametrize("place", ["[SIZE]", "[64]\ninclude: [{method: gatys, size: SIZE}]"])
def test_invalid_sizes_are_reported(size: str, place: str, write_suite: Write) -> None:
    found = mistakes(write_suite(GOOD.replace("[64]", place.replace("SIZE", size))))
    assert re.match(r":\d+:\d+ .*size", found), found
    assert "Did you mean" not in found


@pytest.mark.parametrize("crop", ["0", "-1", "1000000000"])
def test_invalid_crops_are_reported(crop: str, write_suite: Write) -> None:
    text = GOOD.replace(
        "gatys: {params: {iterations: 3}}", f"johnson: {{params: {{crop: {crop}}}}}"
    )
    assert ":9:28 methods.johnson.params.crop" in mistakes(write_suite(text))


def test_a_trillion_passes_are_accepted(write_suite: Write) -> None:
    assert len(plan_suite(write_suite(GOOD.replace("3}", f"{10**12}}}")))) == 1


@pytest.mark.parametrize(
    "entry", ["seed: x", "seed: -1", "seed: true", "seed: [0, y]", "encoder: vgg91", "encoder: [x]"]
)
def test_values_of_an_include_are_checked_like_those_of_the_suite(
    entry: str, write_suite: Write
) -> None:
    assert re.match(r":10:\d+ include\[0\]\.", mistakes(
        write_suite(f"{GOOD}include: [{{method: gatys, {entry}}}]\n")
    ))  # fmt: skip


def test_an_include_can_add_an_encoder(write_suite: Write) -> None:
    path = write_suite(GOOD + "include: [{method: gatys, encoder: vgg16, history: 5}]\n")
    assert {cell.encoder.name for cell in plan_suite(path)} == {"vgg16"}


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("seeds: [0, 1, 0]", ":10:15 seeds[2]: 0 is listed twice."),
        ("metrics: [ssim, ssim]", ":10:17 metrics[1]: 'ssim' is listed twice."),
        ("pairs: [{content: coffee, style: grass}, {content: coffee, style: grass}]",
         ":10:42 pairs[1]: "),
    ],
)  # fmt: skip
def test_duplicate_list_entries_are_rejected(text: str, place: str, write_suite: Write) -> None:
    good = GOOD.replace("metrics: [ssim]\n", "\n")
    assert mistakes(write_suite(f"{good}{text}\n")).startswith(place)


def test_equal_levels_in_two_spellings_are_rejected(write_suite: Write) -> None:
    text = GOOD.replace("params: {iterations: 3}", "axes: {tv_weight: [1, 1.0]}")
    assert "are the same configuration" in mistakes(write_suite(text))


@pytest.mark.parametrize(
    "name",
    ["../up", "a/b", "/etc", "~", "a\\b", "..", ".hidden", "CON", 10_000 * "n", "naïve", "a b"],
)
def test_names_that_become_file_names_are_plain_words(name: str, write_suite: Write) -> None:
    quoted = json.dumps(name, ensure_ascii=False)
    for old in ("good", "coffee", "gatys"):
        found = mistakes(write_suite(GOOD.replace(old, quoted, 1)))
        assert re.match(r":\d+:\d+ ", found)
        assert "does not match" in found or len(name) > 64


def test_names_reserved_on_windows_are_rejected(write_suite: Write) -> None:
    assert mistakes(write_suite(GOOD.replace("good", "con"))).startswith(
        ":2:7 name: 'con' is reserved"
    )


@pytest.mark.parametrize(
    "collection", ["../../etc/passwd", "/etc/passwd", "/dev/zero", "'~'", "missing.yaml", "/.yaml",
                   f"{300 * 'x'}.yaml", ".", "pipe.yaml", "''"],
)  # fmt: skip
def test_an_invalid_collection_is_reported(
    collection: str, write_suite: Write, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    found = mistakes(write_suite(COLLECTED.replace("own.yaml", collection)))
    assert found.startswith(":3:13 collection: ")
    assert "root:" not in found  # the message shows no content of the file


@pytest.mark.parametrize("item", ["[a]", "{a: b}", "5", "~"])
def test_images_of_a_collection_are_selected_by_name(
    item: str, write_suite: Write, tmp_path: Path
) -> None:
    (tmp_path / "own.yaml").write_text(MUSEUM.read_text(encoding="utf-8"), encoding="utf-8")
    found = mistakes(write_suite(COLLECTED.replace("rocket", item)))
    assert found.startswith(":4:29 contents[2]: ")


@pytest.mark.parametrize("url", ["http://[", "https://", "https://[::1"])
def test_invalid_urls_are_reported(url: str, write_suite: Write) -> None:
    image = f"{{url: '{url}', sha256: {64 * '0'}}}"
    assert ":5:26 contents.coffee.url: " in mistakes(
        write_suite(GOOD.replace("{builtin: coffee}", image))
    )


@pytest.mark.parametrize(
    "url", ["https://x.org?/../../../../etc/x", "https://x.org/%2e%2e%2f%2e%2e%2fetc%2fx",
            "https://x.org/..%00", f"https://x.org/{10_000 * 'x'}", "https://x.org/", "https:///x/.."],
)  # fmt: skip
def test_a_downloaded_file_stays_in_its_folder(url: str, tmp_path: Path) -> None:
    path = (tmp_path / "images" / f"hash-{file_name(url)}").resolve()
    assert path.parent == (tmp_path / "images").resolve()
    assert not path.exists()  # the file system accepts the name


# `--set`, and values that metrics compute.


@pytest.mark.parametrize(
    "override",
    ["²=1", "seeds.²=1", f"seeds.{5000 * '9'}=1", "seeds.-1=1", "=1", ".=1", "a=1", "sizes",
     "sizes=.nan", "sizes=[", f"{10_000 * 'sizes.'}=1", "methods.gatys=5", "methods=5",
     "contents.a\udcff=1", "contents.'a'={}", r'name="\UFFFFFFFF"', "version.x=1"],
)  # fmt: skip
def test_an_invalid_override_is_named(override: str, write_suite: Write) -> None:
    for text in (GOOD, GOOD.replace("methods:\n  gatys", "methods: 5\nprofiles")):
        found = mistakes(write_suite(text), given=(override,))
        assert f"--set {override[:200]}" in found


def test_an_override_can_set_a_name_of_digits(write_suite: Write) -> None:
    cells = plan_suite(write_suite(GOOD), given=("contents.2016={builtin: rocket}",))
    assert [cell.content.name for cell in cells] == ["coffee", "2016"]


def test_a_suite_cannot_set_values_that_a_metric_computes(write_suite: Write) -> None:
    for entry in (
        "{use: lpips, network_file: /tmp/x}",
        "{use: gram_distance, network_file: /tmp/x}",
        "{use: style_loss, layers: [x]}",
    ):
        assert re.match(
            r":7:\d+ metrics\[0\]\.\w+: \w+ computes this value itself",
            mistakes(write_suite(GOOD.replace("[ssim]", f"[{entry}]"))),
        )
    entry = "{use: gram_distance, judge: alexnett}"
    assert ":7:39 metrics[0].judge: 'alexnett' is not an encoder" in mistakes(
        write_suite(GOOD.replace("[ssim]", f"[{entry}]"))
    )


@pytest.mark.parametrize("seed", ["²", "-1", 5000 * "9", "x"])
def test_the_seed_of_a_random_encoder_is_a_number(seed: str, write_suite: Write) -> None:
    assert ":3:10 encoder: 'random:" in mistakes(
        write_suite(GOOD.replace("random", f"random:{seed}"))
    )


# Files that a suite refers to.


def prepared(path: Path, tmp_path: Path) -> ReadyRun:
    return prepare(suite.load(path), Options(out=tmp_path / "out", offline=True))


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
    shown = CliRunner().invoke(main, ["plan", str(path), "--out", str(tmp_path / "out")])
    assert (shown.exit_code, "a[/b]\\" in shown.output) == (0, True)


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
    shown = CliRunner().invoke(main, ["plan", str(path)])
    assert shown.exit_code == 2
    assert re.match(rf"{re.escape(str(path))}:\d+:\d+: ", shown.stderr)
    assert isinstance(shown.exception, SystemExit)


def test_an_overlong_suite_name_is_reported(tmp_path: Path) -> None:
    shown = CliRunner().invoke(main, ["plan", 10_000 * "x"])
    assert shown.exit_code == 2
    assert "There is no suite" in shown.stderr
