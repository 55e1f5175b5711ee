"""Errors list all mistakes of a suite, with position, allowed values and the nearest name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness import suite
from harness.errors import SuiteError
from harness.suite import yaml_loader

GOOD = """\
version: 1
name: good
contents: {coffee: {builtin: coffee}}
styles: {bricks: {builtin: brick}}
methods:
  gatys: {axes: {optimizer: [adam, lbfgs]}}
"""
Write = Callable[[str], Path]


def problems(path: Path, **more: Any) -> list[str]:
    with pytest.raises(SuiteError) as caught:
        suite.load(path, **more)
    return [f"{p.where.removeprefix(str(path))} {p.what}" for p in caught.value.problems]


def test_a_valid_suite_loads(write_suite: Write) -> None:
    loaded = suite.load(write_suite(GOOD))
    assert loaded.pairs == [("coffee", "bricks")]
    assert loaded.methods[0].axes == {"optimizer": ["adam", "lbfgs"]}


def test_all_mistakes_are_reported_at_once(write_suite: Write) -> None:
    path = write_suite("""\
version: 1
name: bad
contents: {coffee: {builtin: coffee}}
styles: {bricks: {builtin: brick}}
pairs: [{content: cofee, style: bricks}]
methods:
  gatis:
  gatys:
    params: {iterations: many, optimiser: adam}
    axes: {optimizer: [adam, lbgfs]}
  johnson: {preset: example}
