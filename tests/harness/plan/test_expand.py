"""The cells of a suite: their combinations, names and ids, and whether they are reused."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness import plan, suite
from harness.encoders.architectures import ARCHITECTURES
from harness.errors import SuiteError
from harness.records import Cell, EncoderUse, ImageUse, Record, Score, TrainingUse

SUITE = """\
version: 1
name: s
contents: {coffee: {builtin: coffee}, rocket: {builtin: rocket}}
styles: {bricks: {builtin: brick}, grass: {builtin: grass}}
methods:
  identity:
  gatys: {params: {iterations: 5}, axes: {optimizer: [lbfgs, adam], tv_weight: [0.0, 1.0]}}
"""
Write = Callable[[str], Path]


def resources(**changes: Any) -> plan.Resources:
    names = ("coffee", "rocket", "bricks", "grass")
    uses = {n: ImageUse(n, f"sha-{n}", "here", width=600, height=400) for n in names}
    fields: dict[str, Any] = {
        "contents": {n: uses[n] for n in ("coffee", "rocket")},
        "styles": {n: uses[n] for n in ("bricks", "grass")},
        "encoder": EncoderUse("vgg19", "sha-w", "here", layers=ARCHITECTURES["vgg19"].layers),
        "device": "cpu",
        "precision": "float32",
        "training": TrainingUse("scikit-image", 1, "sha-t"),
    }
    return plan.Resources(**{**fields, **changes})


def expand(path: Path, overrides: tuple[str, ...] = (), **changes: Any) -> list[Cell]:
    return plan.expand(suite.load(path, overrides=overrides), resources(**changes))[0]


def variants(cells: list[Cell]) -> list[str]:
    return list(dict.fromkeys(cell.variant for cell in cells))


def test_variants_are_the_product_of_the_axes(write_suite: Write) -> None:
    cells = expand(write_suite(SUITE))
    assert len(cells) == 2 * 2 * (1 + 2 * 2)
    assert variants(cells) == [
        "identity", "gatys[lbfgs,tv_weight=0]", "gatys[lbfgs,tv_weight=1]",
        "gatys[adam,tv_weight=0]", "gatys[adam,tv_weight=1]",
    ]  # fmt: skip


def test_one_at_a_time_has_every_level_and_names_only_the_difference(write_suite: Write) -> None:
    cells = expand(write_suite(SUITE), ("gatys.vary=one-at-a-time",))
    assert variants(cells) == ["identity", "gatys", "gatys[adam]", "gatys[tv_weight=1]"]


def test_cells_are_ordered_by_pair(write_suite: Write) -> None:
    cells = expand(write_suite(SUITE))
    assert list(dict.fromkeys(cell.pair for cell in cells)) == [
        "coffee--bricks", "rocket--bricks", "coffee--grass", "rocket--grass",
    ]  # fmt: skip


def test_exclude_drops_combinations_that_match_all_its_keys(write_suite: Write) -> None:
    text = SUITE + "exclude: [{method: gatys, optimizer: adam, style: [grass]}]\n"
    cells = expand(write_suite(text))
    assert len(cells) == 20 - 2 * 2  # adam at two tv weights on two pairs with grass
    dropped = [c for c in cells if c.style.name == "grass" and "adam" in c.variant]
    assert not dropped


def test_an_include_extends_matching_combinations_or_adds_one(write_suite: Write) -> None:
    text = SUITE + (
        "include:\n"
        "  - {method: gatys, style: grass, style_weight: 99.0}\n"
        "  - {method: gatys, optimizer: adam, tv_weight: 5.0, content: coffee}\n"
    )
    cells = expand(write_suite(text))
    weights = {(c.style.name, c.params["style_weight"]) for c in cells if c.label == "gatys"}
    assert weights == {("bricks", 10.0), ("grass", 99.0), ("grass", 10.0)}  # the last one was added
    added = [c for c in cells if c.variant == "gatys[adam,tv_weight=5]"]
    assert [c.pair for c in added] == ["coffee--bricks", "coffee--grass"]
    assert len(cells) == 20 + 2


def test_an_id_is_the_hash_of_everything_that_influences_the_result() -> None:
    import hashlib
    import json

    image = ImageUse("x", "s", "o")
    encoder = EncoderUse("e", "w", "o")
    cell = Cell(
        "a", "v", "l", "identity", 1, {}, {}, image, image, 64, 0, encoder, "float32", "cpu"
    )
    text = json.dumps(cell.components, sort_keys=True, separators=(",", ":"))
    assert cell.id == hashlib.sha256(text.encode()).hexdigest()[:12]
    renamed = dataclasses.replace(cell, suite="b", variant="w", label="k", levels={"a": 1})
    assert renamed.id == cell.id
    for change in (
        {"version": 2}, {"params": {"a": 1}}, {"size": 65}, {"seed": 1}, {"precision": "bfloat16"},
        {"device": "gpu"}, {"content": ImageUse("x", "t", "o")}, {"style": ImageUse("x", "t", "o")},
        {"encoder": EncoderUse("e", "v", "o")}, {"training": TrainingUse("o", 1, "t")},
        {"files": {"checkpoint": "h"}},
    ):  # fmt: skip
        assert dataclasses.replace(cell, **change).id != cell.id, change


def test_cells_of_one_variant_and_style_share_their_fit(write_suite: Write) -> None:
    cells = [c for c in expand(write_suite(SUITE)) if c.variant == "gatys[adam,tv_weight=0]"]
    by_style: dict[str, set[str]] = {}
    for cell in cells:
        by_style.setdefault(cell.style.name, set()).add(cell.fit_id)
    assert [len(ids) for ids in by_style.values()] == [1, 1]
    assert by_style["bricks"] != by_style["grass"]


def test_an_override_changes_only_cells_of_its_method(write_suite: Write) -> None:
    path = write_suite(SUITE)
    before = {c.id for c in expand(path)}
    after = expand(path, ("gatys.iterations=6",))
    assert {c.label for c in after if c.id not in before} == {"gatys"}
    assert {c.label for c in after if c.id in before} == {"identity"}


REQUESTED_SCORES = [Score("ssim", None, "", "higher", "pixels", 1)]


def decide(cells: list[Cell], records: dict[str, Record], **more: Any) -> list[str]:
    found = plan.decide(cells, [], records.get, REQUESTED_SCORES, **more)
    return [entry.action for entry in found.entries]


def test_finished_cells_are_reused_and_failed_ones_run_again(write_suite: Write) -> None:
    one, two, *_ = cells = expand(write_suite(SUITE))[:3]
    scored = (Score("ssim", 0.5, "", "higher", "pixels", 1),)
    records = {one.id: Record(one, "done", scores=scored), two.id: Record(two, "failed")}
    assert decide(cells, records) == ["reuse", "run", "run"]
    assert decide(cells, records, fresh=True) == ["run", "run", "run"]


def test_a_new_version_of_a_metric_scores_the_stored_image_without_stylizing(
    write_suite: Write,
) -> None:
    cell = expand(write_suite(SUITE))[0]
    for old in ((), (Score("ssim", 0.5, "", "higher", "pixels", 0),)):
        assert decide([cell], {cell.id: Record(cell, "done", scores=old)}) == ["score"]


def test_an_unavailable_score_does_not_prevent_reuse(write_suite: Write) -> None:
    cell = expand(write_suite(SUITE))[0]
    requested = [Score("lpips", None, "", "lower", "none", 1, "no trunk")]
    found = plan.decide([cell], [], {cell.id: Record(cell, "done")}.get, requested)
    assert found.entries[0].action == "reuse"


def test_explain_names_the_component_that_changed(write_suite: Write) -> None:
    path = write_suite(SUITE)
    stored = [Record(cell, "done") for cell in expand(path)]
    changed = next(c for c in expand(path, ("gatys.iterations=6",)) if c.label == "gatys")
    assert plan.explain(changed, stored) == "params.iterations: 5 -> 6"


def test_a_missing_image_skips_its_cells_with_the_reason(write_suite: Write) -> None:
    loaded = suite.load(write_suite(SUITE))
    found = resources(styles={"bricks": "bricks: no network", "grass": resources().styles["grass"]})
    cells, skipped = plan.expand(loaded, found)
    assert {c.style.name for c in cells} == {"grass"}
    assert len(skipped) == 10
    assert {s.reason for s in skipped} == {"bricks: no network"}


PARTIAL = EncoderUse("vgg19", "w", "part.safetensors", layers=ARCHITECTURES["vgg19"].layers[:18])
"""The first layers of VGG-19, up to relu3_4."""


def test_a_missing_layer_is_reported_before_anything_runs(write_suite: Write) -> None:
    path = write_suite(SUITE)
    overrides = ("gatys.stand_in_layers={}",)
    with pytest.raises(SuiteError, match=r"gatys\[.*asks for relu4_2.*ends at relu3_4"):
        expand(path, overrides, encoder=PARTIAL)


def test_a_missing_layer_is_replaced_by_the_stand_in_of_the_method(
    write_suite: Write,
) -> None:
    path = write_suite(SUITE)
    cell = next(cell for cell in expand(path, encoder=PARTIAL) if cell.method == "gatys")
    assert cell.params["stand_in_layers"]["relu4_2"] == "relu3_2"  # part of the record


ENCODERS = (
    SUITE
    + """\
