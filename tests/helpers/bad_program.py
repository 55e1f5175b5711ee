"""A program that mixes two images, or fails as its first argument says; it imports little."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

SLEEP = "import os, time; os.setsid(); time.sleep(3600)"


def mix(content: str, style: str, output: str) -> None:
    """Write the mean of both images."""
    from PIL import Image

    image = Image.open(content)
    Image.blend(image, Image.open(style).resize(image.size), 0.5).save(output, format="PNG")


def leave_orphans() -> None:
    """Start a process in a session of its own, whose parent ends, and say so in a file."""
    inner = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {SLEEP!r}])"
    subprocess.run([sys.executable, "-c", inner], check=True)
    if mark := os.environ.get("STARTED"):
        Path(mark).touch()


def once(how: str, content: str, style: str, output: str) -> None:
    """Stylize one picture."""
    print(f"about to be {how}")
    if how == "exit":
        sys.exit("no such brush")
    elif how == "hang":
        leave_orphans()
        time.sleep(3600)
    elif how == "allocate":
        blocks = []
        for _ in range(1000):  # 10 GB
            blocks.append(b"x" * 10_000_000)
            time.sleep(0.001)
    elif how == "no memory":
        raise MemoryError
    elif how == "segfault":
        os.kill(os.getpid(), signal.SIGSEGV)
    elif how == "text":
        Path(output).write_text("I am a picture")
    elif how == "truncated":
        mix(content, style, output)
        Path(output).write_bytes(Path(output).read_bytes()[:200])
    elif how == "wrong size":
        from PIL import Image

        Image.new("RGB", (20, 10)).save(output)
    elif how == "outside":
        mix(content, style, str(Path(output).parents[3] / "outside.png"))
    elif how == "link":
        mix(content, style, str(Path(output).parents[1] / "outside.png"))
        Path(output).symlink_to(Path(output).parents[1] / "outside.png")
    elif how == "other name":
        mix(content, style, str(Path(output).with_name("mine.png")))
    elif how != "nothing":
        if how == "orphans":
            leave_orphans()
        if how == "million lines":
            sys.stdout.writelines(f"line {number}\n" for number in range(1_000_000))
        mix(content, style, output)


def serve(how: str) -> None:
    """Answer requests until the input ends."""
    print("loading", file=sys.stderr)
    if how == "exit at start":
        sys.exit("no such weights")
    if how == "text at start":
        print("Loading the model ...", flush=True)
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        if "once" in how and Path(os.environ["STARTED"]).exists():
            how = "well"
        if how == "hang":
            leave_orphans()
            time.sleep(3600)
        if "killed" in how:
            with contextlib.suppress(KeyError):
                Path(os.environ["STARTED"]).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if how == "says no":
            print(json.dumps({"error": "the style is too plain"}), flush=True)
            continue
        if how == "text":
            print("done!", flush=True)
            continue
        if how == "flood":
            print("x" * 3_000_000, flush=True)
            continue
        target = request["output"]
        if how == "outside":
            target = str(Path(target).parents[1] / "outside.png")
        mix(request["content"], request["style"], target)
        answer = {"output": target}
        if how == "measures":
            answer |= {"seconds": 7.5, "peak_mb": 4000, "losses": {"content": 1.0, "style": 2.0}}
        if how == "bad numbers":
            answer |= {"seconds": "fast"}
        print(json.dumps(answer), flush=True)
        if how == "ends after the first":
            sys.exit(3)


if __name__ == "__main__":
    serve(sys.argv[1]) if len(sys.argv) == 2 else once(*sys.argv[1:])
