"""Print a line for each variant of the stored runs in a folder, or compare two folders bitwise."""

from __future__ import annotations

import json
import statistics
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any


def records(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield the records of all suites in a folder of results."""
    for path in sorted(folder.glob("*/cells/*/record.json")):
        yield json.loads(path.read_text(encoding="utf-8"))


def summarize(folder: Path) -> None:
    """Print failures, then status, times and peak memory by variant, size and precision."""
    groups = defaultdict(list)
    for record in records(folder):
        cell = record["cell"]
        groups[cell["suite"], cell["variant"], cell["size"], cell["precision"]].append(record)
        if failure := record.get("failure"):
            message = " ".join(failure["message"].split())[:180]
            print("!", cell["variant"], cell["size"], record["status"], failure["kind"], message)
            print(failure["traceback"][-1500:])
    if not groups:
        sys.exit(f"! {folder} has no records")
    for key, group in groups.items():
        timings = [record["timing"] for record in group if record.get("timing")]
        facts = [
            f"{name} {statistics.median(values):.3g}"
            for name in ("stylize_seconds", "fit_seconds", "warm_up_seconds", "peak_mb")
            if (values := [t[name] for t in timings if t.get(name) is not None])
        ]
        print("#", *key, dict(Counter(record["status"] for record in group)), *facts)


def compare(folders: Sequence[Path]) -> None:
    """Exit with 1 unless both folders hold the same images, bit by bit."""
    first, second = (
        {r["cell"]["variant"]: (r["status"], r.get("image_sha256")) for r in records(folder)}
        for folder in folders
    )
    equal = sum(first[name] == second.get(name) and first[name][0] == "done" for name in first)
    for name in sorted(first):
        if first[name] != second.get(name):
            print("! differs:", name, first[name], second.get(name))
    print(f"# {equal} of {len(first)} images are bitwise identical")
    sys.exit(not first or equal < len(first))


if __name__ == "__main__":
    paths = [Path(argument) for argument in sys.argv[1:]]
    summarize(paths[0]) if len(paths) == 1 else compare(paths)
