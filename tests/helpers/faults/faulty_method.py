"""A plug-in method with selectable faults, for tests of failing cells."""

from __future__ import annotations

import ctypes
import math
import os
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch

from nstbench import METHODS, Method

Way = Literal[
    "well", "sleeps", "sleeps in fit", "allocates", "segfaults", "crashes once", "raises",
    "leaves", "vanishes", "returns nan", "prints", "leaves threads",
]  # fmt: skip


@METHODS.register("trouble")
@dataclass(frozen=True, kw_only=True)
class Trouble(Method):
    """Fail in the way that the parameter `way` selects."""

    version: ClassVar[int] = 1
    way: Way = "well"
    seconds: float = 0.0
    folder: str = ""  # for files that record its calls

    def fit(self, style: Any, context: Any) -> Any:
        if self.way == "sleeps in fit":
            time.sleep(3600)

        def stylize(content: Any, context: Any) -> Any:
            self._act()
            time.sleep(self.seconds)
            if self.folder:  # one line per finished stylization
                with Path(self.folder, "done").open("a") as file:
                    file.write(f"{context.generator.initial_seed()}\n")
            drawn = torch.rand(content.shape, generator=context.generator)
            return content * math.nan if self.way == "returns nan" else (content + drawn) / 2

        return stylize

    def _act(self) -> None:
        if self.way == "sleeps":
            time.sleep(3600)
        elif self.way == "allocates":
            blocks = []
            while True:
                blocks.append(np.empty(2**28, np.uint8))  # allocated, never written
        elif self.way == "segfaults":
            ctypes.string_at(0)
        elif self.way == "crashes once":
            mark = Path(self.folder, "crashed")
            if not mark.exists():
                mark.touch()
                os.abort()
        elif self.way == "raises":
            raise ValueError("no such brush")
        elif self.way == "leaves":
            sys.exit(0)
        elif self.way == "vanishes":
            os._exit(0)
        elif self.way == "prints":
            print("look at me")
        elif self.way == "leaves threads":
            threading.Thread(target=time.sleep, args=[3600], name="idler", daemon=True).start()