exclude: [{methd: gatys}]
metrics: [ssim, lpip]
""")
    found = problems(path)
    assert len(found) == 8
    for start, end in (
        (":7:3 methods.gatis: 'gatis' is not a method:", "Did you mean 'gatys'?"),
        (":9:26 methods.gatys.params.iterations: 'many'", "should be a valid integer."),
        (":9:32 methods.gatys.params.optimiser: 'optimiser' is not a known key:", "'optimizer'?"),
        (":10:30 methods.gatys.axes.optimizer[1]: 'lbgfs' is not one of lbfgs, adam.", "'lbfgs'?"),
        (":11:21 methods.johnson.preset: 'example' is not a preset", "Did you mean 'examples'?"),
        (":13:17 metrics[1]: 'lpip' is not a metric:", "Did you mean 'lpips'?"),
        (":5:19 pairs[0].content: 'cofee' is not one of the contents: coffee.", "'coffee'?"),
        (":12:12 exclude[0].methd: 'methd' is neither", "Did you mean 'method'?"),
    ):
        assert any(p.startswith(start) and p.endswith(end) for p in found), (start, found)


@pytest.mark.parametrize(
    ("entry", "allowed"),
    [
        ("contents: {odd: {pth: a.png}}", "builtin, path, url"),
        ("styles: {odd: {pth: a.png}}", "builtin, path, url"),
        ("methods: {identity: {parms: {}}}", "use, encoder, style_size, preset, params"),
        ("claims: {odd: {expects: lower}}", "statement, source, method, factor, levels"),
        ("training: {image: photos}", "images, max_unusable_percent"),
        ("pairs: [{contents: cat}]", "content, style"),
        ("sise: [64]", "version, name, description, encoder"),
    ],
)
def test_an_unknown_key_is_reported_with_the_allowed_keys(
    write_suite: Write, entry: str, allowed: str
) -> None:
    text = yaml.safe_dump(yaml.safe_load(GOOD) | yaml.safe_load(entry))
    found = problems(write_suite(text))
    assert any(allowed in problem for problem in found), found


def test_carets_mark_the_invalid_value(write_suite: Write) -> None:
    path = write_suite(GOOD.replace("lbfgs", "lbgfs"))
    with pytest.raises(SuiteError) as caught:
        suite.load(path)
    line, caret = caught.value.problems[0].excerpt.splitlines()
    assert line[caret.index("^") :].startswith("lbgfs")
    assert caret.count("^") == len("lbgfs")


def test_a_mistake_in_an_unused_profile_is_reported(write_suite: Write) -> None:
    path = write_suite(GOOD + "profiles:\n  quick:\n    sizes: [8]\n")
    assert problems(path) == [":9:13 sizes[0]: 8 should be greater than or equal to 32."]


def test_a_profile_merges_maps_and_replaces_the_rest(write_suite: Write) -> None:
    path = write_suite(
        GOOD + "profiles: {quick: {methods: {gatys: {params: {iterations: 5}}}, seeds: [3]}}\n"
    )
    loaded = suite.load(path, "quick")
    assert loaded.methods[0].params == {"iterations": 5}
    assert loaded.methods[0].axes == {"optimizer": ["adam", "lbfgs"]}
    assert loaded.seeds == [3]
    assert suite.load(path).seeds == [0]


def test_set_overrides_values_and_errors_name_the_option(write_suite: Write) -> None:
    path = write_suite(GOOD)
    loaded = suite.load(
        path, overrides=["gatys.iterations=5", "sizes=[64, 96]", "gatys.axes.optimizer=[adam]"]
    )
    assert loaded.methods[0].params == {"iterations": 5}
    assert loaded.methods[0].axes == {"optimizer": ["adam"]}
    assert loaded.sizes == [64, 96]
    (found,) = problems(path, overrides=["gatys.iterations=no"])
    assert found.startswith("--set gatys.iterations=no methods.gatys.params.iterations: 'no'")
    assert "does not exist. Did you mean 'sizes'?" in problems(path, overrides=["sises=[1]"])[0]
    assert "has no `=`" in problems(path, overrides=["sizes"])[0]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e5", 100000.0), ("1.0e-6", 1e-6), ("no", "no"), ("on", "on"), ("10:30", "10:30"),
        ("0o17", 15), ("0x1F", 31), ("010", 10), ("true", True), ("~", None),
        ("2020-01-01", "2020-01-01"), ("1e-400", 0.0), ("'1'", "1"),
    ],
)  # fmt: skip
def test_scalars_follow_yaml_1_2(text: str, value: Any) -> None:
    assert yaml_loader.parse(text) == value


def test_duplicate_keys_are_an_error_with_both_lines(write_suite: Write) -> None:
    found = problems(write_suite(GOOD + "sizes: [64]\nsizes: [96]\n"))
    assert found == [":8:1 sizes: is a duplicate of the key in line 7. Remove one of them."]


def test_invalid_yaml_is_reported_with_its_position(write_suite: Write) -> None:
    assert problems(write_suite("name: [1, 2\nx: y\n"))[0].startswith(":2:2 is not YAML:")


def test_tags_create_no_objects(write_suite: Write) -> None:
    found = problems(
        write_suite(GOOD.replace("name: good", "name: !!python/object/apply:os.getcwd []"))
    )
    assert any("name" in p for p in found)


def test_an_alias_bomb_stops_early(write_suite: Write) -> None:
    bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n"
    for i in range(1, 9):
        bomb += f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 10)}]\n"
    assert "has more than" in problems(write_suite(bomb))[0]


def test_an_image_has_one_source_and_a_url_has_a_hash(write_suite: Write) -> None:
    found = problems(write_suite(GOOD.replace("{builtin: brick}", "{builtin: brick, path: a.png}")))
    assert found[0].endswith("has builtin and path; give exactly one of builtin, path, url.")
    found = problems(write_suite(GOOD.replace("{builtin: brick}", "{url: 'https://x.org/a.png'}")))
    assert "has a url without sha256" in found[0]


def test_an_unknown_profile_lists_the_known_ones(write_suite: Write) -> None:
    path = write_suite(GOOD + "profiles: {quick: {}}\n")
    assert "'quik' is not a profile" in problems(path, profile="quik")[0]
    assert problems(path, profile="quik")[0].endswith("Did you mean 'quick'?")


@pytest.mark.parametrize(
    "path", sorted((Path(suite.__file__).parents[2] / "suites").glob("*.yaml"))
)
@pytest.mark.parametrize("profile", ["", "quick", "full"])
def test_packaged_suites_are_valid(path: Path, profile: str) -> None:
    data, _ = yaml_loader.load(path)
    if profile and profile not in data.get("profiles", {}):
        pytest.skip(f"{path.stem} has no profile {profile}")
    loaded = suite.load(path, profile)
    assert loaded.name == path.stem


def test_artists_drops_no_level_in_its_quick_profile() -> None:
    path = Path(suite.__file__).parents[2] / "suites" / "artists.yaml"
    quick, full = (suite.load(path, profile) for profile in ("quick", "full"))
    assert [m.axes for m in quick.methods] == [m.axes for m in full.methods]
    assert {s for _, s in quick.pairs} == set(full.styles)
    assert {quick.styles[s].artist for _, s in quick.pairs} >= {
        "Claude Monet", "Vincent van Gogh", "Pablo Picasso",
    }  # fmt: skip


COLLECTED = """\
version: 1
name: collected
collection: images/all.yaml
contents: [cat, {name}]
styles: {bricks: {builtin: brick}}
methods: {identity: }
"""


@pytest.fixture
def collection(tmp_path: Path) -> Path:
    path = tmp_path / "images" / "all.yaml"
    path.parent.mkdir()
    path.write_text("cat: {builtin: chelsea, title: A cat}\ncup: {builtin: coffee}\n")
    return path


def test_images_can_come_from_a_collection(write_suite: Write, collection: Path) -> None:
    loaded = suite.load(write_suite(COLLECTED.replace("{name}", "cup")))
    assert [(i.name, i.builtin, i.title) for i in loaded.contents.values()] == [
        ("cat", "chelsea", "A cat"), ("cup", "coffee", ""),
    ]  # fmt: skip
    assert "collection" not in loaded.resolved  # the stored suite needs no other file


def test_an_unknown_collection_entry_lists_the_known_ones(
    write_suite: Write, collection: Path
) -> None:
    found = problems(write_suite(COLLECTED.replace("{name}", "cap")))
    assert found[0].startswith(":4:17 contents[1]: 'cap' is not in 'images/all.yaml': cat, cup.")
    assert found[0].endswith("Did you mean 'cup'?")


def test_a_mistake_in_a_collection_has_its_position(write_suite: Write, collection: Path) -> None:
    collection.write_text("cat: {builtin: chelsea}\ncup: {builtin: cofee}\n")
    found = problems(write_suite(COLLECTED.replace("{name}", "cup")))
    assert "all.yaml:2:6: cup:" in found[0]
    assert "Did you mean 'coffee'?" in found[0]


def test_the_museum_collection_is_packaged(write_suite: Write) -> None:
    text = COLLECTED.replace("images/all.yaml", "museum").replace("[cat, {name}]", "[chelsea]")
    assert suite.load(write_suite(text)).contents["chelsea"].title == "Chelsea the cat"
    assert (
        "'musem' is neither a packaged collection (museum)"
        in problems(write_suite(text.replace("museum", "musem")))[0]
    )


def test_lists_of_names_need_a_collection(write_suite: Write) -> None:
    text = COLLECTED.replace("collection: images/all.yaml\n", "").replace("{name}", "cup")
    assert "has no collection" in problems(write_suite(text))[0]
