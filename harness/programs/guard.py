"""Run one program: watch its memory, keep the end of its output, end all of its processes.

nstbench starts this file as a process between itself and each program, and talks to it through a
socket. The first line is the order. After that, each byte asks for peak memory and output since the
last question, and the end of the socket ends the program: so no process survives nstbench, however
nstbench ends. The last line of the guard says how the program ended.

The file imports nothing of nstbench, so that it starts quickly.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import selectors
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from typing import Any

import psutil

INTERVAL = 0.1
"""Seconds between two measurements of the memory."""

MAX_OUTPUT = 8192
"""Bytes of the end of the program's output that are kept."""

KILL_SECONDS = 5.0
"""A process in a system call of a driver may not end at once."""

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36


class Guard:
    """Supervises the program of one order."""

    def __init__(self, control: socket.socket) -> None:
        self.control = control
        self.output, self._new = b"", 0  # the end of the output, and its bytes since a question
        self.peak_mb = self._measured = 0.0
        # A signal for each process that ends wakes the guard up.
        self._wakeup, wake = os.pipe()
        for end in (self._wakeup, wake):
            os.set_blocking(end, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)

    def supervise(self, order: dict[str, Any]) -> dict[str, Any]:
        """Run the program to its end and return how it ended."""
        pipe, write = os.pipe()
        serves, start = order["serves"], time.perf_counter()
        try:
            program = subprocess.Popen(
                order["command"],
                cwd=order["directory"],
                env=order["environment"],
                stdin=None if serves else subprocess.DEVNULL,
                stdout=None if serves else write,
                stderr=write,
                start_new_session=True,
                preexec_fn=end_with_parent,
            )
        except (OSError, ValueError) as error:
            return {"error": str(error)}
        os.close(write)
        if serves:  # only the program holds its ends of these pipes
            null = os.open(os.devnull, os.O_RDWR)
            os.dup2(null, 0)
            os.dup2(null, 1)
        over_memory = self._wait(program, pipe, order["memory_mb"])
        seconds = time.perf_counter() - start
        end_all(program)
        self._read_rest(pipe)
        children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
        largest = children / 1e6 if sys.platform == "darwin" else children * 1024 / 1e6
        return {
            "code": program.returncode,
            "seconds": seconds,
            "peak_mb": self.peak_mb if serves else max(self.peak_mb, largest),
            "over_memory": over_memory,
            "output": self.output.decode(errors="replace"),
        }

    def _wait(self, program: subprocess.Popen[bytes], pipe: int, memory_mb: float) -> bool:
        """Wait for the end of the program or of the socket; return whether memory exceeded it."""
        with selectors.DefaultSelector() as events:
            for source in (self.control, pipe, self._wakeup):
                events.register(source, selectors.EVENT_READ)
            while program.poll() is None:
                for key, _ in events.select(INTERVAL):
                    if key.fileobj is self.control:
                        if not self._answer():
                            return False
                    elif key.fd == self._wakeup:
                        os.read(self._wakeup, 512)
                    elif not self._read(pipe):
                        events.unregister(pipe)
                if time.monotonic() - self._measured >= INTERVAL:
                    self._measure()
                if self.peak_mb > memory_mb:
                    return True
        return False

    def _answer(self) -> bool:
        """Answer a question; return False at the end of the socket."""
        try:
            if not self.control.recv(1):
                return False
            self._measure()
            new = self.output[-self._new :] if self._new else b""
            send(self.control, {"peak_mb": self.peak_mb, "output": new.decode(errors="replace")})
        except OSError:
            return False
        self.peak_mb, self._new = 0.0, 0
        return True

    def _measure(self) -> None:
        self._measured, used = time.monotonic(), 0
        for process in psutil.Process().children(recursive=True):
            with suppress(psutil.Error):
                used += process.memory_info().rss
        self.peak_mb = max(self.peak_mb, used / 1e6)

    def _read(self, pipe: int) -> bytes:
        chunk = os.read(pipe, 65536)
        self.output = (self.output + chunk)[-MAX_OUTPUT:]
        self._new += len(chunk)
        return chunk

    def _read_rest(self, pipe: int) -> None:
        os.set_blocking(pipe, False)
        with suppress(BlockingIOError):
            while self._read(pipe):
                pass


def send(control: socket.socket, message: dict[str, Any]) -> None:
    """Write one line of JSON."""
    control.sendall(json.dumps(message).encode() + b"\n")


def end_all(program: subprocess.Popen[bytes]) -> None:
    """Kill the program and all processes that it started, also those that left its session."""
    deadline = time.monotonic() + KILL_SECONDS
    if sys.platform != "linux":  # orphans are not adopted there
        with suppress(OSError):
            os.killpg(program.pid, signal.SIGKILL)
    while time.monotonic() < deadline:
        if program.poll() is not None:  # its exit code is known: collect the adopted processes
            with suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
        left = psutil.Process().children(recursive=True)
        if not left:
            return
        for process in left:
            with suppress(psutil.Error):
                process.kill()
        time.sleep(0.005)


def end_with_parent() -> None:
    """Let Linux kill this process when its parent ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def adopt_orphans() -> None:
    """Become the parent of descendants whose own parent ends, so that they can be found."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)


def main() -> None:
    """Read the order from the socket, run the program, write how it ended."""
    adopt_orphans()
    control = socket.socket(fileno=int(sys.argv[1]))
    line = b""
    while not line.endswith(b"\n"):  # nothing else is sent before the program has started
        if not (part := control.recv(65536)):
            return
        line += part
    ended = Guard(control).supervise(json.loads(line))
    with suppress(OSError):  # nstbench has ended
        send(control, ended)


if __name__ == "__main__":
    main()
