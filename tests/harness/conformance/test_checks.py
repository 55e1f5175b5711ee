"""Run the checks of `nstbench check` on methods that each break one rule.

Source: none; the methods are made up for these tests.
"""

from __future__ import annotations

import json
import os
import random
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from harness.cli.main import main
from harness.conformance import budget, examine
from harness.protocols import Method, Step
from harness.registry import METHODS

EVENTS: list[threading.Event] = []


@dataclass(frozen=True, kw_only=True)
class Correct(Method):
    """Add a brightness, a feature mean and a little noise to the content; keep all rules."""

    version: ClassVar[int] = 1
    presets: ClassVar[dict[str, Any]] = {"strong": {"strength": 0.5}}
    mixes_styles: ClassVar[bool] = True
    layers: ClassVar[tuple[str, ...]] = ("relu1_1",)
    iterations: int = 200
    strength: float = 0.1

    def fit(self, style: Any, context: Any) -> Any:
        return self.stylizer({"level": style.mean() * self.strength})

    def stylizer(self, learned: Any) -> Any:
        return lambda content, context: self.paint(content, context, learned)

    def paint(self, content: Any, context: Any, learned: Any) -> Any:
        noise = torch.randn(content.shape, generator=context.generator)
        feature = context.encoder(content, ["relu1_1"])["relu1_1"].mean()
        for index in range(1, self.iterations + 1):
            context.on_step(Step(index, self.iterations, {"feature": feature, "total": feature}))
        return content + learned["level"] + 0.01 * noise + 0.01 * feature

    def stylize_batch(self, stylizers: Any, contents: Any, contexts: Any) -> Any:
        calls = zip(stylizers, contents.split(1), contexts, strict=True)
        return torch.cat([stylizer(content, context) for stylizer, content, context in calls])

    def export(self, stylizer: Any) -> Any:
        return {"level": stylizer.__closure__[0].cell_contents["level"]}

    def restore(self, tensors: Any, context: Any) -> Any:
        return self.stylizer(tensors)


paint_correctly = Correct.paint


