"""Warnings about the resources of a suite, shown before a run and on its page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from harness import encoders
from harness.plan import Resources
from harness.records import Cell, Score
from harness.registry import METHODS, own_files


def resource_warnings(
    resources: Resources, scores: Sequence[Score], cells: Sequence[Cell], trained_on: frozenset[str]
) -> Iterator[str]:
    """Yield what the user should know before a run: stand-ins, missing scores, seen images.

    Args:
        resources: Of the suite.
        scores: Blank scores of its metrics.
        cells: Its planned cells.
        trained_on: SHA-256 of the training photographs.
    """
    if resources.encoder.warning:
        yield resources.encoder.warning
    for score in scores:
        if score.why_missing:
            yield f"{score.name} is not available: {score.why_missing}"
    seen = {c.content.name: None for c in cells if c.training and c.content.sha256 in trained_on}
    if seen:
        names = ", ".join(seen)
        yield f"Trained methods have seen {names}: the training photographs include them."
    yield from _layer_stand_ins(resources, cells)
    images = (image for cell in cells for image in (cell.content, cell.style))
    used = {image.name: image for image in images if image.stand_in}
    if used:
        reason = next(iter(used.values())).why_stand_in
        yield (
            f"Stand-ins for {', '.join(used)}: {reason}"
            " To use your own copies, pass --mirror DIR|URL."
        )
    yield from _circular_scores(resources.metrics)
    yield from _unnamed_weights(cells)
    yield from _shared_images(cells)


def _circular_scores(metrics: Sequence[Any]) -> Iterator[str]:
    """Warn of scores that use the suite's own encoder because no held-out network was found."""
    reasons = {m.score_name: m.circular for m in metrics if m.circular}
    for why in dict.fromkeys(reasons.values()):
        names = " and ".join(name for name, reason in reasons.items() if reason == why)
        yield f"Circular scores: {names}; {why}."


def _unnamed_weights(cells: Sequence[Cell]) -> Iterator[str]:
    """Warn of methods whose package has weights that cell ids do not include."""
    for name in dict.fromkeys(cell.method for cell in cells):
        found = own_files.unnamed_weights(METHODS.get(name), map(METHODS.get, METHODS))
        if found:
            more = f" and {len(found) - 1} more" if len(found) > 1 else ""
            yield (
                f"{name}: its package contains {found[0].name}{more}, but the method names no "
                "`files`: cells count as done after these weights have changed. To run them again, "
                f"pass --fresh. `nstbench check {name}` says how to correct the method."
            )


def _shared_images(cells: Sequence[Cell]) -> Iterator[str]:
    """Warn of variants that read equal images, made before, for different cells."""
    groups: dict[tuple[str, int, str], list[Cell]] = {}
    for cell in cells:
        if cell.files and METHODS.build(cell.method, cell.params).timed == "nothing":
            groups.setdefault((cell.variant, cell.size, str(cell.files)), []).append(cell)
    found: dict[str, list[list[Cell]]] = {}
    for (variant, *_), group in groups.items():
        if len(group) > 1:
            found.setdefault(variant, []).append(group)
    for variant, shared in found.items():
        first = shared[0]
        if all(len({cell.pair for cell in group}) == 1 for group in shared):
            seeds = " and ".join(str(seed) for seed in dict.fromkeys(c.seed for c in first))
            yield (
                f"{variant}: the images of seeds {seeds} are the same, so its scores do not vary "
                "between seeds. If there is an image for each seed, add {seed} to its path."
            )
        else:
            yield (
                f"{variant}: {first[0].pair} and {first[1].pair} have the same image. If this is "
                "not intended, add {content} and {style} to its path."
            )


def _layer_stand_ins(resources: Resources, cells: Sequence[Cell]) -> Iterator[str]:
    """Warn of methods that use other layers than their recipes name."""
    layers = {use.sha256: use.layers for use in resources.found_encoders}
    labels: dict[str, dict[str, None]] = {}
    for cell in {(cell.variant, cell.encoder.sha256): cell for cell in cells}.values():
        method = METHODS.build(cell.method, cell.params)
        stand_ins = encoders.replacement_layers(method, layers[cell.encoder.sha256])
        if stand_ins:
            pairs = ", ".join(f"{shallow} for {deep}" for deep, shallow in stand_ins.items())
            reason = f"{cell.encoder.name} has no deeper layers: {pairs}"
            labels.setdefault(reason, {})[cell.label] = None
    for reason, methods in labels.items():
        yield f"{', '.join(methods)}: replacement layers, because {reason}."
