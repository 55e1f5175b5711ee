"""The command that stylizes own pictures, without a suite."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click
from click import Context, Parameter

from harness.cli import options as opts
from harness.errors import NstbenchError, StoreError, SuiteError, UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from harness.execution.picture_recipe import Recipe
    from harness.execution.stylize import PictureStylizer

MIN_SIZE = 32
"""As in suites."""

State = Literal["done", "exists", "failed"]


class Size(click.ParamType[Any]):
    """A long edge in pixels, or `native`."""

    name = "PIXELS|native"

    def convert(self, value: Any, param: Parameter | None, ctx: Context | None) -> Any:
        """Return a number or `native`."""
        text = str(value)
        if text != "native" and not (text.isdecimal() and int(text) >= MIN_SIZE):
            self.fail(f"{text!r} is neither native nor a number of at least {MIN_SIZE}.")
        return text if text == "native" else int(text)


@click.command()
@click.argument("contents", nargs=-1, required=True, metavar="CONTENT...",
                type=opts.ExpandedPath(path_type=Path))  # fmt: skip
@click.option("--style", type=opts.ExpandedPath(path_type=Path), metavar="PATH",
              help="Style image. A trained network does not need it.")  # fmt: skip
@click.option("--method", default="", metavar="NAME",
              help="Method; default: gatys, or that of the trained network.")  # fmt: skip
@click.option("--preset", metavar="NAME", help="Preset of the method.")
@click.option("--set", "overrides", multiple=True, metavar="PARAMETER=VALUE",
              help="Set a parameter of the method (--set iterations=500). Can be repeated.")  # fmt: skip
@click.option("--fit", default="", metavar="ID|PATH",
              help="Use a network that a run has stored: its fit id, its first digits, or its "
                   "folder.")  # fmt: skip
@click.option("--checkpoint", type=opts.ExpandedPath(path_type=Path), metavar="PATH",
              help="Use the file of a trained network.")  # fmt: skip
@click.option("-o", "--output", required=True, metavar="DIR",
              type=opts.ExpandedPath(file_okay=False, path_type=Path),
              help="Folder for the stylized pictures.")  # fmt: skip
@click.option("--size", type=Size(), default=None,
              help="Long edge of the stylized pictures. Default: native; for methods that compute "
                   "with an encoder, native and at most 512.")  # fmt: skip
@click.option("--color", type=click.Choice(["style", "keep"]), default="style", show_default=True,
              help="keep: only the luminance changes, the colors are those of the content.")  # fmt: skip
@click.option("--tile", type=click.IntRange(min=64), default=None, metavar="PIXELS",
              help="Edge of the tiles that a network works in. Default: no tiles if the picture "
                   "fits into memory.")  # fmt: skip
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True,
              help="Seed of random numbers.")  # fmt: skip
@click.option("--overwrite", is_flag=True, help="Replace stylized pictures that exist.")
@click.option("--runs", type=opts.ExpandedPath(path_type=Path), default=Path("runs"),
              envvar="NSTBENCH_OUT", show_default=True, metavar="DIR",
              help="Folder of all results, where --fit looks.")  # fmt: skip
@opts.device
@opts.precision
@opts.encoder
@opts.sources
def stylize(
    contents: Sequence[Path], output: Path, fit: str, checkpoint: Path | None, runs: Path,
    weights: Sequence[str], precision: str | None, device: str, encoder: str, mirror: str,
    *, offline: bool, overwrite: bool, **recipe: Any,
) -> None:  # fmt: skip
    """Stylize pictures, or folders of pictures of any sizes.

    The pictures are what a suite gives for the same method, image, size and seed. Existing ones
    are kept, so that the same command continues after an interruption. Exit code 3: a picture
    could not be stylized.
    """
    from harness.execution import picture_files
    from harness.execution.machine.memory_limit import limited_to_free_memory
    from harness.execution.prepare import RunOptions
    from harness.execution.stylize import PictureStylizer

    options = RunOptions(out=runs, device=device, precision=precision or "", encoder=encoder,
                         mirror=mirror, weights=opts.weights_paths(weights), offline=offline)  # fmt: skip
    chosen, notes = _recipe(fit, checkpoint, runs, recipe)
    found, problems = picture_files.find_contents(contents, output)
    if not found and not problems:
        raise UsageError(f"There is no picture in {', '.join(map(str, contents))}.")
    stylizer = PictureStylizer(chosen, options)
    display = PictureDisplay(opts.console(), len(found) + len(problems))
    display.announce(stylizer, notes)
    with limited_to_free_memory():
        code = _run(stylizer, display, found, problems, output, overwrite=overwrite)
    sys.exit(code)


def _recipe(
    fit: str, checkpoint: Path | None, runs: Path, given: dict[str, Any]
) -> tuple[Recipe, list[str]]:
    """Return the recipe, with the network of --fit or --checkpoint, and warnings."""
    from harness.execution.picture_recipe import Recipe, read_fit
    from harness.resources.downloads import file_sha256
    from harness.store import fits

    if fit and checkpoint:
        raise UsageError("--fit and --checkpoint both name a network. Pass one of them.")
    method, style = given.pop("method"), given["style"]
    if not (fit or checkpoint):
        return Recipe(method or "gatys", **given), []
    stored = fits.find(fit, runs) if fit else None
    path = stored.path if stored else checkpoint
    assert path is not None
    if not path.is_file():
        raise UsageError(f"--checkpoint {path}: there is no such file.")
    method, recipe = read_fit(path, method)
    name = "" if style else stored.style(recipe) if stored else path.stem
    notes = []
    if style and style.is_file() and recipe.get("style", "") not in {"", file_sha256(style)}:
        notes.append(f"{path.name} was trained with another image than {style}, which is not used.")
    return Recipe(method, style_name=name, checkpoint=path, **given), notes


def _run(
    stylizer: PictureStylizer,
    display: PictureDisplay,
    found: Sequence[Path],
    problems: Sequence[tuple[Path, str]],
    output: Path,
    *,
    overwrite: bool,
) -> int:
    """Stylize all pictures that can be stylized; return the exit code."""
    from harness import filesystem
    from harness.cli.interrupts import InterruptHandler
    from harness.execution import picture_files

    with filesystem.writing(output, "choose another folder with -o"):
        output.mkdir(parents=True, exist_ok=True)
        picture_files.remove_leftovers(output)
    (style,) = stylizer.suite.styles
    names = picture_files.output_names(found, style)
    try:
        with InterruptHandler(display.interrupt_received) as interrupts, display.live():
            for path, why in problems:
                display.finished("failed", f"{path}: {why}")
            for path, name in zip(found, names, strict=True):
                if interrupts.interrupted:
                    break
                display.started(path)
                display.finished(*_stylize(stylizer, display, path, output / name,
                                           overwrite=overwrite))  # fmt: skip
            interrupted = interrupts.interrupted
    except KeyboardInterrupt:
        interrupted = True
    display.summary(output, interrupted=interrupted)
    if interrupted:
        return opts.INTERRUPTED
    return opts.INCOMPLETE if display.counts["failed"] else 0


def _stylize(
    stylizer: PictureStylizer, display: PictureDisplay, path: Path, target: Path,
    *, overwrite: bool,
) -> tuple[State, str]:  # fmt: skip
    """Stylize one picture; return its state and a line about it."""
    from harness.execution import failures, picture_files

    start = time.perf_counter()
    try:
        picture = stylizer.open(path)
        if target.exists() and not overwrite:
            if picture_files.recipe_of(target) == picture.recipe:
                return "exists", target.name
            return "failed", (f"{target.name} exists and was made in another way. To replace it, "
                              "pass --overwrite.")  # fmt: skip
        pixels, notes = stylizer.stylize(picture, display.progress)
        picture_files.write(target, pixels, picture.recipe)
    except (UsageError, SuiteError, StoreError):
        raise  # about the command and not about this picture
    except Exception as error:  # a method may raise anything
        failure = failures.describe(error, stylizer.resources.precision)
        if failure.traceback:
            click.echo(failure.traceback, err=True)
        kind = "" if isinstance(error, NstbenchError) else f"{failure.kind}: "
        text = f"{kind}{failure.message}"
        return "failed", text if str(path) in text else f"{path}: {text}"
    height, width, _ = pixels.shape
    seconds = time.perf_counter() - start
    more = "".join(f"  {note}" for note in notes)
    return "done", f"{target.name}  {width} x {height}  {seconds:.2g} s{more}"


class PictureDisplay:
    """The lines and the progress bars of the command."""

    COLORS = {"done": "green", "exists": "yellow", "failed": "red"}

    def __init__(self, console: Console, count: int) -> None:
        from rich.progress import BarColumn, Progress, TextColumn

        self.console, self.count = console, count
        self.counts: Counter[State] = Counter()
        self._progress = Progress(
            TextColumn("{task.description}"), BarColumn(bar_width=24),
            TextColumn("{task.fields[of]}"), console=console,
        )  # fmt: skip
        self._all = self._progress.add_task("pictures", total=count, of=f"0/{count}")
        self._one = self._progress.add_task("starting", total=None, of="")
        self._name = ""

    def announce(self, stylizer: PictureStylizer, notes: Sequence[str]) -> None:
        """Print the method, the device and what the user should know."""
        from harness.execution.stylize import OPTIMISED_SIZE

        facts, recipe = stylizer.resources, stylizer.recipe
        (style,) = stylizer.suite.styles
        encoder = f", encoder {facts.encoder.name} ({facts.encoder.origin})"
        reads = stylizer.method.layers
        self._say(f"{recipe.method} on {facts.device}{encoder if reads else ''}, style {style}, "
                  f"pictures: {self.count}")  # fmt: skip
        for text in (*notes, *stylizer.warnings):
            self._say(f"! {text}", "yellow")
        if reads and recipe.size is None:
            self._say(f"{recipe.method} works at a long edge of at most {OPTIMISED_SIZE} px. For "
                      "another size, pass --size PIXELS or --size native.")  # fmt: skip

    @contextmanager
    def live(self) -> Iterator[None]:
        """Show the progress bars inside the block, on a terminal."""
        if not self.console.is_terminal:
            yield
            return
        with self._progress:
            yield

    def started(self, path: Path) -> None:
        """Name the picture that is stylized."""
        self._name = path.name
        self.progress("read", 0, 1)

    def progress(self, phase: str, index: int, of: int) -> None:
        """Show the phase of the picture."""
        from rich.markup import escape

        from harness.cli.display import SHORT_PHASES

        text = f"{SHORT_PHASES.get(phase, 'reading')} {escape(self._name)}"
        self._progress.update(
            self._one, description=text, completed=index, total=of, of=f"{index}/{of}"
        )

    def finished(self, state: State, text: str) -> None:
        """Print a line about a picture."""
        self.counts[state] += 1
        number = sum(self.counts.values())
        self._progress.update(self._all, completed=number, of=f"{number}/{self.count}")
        self._say(f"[{number}/{self.count}] {state} ", self.COLORS[state], text)

    def interrupt_received(self) -> None:
        """Print the effect of the first Ctrl-C."""
        self._say("stopping after this picture; press Ctrl-C again to stop now", "yellow")

    def summary(self, output: Path, *, interrupted: bool) -> None:
        """Print how many pictures there are, and where."""
        if interrupted:
            self._say("Interrupted. Written pictures are kept. To continue, run the same command "
                      "again.")  # fmt: skip
        done, exist, failed = (self.counts[state] for state in ("done", "exists", "failed"))
        self._say(f"{done} stylized, {exist} existed, {failed} failed: {output}")

    def _say(self, text: str, color: str = "", rest: str = "") -> None:
        from rich.text import Text

        line = Text(text, style=color) + Text(f" {rest}" if rest else "")
        self.console.print(line, highlight=False, soft_wrap=True)
