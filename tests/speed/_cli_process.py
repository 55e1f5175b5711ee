"""Run the command line of this checkout in a new process and measure its time and memory."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
SAMPLE_SECONDS = 0.2


@dataclass(frozen=True)
class CommandResult:
    """The time, memory and output of a command."""

    seconds: float
    peak_mb: float  # of the command without its workers
    output: str
    samples: tuple[Sample, ...] = ()


@dataclass(frozen=True)
class Sample:
    """Memory and CPU time of a process at a time of the monotonic clock."""

    at: float
    memory_mb: float
    cpu_seconds: float


class _ProcessMonitor:
    """Samples the memory and CPU time of a process while it runs."""

    def __init__(self, pid: int) -> None:
        self.peak_mb = 0.0
        self.samples: list[Sample] = []
        self._stat = Path(f"/proc/{pid}/stat")
        self._status = Path(f"/proc/{pid}/status")
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample)

    def __enter__(self) -> _ProcessMonitor:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._stop.wait(SAMPLE_SECONDS):
            with suppress(OSError):  # the process has ended, or there is no /proc
                for line in self._status.read_text(encoding="ascii").splitlines():
                    if line.startswith("VmHWM:"):
                        self.peak_mb = int(line.split()[1]) * 1024 / 1e6
                    if line.startswith("VmRSS:"):
                        memory = int(line.split()[1]) * 1024 / 1e6
                        self.samples.append(Sample(time.monotonic(), memory, self._cpu()))

    def _cpu(self) -> float:
        """Return seconds of CPU time, user and system."""
        after_name = self._stat.read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(after_name[11]) + int(after_name[12])) / os.sysconf("SC_CLK_TCK")


def python(*arguments: str | Path, env: Mapping[str, str] | None = None) -> CommandResult:
    """Run Python with the modules of this checkout; exit if the command fails."""
    command = [sys.executable, *map(str, arguments)]
    path = os.pathsep.join(filter(None, [(env or {}).get("PYTHONPATH"), str(ROOT)]))
    environment = {**os.environ, **(env or {}), "PYTHONPATH": path, "NSTBENCH_OFFLINE": "1"}
    start = time.perf_counter()
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    with _ProcessMonitor(process.pid) as monitor:
        output, _ = process.communicate()
    seconds = time.perf_counter() - start
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}:\n{output}")
    return CommandResult(seconds, monitor.peak_mb, output, tuple(monitor.samples))


def nstbench(*arguments: str | Path, env: Mapping[str, str] | None = None) -> CommandResult:
    """Run the command `nstbench` of this checkout."""
    return python("-m", "nstbench", *arguments, env=env)
