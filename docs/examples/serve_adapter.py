"""Let nstbench use a Python function: a program that stays, for `command` with `serve: true`.

Replace `load` and the function that it returns, then name this file in the suite:
`run: [python, serve_adapter.py]`. It needs the standard library and Pillow.
"""

import json
import os
import sys
import time
from collections.abc import Callable

from PIL import Image

Stylize = Callable[[Image.Image, Image.Image, int], Image.Image]


def load() -> Stylize:
    """Load weights once; return a function of content, style and seed."""

    def stylize(content: Image.Image, style: Image.Image, seed: int) -> Image.Image:
        """Return an image of the content's size. This one mixes both images."""
        return Image.blend(content, style.resize(content.size), 0.5)

    return stylize


def main(load: Callable[[], Stylize]) -> None:
    """Answer each request on the standard input with one line on the standard output."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # whatever else is printed goes to the standard error
    stylize = load()
    print(json.dumps({"ready": True}), file=answers)
    for line in sys.stdin:
        request = json.loads(line)
        try:
            content, style = (Image.open(request[k]).convert("RGB") for k in ("content", "style"))
            start = time.perf_counter()
            image = stylize(content, style, request["seed"])
            seconds = time.perf_counter() - start  # on a GPU, synchronise before
            image.save(request["output"])
            answer = {"output": request["output"], "seconds": seconds}
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers)


if __name__ == "__main__":
    main(load)
