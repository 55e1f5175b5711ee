"""`nstbench check`: methods written to break one rule each, and what is found.

Source: none; these methods are made up.
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

STATE: list[Any] = []


@dataclass(frozen=True, kw_only=True)
class Sound(Method):
    """Brightens by what it sees of the content and by a little noise; keeps the contract."""

    version: ClassVar[int] = 1
    presets: ClassVar[dict[str, Any]] = {"strong": {"strength": 0.5}}
    mixes_styles: ClassVar[bool] = True
    layers: ClassVar[tuple[str, ...]] = ("relu1_1",)
    iterations: int = 200
    strength: float = 0.1

    def fit(self, style: Any, context: Any) -> Any:
        return self.stylizer({"level": style.mean() * self.strength})

    def stylizer(self, learnt: Any) -> Any:
        return lambda content, context: self.paint(content, context, learnt)

    def paint(self, content: Any, context: Any, learnt: Any) -> Any:
        noise = torch.randn(content.shape, generator=context.generator)
        seen = context.encoder(content, ["relu1_1"])["relu1_1"].mean()
        for index in range(1, self.iterations + 1):
            context.on_step(Step(index, self.iterations, {"seen": seen, "total": seen}))
        return content + learnt["level"] + 0.01 * noise + 0.01 * seen

    def stylize_batch(self, stylizers: Any, contents: Any, contexts: Any) -> Any:
        each = zip(stylizers, contents.split(1), contexts, strict=True)
        return torch.cat([stylizer(one, context) for stylizer, one, context in each])

    def export(self, stylizer: Any) -> Any:
        return {"level": stylizer.__closure__[0].cell_contents["level"]}

    def restore(self, tensors: Any, context: Any) -> Any:
        return self.stylizer(tensors)


soundly = Sound.paint


def also(action: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    """Paint soundly, and do something besides that nobody asked for."""

    def paint(self: Any, content: Any, context: Any, learnt: Any) -> Any:
        action(content, context)
        return soundly(self, content, context, learnt)

    return paint


def then(change: Callable[[Any], Any]) -> Callable[..., Any]:
    """Paint soundly, and spoil the image."""
    return lambda self, *given: change(soundly(self, *given))


def reporting(*steps: Step) -> Callable[..., Any]:
    """Report these steps and no others."""

    def paint(self: Any, content: Any, context: Any, learnt: Any) -> Any:
        for step in steps:
            context.on_step(step)
        context.encoder(content, ["relu1_1"])
        return content + learnt["level"]

    return paint


def remembering(self: Any, content: Any, context: Any, learnt: Any) -> Any:
    learnt["level"] = learnt["level"] + 0.1
    return soundly(self, content, context, learnt)


def lingering(content: Any, context: Any) -> None:
    if not STATE:
        STATE.append(threading.Event())
        threading.Thread(target=STATE[0].wait, name="lingerer", daemon=True).start()


def retraining(self: Any, tensors: Any, context: Any) -> Any:
    context.on_step(Step(1, 1, {"total": 1.0}))
    return self.stylizer(tensors)


def showing(self: Any, content: Any, context: Any, learnt: Any) -> Any:
    """Report the content as the image of each step, with a loss of 2."""
    for index in range(1, self.iterations + 1):
        context.on_step(Step(index, self.iterations, {"total": 2.0}, content))
    return soundly(self, content, replace(context, on_step=lambda step: None), learnt)


def growing(each: float) -> Callable[..., Any]:
    """Paint soundly, and add as much noise for each iteration."""

    def paint(self: Any, content: Any, context: Any, learnt: Any) -> Any:
        noise = torch.randn(content.shape, generator=context.generator)
        return soundly(self, content, context, learnt) + each * self.iterations * noise

    return paint


IMAGE = "its image is like the content: size, float32, device, finite, without a graph"
INPUTS = "content and style stay as they were"
RANDOM = "random numbers come from the context's generator"
SETTINGS = "torch's settings stay as they were"
SILENCE = "it prints nothing"
STEPS = "steps count up, with the losses that add up to a total"
LAYERS = "it asks for the layers that it declares"
PHOTOGRAPHS = "it says so where it trains on photographs"
SEED = "the same seed gives the same image"
ODD = "odd sizes are fine"
MANY = "one fit serves many contents"
BATCH = "in a batch each image comes out as it does alone"
OBJECTIVE = "its objective gives the losses that its steps report"
MORE = "more iterations do not make the saved image worse"
RESTORED = "what it exports can be restored"
THREADS = "no thread and no process is left running"
NAME = "another process finds it by name"
RUNS = "it runs"
DECLARED = "the layers it declares exist"
MADE = "it can be made from its defaults, and they from a record"
ABOUT = "it says what it is and where it is from"

PLANTED: dict[str, tuple[str, str, dict[str, Any]]] = {
    # what is wrong -> the check that must find it, what it says, how it was planted
    "another size": (IMAGE, "returned (1, 3, 31, 48)", {"paint": then(lambda i: i[..., 1:, :])}),
    "another type": (IMAGE, "torch.float64", {"paint": then(lambda i: i.double())}),
    "not a number": (IMAGE, "not finite", {"paint": then(lambda i: i * float("nan"))}),
    "a graph": (IMAGE, "graph", {"paint": then(lambda i: i.requires_grad_())}),
    "no tensor": (IMAGE, "returned a ndarray", {"paint": then(lambda i: i.numpy())}),
    "written content": (INPUTS, "the content", {"paint": also(lambda c, _: c.mul_(0.9))}),
    "torch's noise": (RANDOM, "of torch", {"paint": also(lambda *_: torch.rand(1))}),
    "numpy's noise": (RANDOM, "of numpy",
                      {"paint": also(lambda *_: np.random.rand())}),  # noqa: NPY002
    "python's noise": (RANDOM, "of random", {"paint": also(lambda *_: random.random())}),
    "a global seed": (RANDOM, "of torch", {"paint": also(lambda *_: torch.manual_seed(0))}),
    "one thread": (SETTINGS, "number of threads",
                   {"paint": also(lambda *_: torch.set_num_threads(3))}),
    "no gradients": (SETTINGS, "gradients",
                     {"paint": also(lambda *_: torch.set_grad_enabled(False))}),
    "chatter": (SILENCE, "'pass 1 of 3'", {"paint": also(lambda *_: print("pass 1 of 3"))}),
    "a child's chatter": (SILENCE, "'child'", {"paint": also(lambda *_: os.system("echo child"))}),
    "no steps": (STEPS, "has iterations and reports none", {"paint": reporting()}),
    "steps from 0": (STEPS, "are 0, 1",
                     {"paint": reporting(*(Step(i, 3, {"total": 1.0}) for i in range(2)))}),
    "every tenth": (STEPS, "are 10, 20",
                    {"paint": reporting(*(Step(i, 20, {"total": 1.0}) for i in (10, 20)))}),
    "beyond the end": (STEPS, "step 2 of 1",
                       {"paint": reporting(*(Step(i, 1, {"total": 1.0}) for i in (1, 2)))}),
    "no total": (STEPS, "its losses are style", {"paint": reporting(Step(1, 1, {"style": 1.0}))}),
    "unweighted parts": (STEPS, "its total is 3, and its parts add up to 2",
                         {"paint": reporting(Step(1, 1, {"style": 2.0, "total": 3.0}))}),
    "undeclared layers": (LAYERS, "looks at relu2_1 and",
                          {"paint": also(lambda c, x: x.encoder(c, ["relu2_1"]))}),
    "unnamed photographs": (PHOTOGRAPHS, "does not say so",
                            {"paint": also(lambda _, context: context.batches(1, None))}),
    "moody layers": (MADE, "KeyError: 'mood'", {"layers": property(lambda self: {}["mood"])}),
    "fresh noise": (SEED, "differ by up to",
                    {"paint": then(lambda i: i + np.random.default_rng().random())}),
    "even sizes alone": (ODD, "returned (1, 3, 32, 46)", {"paint": then(
        lambda i: i[..., : i.shape[-2] // 2 * 2, : i.shape[-1] // 2 * 2])}),
    "a memory": (MANY, "comes out differently", {"paint": remembering}),
    "a mixed batch": (BATCH, "grey levels in the mean",
                      {"stylize_batch": lambda self, fits, both, contexts: both.flip(0)}),
    "half of the fit": (RESTORED, "another image",
                        {"export": lambda self, fit: {"level": torch.zeros(())}}),
    "no restore": (RESTORED, "one of export and restore", {"restore": None}),
    "training again": (RESTORED, "as if it trained", {"restore": retraining}),
    "an objective without images": (OBJECTIVE, "no step reports an image",
                                    {"objective": lambda self, *given: lambda image: {}}),
    "an objective of its own": (OBJECTIVE, "a total of 2; objective says 1", {
        "objective": lambda self, *given: lambda image: {"total": 1.0}, "paint": showing}),
    "noise that grows": (MORE, "the saved image's style loss is", {"paint": growing(0.003)}),
    "a thread": (THREADS, "thread lingerer", {"paint": also(lingering)}),
    "a hidden class": (NAME, "cannot be pickled", {"__qualname__": "f.<locals>.Planted"}),
    "an error": (RUNS, "ZeroDivisionError: division by zero (", {"paint": also(lambda *_: 1 / 0)}),
    "an exit": (RUNS, "SystemExit: 4 (", {"paint": also(lambda *_: sys.exit(4))}),
    "no such layer": (DECLARED, "no encoder has relu9_1", {"layers": ("relu9_1",)}),
    "unfit defaults": (MADE, "strength: Input should be a valid number", {
        "strength": "much", "__annotations__": {"strength": float}}),
    "no docstring": (ABOUT, "has no docstring", {"__doc__": None}),
    "a wrong preset": ("strong: its parameters are right", "iterations",
                       {"presets": {"strong": {"iterations": "many"}}}),
    "a preset for no encoder": (f"strong: {DECLARED}", "no encoder has 5.0",
                       {"presets": {"strong": {"strength": 5.0}}, "layers": property(
                           lambda self: ("relu1_1",) if self.strength < 1 else ("5.0",))}),
}  # fmt: skip


@pytest.fixture
def planted() -> Iterator[Callable[..., str]]:
    """Register a sound method with some members replaced, and return its name."""

    def plant(**members: Any) -> str:
        about = {"__module__": __name__, "__doc__": "Planted.", "__qualname__": "Planted"}
        made = type("Planted", (Sound,), {**about, **members})
        cls = dataclass(frozen=True, kw_only=True)(made)
        globals()["Planted"] = cls
        METHODS.names()
        METHODS.register("planted")(cls)
        return "planted"

    yield plant
    del METHODS._classes["planted"]
    if STATE:
        STATE.pop().set()


def test_a_sound_method_passes_every_check(planted: Callable[..., str]) -> None:
    found = list(examine(planted()))
    assert [f for f in found if f.state != "good"] == []
    assert {f.name for f in found} >= {IMAGE, STEPS, BATCH, RESTORED, "strong"}


@pytest.mark.parametrize("fault", PLANTED)
def test_every_planted_fault_is_found_by_its_own_check(
    fault: str, planted: Callable[..., str]
) -> None:
    check, said, members = PLANTED[fault]
    bad = [finding for finding in examine(planted(**members)) if finding.state == "bad"]
    assert bad[0].name == check, bad
    assert said in bad[0].what
    assert all(finding.remedy for finding in bad)


def test_noise_that_the_objective_does_not_see_is_found_as_well(
    planted: Callable[..., str],
) -> None:
    # 0.001 of [0, 1] for each of 200 iterations is a deviation of 51 grey levels in each channel.
    blind = {"objective": lambda self, *given: lambda image: {"style": 1.0, "total": 1.0}}
    method = METHODS.build(planted(paint=growing(0.001), **blind), {})
    (flaw,) = budget.compare(method)
    assert "the saved image's noise is" in flaw.what
    assert list(budget.compare(METHODS.build(planted(paint=growing(0.0)), {}))) == []


def test_the_command_answers_in_json_whatever_a_method_prints(planted: Callable[..., str]) -> None:
    name = planted(paint=also(lambda *_: print("pass 1 of 3")))
    done = CliRunner().invoke(main, ["check", name, "--json"])
    assert done.exit_code == 3
    assert [one["name"] for one in json.loads(done.stdout) if one["state"] == "bad"] == [
        SILENCE, f"strong: {SILENCE}"
    ]  # fmt: skip


def test_the_command_says_what_would_be_right(planted: Callable[..., str]) -> None:
    done = CliRunner().invoke(main, ["check", planted(paint=remembering)])
    assert done.exit_code == 3
    assert f"✗ {MANY}: a content comes out differently once another was" in done.stdout
    assert "      Keep what a content leaves behind out of the stylizer." in done.stdout
    assert f"✓ {INPUTS}: ok" in done.stdout


def test_a_name_that_nobody_has_is_wrong_use() -> None:
    done = CliRunner().invoke(main, ["check", "gatyss"])
    assert done.exit_code == 2
    assert "Did you mean 'gatys'?" in done.stderr
