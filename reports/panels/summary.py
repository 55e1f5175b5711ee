"""What ran where, with what, and how it went."""

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

TOLERATED_DRIFT = 0.05
"""Of the calibration, before against after; beyond it times are not to be quoted."""

VERSIONS = ("nstbench", "torch", "torchvision", "python", "cuda")


def render(view: View) -> Markup | None:
    """Show the facts that every number below hangs on; several runs have a panel of their own."""
    if len(view.parts) > 1:
        return None
    return fill(
        "summary",
        run=view.run,
        counts=counts(view),
        facts=facts(view),
        warnings=warnings(view),
    )


def counts(view: View) -> dict[str, int]:
    """Return how many cells came to what: always those done, others where there are any."""
    statuses = Counter(record.status.replace("_", " ") for record in view.records)
    found = {
        "done": statuses.pop("done", 0),
        **statuses,
        "skipped": len(view.run.skipped),
        "not yet run": view.pending,
        "of them reused": view.run.reused,
    }
    return {name: count for name, count in found.items() if count or name == "done"}


def facts(view: View) -> dict[str, str]:
    """Return what a run stood on, as far as it is known."""
    run = view.run
    training = f"{run.training.count} from {run.training.origin}" if run.training else "none"
    found = {
        "Device": run.device,
        "Processor": run.environment.get("processor", ""),
        "Encoder": run.encoder.name,
        "Encoder weights": f"{run.encoder.origin} · {run.encoder.sha256[:12]}",
        "Precision": run.precision,
        "Pace": _pace(run),
        "Profile": run.profile,
        "Sizes": ", ".join(f"{size} px" for size in view.sizes if size),
        "Seeds": ", ".join(map(str, view.seeds)),
        "Training photographs": training,
        "Versions": ", ".join(f"{k} {v}" for k in VERSIONS if (v := run.environment.get(k))),
        "Git commit": run.environment.get("commit", "")[:18],
        "Started": run.started.replace("T", " ").replace("+00:00", " UTC"),
        "Took": duration(run.seconds) if run.finished else "",
        "MLflow": f"nstbench ui ({redact(run.tracking)})" if run.tracking else "not tracked",
    }
    return {name: fact for name, fact in found.items() if fact}


def _pace(run: Run) -> str:
    """Say what a fixed piece of work took, by which times compare across machines."""
    each = (
        f"{c.before_ms:.3g} ms before, {c.after_ms:.3g} ms after, at {c.size} px"
        for c in run.calibrations
    )
    texts = "; ".join(each)
    return f"a calibration pass (VGG-19, forward and backward) took {texts}" if texts else ""


def warnings(view: View) -> list[str]:
    """Return what a reader must know before the numbers."""
    run = view.run
    found = [run.encoder.warning, *run.warnings]
    if not run.finished:
        found.append("The run has not finished: this page shows what there is by now.")
    elif view.pending:
        found.append(f"{view.pending} of the planned cells have no record.")
    drift = max((c.drift for c in run.calibrations), default=0.0)
    if drift > TOLERATED_DRIFT:
        found.append(
            f"The machine's pace changed by {drift:.0%} during the run: its times are hints."
        )
    devices = {record.cell.device for record in view.records} - {run.device}
    if devices:
        found.append(f"Some cells were computed on {', '.join(sorted(devices))}.")
    return [*dict.fromkeys(filter(None, found))]
