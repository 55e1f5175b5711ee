"""Run cells in a supervised process on this machine, or on the GPUs of a Ray cluster."""

from harness.execution.executors.base import Executor

__all__ = ["Executor"]
