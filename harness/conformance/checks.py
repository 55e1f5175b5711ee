"""The checks: each yields what a method does wrong, and what would be right."""

from __future__ import annotations

import gc
import multiprocessing
import pickle
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from itertools import chain
from math import isclose, isfinite
from typing import Any, TypeAlias

import safetensors.torch
import torch

from harness.conformance.budget import more_is_never_worse
from harness.conformance.probe import SIZE, Lab, Reported, photograph
from harness.encoders.architectures import ARCHITECTURES
from harness.errors import nearest
from harness.protocols import Image, Step, SupportsExport
from harness.registry.class_rules import ValidationIssue

ODD = (33, 47)  # height and width
GRACE_SECONDS = 0.5  # for a thread that is about to end

ALIKE = 1 / 255
"""The mean difference that a batch may make: it takes sums in another order."""

Flaws: TypeAlias = Iterator[ValidationIssue]
Check: TypeAlias = Callable[[Lab], Flaws]


def documented(cls: type[Any]) -> Flaws:
    """It says what it is, and its module where it is from."""
    if not cls.__doc__ or cls.__doc__.startswith(f"{cls.__name__}("):  # a dataclass' own
        yield ValidationIssue(
            f"{cls.__name__} has no docstring", "Its first line is shown by `list`."
        )
    module = sys.modules[cls.__module__].__doc__ or ""
    if "Source:" not in module and not cls.anchor:
        yield ValidationIssue(f"the docstring of {cls.__module__} names no source",
                   "Write `Source:` and the paper or code; where there is none, that it is new. "
                   "A reference point says anchor: ClassVar[bool] = True instead.")  # fmt: skip


def layers_exist(lab: Lab) -> Flaws:
    """Some encoder has all the layers that are declared."""
    assert lab.missing is not None  # what stands in can be read as well
    declared = set(lab.method.layers)
    if not any(declared <= set(one.layers) for one in ARCHITECTURES.values()):
        known = list(dict.fromkeys(chain.from_iterable(a.layers for a in ARCHITECTURES.values())))
        odd = sorted(declared - set(known)) or sorted(declared)
        yield ValidationIssue(f"no encoder has {', '.join(odd)} (all of `layers`)",
                   f"Layers are named reluX_Y or convX_Y.{nearest(odd[0], known)}")  # fmt: skip


def runs(lab: Lab) -> Flaws:
    """It fits a style and stylizes a content."""
    assert lab.trial
    yield from ()


def image(lab: Lab) -> Flaws:
    """It returns an image like the content."""
    yield from _unlike(lab.trial.image, lab.content)


def _unlike(made: Any, content: Image) -> Flaws:
    if not isinstance(made, torch.Tensor):
        yield ValidationIssue(
            f"it returned a {type(made).__name__}", "Return a tensor (1, 3, H, W)."
        )
        return
    if made.shape != content.shape:
        yield ValidationIssue(
            f"it returned {tuple(made.shape)} for a content of {tuple(content.shape)}",
            "Return an image of the content's size.",
        )
    for what, found, wanted in (
        ("a tensor of", made.dtype, content.dtype),
        ("a tensor on", made.device, content.device),
    ):
        if found != wanted:
            yield ValidationIssue(f"it returned {what} {found}", f"Return it as {wanted}.")
    if not torch.isfinite(made.detach()).all():
        yield ValidationIssue("it returned values that are not finite",
                   "Raise harness.errors.Diverged with the last finite image.")  # fmt: skip
    if made.requires_grad:
        yield ValidationIssue(
            "its image hangs on the graph of its gradients", "Return image.detach()."
        )


def inputs(lab: Lab) -> Flaws:
    """Content and style stay as they were."""
    for name in lab.trial.altered:
        yield ValidationIssue(f"it wrote to the {name} image", "Work on image.clone().")


def seeded(lab: Lab) -> Flaws:
    """The same seed gives the same image."""
    first, second = lab.trial.image, lab.run().image
    if not torch.equal(first, second):
        most = float((first - second).abs().max())
        yield ValidationIssue(f"two runs from one seed differ by up to {most:.3g}",
                   "Draw every random number from context.generator, and keep no state between "
                   "runs.")  # fmt: skip


def randomness(lab: Lab) -> Flaws:
    """Global random generators are left alone."""
    for name in lab.trial.drew:
        yield ValidationIssue(f"the global generator of {name} was drawn from, or seeded",
                   "Draw from context.generator; what can draw from torch's own alone goes into "
                   "torch.random.fork_rng, seeded from it.")  # fmt: skip


