"""Summary of a run: cell counts, warnings, settings and machine."""

from __future__ import annotations

from collections import Counter

from markupsafe import Markup

from harness.records import Run
from harness.store import redact
from reports.formatting.numbers import duration
from reports.templating import fill
from reports.view_model import View

title = "This run"
order = 10

MAX_DRIFT = 0.05
"""Relative change of the calibration time during a run beyond which times are not reliable."""

EXPLANATIONS = {
    "Encoder": "frozen network whose features define content and style losses",
    "Encoder weights": "origin of the weights and start of their SHA-256",
    "Calibration": "time of a fixed workload, to compare times between machines",
    "Profile": "named set of changes to the suite, such as smaller images",
    "Sizes": "long edge of the images",
    "Training photographs": "images on which feed-forward networks are trained",
}
"""Tooltips of facts."""

VERSIONS = ("nstbench", "torch", "torchvision", "python", "cuda")


def render(view: View) -> Markup | None:
    """Render the settings of a single run; `run_comparison` covers several runs."""
    if len(view.parts) > 1:
        return None
    return fill(
        "summary",
        run=view.run,
        counts=counts(view),
        facts=facts(view),
        explanations=EXPLANATIONS,
        warnings=warnings(view),
    )


def counts(view: View) -> dict[str, int]:
    """Return the number of cells by status; `done` is always present."""
    statuses = Counter(record.status.replace("_", " ") for record in view.records)
    found = {
        "done": statuses.pop("done", 0),
        **statuses,
        "skipped": len(view.run.skipped),
        "not yet run": view.pending,
        "reused from earlier runs": view.run.reused,
    }
    return {name: count for name, count in found.items() if count or name == "done"}


def facts(view: View) -> dict[str, str]:
    """Return the known settings of a run, by name."""
    run = view.run
    training = f"{run.training.count} from {run.training.origin}" if run.training else "none"
    found = {
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


def warnings(view: View) -> list[str]:
    """Return what readers must know before they use the numbers."""
    run = view.run
    found = [run.encoder.warning, *run.warnings]
    if not run.finished:
        found.append("The run has not finished. This page shows the results so far.")
    elif view.pending:
        found.append(f"{view.pending} of the planned cells have no record.")
    drift = max((c.drift for c in run.calibrations), default=0.0)
    if drift > MAX_DRIFT:
        found.append(
            f"The speed of the machine changed by {drift:.0%} during the run."
            " Times are approximate."
        )
    devices = {record.cell.device for record in view.records} - {run.device}
    if devices:
        found.append(f"Some cells ran on {', '.join(sorted(devices))}.")
    return [*dict.fromkeys(filter(None, found))]
