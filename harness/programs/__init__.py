"""Programs of other projects: run under supervision, once a picture or for many pictures."""

from harness.programs.output import last_lines
from harness.programs.process import Ended, run
from harness.programs.served import Answer, ServedProgram
from harness.programs.shared import close_shared, shared_program

__all__ = [
    "Answer",
    "Ended",
    "ServedProgram",
    "close_shared",
    "last_lines",
    "run",
    "shared_program",
]