def calling(action: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    """Return a `paint` that first calls `action` with the content and the context."""

    def paint(self: Any, content: Any, context: Any, learned: Any) -> Any:
        action(content, context)
        return paint_correctly(self, content, context, learned)

    return paint


def changing(change: Callable[[Any], Any]) -> Callable[..., Any]:
    """Return a `paint` that applies `change` to the correct image."""
    return lambda self, *args: change(paint_correctly(self, *args))


def reporting(*steps: Step) -> Callable[..., Any]:
    """Return a `paint` that reports these steps and no others."""

    def paint(self: Any, content: Any, context: Any, learned: Any) -> Any:
        for step in steps:
            context.on_step(step)
        context.encoder(content, ["relu1_1"])
        return content + learned["level"]

    return paint


def paint_and_change_stylizer(self: Any, content: Any, context: Any, learned: Any) -> Any:
    learned["level"] = learned["level"] + 0.1
    return paint_correctly(self, content, context, learned)


def start_thread(content: Any, context: Any) -> None:
    if not EVENTS:
        EVENTS.append(threading.Event())
        threading.Thread(target=EVENTS[0].wait, name="endless", daemon=True).start()


def restore_with_step(self: Any, tensors: Any, context: Any) -> Any:
    context.on_step(Step(1, 1, {"total": 1.0}))
    return self.stylizer(tensors)


def report_content(self: Any, content: Any, context: Any, learned: Any) -> Any:
    """Report the content as the image of each step, with a total of 2."""
    for index in range(1, self.iterations + 1):
        context.on_step(Step(index, self.iterations, {"total": 2.0}, content))
    return paint_correctly(self, content, replace(context, on_step=lambda step: None), learned)


def with_noise(per_iteration: float) -> Callable[..., Any]:
    """Return a `paint` that adds noise in proportion to the iterations."""

    def paint(self: Any, content: Any, context: Any, learned: Any) -> Any:
        noise = torch.randn(content.shape, generator=context.generator)
        image = paint_correctly(self, content, context, learned)
        return image + per_iteration * self.iterations * noise

    return paint


IMAGE = "the image has the content's size, type and device, is finite and does not require grad"
INPUTS = "content and style are unchanged"
RANDOM = "random numbers come from context.generator"
SETTINGS = "torch's global settings are unchanged"
STDOUT = "nothing is printed"
STEPS = "steps are numbered from 1 and their losses add up to the total"
LAYERS = "all layers that are read are declared"
TRAINS = "trains is True if training photographs are read"
SEED = "the same seed gives the same image"
ODD = "height and width may be odd"
REUSE = "one fit serves several contents"
BATCH = "a batch gives the images of single calls"
OBJECTIVE = "objective returns the losses that steps report"
BUDGET = "more iterations do not make the saved image worse"
RESTORE = "a restored stylizer gives the same image"
THREADS = "no thread or process is left running"
PICKLE = "the class can be pickled"
RUNS = "fit and stylize run"
DECLARED = "an encoder has all declared layers"
DEFAULTS = "the defaults are valid and can be stored in a record"
DOCUMENTED = "docstrings describe the method and name its source"

PLANTED: dict[str, tuple[str, str, dict[str, Any]]] = {
    # fault -> the check that must find it, a part of its message, the members that cause it
    "another size": (IMAGE, "returned (1, 3, 31, 48)",
                     {"paint": changing(lambda i: i[..., 1:, :])}),
    "another type": (IMAGE, "torch.float64", {"paint": changing(lambda i: i.double())}),
    "not a number": (IMAGE, "not finite", {"paint": changing(lambda i: i * float("nan"))}),
    "a gradient": (IMAGE, "the image still requires grad",
                   {"paint": changing(lambda i: i.requires_grad_())}),
    "no tensor": (IMAGE, "returned an object of type ndarray",
                  {"paint": changing(lambda i: i.numpy())}),
    "written content": (INPUTS, "the content", {"paint": calling(lambda c, _: c.mul_(0.9))}),
    "torch's noise": (RANDOM, "of torch", {"paint": calling(lambda *_: torch.rand(1))}),
    "numpy's noise": (RANDOM, "of numpy",
                      {"paint": calling(lambda *_: np.random.rand())}),  # noqa: NPY002
    "python's noise": (RANDOM, "of random", {"paint": calling(lambda *_: random.random())}),
    "a global seed": (RANDOM, "of torch", {"paint": calling(lambda *_: torch.manual_seed(0))}),
    "one thread": (SETTINGS, "number of threads",
                   {"paint": calling(lambda *_: torch.set_num_threads(3))}),
    "no gradients": (SETTINGS, "gradients",
                     {"paint": calling(lambda *_: torch.set_grad_enabled(False))}),
    "output": (STDOUT, "'pass 1 of 3'", {"paint": calling(lambda *_: print("pass 1 of 3"))}),
    "output of a child process": (STDOUT, "'child'",
                                  {"paint": calling(lambda *_: os.system("echo child"))}),
    "no steps": (STEPS, "has the parameter iterations, but reports no steps",
                 {"paint": reporting()}),
    "steps from 0": (STEPS, "stylize have the numbers 0, 1",
                     {"paint": reporting(*(Step(i, 3, {"total": 1.0}) for i in range(2)))}),
    "every tenth": (STEPS, "stylize have the numbers 10, 20",
                    {"paint": reporting(*(Step(i, 20, {"total": 1.0}) for i in (10, 20)))}),
    "beyond the end": (STEPS, "step 2 of 1",
                       {"paint": reporting(*(Step(i, 1, {"total": 1.0}) for i in (1, 2)))}),
    "no total": (STEPS, "the losses of a step are style; total is missing",
                 {"paint": reporting(Step(1, 1, {"style": 1.0}))}),
    "unweighted parts": (STEPS, "the total of a step is 3, but its losses add up to 2",
                         {"paint": reporting(Step(1, 1, {"style": 2.0, "total": 3.0}))}),
    "undeclared layers": (LAYERS, "reads relu2_1 without declaring it",
                          {"paint": calling(lambda c, x: x.encoder(c, ["relu2_1"]))}),
    "undeclared training": (TRAINS, "but trains is False",
                            {"paint": calling(lambda _, context: context.batches(1, None))}),
    "an error in layers": (DEFAULTS, "KeyError: 'mood'",
                           {"layers": property(lambda self: {}["mood"])}),
    "fresh noise": (SEED, "differ by up to",
                    {"paint": changing(lambda i: i + np.random.default_rng().random())}),
    "even sizes only": (ODD, "returned (1, 3, 32, 46)", {"paint": changing(
        lambda i: i[..., : i.shape[-2] // 2 * 2, : i.shape[-1] // 2 * 2])}),
    "a state": (REUSE, "changes after another content", {"paint": paint_and_change_stylizer}),
    "a mixed batch": (BATCH, "grey levels on average",
                      {"stylize_batch": lambda self, fits, both, contexts: both.flip(0)}),
    "half of the fit": (RESTORE, "gives another image",
                        {"export": lambda self, fit: {"level": torch.zeros(())}}),
    "no restore": (RESTORE, "one of export and restore", {"restore": None}),
    "training again": (RESTORE, "restore reports steps", {"restore": restore_with_step}),
    "an objective without images": (OBJECTIVE, "no step reports an image",
                                    {"objective": lambda self, *args: lambda image: {}}),
    "another objective": (OBJECTIVE, "a total of 2 for an image; objective returns 1", {
        "objective": lambda self, *args: lambda image: {"total": 1.0}, "paint": report_content}),
    "noise that grows": (BUDGET, "the saved image's style loss is", {"paint": with_noise(0.003)}),
    "a thread": (THREADS, "thread endless is still running", {"paint": calling(start_thread)}),
    "a hidden class": (PICKLE, "cannot be pickled", {"__qualname__": "f.<locals>.Planted"}),
    "an error": (RUNS, "ZeroDivisionError: division by zero (",
                 {"paint": calling(lambda *_: 1 / 0)}),
    "an exit": (RUNS, "SystemExit: 4 (", {"paint": calling(lambda *_: sys.exit(4))}),
    "no such layer": (DECLARED, "no encoder has relu9_1", {"layers": ("relu9_1",)}),
    "a default of another type": (DEFAULTS, "strength: Input should be a valid number", {
        "strength": "much", "__annotations__": {"strength": float}}),
    "no docstring": (DOCUMENTED, "has no docstring", {"__doc__": None}),
    "a wrong preset": ("strong: the parameters are valid", "iterations",
                       {"presets": {"strong": {"iterations": "many"}}}),
    "a preset for no encoder": (f"strong: {DECLARED}", "no encoder has 5.0",
                       {"presets": {"strong": {"strength": 5.0}}, "layers": property(
                           lambda self: ("relu1_1",) if self.strength < 1 else ("5.0",))}),
}  # fmt: skip


@pytest.fixture
def planted() -> Iterator[Callable[..., str]]:
    """Yield a function that registers a correct method with replaced members."""

    def plant(**members: Any) -> str:
        names = {"__module__": __name__, "__doc__": "Planted.", "__qualname__": "Planted"}
        undecorated = type("Planted", (Correct,), {**names, **members})
        cls = dataclass(frozen=True, kw_only=True)(undecorated)
        globals()["Planted"] = cls
        METHODS.names()
        METHODS.register("planted")(cls)
        return "planted"

    yield plant
    del METHODS._classes["planted"]
    if EVENTS:
        EVENTS.pop().set()


def test_a_correct_method_passes_every_check(planted: Callable[..., str]) -> None:
    findings = list(examine(planted()))
    assert [f for f in findings if f.state != "good"] == []
    assert {f.name for f in findings} >= {IMAGE, STEPS, BATCH, RESTORE, "strong"}


@pytest.mark.parametrize("fault", PLANTED)
def test_every_planted_fault_is_found_by_its_own_check(
    fault: str, planted: Callable[..., str]
) -> None:
    check, message, members = PLANTED[fault]
    bad = [finding for finding in examine(planted(**members)) if finding.state == "bad"]
    assert bad[0].name == check, bad
    assert message in bad[0].what
    assert all(finding.remedy for finding in bad)


def test_noise_that_does_not_change_the_objective_is_found(
    planted: Callable[..., str],
) -> None:
    # A deviation of 0.001 for each of 200 iterations is 51 grey levels in each channel.
    constant = {"objective": lambda self, *args: lambda image: {"style": 1.0, "total": 1.0}}
    method = METHODS.build(planted(paint=with_noise(0.001), **constant), {})
    (issue,) = budget.compare(method)
    assert "the saved image's noise is" in issue.what
    assert list(budget.compare(METHODS.build(planted(paint=with_noise(0.0)), {}))) == []


def test_stdout_is_valid_json_if_a_method_prints(planted: Callable[..., str]) -> None:
    name = planted(paint=calling(lambda *_: print("pass 1 of 3")))
    done = CliRunner().invoke(main, ["check", name, "--json"])
    assert done.exit_code == 3
    bad = [finding for finding in json.loads(done.stdout) if finding["state"] == "bad"]
    assert [finding["name"] for finding in bad] == [STDOUT, f"strong: {STDOUT}"]


def test_the_command_prints_remedies(planted: Callable[..., str]) -> None:
    done = CliRunner().invoke(main, ["check", planted(paint=paint_and_change_stylizer)])
    assert done.exit_code == 3
    assert f"✗ {REUSE}: the image of a content changes after another" in done.stdout
    assert "      Do not change the state of the stylizer while it stylizes." in done.stdout
    assert f"✓ {INPUTS}: ok" in done.stdout


def test_an_unknown_name_is_a_usage_error() -> None:
    done = CliRunner().invoke(main, ["check", "gatyss"])
    assert done.exit_code == 2
    assert "Did you mean 'gatys'?" in done.stderr