encoder: vgg19
exclude: [{method: gatys, optimizer: adam}, {method: gatys, tv_weight: 1.0}]
"""
)


def test_the_encoder_can_be_an_axis(write_suite: Write) -> None:
    text = ENCODERS.replace("axes: {", "axes: {encoder: [vgg19, compact], ")
    vgg19 = resources().encoder
    small = EncoderUse("compact", "sha-c", "own", layers=ARCHITECTURES["compact"].layers)
    cells = expand(write_suite(text), encoders={"vgg19": vgg19, "compact": small})
    used = {cell.variant: cell.encoder.sha256 for cell in cells}
    assert used == {
        "identity": "sha-w",
        "gatys[vgg19,lbfgs,tv_weight=0]": "sha-w",
        "gatys[compact,lbfgs,tv_weight=0]": "sha-c",
    }


def test_a_method_may_have_an_encoder_of_its_own(write_suite: Write) -> None:
    text = ENCODERS.replace("gatys: {", "gatys: {encoder: compact, ")
    small = EncoderUse("compact", "sha-c", "own", layers=ARCHITECTURES["compact"].layers)
    cells = expand(write_suite(text), encoders={"compact": small})
    assert {cell.encoder.name for cell in cells if cell.method == "gatys"} == {"compact"}


def test_an_unavailable_encoder_skips_its_cells(write_suite: Write) -> None:
    text = ENCODERS.replace("axes: {", "axes: {encoder: [vgg19, vgg16], ")
    found = resources(encoders={"vgg19": resources().encoder, "vgg16": "no network"})
    cells, skipped = plan.expand(suite.load(write_suite(text)), found)
    assert {cell.encoder.name for cell in cells} == {"vgg19"}
    assert {skip.reason for skip in skipped} == {"no network"}


@pytest.mark.parametrize("where", ["encoder: vgg91, ", "axes: {encoder: [vgg91], "])
def test_an_unknown_encoder_is_reported_with_its_position(write_suite: Write, where: str) -> None:
    head = "gatys: {" if where.startswith("encoder") else "axes: {"
    text = SUITE.replace(head, head + where if head == "gatys: {" else where)
    with pytest.raises(SuiteError, match=r"suite\.yaml:7:\d+: .*Did you mean 'vgg19'"):
        suite.load(write_suite(text))


def test_an_image_too_narrow_for_a_size_skips_its_cells(write_suite: Write) -> None:
    banner = ImageUse("coffee", "sha-b", "here", width=2000, height=100)
    contents = {**resources().contents, "coffee": banner}
    found = resources(contents=contents)
    cells, skipped = plan.expand(suite.load(write_suite(SUITE)), found)
    assert {cell.content.name for cell in cells} == {"rocket"}
    reason = "coffee is 256 x 13 pixels at 256: at least 16 are needed."
    assert {skip.reason for skip in skipped} == {reason}


def test_a_score_through_other_weights_is_measured_again(write_suite: Write) -> None:
    cells = expand(write_suite(SUITE))[:1]
    old = Score("style_loss", 0.5, "", "lower", "vgg19", lens_sha256="a")
    record = Record(cells[0], "done", scores=(old,))
    for sha256, action in (("a", "reuse"), ("b", "score")):
        requested = dataclasses.replace(old, value=None, lens_sha256=sha256)
        decided = plan.decide(cells, [], lambda _: record, [requested])
        assert decided.entries[0].action == action


def test_two_equal_variants_are_an_error(write_suite: Write) -> None:
    text = SUITE + "  twin: {use: identity}\n"
    with pytest.raises(SuiteError, match="twin and identity are the same configuration"):
        expand(write_suite(text))


def test_contradicting_parameters_are_reported_with_their_variant(write_suite: Write) -> None:
    with pytest.raises(SuiteError, match="has 1 numbers for 5 style_layers"):
        expand(write_suite(SUITE), ("gatys.style_layer_weights=[1.0]",))


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("johnson: {params: {content_layers: []}}", "content_layers is empty; name a layer"),
        ("johnson: {params: {style_layers: []}}", "style_layers is empty; name a layer"),
        ("johnson: {axes: {style_layers: [[relu1_1], []]}}", "style_layers is empty"),
        ("johnson: {params: {content_weight: 0, style_weight: 0}}", "no loss to minimise"),
        ("gatys: {params: {content_weight: 0, style_weight: 0, tv_weight: 0}}", "style_weight 0"),
        ("gatys: {params: {content_layers: [], style_weight: 0, tv_weight: 0}}", "no loss to"),
        ("gatys: {params: {content_weight: 0, tv_weight: 0, style_layer_weights: [0, 0, 0, 0, 0]}}",
         "no loss to minimise"),
        ("gatys: {params: {style_weight: 0, tv_weight: 0, content_layer_weights: [0]}}", "no loss"),
        ("gatys: {params: {tv_weight: 0}, axes: {content_weight: [1, 0], style_weight: [1, 0]}}",
         "no loss to minimise"),
    ],
)  # fmt: skip
def test_a_method_without_a_loss_is_refused_by_the_plan(
    method: str, message: str, write_suite: Write
) -> None:
    text = SUITE.partition("methods:")[0] + f"methods:\n  {method}\n"
    with pytest.raises(SuiteError, match=message):
        expand(write_suite(text))


@pytest.mark.parametrize(
    "method",
    [
        "gatys: {params: {content_layers: []}}",
        "gatys: {params: {content_weight: 0, style_weight: 0}}",  # total variation alone
        "johnson: {params: {steps: 0, style_layers: []}}",
        "johnson: {params: {content_weight: 0}}",
    ],
)
def test_a_method_with_one_loss_or_without_training_is_planned(
    method: str, write_suite: Write
) -> None:
    text = SUITE.partition("methods:")[0] + f"methods:\n  {method}\n"
    assert expand(write_suite(text))
