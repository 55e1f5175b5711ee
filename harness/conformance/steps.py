"""Check the steps and losses that a method reports."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from itertools import chain
from math import isclose, isfinite

from harness.conformance.probe import Probe, ReportedStep
from harness.protocols import Image, Step
from harness.registry.diagnostics import ValidationIssue


def check_steps(probe: Probe) -> Iterator[ValidationIssue]:
    """Check the numbers of the steps, and the losses of the first step of each phase."""
    reported = probe.first_run.steps
    parameters = asdict(probe.method)
    budget = next((name for name in ("iterations", "steps") if parameters.get(name)), "")
    if budget and not any(reported.values()):
        yield ValidationIssue(
            f"it has the parameter {budget}, but reports no steps",
            "Call context.on_step(Step(index, of, losses)) once per step.",
        )
    for phase, steps in reported.items():
        indices = [step.index for step in steps]
        if indices != list(range(1, len(steps) + 1)):
            yield ValidationIssue(
                f"the steps of {phase} have the numbers {_abbreviate(indices)}",
                "Number them 1, 2, 3 and so on.",
            )
        beyond = next((step for step in steps if step.index > step.of), None)
        if beyond:
            yield ValidationIssue(
                f"{phase} reports step {beyond.index} of {beyond.of}",
                "Set `of` to the largest number that a step can have.",
            )
        yield from chain.from_iterable(_check_losses(step) for step in steps[:1])


def _check_losses(step: ReportedStep) -> Iterator[ValidationIssue]:
    total = step.losses.get("total")
    parts = [loss for name, loss in step.losses.items() if name != "total"]
    if total is None:
        yield ValidationIssue(
            f"the losses of a step are {', '.join(step.losses) or 'none'}; total is missing",
            'Report the minimized loss as "total".',
        )
    elif not isfinite(total):
        yield ValidationIssue(
            f"the first total is {total}", "Choose weights that keep the losses finite."
        )
    elif parts and not isclose(total, sum(parts), rel_tol=1e-4):
        yield ValidationIssue(
            f"the total of a step is {total:.6g}, but its losses add up to {sum(parts):.6g}",
            "Report each loss with the weight that it has in the total.",
        )
    shape = step.image_shape
    if shape is not None and (len(shape) != 4 or shape[:2] != (1, 3)):
        yield ValidationIssue(
            f"the image of a step has the shape {shape}",
            "Report an image (1, 3, H, W), or None.",
        )


def _abbreviate(numbers: Sequence[int]) -> str:
    more = ", ..." if len(numbers) > 5 else ""
    return ", ".join(map(str, numbers[:5])) + more


def check_objective(probe: Probe) -> Iterator[ValidationIssue]:
    """Check that `objective` gives the losses of the first step that has an image."""
    seen: list[tuple[Image, dict[str, float]]] = []

    def on_step(step: Step) -> None:
        if not seen and step.image is not None and step.image.shape == probe.content.shape:
            losses = {name: float(loss) for name, loss in step.losses.items()}
            seen.append((step.image.detach().clone(), losses))

    stylizer = probe.fit()
    stylizer(probe.content, replace(probe.context(0), on_step=on_step))
    if not seen:
        yield ValidationIssue(
            "it has an objective, but no step reports an image of the content's size",
            "Report Step(..., image=image) with the losses of that image.",
        )
        return
    image, reported = seen[0]
    losses = probe.method.objective(stylizer, probe.content, probe.context(0))(image)
    for name, loss in reported.items():
        if name not in losses or not isclose(losses[name], loss, rel_tol=1e-3):
            actual = f"{losses[name]:.6g}" if name in losses else "nothing"
            yield ValidationIssue(
                f"a step reports a {name} of {loss:.6g} for an image; objective returns {actual}",
                "Return the losses of Step, with the same names and weights.",
            )
