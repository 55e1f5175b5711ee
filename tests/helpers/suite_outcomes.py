"""Load and plan a suite under test, and return its outcome or its mistakes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness import plan, suite
from harness.encoders.architectures import ARCHITECTURES
from harness.errors import SuiteError
from harness.execution.prepare import check_claims
from harness.records import EncoderUse, ImageUse, TrainingUse
from tests.helpers.hostile_suites import no_side_effects

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


def plan_suite(path: Path, profile: str = "", overrides: tuple[str, ...] = ()) -> list[Any]:
    """Load and plan a suite without reading images or weights."""
    loaded = suite.load(path, profile, overrides)
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


def outcome_of(path: Path, profile: str = "", overrides: tuple[str, ...] = ()) -> str:
    """Return `planned` or `rejected`; raise for any other outcome."""
    try:
        with no_side_effects():
            plan_suite(path, profile, overrides)
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
