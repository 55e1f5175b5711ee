"""The folder of one suite: checked before a run, written to only as long as it is the same one."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from errno import ENOENT
from pathlib import Path

from harness import filesystem

OUT_HINT = "choose another folder with --out"
PROBE_BYTES = 4096


class SuiteFolder:
    """`<out>/<suite>/`; each file appears in it complete, under its name, or not at all."""

    def __init__(self, out: Path, suite: str) -> None:
        self.suite = suite
        self.root = out / suite
        self._opened: tuple[int, int] | None = None  # device and inode at `begin`

    def begin(self) -> None:
        """Create the folder, check that it is writable, and remove leftovers of dead processes.

        From then on, writing to another folder of the same path is an error: after a disk was
        unmounted, a new folder there would be on another disk.

        Raises:
            StoreError: The folder cannot be written.
        """
        with self._writing():
            self.root.mkdir(parents=True, exist_ok=True)
            for part in self.partial_files():
                if filesystem.abandoned(part):
                    filesystem.discard(part)
            with tempfile.TemporaryFile(dir=self.root) as probe:
                probe.write(bytes(PROBE_BYTES))
            self._opened = self._identity()

    def partial_files(self) -> list[Path]:
        """Return incomplete files and folders of any process; symbolic links are not followed."""
        folders = [self.root, *(p for p in self.root.glob("*/") if not p.is_symlink())]
        return [part for folder in folders for part in sorted(folder.glob(f"{filesystem.PART}*"))]

    @contextmanager
    def _replacing(self, target: Path) -> Iterator[Path]:
        """Write a file under a temporary name, then rename it to `target`."""
        with self._writing(), filesystem.replacing(target) as temporary:
            yield temporary

    @contextmanager
    def _replacing_folder(self, target: Path) -> Iterator[Path]:
        """Fill a folder under a temporary name, then rename it to `target`."""
        with self._writing(), filesystem.replacing_folder(target) as temporary:
            yield temporary

    def _write_text(self, name: str, text: str) -> Path:
        path = self.root / name
        with self._replacing(path) as temporary:
            temporary.write_text(text, encoding="utf-8", newline="\n")
        return path

    def _read_text(self, name: str) -> str:
        path = self.root / name
        return path.read_text(encoding="utf-8") if path.exists() else ""

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Turn errors of the disk into StoreError."""
        with filesystem.writing(self.root, OUT_HINT):
            if self._opened and self._opened != self._identity():
                raise FileNotFoundError(ENOENT, os.strerror(ENOENT), str(self.root))
            yield

    def _identity(self) -> tuple[int, int]:
        status = self.root.stat()
        return status.st_dev, status.st_ino
