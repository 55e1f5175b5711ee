"""A fitted stylizer: what it took to make, and how it is kept to be used again by a later run."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.execution.machine.background_load import BackgroundLoad
from harness.execution.machine.timing import PeakMemory, Trace, synchronise
from harness.protocols import Context, Stylizer
from harness.records import TracePoint


@dataclass
class FitStats:
    """What a fit took, so far or in all."""

    seconds: float = 0.0
    trace: list[TracePoint] = field(default_factory=list)
    pass_ms: tuple[float, float, float] | None = None
    peak_mb: float | None = None
    notes: list[str] = field(default_factory=list)
    noisy: str = ""  # what disturbed the clock


@dataclass(kw_only=True)
class Fit(FitStats):
    """A fitted stylizer and what its fit took."""

    stylizer: Stylizer
    served: bool = False  # has stylized a content before: the next one shares its fit
    kept: bool = False  # was restored from an earlier run


class FitInProgress:
    """A fit that is being made; what earlier processes did of it counts as its own."""

    def __init__(
        self, trace: Trace, memory: PeakMemory, others: BackgroundLoad, notes: list[str]
    ) -> None:
        self.trace, self.memory, self.others, self.notes = trace, memory, others, notes
        self.device = trace.device
        self._earlier = FitStats()
        synchronise(self.device)
        self._start = time.perf_counter()

    def resume(self, earlier: FitStats) -> None:
        """Go on where an earlier process was."""
        self._earlier = earlier
        self.trace.resume(earlier.trace, earlier.seconds)
        self.notes += earlier.notes

    def took(self) -> FitStats:
        """Return what the fit took up to now."""
        synchronise(self.device)
        earlier, own = self._earlier, time.perf_counter() - self._start
        disturbed = self.others.complaint(self.others.busy_cores()) if self.trace.steps else ""
        return FitStats(
            seconds=earlier.seconds + own,
            trace=self.trace.points(),
            pass_ms=self.trace.pass_ms(),
            peak_mb=max(filter(None, (earlier.peak_mb, self.memory.read())), default=None),
            notes=list(dict.fromkeys(self.notes)),
            noisy=earlier.noisy or disturbed,
        )


def pack(method: Any, fit: Fit) -> bytes:
    """Return a fit's tensors as the bytes of a safetensors file."""
    import safetensors.torch

    return safetensors.torch.save(method.export(fit.stylizer))


def facts(took: FitStats) -> dict[str, Any]:
    """Return what a fit took, for JSON."""
    return {
        "seconds": took.seconds,
        "pass_ms": took.pass_ms,
        "peak_mb": took.peak_mb,
        "notes": took.notes,
        "noisy": took.noisy,
        "trace": [[p.index, p.seconds, dict(p.losses)] for p in took.trace],
    }


def taken(found: Mapping[str, Any]) -> FitStats:
    """Return what `facts` wrote down."""
    pass_ms = found["pass_ms"]
    return FitStats(
        seconds=found["seconds"],
        trace=[TracePoint("fit", i, at, losses) for i, at, losses in found["trace"]],
        pass_ms=(pass_ms[0], pass_ms[1], pass_ms[2]) if pass_ms else None,
        peak_mb=found["peak_mb"],
        notes=found["notes"],
        noisy=found.get("noisy", ""),
    )


def restored(method: Any, kept: tuple[bytes, dict[str, Any]], context: Context) -> Fit:
    """Return the fit that `pack` and `facts` took apart."""
    import safetensors.torch

    model, found = kept
    stylizer = method.restore(safetensors.torch.load(model), context)
    return Fit(**vars(taken(found)), stylizer=stylizer, served=True, kept=True)
