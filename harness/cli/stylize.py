"""The command that stylizes own pictures, without a suite."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click import Context, Parameter

from harness.api.settings import weights_paths
from harness.cli import options as opts
from harness.errors import NstbenchError, StoreError, SuiteError, UsageError

if TYPE_CHECKING:
    from harness.cli.picture_display import PictureDisplay, State
    from harness.execution.picture_recipe import Recipe
    from harness.execution.stylize import PictureStylizer

MIN_SIZE = 32
"""As in suites."""


class Size(click.ParamType[Any]):
    """A long edge in pixels, or `native`."""

    name = "PIXELS|native"

    def convert(self, value: Any, param: Parameter | None, ctx: Context | None) -> Any:
        """Return a number or `native`."""
        text = str(value)
        if text != "native" and not (text.isdecimal() and int(text) >= MIN_SIZE):
            self.fail(f"{text!r} is neither native nor a number of at least {MIN_SIZE}.")
        return text if text == "native" else int(text)


picture_options = opts.combine(
    click.argument("contents", nargs=-1, required=True, metavar="CONTENT...",
                    type=opts.ExpandedPath(path_type=Path)),
    click.option("--style", type=opts.ExpandedPath(path_type=Path), metavar="PATH",
                  help="Style image. A trained network does not need it."),
    click.option("--method", default="", metavar="NAME",
                  help="Method; default: gatys, or that of the trained network."),
    click.option("--preset", metavar="NAME", help="Preset of the method."),
    click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE",
                  help="Set a parameter of the method (--set iterations=500). Can be repeated."),
    click.option("--fit", default="", metavar="ID|PATH",
                  help="Use a network that a run has stored: its fit id, its first digits, or "
                       "its folder."),
    click.option("--checkpoint", type=opts.ExpandedPath(path_type=Path), metavar="PATH",
                  help="Use the file of a trained network."),
    click.option("-o", "--output", required=True, metavar="DIR",
                  type=opts.ExpandedPath(file_okay=False, path_type=Path),
                  help="Folder for the stylized pictures."),
    click.option("--size", type=Size(), default=None, metavar="PIXELS|native",
                  help="Long edge of the stylized pictures. Default: native; for methods that "
                       "compute with an encoder, native and at most 512."),
    click.option("--color", type=click.Choice(["style", "keep"]), default="style",
                  show_default=True,
                  help="keep: the stylized luminance with the colors of the content."),
    click.option("--tile", type=click.IntRange(min=64), default=None, metavar="PIXELS",
                  help="Edge of the tiles that a network works in. Default: no tiles if the "
                       "picture fits into memory."),
    click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True,
                  help="Seed of random numbers."),
    click.option("--overwrite", is_flag=True, help="Replace stylized pictures that exist."),
    opts.runs,
)  # fmt: skip


@click.command()
@picture_options
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
    from harness.cli.picture_display import PictureDisplay
    from harness.execution import picture_files
    from harness.execution.machine.memory_limit import limited_to_free_memory
    from harness.execution.prepare import RunOptions
    from harness.execution.stylize import PictureStylizer

    options = RunOptions(
        out=runs,
        device=device,
        precision=precision or "",
        encoder=encoder,
        mirror=mirror,
        weights=weights_paths(weights),
        offline=offline,
    )
    chosen, notes = _recipe(fit, checkpoint, runs, recipe)
    found, problems = picture_files.find_contents(contents, output)
    if not found and not problems:
        raise UsageError(f"There is no picture in {', '.join(map(str, contents))}.")
    stylizer = PictureStylizer(chosen, options)
    display = PictureDisplay(opts.console(), len(found) + len(problems))
    display.announce(stylizer, notes)
    limited = limited_to_free_memory if stylizer.device.type == "cpu" else nullcontext
    with limited():
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
    from harness.api.interrupts import InterruptHandler
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
