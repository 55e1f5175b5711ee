"""Invalid values, keys and overrides are reported with their position."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from harness.resources.downloads import file_name
from tests.helpers.hostile_suites import MUSEUM
from tests.helpers.suite_outcomes import COLLECTED, GOOD, Write, mistakes, outcome_of, plan_suite

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
    assert "is not a plain" in mistakes(write_suite(GOOD), overrides=(f"sizes={value}",))


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
        found = mistakes(write_suite(text), overrides=(override,))
        assert f"--set {override[:200]}" in found


def test_an_override_can_set_a_name_of_digits(write_suite: Write) -> None:
    cells = plan_suite(write_suite(GOOD), overrides=("contents.2016={builtin: rocket}",))
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
