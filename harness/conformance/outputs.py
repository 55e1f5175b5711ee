"""Check the images of a method: format, seeds, sizes, batches, and restored fits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import safetensors.torch
import torch

from harness.conformance.probe import SIZE, Probe, ReportedStep, photograph
from harness.protocols import Image, SupportsExport
from harness.registry.diagnostics import ValidationIssue

ODD_SIZE = (33, 47)  # height, width

MAX_BATCH_DIFFERENCE = 1 / 255
"""Allowed mean difference between images of a batch and of single calls: sums are reordered."""

MAX_EXPORT_DIFFERENCE = 1e-3
"""Allowed difference of a pixel, in [0, 1], between a stylizer and its exported network."""


def check_runs(probe: Probe) -> Iterator[ValidationIssue]:
    """Fit and stylize; an exception is the issue."""
    _ = probe.first_run
    yield from ()


def check_image(probe: Probe) -> Iterator[ValidationIssue]:
    """Check that the image has the format of the content."""
    yield from _compare_format(probe.first_run.image, probe.content)


def _compare_format(image: Any, content: Image) -> Iterator[ValidationIssue]:
    if not isinstance(image, torch.Tensor):
        yield ValidationIssue(
            f"it returned an object of type {type(image).__name__}",
            "Return a tensor (1, 3, H, W).",
        )
        return
    if image.shape != content.shape:
        yield ValidationIssue(
            f"it returned {tuple(image.shape)} for a content of {tuple(content.shape)}",
            "Return an image of the content's size.",
        )
    for what, actual, expected in (
        ("a tensor of type", image.dtype, content.dtype),
        ("a tensor on device", image.device, content.device),
    ):
        if actual != expected:
            yield ValidationIssue(
                f"it returned {what} {actual}", f"Return {what} {expected}, like the content."
            )
    if not torch.isfinite(image.detach()).all():
        yield ValidationIssue(
            "it returned values that are not finite",
            "Raise harness.errors.Diverged with the last finite image.",
        )
    if image.requires_grad:
        yield ValidationIssue("the image still requires grad", "Return image.detach().")


def check_seed(probe: Probe) -> Iterator[ValidationIssue]:
    """Check that two runs with one seed give equal images."""
    first, second = probe.first_run.image, probe.run().image
    if not torch.equal(first, second):
        difference = float((first - second).abs().max())
        yield ValidationIssue(
            f"two runs with the same seed differ by up to {difference:.3g}",
            "Draw all random numbers from context.generator, and keep no state between runs.",
        )


def check_odd_sizes(probe: Probe) -> Iterator[ValidationIssue]:
    """Check images with an odd height and width."""
    height, width = ODD_SIZE
    content = photograph("rocket", 2 * SIZE)[..., :height, :width].contiguous()
    style = photograph("chelsea", 2 * SIZE)[..., : width - 4, : height - 4].contiguous()
    yield from _compare_format(probe.fit(style)(content, probe.context(0)), content)


def check_reuse(probe: Probe) -> Iterator[ValidationIssue]:
    """Check that a stylizer gives the same image again after it stylized another content."""
    stylizer, other = probe.fit(), photograph("rocket", SIZE - 4)
    first = stylizer(probe.content, probe.context(0)).clone()
    yield from _compare_format(stylizer(other, probe.context(1)), other)
    if not torch.equal(stylizer(probe.content, probe.context(0)), first):
        yield ValidationIssue(
            "the image of a content changes after another content was stylized",
            "Do not change the state of the stylizer while it stylizes.",
        )


def check_batch(probe: Probe) -> Iterator[ValidationIssue]:
    """Check that `stylize_batch` gives the images of single calls."""
    contents = [probe.content, probe.content.flip(-1)]
    other_style = photograph("coffee", SIZE) if probe.method.mixes_styles else None
    stylizers = [probe.fit(), probe.fit(other_style)]
    single = [
        stylizer(content, probe.context(seed))
        for seed, (stylizer, content) in enumerate(zip(stylizers, contents, strict=True))
    ]
    contexts = [probe.context(seed) for seed in range(2)]
    batch = probe.method.stylize_batch(stylizers, torch.cat(contents), contexts)
    yield from _compare_format(batch, torch.cat(contents))
    difference = float((batch - torch.cat(single)).abs().mean(dim=(1, 2, 3)).max())
    if difference > MAX_BATCH_DIFFERENCE:
        yield ValidationIssue(
            f"an image of a batch differs from that of a single call by {255 * difference:.1f} "
            f"grey levels on average; at most {255 * MAX_BATCH_DIFFERENCE:g} is allowed",
            "Compute the images of a batch independently, each with its own stylizer and context.",
        )


def check_tiles(probe: Probe) -> Iterator[ValidationIssue]:
    """Check that `stylize_in_tiles` gives the image of a single call."""
    stylizer, content = probe.fit(), probe.content
    tiled = probe.method.stylize_in_tiles(stylizer, content, probe.context(0), SIZE // 2)
    yield from _compare_format(tiled, content)
    difference = float((tiled - stylizer(content, probe.context(0))).abs().mean())
    if difference > MAX_BATCH_DIFFERENCE:
        yield ValidationIssue(
            f"an image in tiles differs from that of a single call by {255 * difference:.1f} grey "
            f"levels on average; at most {255 * MAX_BATCH_DIFFERENCE:g} is allowed",
            "Give tiles enough overlap, and take statistics of the whole image.",
        )


def check_restore(probe: Probe) -> Iterator[ValidationIssue]:
    """Check that an exported and restored stylizer gives the same image."""
    if not isinstance(probe.method, SupportsExport):
        yield ValidationIssue(
            "it defines only one of export and restore", "Define both, or neither."
        )
        return
    stylizer, steps = probe.fit(), list[ReportedStep]()
    tensors = safetensors.torch.load(safetensors.torch.save(probe.method.export(stylizer)))
    restored = probe.method.restore(tensors, probe.context(0, steps))
    image = stylizer(probe.content, probe.context(0))
    if not torch.equal(restored(probe.content, probe.context(0)), image):
        yield ValidationIssue(
            "a restored stylizer gives another image", "Export everything that fit has learned."
        )
    if steps:
        yield ValidationIssue(
            "restore reports steps", "Build the stylizer from the tensors, without training."
        )


def check_module(probe: Probe) -> Iterator[ValidationIssue]:
    """Check that the exported network gives the stylizer's image."""
    stylizer = probe.fit()
    image = stylizer(probe.content, probe.context(0))
    with torch.no_grad():
        exported = probe.method.module(stylizer)(probe.content)
    if not torch.allclose(exported, image, atol=MAX_EXPORT_DIFFERENCE):
        yield ValidationIssue(
            "the network of `module` gives another image than the stylizer",
            "Return a network that maps images in [0, 1] as the stylizer does.",
        )
