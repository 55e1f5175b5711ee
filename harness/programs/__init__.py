"""Programs of other projects: run under supervision, once a picture or for many pictures."""

from harness.programs.output import last_lines, output_error
from harness.programs.process import Command, Ended, failure, run
from harness.programs.served import Answer, ServedProgram
from harness.programs.shared import close_shared, shared_program

__all__ = [
    "Answer",
    "Command",
    "Ended",
    "ServedProgram",
    "close_shared",
    "failure",
    "last_lines",
    "output_error",
    "run",
    "shared_program",
]
