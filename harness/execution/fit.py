"""A fitted stylizer: what its fit took, and how both are stored for a later run."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.execution.machine.background_load import BackgroundLoad
from harness.execution.machine.timing import OwnMeasurement, PeakMemory, Trace, synchronise
from harness.protocols import Context, Stylizer
from harness.records import Cell, TracePoint
from harness.resources.weights import pack_recipe


@dataclass
class FitStats:
    """What a fit took, so far or in total."""

    seconds: float = 0.0
    trace: list[TracePoint] = field(default_factory=list)
    pass_ms: tuple[float, float, float] | None = None  # quartiles
    peak_mb: float | None = None
    notes: list[str] = field(default_factory=list)
    noisy: str = ""  # what disturbed the clock


@dataclass(kw_only=True)
class Fit(FitStats):
    """A fitted stylizer and what its fit took."""

    stylizer: Stylizer
    served: bool = False  # stylized an earlier content: later cells share the fit
    kept: bool = False  # restored from an earlier run


class FitInProgress:
    """Measures a running fit; the parts that earlier processes made of it are included."""

    def __init__(
        self, trace: Trace, memory: PeakMemory, background: BackgroundLoad, notes: list[str],
        own: OwnMeasurement | None = None,
    ) -> None:  # fmt: skip
        self.trace, self.memory, self.background, self.notes = trace, memory, background, notes
        self.device, self._own_measurement = trace.device, own or OwnMeasurement()
        self._earlier = FitStats()
        synchronise(self.device)
        self._start = time.perf_counter()

    def resume(self, earlier: FitStats) -> None:
        """Add what an earlier process measured of this fit."""
        self._earlier = earlier
        self.trace.resume(earlier.trace, earlier.seconds)
        self.notes += earlier.notes

    def stats(self) -> FitStats:
        """Return what the fit took until now."""
        synchronise(self.device)
        earlier, measured = self._earlier, self._own_measurement
        own, peak_mb = time.perf_counter() - self._start, measured.peak_mb
        if measured.seconds is not None:
            own = measured.seconds
        background = self.background
        noisy = background.warning(background.busy_cores()) if self.trace.steps else ""
        return FitStats(
            seconds=earlier.seconds + own,
            trace=self.trace.points(),
            pass_ms=self.trace.pass_ms(),
            peak_mb=max(earlier.peak_mb or 0.0, self.memory.read() if peak_mb is None else peak_mb),
            notes=list(dict.fromkeys(self.notes)),
            noisy=earlier.noisy or noisy,
        )


def pack_tensors(method: Any, fit: Fit, cell: Cell) -> bytes:
    """Return a fit's tensors as the bytes of a safetensors file, whose metadata has its recipe."""
    import safetensors.torch

    recipe = {name: value for name, value in cell.components.items() if name != "content"}
    return safetensors.torch.save(method.export(fit.stylizer), pack_recipe(recipe))


def to_json(stats: FitStats) -> dict[str, Any]:
    """Return the stats of a fit as JSON data, for `from_json`."""
    return {
        "seconds": stats.seconds,
        "pass_ms": stats.pass_ms,
        "peak_mb": stats.peak_mb,
        "notes": stats.notes,
        "noisy": stats.noisy,
        "trace": [[p.index, p.seconds, dict(p.losses)] for p in stats.trace],
    }


def from_json(facts: Mapping[str, Any]) -> FitStats:
    """Return the stats that `to_json` was given."""
    pass_ms = facts["pass_ms"]
    return FitStats(
        seconds=facts["seconds"],
        trace=[TracePoint("fit", i, at, losses) for i, at, losses in facts["trace"]],
        pass_ms=(pass_ms[0], pass_ms[1], pass_ms[2]) if pass_ms else None,
        peak_mb=facts["peak_mb"],
        notes=facts["notes"],
        noisy=facts.get("noisy", ""),
    )


def restore(method: Any, kept: tuple[bytes, dict[str, Any]], context: Context) -> Fit:
    """Return a fit from the tensors of `pack_tensors` and the stats of `to_json`."""
    import safetensors.torch

    tensors, facts = kept
    stylizer = method.restore(safetensors.torch.load(tensors), context)
    return Fit(**vars(from_json(facts)), stylizer=stylizer, served=True, kept=True)
