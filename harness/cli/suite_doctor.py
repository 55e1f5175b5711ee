"""The checks of `nstbench doctor --suite`: which variants can run on this machine."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from harness.errors import SuiteError
from harness.execution.prepare import RunOptions, prepare, programs_of
from harness.registry.diagnostics import Finding
from harness.suite import Suite


def examine_suite(suite: Suite, options: RunOptions) -> Iterator[Finding]:
    """Yield a finding for each variant, or for each mistake of the suite. Starts no program."""
    try:
        plan = prepare(suite, options).plan
    except SuiteError as error:
        yield from (Finding(suite.name, p.where, "bad", p.what) for p in error.problems)
        return
    skips = {skip.variant: skip.reason for skip in reversed(plan.skipped)}
    cells = {cell.variant: [cell] for cell in plan.cells}
    for variant in dict.fromkeys((*(cell.variant for cell in plan.cells), *skips)):
        count = sum(cell.variant == variant for cell in plan.cells)
        what = f"{count} cells can run" if count else "it cannot run here"
        remedy = ""
        if commands := programs_of(cells.get(variant, [])):
            what += f"; it starts {' and '.join(map(shlex.join, commands))}"
            remedy = "Run it with --allow-commands."
        if variant in skips:
            yield Finding(suite.name, variant, "fair", f"{what}: {skips[variant]}")
        else:
            yield Finding(suite.name, variant, "good", what, remedy)
