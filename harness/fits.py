"""A fitted stylizer, and how it is kept to be used again by a later run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from harness.protocols import Context, Stylizer
from harness.records import TracePoint


@dataclass
class Fit:
    """A fitted stylizer and what its fit took."""

    stylizer: Stylizer
    seconds: float
    trace: list[TracePoint]
    pass_ms: tuple[float, float, float] | None
    peak_mb: float | None
    notes: list[str]
    noisy: str = ""  # what disturbed the clock
    served: bool = False  # has stylized a content before: the next one shares its fit
    kept: bool = False  # was restored from an earlier run


def pack(method: Any, fit: Fit) -> bytes:
    """Return a fit's tensors as the bytes of a safetensors file."""
    import safetensors.torch

    return safetensors.torch.save(method.export(fit.stylizer))


def facts(fit: Fit) -> dict[str, Any]:
    """Return what a fit took, for JSON."""
    return {
        "seconds": fit.seconds,
        "pass_ms": fit.pass_ms,
        "peak_mb": fit.peak_mb,
        "notes": fit.notes,
        "noisy": fit.noisy,
        "trace": [[p.index, p.seconds, dict(p.losses)] for p in fit.trace],
    }


def restored(method: Any, kept: tuple[bytes, dict[str, Any]], context: Context) -> Fit:
    """Return the fit that `pack` and `facts` took apart."""
    import safetensors.torch

    model, found = kept
    pass_ms = found["pass_ms"]
    return Fit(
        stylizer=method.restore(safetensors.torch.load(model), context),
        seconds=found["seconds"],
        trace=[TracePoint("fit", i, at, losses) for i, at, losses in found["trace"]],
        pass_ms=(pass_ms[0], pass_ms[1], pass_ms[2]) if pass_ms else None,
        peak_mb=found["peak_mb"],
        notes=found["notes"],
        noisy=found.get("noisy", ""),
        served=True,
        kept=True,
    )
