"""The command `nstbench`: its group of commands and their error handling.

Commands import expensive modules inside their functions, so that `nstbench --help` starts fast.
"""

from __future__ import annotations

import codecs
import io
import sys
from typing import Any

import click

from harness import filesystem
from harness.api.guard import refusal
from harness.cli import export, listing, machine, results, run, stylize, tracking
from harness.cli.options import INTERRUPTED, WRONG_USE
from harness.errors import NstbenchError

REPLACE = "nstbench.replace"
"""Name of the handler of encoding errors."""

_SUBSTITUTES = str.maketrans("–−→↑↓×≈✓✗…◦·━", "-->^vx~+x.o.-")
"""Of the same width, so that tables stay aligned; other characters become question marks."""


class Commands(click.Group):
    """A group that prints expected errors as messages; other errors keep their traceback."""

    def main(self, *args: Any, **options: Any) -> Any:
        """Run the command line; characters that the terminal cannot show are replaced."""
        for name in ("stdout", "stderr"):
            _make_encodable(name)
        if message := refusal():
            click.echo(message, err=True)
            sys.exit(WRONG_USE)
        return super().main(*args, **options)

    def invoke(self, context: click.Context) -> Any:
        """Run a command and turn its errors into messages and exit codes."""
        try:
            return super().invoke(context)
        except NstbenchError as error:
            click.echo(str(error), err=True)
            sys.exit(WRONG_USE)
        except OSError as error:  # of a disk, where no command handles it
            if not (message := filesystem.describe_os_error(error)):
                raise
            click.echo(message, err=True)
            filesystem.drop_output()
            sys.exit(WRONG_USE)
        except KeyboardInterrupt:
            click.echo("interrupted", err=True)
            sys.exit(INTERRUPTED)


class _PlainStream(io.TextIOWrapper):
    """A text stream without `buffer`: click would write UTF-8 to that of an ASCII stream."""

    @property
    def buffer(self) -> Any:
        """No binary stream."""
        raise AttributeError("buffer")


def _make_encodable(name: str) -> None:
    """Make `sys.stdout` or `sys.stderr` replace characters that its encoding lacks."""
    stream = getattr(sys, name)
    if not isinstance(stream, io.TextIOWrapper):
        return
    if codecs.lookup(stream.encoding).name != "ascii":
        stream.reconfigure(errors=REPLACE)
    elif not isinstance(stream, _PlainStream):
        stream.flush()
        plain = _PlainStream(stream.buffer, stream.encoding, REPLACE, write_through=True)
        setattr(sys, name, plain)


def _replace(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end].translate(_SUBSTITUTES)
    return "".join(one if one.isascii() else "?" for one in text), error.end


codecs.register_error(REPLACE, _replace)


@click.group(
    cls=Commands, context_settings={"auto_envvar_prefix": "NSTBENCH", "max_content_width": 100}
)
@click.version_option(package_name="nstbench", message="nstbench %(version)s")
def main() -> None:
    """Benchmark neural style transfer: which change matters, by how much, at what cost.

    Exit codes: 0 success; 1 internal error; 2 wrong usage, invalid suite or disk error; 3 some
    cells failed or were skipped; 130 interrupted. Options can be set as environment variables
    NSTBENCH_<OPTION>.
    """


for command in (
    run.run, run.rescore, run.plan,
    results.report, results.claims, results.compare,
    export.export,
    tracking.sync, tracking.pull, tracking.ui,
    machine.doctor, machine.fetch, machine.check, machine.gc,
    listing.list_, stylize.stylize,
):  # fmt: skip
    main.add_command(command)
