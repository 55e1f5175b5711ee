"""Rescoring of stored images: which stored scores are kept."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch

from harness.execution.jobs import Job
from harness.execution.scoring import Scorer, blank_score
from harness.metrics.gamut import Gamut
from harness.plan import Resources
from harness.records import EncoderUse, Record
from harness.resources.images import to_png
from tests.helpers.report_page import cell

ENCODER = EncoderUse("random", "e" * 64, "seed 0")


@pytest.mark.parametrize(
    ("change", "kept"), [({"unit": "of pixels"}, True), ({"version": 0}, False)], ids=str
)
def test_a_new_wording_of_the_unit_does_not_discard_a_stored_score(
    tmp_path: Path, change: dict[str, Any], kept: bool
) -> None:
    metric = Gamut()
    resources = Resources(encoder=ENCODER, encoder_files={}, device="cpu", precision="float32",
                          metrics=(metric,))  # fmt: skip
    contexts = SimpleNamespace(make=lambda *_: None, encoder=lambda _: None)
    scorer = Scorer(resources, cast("Any", contexts), torch.device("cpu"))
    score = replace(blank_score(metric, ENCODER), value=0.25, **change)
    pixels = np.zeros((16, 16, 3), dtype=np.uint8)
    image = tmp_path / "image.png"
    image.write_bytes(to_png(pixels))
    stored = Record(cell("identity"), "done", scores=(score,))
    job = Job(stored.cell, pixels, pixels, stored=stored, image=image)
    (again,) = scorer.rescore(job).record.scores
    assert (again == score) is kept
