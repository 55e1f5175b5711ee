"""The stylizer of `command`: exchanges image files with a program, picture by picture."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image as Pillow
from PIL import UnidentifiedImageError

from harness import programs
from harness.errors import ProgramError, quoted
from harness.protocols import Step
from harness.resources.images import to_pixels, to_png, to_tensor

if TYPE_CHECKING:
    from harness.programs import ServedProgram
    from harness.protocols import Context, Image
    from harness.records import CellInputs
    from methods._program_recipe import ProgramRecipe

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "PPM")
"""Of images that a program may write. Others could start further programs to be read."""

NOTED_LINES = 3
"""Of the program's output, on the record of a finished cell."""


class ProgramStylizer:
    """The program for one style, with the folder of the files that it exchanges with nstbench.

    Raises:
        ProgramError: `fit_run` failed, or the program that serves did not start.
    """

    def __init__(self, method: ProgramRecipe, style: Image, context: Context) -> None:
        self._method, self._pictures = method, 0
        self._noted: set[CellInputs] = set()  # repeated calls write no notes
        self._temporary = tempfile.TemporaryDirectory(prefix="nstbench-program-")
        self._folder = Path(self._temporary.name)
        self._style = _write_png(style, self._folder / "style" / "style.png")
        self._model = self._folder / "model"
        self._own: ServedProgram | None = None  # if it serves this style only
        try:
            self._fit(context)
        except BaseException:
            self.close()
            raise

    def __call__(self, content: Image, context: Context) -> Image:
        """Stylize one picture."""
        first = context.inputs not in self._noted
        self._noted.add(context.inputs)
        note = context.note if first else _drop
        with self._picture_folder() as folder:
            content_file = _write_png(content, folder / "content" / "content.png")
            target = folder / "output" / self._method.output
            target.parent.mkdir()
            work = self._ask if self._method.serve else self._run
            target, printed = work(content_file, target, context, note)
            image = _read(target, content, printed, self._method.resize, note)
        _note_output(note, printed.replace(f"{folder}/", ""))
        return image

    def close(self) -> None:
        """End the program, unless it serves other styles too, and delete the files."""
        if self._own is not None:
            self._own.close()
        self._temporary.cleanup()

    def _fit(self, context: Context) -> None:
        seconds = peak_mb = 0.0
        if self._method.fit_run:
            command = self._method.filled(self._method.fit_run, self._values(context))
            ended = programs.run(command)
            seconds, peak_mb = ended.seconds, ended.peak_mb
            _note_output(context.note, ended.output)
            if not self._model.exists():
                raise programs.failure(command, "wrote nothing to {model}", ended.output)
        if self._method.serve:
            program, started = self._server(context)
            if started:
                _note_output(context.note, program.printed)
            else:
                context.note("its program started for an earlier style; the fit is that start")
            seconds += program.start_seconds
            peak_mb = max(peak_mb, program.start_peak_mb or 0.0)
        context.measured(seconds, peak_mb)

    def _run(
        self, content: Path, target: Path, context: Context, note: Callable[[str], None]
    ) -> tuple[Path, str]:
        """Run the program; return the path of its image and what it printed."""
        values = {
            "content": content,
            "content_folder": content.parent,
            "output": target,
            "output_folder": target.parent,
            **self._values(context),
        }
        ended = programs.run(self._method.filled(self._method.run, values))
        context.measured(ended.seconds, ended.peak_mb)
        return target, ended.output

    def _ask(
        self, content: Path, target: Path, context: Context, note: Callable[[str], None]
    ) -> tuple[Path, str]:
        """Send a request to the program; return the path of its image and what it printed."""
        program, _ = self._server(context)
        answer = program.ask({
            "content": str(content),
            "style": str(self._style),
            "output": str(target),
            "seed": context.inputs.seed,
            "size": context.size,
        })  # fmt: skip
        context.measured(answer.seconds, answer.peak_mb)
        if answer.own_seconds:
            note("its program measured the seconds of the stylization")
        if answer.losses:
            total = answer.losses.get("total", sum(answer.losses.values()))
            context.on_step(Step(1, 1, {**answer.losses, "total": total}))
        named = target.parent / answer.output
        if named.parent.resolve() != target.parent.resolve():
            raise ProgramError(
                f"{program.command.name} answered with the output {quoted(answer.output)}, which "
                f"is not in the folder of the requested output, {target.parent}."
            )
        return named, answer.printed

    def _server(self, context: Context) -> tuple[ServedProgram, bool]:
        """Return the running program, and whether it started now: it may have ended."""
        command = self._method.filled(self._method.run, self._values(context))
        if not self._method.fit_run:
            return programs.shared_program(command)
        started = self._own is None or not self._own.running
        if self._own is None or not self._own.running:
            self._own = programs.ServedProgram(command)
        return self._own, started

    def _values(self, context: Context) -> dict[str, object]:
        """Return the values of the placeholders that are the same for all pictures."""
        return {
            "style": self._style,
            "style_folder": self._style.parent,
            "model": self._model,
            "seed": context.inputs.seed,
            "size": context.size,
            "device": context.device.type,
        }

    @contextmanager
    def _picture_folder(self) -> Iterator[Path]:
        self._pictures += 1
        folder = self._folder / f"picture-{self._pictures}"
        folder.mkdir()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _drop(text: str) -> None:
    """Write no note."""


def _note_output(note: Callable[[str], None], printed: str) -> None:
    if lines := programs.last_lines(printed, NOTED_LINES):
        note(f"its program printed: {' / '.join(lines)}")


def _write_png(image: Image, path: Path) -> Path:
    path.parent.mkdir()
    path.write_bytes(to_png(to_pixels(image)))
    return path


def _read(
    path: Path, content: Image, printed: str, resize: str, note: Callable[[str], None]
) -> Image:
    """Return the image that a program wrote.

    Raises:
        ProgramError: There is none, it is not an image, or it has another size than the content.
    """
    if path.is_symlink() or not path.is_file():
        other = sorted(one.name for one in path.parent.iterdir())
        found = f"Its output folder has {quoted(other)} instead" if other else "It wrote nothing"
        raise programs.output_error(f"The program did not write {path.name}. {found}.", printed)
    try:
        with Pillow.open(path, formats=FORMATS) as image:
            height, width = content.shape[2:]
            if image.size != (width, height):
                sizes = f"{image.width} x {image.height} pixels instead of {width} x {height}"
                if resize == "none":
                    what = (
                        f"The program wrote an image of {sizes}. To resize such images, set "
                        "resize: lanczos."
                    )
                    raise programs.output_error(what, printed)
                note(f"resized (lanczos): its program wrote {sizes}")
            pixels = image.convert("RGB")
            if pixels.size != (width, height):
                pixels = pixels.resize((width, height), Pillow.Resampling.LANCZOS)
    except UnidentifiedImageError:
        with path.open("rb") as file:
            start = quoted(file.read(40).decode(errors="replace"))
        what = f"The program wrote {path.name}, which is not an image. It starts with {start}."
        raise programs.output_error(what, printed) from None
    except (OSError, ValueError, SyntaxError, Pillow.DecompressionBombError) as error:
        what = f"The program wrote {path.name}, which cannot be read as an image: {error}."
        raise programs.output_error(what, printed) from None
    return to_tensor(np.asarray(pixels)).to(content.device)
