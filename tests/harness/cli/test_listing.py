"""`nstbench list`: what methods, metrics and their parameters do."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import pytest
from pydantic import Field

from harness.registry import METHODS, METRICS
from harness.registry.parameters import allowed, parameters, source, summary
from tests.helpers.command_line import ROOT, command


@dataclass(frozen=True, kw_only=True)
class Base:
    """Described in two files' worth of bases."""

    first: Annotated[float, Field(ge=0, lt=1)] = 0.5
    """A share. With more
    lines.

    And another paragraph.
    """
    second: Annotated[int, Field(gt=2)] | None = None


@dataclass(frozen=True, kw_only=True)
class Derived(Base):
    """A class with another default."""

    version: ClassVar[int] = 1
    first: float = 0.25
    kinds: tuple[Literal["a", "b"], ...] = ("a",)
    """Kinds."""
    weights: tuple[Annotated[float, Field(le=2)], ...] | None = None
    free: str = "x"


@pytest.mark.parametrize("registry", [METHODS, METRICS], ids=["methods", "metrics"])
def test_every_method_metric_and_parameter_is_described_in_one_line(registry: Any) -> None:
    for name in registry:
        cls = registry.get(name)
        if not cls.__module__.startswith(("methods.", "harness.")):
            continue  # registered by another test of this process
        assert summary(cls.__doc__).endswith("."), name
        assert "Source:" in source(cls) or cls.anchor, name
        for parameter in parameters(cls):
            assert parameter.about.endswith("."), f"{name}.{parameter.name}"
            assert len(parameter.about) <= 100, f"{name}.{parameter.name}"


def test_a_description_is_inherited_with_the_field() -> None:
    about = {one.name: (one.value, one.about) for one in parameters(Derived)}
    assert about["first"] == ("0.25", "A share. With more lines.")
    assert about["second"] == ("null", "")
    assert about["kinds"] == ('["a"]', "Kinds.")


def test_allowed_values_are_choices_or_ranges() -> None:
    assert allowed(Derived) == {
        "first": "number", "second": "integer > 2, or null", "kinds": "list of a, b",
        "weights": "list of numbers <= 2, or null", "free": "text",
    }  # fmt: skip
    assert allowed(Base)["first"] == "number >= 0 and < 1"


def test_the_list_of_methods_says_what_parameters_do() -> None:
    lines = command("list", "methods").output.splitlines()
    assert any(line.startswith("gatys  Optimise pixels until their features") for line in lines)
    (line,) = [line for line in lines if line.startswith("    iterations = ")]
    assert line.split("  ")[-1] == "Budget in passes of the encoder, forward and backward."
    metrics = command("list", "metrics").output
    assert "ssim_structure  " in metrics
    assert "1 is the content. Higher is better." in metrics


def test_one_method_is_described_with_choices_ranges_and_sources() -> None:
    text = command("list", "method", "gatys").output
    assert "    content_reduction = mean   (mean, sum, half_sum)\n        How squared" in text
    assert "    beta2 = 0.99   (number >= 0 and < 1)\n" in text
    assert "presets: gatys2016, " in text
    assert "Source: Gatys, Ecker, Bethge 2016" in text
    facts = json.loads(command("list", "method", "gatys", "--json").output)
    assert facts["parameters"]["iterations"]["allowed"] == "integer >= 1"
    assert facts["parameters"]["iterations"]["default"] == 300


def test_one_metric_is_described_with_its_blind_spot() -> None:
    text = command("list", "metric", "lpips").output
    assert "    net = auto   (auto, alex, squeeze, vgg)" in text
    assert "Blind to: style." in text


def test_presets_and_suites_can_be_listed_by_name() -> None:
    presets = json.loads(command("list", "presets", "johnson", "--json").output)
    assert {*presets} == {f"johnson/{name}" for name in METHODS.get("johnson").presets}
    assert command("list", "suite", "smoke").output.startswith("smoke  ")
    done = command("list", "suites", "smok")
    assert (done.exit_code, "Did you mean 'smoke'?" in done.output) == (2, True)
    assert "Did you mean 'gatys'?" in command("list", "method", "gaty").output


def test_a_list_loads_no_torch() -> None:
    code = (
        "import sys; from harness.cli.main import main\n"
        "main(['list', 'methods'], standalone_mode=False)\n"
        "main(['list', 'metric', 'lpips'], standalone_mode=False)\n"
        "sys.exit([m for m in ('torch', 'mlflow', 'pandas') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.stderr.strip() == "[]"
