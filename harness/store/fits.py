"""Find the file of a stored fit by what a user writes: an id, the start of one, or a path."""

from __future__ import annotations

from pathlib import Path

from harness.errors import UsageError, listed

MODEL = "model.safetensors"


def find_fit(text: str, out: Path) -> Path:
    """Return the tensors' file of a fit.

    Args:
        text: A fit id or its beginning, a folder `fits/<id>`, or a file.
        out: The folder of all results, which is searched for ids.

    Raises:
        UsageError: There is no such fit, or there are several.
    """
    path = Path(text).expanduser()
    if path.is_file():
        return path
    if (path / MODEL).is_file():
        return path / MODEL
    stored = sorted(out.glob(f"*/fits/[!.]*/{MODEL}"))
    found = [file for file in stored if text and file.parent.name.startswith(text)]
    if len({file.parent.name for file in found}) == 1:
        return max(found, key=lambda file: file.stat().st_mtime)  # several suites may share a fit
    names = listed(f"{file.parent.name} ({file.parts[-4]})" for file in found or stored)
    if found:
        raise UsageError(f"Several fits begin with {text}: {names}. Write more of the id.")
    there = f"The fits there are {names}." if stored else "It has no fits."
    raise UsageError(
        f"{text} is neither a file nor the id of a fit in {out}. {there} Methods that train store "
        "fits in <out>/<suite>/fits/<id>; choose another folder with --out."
    )
