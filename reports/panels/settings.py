"""Settings and machine of a run, or of several runs side by side."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from harness.records import Run
from harness.store import redact
from reports.formatting.numbers import duration
from reports.panels.summary import counts
from reports.templating import fill
from reports.view_model import View

title = "Settings"
order = 55

EXPLANATIONS = {
    "Cells": "number by status; a cell is one variant (a method with fixed parameters) applied to"
    " one pair of content and style image, at one size and with one seed",
    "Encoder": "frozen network whose features define content and style losses",
    "Encoder weights": "origin of the weights and start of their SHA-256",
    "Calibration": "time of a fixed workload, to compare times between machines",
    "Profile": "named set of changes to the suite, such as smaller images",
    "Sizes": "long edge of the images",
    "Training photographs": "images on which feed-forward networks are trained",
}
"""Tooltips of facts."""

VERSIONS = ("nstbench", "torch", "torchvision", "python", "cuda")


@dataclass(frozen=True)
class Fact:
    """One setting, with its value in each run."""

    name: str
    values: list[str]

    @property
    def shared(self) -> bool:
        """Whether the value is the same in all runs."""
        return len(set(self.values)) == 1


def render(view: View) -> Markup:
    """Render the settings of each run, and the command of a single run."""
    settings = [_facts(part) for part in view.parts]
    names = dict.fromkeys(name for one in settings for name in one)
    return fill(
        "settings",
        titles=[part.title for part in view.parts],
        facts=[Fact(name, [one.get(name, "") for one in settings]) for name in names],
        explanations=EXPLANATIONS,
        command=redact(view.run.command) if len(view.parts) == 1 else "",
    )


def _facts(view: View) -> dict[str, str]:
    """Return the known settings of a run, by name."""
    run = view.run
    training = f"{run.training.count} from {run.training.origin}" if run.training else "none"
    found = {
        "Cells": ", ".join(f"{count} {name}" for name, count in counts(view).items()),
        "Device": run.device,
        "Processor": run.environment.get("processor", ""),
        "Encoder": run.encoder.name,
        "Encoder weights": f"{run.encoder.origin} · {run.encoder.sha256[:12]}",
        "Precision": run.precision,
        "Calibration": _calibration(run),
        "Profile": run.profile,
        "Sizes": ", ".join(f"{size} px" for size in view.sizes if size),
        "Style sizes": _style_sizes(view),
        "Seeds": ", ".join(map(str, view.seeds)),
        "Training photographs": training,
        "Versions": ", ".join(f"{k} {v}" for k in VERSIONS if (v := run.environment.get(k))),
        "Git commit": run.environment.get("commit", "")[:18],
        "Started": run.started.replace("T", " ").replace("+00:00", " UTC"),
        "Duration": duration(run.seconds) if run.finished else "",
        "MLflow": redact(run.tracking) if run.tracking else "not used",
    }
    return {name: fact for name, fact in found.items() if fact}


def _style_sizes(view: View) -> str:
    """Return the style sizes of the methods; empty if they are those of the contents."""
    cells = [record.cell for record in view.records]
    if not any(cell.style_size for cell in cells):
        return ""
    sizes = sorted({cell.style_size or cell.size for cell in cells if not cell.anchor})
    return ", ".join(f"{size} px" for size in sizes)


def _calibration(run: Run) -> str:
    """Format the time of a fixed workload, which makes times comparable across machines."""
    texts = "; ".join(
        f"{c.before_ms:.3g} ms before and {c.after_ms:.3g} ms after the run at {c.size} px"
        for c in run.calibrations
    )
    return f"forward and backward pass of VGG-19: {texts}" if texts else ""