def settings(lab: Lab) -> Flaws:
    """Torch's global settings are left alone."""
    for name in lab.trial.set:
        yield ValidationIssue(f"torch's {name} was changed and not put back",
                   "Other cells run in this process: use a context manager.")  # fmt: skip


def silence(lab: Lab) -> Flaws:
    """Nothing is printed."""
    if text := lab.trial.printed.strip():
        yield ValidationIssue(f"it printed {text.splitlines()[0][:60]!r}",
                   "Report progress by context.on_step, and the rest by context.note.")  # fmt: skip


def steps(lab: Lab) -> Flaws:
    """Steps count up, and say what they minimise."""
    reported = lab.trial.steps
    parameters = asdict(lab.method)
    budget = next((name for name in ("iterations", "steps") if parameters.get(name)), "")
    if budget and not any(reported.values()):
        yield ValidationIssue(f"it has {budget} and reports none of them",
                   "Call context.on_step(Step(index, of, losses)) once for each.")  # fmt: skip
    for phase, row in reported.items():
        indices = [step.index for step in row]
        if indices != list(range(1, len(row) + 1)):
            yield ValidationIssue(
                f"its steps in {phase} are {_shown(indices)}", "Count 1, 2, 3 and so on."
            )
        beyond = next((step for step in row if step.index > step.of), None)
        if beyond:
            yield ValidationIssue(f"step {beyond.index} of {beyond.of} in {phase}",
                       "`of` is the last that may come.")  # fmt: skip
        yield from chain.from_iterable(_losses(step) for step in row[:1])


def _losses(step: Reported) -> Flaws:
    total = step.losses.get("total")
    parts = [loss for name, loss in step.losses.items() if name != "total"]
    if total is None:
        yield ValidationIssue(f"its losses are {', '.join(step.losses) or 'none'}",
                   'Report what is minimised as "total" among them.')  # fmt: skip
    elif not isfinite(total):
        yield ValidationIssue(
            f"its first total is {total}", "Weigh the losses so that they are finite."
        )
    elif parts and not isclose(total, sum(parts), rel_tol=1e-4):
        yield ValidationIssue(f"its total is {total:.6g}, and its parts add up to {sum(parts):.6g}",
                   "Report each loss weighted, as it enters the total.")  # fmt: skip
    if step.shape is not None and (len(step.shape) != 4 or step.shape[:2] != (1, 3)):
        yield ValidationIssue(
            f"the image of a step is {step.shape}", "Report (1, 3, H, W), or none."
        )


def _shown(numbers: Sequence[int]) -> str:
    more = ", ..." if len(numbers) > 5 else ""
    return ", ".join(map(str, numbers[:5])) + more


def layers(lab: Lab) -> Flaws:
    """It asks the encoder for the layers that it declares."""
    undeclared = lab.trial.asked - set(lab.method.layers)
    if undeclared:
        yield ValidationIssue(
            f"it looks at {', '.join(sorted(undeclared))} and does not declare it",
            "Return every layer from its property `layers`.",
        )


def photographs(lab: Lab) -> Flaws:
    """A method that trains says so."""
    if lab.trial.read and not lab.method.trains:
        yield ValidationIssue("it reads photographs to train on and does not say so",
                   "Write trains: ClassVar[bool] = True: they are part of what a result is "
                   "known by.")  # fmt: skip


def odd_sizes(lab: Lab) -> Flaws:
    """Images may have any size."""
    height, width = ODD
    content = photograph("rocket", 2 * SIZE)[..., :height, :width].contiguous()
    style = photograph("chelsea", 2 * SIZE)[..., : width - 4, : height - 4].contiguous()
    yield from _unlike(lab.fit(style)(content, lab.context(0)), content)


def many_contents(lab: Lab) -> Flaws:
    """One fit serves many contents."""
    stylizer, other = lab.fit(), photograph("rocket", SIZE - 4)
    first = stylizer(lab.content, lab.context(0)).clone()
    yield from _unlike(stylizer(other, lab.context(1)), other)
    if not torch.equal(stylizer(lab.content, lab.context(0)), first):
        yield ValidationIssue(
            "a content comes out differently once another was stylized in between",
            "Keep what a content leaves behind out of the stylizer.",
        )


