"""Several cells of one variant in one batch, for throughput. Single cells need only `runner`."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace

import torch

from harness.execution.context import OnStep, ignore_step
from harness.execution.failures import check_image
from harness.execution.jobs import Job, Outcome
from harness.execution.machine import memory_estimate
from harness.execution.machine.timing import Stopwatch
from harness.execution.runner import Runner, stand_in_notes, with_notes
from harness.protocols import Image
from harness.registry import METHODS
from harness.resources.images import to_pixels, to_tensor


def execute_batch(runner: Runner, jobs: Sequence[Job]) -> list[Outcome]:
    """Run cells in one batch, or each alone if the batch raises."""
    runner.traces.clear()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        try:
            outcomes = _run_batch(runner, jobs)
        except (Exception, SystemExit):  # a method may raise anything
            outcomes = None
    if outcomes is None:
        runner.release_memory()
        return [runner.execute(job) for job in jobs]
    return [with_notes(outcome, [str(w.message) for w in caught]) for outcome in outcomes]


def _run_batch(runner: Runner, jobs: Sequence[Job]) -> list[Outcome]:
    """Fit, stylize and measure; each cell gets an even share of the seconds."""
    cells = [job.cell for job in jobs]
    blanks = [runner.blank_record(job) for job in jobs]
    method = METHODS.build(cells[0].method, cells[0].params)
    encoder = runner.contexts.encoder_for(method, cells[0])
    contents = torch.cat([to_tensor(job.content).to(runner.device) for job in jobs])
    memory_estimate.check(method, encoder, cells[0], contents)
    timed = runner.timer.start(method, encoder, cells[0].size, contents)
    runner.keep_fits(cells)
    fits = [runner.fit(method, encoder, job) for job in jobs]

    runner.progress("stylize", 0, 1)
    notes = [stand_in_notes(encoder) for _ in jobs]
    background = runner.timer.background_load()
    traces = [runner.start_trace("stylize") for _ in jobs]

    def stylize(listeners: Sequence[OnStep]) -> Image:
        contexts = [
            runner.contexts.make(
                cell, encoder, cell.content.name, cell.style.name, on_step=on_step, notes=own
            )
            for cell, on_step, own in zip(cells, listeners, notes, strict=True)
        ]
        images: Image = method.stylize_batch([fit.stylizer for fit in fits], contents, contexts)
        return images

    with Stopwatch(runner.device) as watch:
        images = stylize([trace.on_step for trace in traces])
    again = None if traces[0].steps else lambda: stylize([ignore_step] * len(jobs))
    timed = runner.timer.finish(timed, watch.seconds, again, background)
    check_image(images, contents, cells[0].precision)

    runner.progress("measure", 0, 1)
    outcomes = []
    rows = zip(jobs, blanks, fits, traces, notes, images.split(1), strict=True)
    for job, blank, fit, trace, own, image in rows:
        pixels = to_pixels(image)
        scores = runner.scorer.score(job, pixels, image)
        record = replace(blank, timing=timed, scores=scores, notes=tuple(own))
        outcomes.append(runner.outcome(job, record, method, fit, trace, image, pixels))
    return outcomes
