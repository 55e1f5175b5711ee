"""All checks by the name that `nstbench check` prints, in order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

from harness.conformance import declarations, outputs, side_effects, steps
from harness.conformance.budget import check_larger_budget
from harness.conformance.probe import Probe
from harness.registry.diagnostics import ValidationIssue

Check: TypeAlias = Callable[[Probe], Iterator[ValidationIssue]]

PRECONDITIONS: dict[str, Check] = {
    "an encoder has all declared layers": declarations.check_declared_layers,
    "fit and stylize run": outputs.check_runs,
}
"""A method that fails one of these is not tested further."""

EVERY_PRESET: dict[str, Check] = {
    "the image has the content's size, type and device, is finite and does not require grad":
        outputs.check_image,
    "content and style are unchanged": side_effects.check_inputs,
    "random numbers come from context.generator": side_effects.check_generators,
    "torch's global settings are unchanged": side_effects.check_settings,
    "nothing is printed": side_effects.check_stdout,
    "steps are numbered from 1 and their losses add up to the total": steps.check_steps,
    "all layers that are read are declared": declarations.check_layers_read,
    "files names all data files that are read": declarations.check_files,
    "trains is True if training photographs are read": declarations.check_trains,
}  # fmt: skip
"""Checks of the defaults and of every preset."""

DEFAULTS_ONLY: dict[str, Check] = {
    "the same seed gives the same image": outputs.check_seed,
    "height and width may be odd": outputs.check_odd_sizes,
    "one fit serves several contents": outputs.check_reuse,
    "a batch gives the images of single calls": outputs.check_batch,
    "tiles give the image of a single call": outputs.check_tiles,
    "objective returns the losses that steps report": steps.check_objective,
    "more iterations do not make the saved image worse": check_larger_budget,
    "a restored stylizer gives the same image": outputs.check_restore,
    "module returns a network that gives the same image": outputs.check_module,
    "no thread or process is left running": side_effects.check_threads,
    "the class can be pickled": declarations.check_pickle,
}
"""Longer checks, of the defaults only."""

OPTIONAL_MEMBERS: dict[Check, Sequence[str]] = {
    outputs.check_batch: ["stylize_batch"],
    outputs.check_tiles: ["stylize_in_tiles"],
    steps.check_objective: ["objective"],
    check_larger_budget: ["iterations"],
    outputs.check_restore: ["export", "restore"],
    outputs.check_module: ["module"],
}
"""A check is skipped for methods that have none of its members."""