def batches_of_cells(lab: Lab) -> Flaws:
    """In a batch each image comes out as it does alone."""
    contents = [lab.content, lab.content.flip(-1)]
    other = photograph("coffee", SIZE) if lab.method.mixes_styles else None
    stylizers = [lab.fit(), lab.fit(other)]
    alone = [
        fit(one, lab.context(seed))
        for seed, (fit, one) in enumerate(zip(stylizers, contents, strict=True))
    ]
    contexts = [lab.context(seed) for seed in range(2)]
    batch = lab.method.stylize_batch(stylizers, torch.cat(contents), contexts)
    yield from _unlike(batch, torch.cat(contents))
    apart = (batch - torch.cat(alone)).abs().mean(dim=(1, 2, 3)).max()
    if float(apart) > ALIKE:
        yield ValidationIssue(
            f"an image differs by {255 * float(apart):.1f} grey levels in the mean",
            "Let no image of a batch touch another, and take each one's own stylizer and context.",
        )


def objective(lab: Lab) -> Flaws:
    """Its objective gives the losses that its steps report."""
    seen: list[tuple[Image, dict[str, float]]] = []

    def on_step(step: Step) -> None:
        if not seen and step.image is not None and step.image.shape == lab.content.shape:
            losses = {name: float(loss) for name, loss in step.losses.items()}
            seen.append((step.image.detach().clone(), losses))

    stylizer = lab.fit()
    stylizer(lab.content, replace(lab.context(0), on_step=on_step))
    if not seen:
        yield ValidationIssue(
            "it has an objective, and no step reports an image of the content's size",
            "Report Step(..., image=image) with the losses of that image.",
        )
        return
    image, reported = seen[0]
    found = lab.method.objective(stylizer, lab.content, lab.context(0))(image)
    for name, loss in reported.items():
        if name not in found or not isclose(found[name], loss, rel_tol=1e-3):
            given = f"{found[name]:.6g}" if name in found else "missing"
            yield ValidationIssue(
                f"its first step reports a {name} of {loss:.6g}; objective says {given}",
                "Return the losses that Step has, weighted alike.",
            )


def restored(lab: Lab) -> Flaws:
    """What is exported can be restored."""
    if not isinstance(lab.method, SupportsExport):
        yield ValidationIssue("it has one of export and restore", "Have both, or neither.")
        return
    stylizer, steps = lab.fit(), list[Reported]()
    kept = safetensors.torch.load(safetensors.torch.save(lab.method.export(stylizer)))
    again = lab.method.restore(kept, lab.context(0, steps))
    if not torch.equal(again(lab.content, lab.context(0)), stylizer(lab.content, lab.context(0))):
        yield ValidationIssue("what was exported and restored gives another image",
                   "Export everything that fit has learnt.")  # fmt: skip
    if steps:
        yield ValidationIssue(
            "restore reports steps, as if it trained", "Take the tensors as they are."
        )


def threads(lab: Lab) -> Flaws:
    """Nothing is left running."""
    left = set(threading.enumerate()) - lab.threads
    if left:
        gc.collect()  # a pool ends with what holds it
    for thread in left:
        thread.join(GRACE_SECONDS)
        if thread.is_alive():
            yield ValidationIssue(f"the thread {thread.name} is left running",
                       "End it before fit or the stylizer returns.")  # fmt: skip
    for process in multiprocessing.active_children():
        yield ValidationIssue(f"the process {process.name} is left running", "End it as well.")


def found_by_name(lab: Lab) -> Flaws:
    """Another process finds it by name."""
    try:
        pickle.dumps(type(lab.method))
    except (pickle.PicklingError, AttributeError) as error:
        right = "Define the class at the top of its module, under a name of its own."
        yield ValidationIssue(f"it cannot be pickled: {error}", right)


FIRST: dict[str, Check] = {
    "the layers it declares exist": layers_exist,
    "it runs": runs,
}
ALWAYS: dict[str, Check] = {
    "its image is like the content: size, float32, device, finite, without a graph": image,
    "content and style stay as they were": inputs,
    "random numbers come from the context's generator": randomness,
    "torch's settings stay as they were": settings,
    "it prints nothing": silence,
    "steps count up, with the losses that add up to a total": steps,
    "it asks for the layers that it declares": layers,
    "it says so where it trains on photographs": photographs,
}
ONCE: dict[str, Check] = {
    "the same seed gives the same image": seeded,
    "odd sizes are fine": odd_sizes,
    "one fit serves many contents": many_contents,
    "in a batch each image comes out as it does alone": batches_of_cells,
    "its objective gives the losses that its steps report": objective,
    "more iterations do not make the saved image worse": more_is_never_worse,
    "what it exports can be restored": restored,
    "no thread and no process is left running": threads,
    "another process finds it by name": found_by_name,
}
OPTIONAL: dict[Check, Sequence[str]] = {
    batches_of_cells: ["stylize_batch"],
    objective: ["objective"],
    more_is_never_worse: ["iterations"],
    restored: ["export", "restore"],
}
"""What a method may do without; the check is for those who have any of it."""
