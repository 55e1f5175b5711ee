"""Measure precision, methods and training on the device `NST_DEVICE`, and profile one method.

Lines that start with `#` are results, lines that start with `!` are failures.
"""

from __future__ import annotations

import os
import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from harness import encoders
from harness.protocols import Context, Step
from harness.resources.downloads import Network
from harness.resources.image_folders import image_files
from harness.resources.images import skimage_photograph
from harness.resources.training_images import Crops
from harness.resources.weights import WeightsStore
from methods.gatys import Gatys
from methods.johnson import Johnson

DEVICE = torch.device(os.environ.get("NST_DEVICE", "cuda"))
CUDA = DEVICE.type == "cuda"
SMALL = bool(os.environ.get("NST_SMALL"))
SIZES = [64] if SMALL else [256, 512, 1024]
STEPS = 6 if SMALL else 60
BUILTIN = ("coffee", "chelsea", "astronaut", "rocket")


class Clock:
    """Collects the time of every step of a method, for use as `on_step`."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def __call__(self, step: Step) -> None:
        """Wait for the device and record the time."""
        if CUDA:
            torch.cuda.synchronize()
        self.times.append(time.perf_counter())

    def rate(self) -> str:
        """Return steps per second without the first quarter of the steps."""
        skipped = len(self.times) // 4
        seconds = self.times[-1] - self.times[skipped]
        return f"{(len(self.times) - 1 - skipped) / seconds:.1f} steps/s"


def context(
    size: int,
    on_step: Any = None,
    batches: Any = None,
    *,
    precision: str = "bfloat16" if CUDA else "float32",
    device: torch.device = DEVICE,
) -> Context:
    """Return a context with an encoder of random weights."""
    use, path = encoders.find("random", WeightsStore(Network(offline=True), {}))
    return Context(
        device=device,
        generator=torch.Generator().manual_seed(0),
        encoder=encoders.load(use, path, device=device, precision=precision),
        size=size,
        on_step=on_step or (lambda step: None),
        batches=batches,
        note=lambda text: print("! note:", text[:200]),
    )


def image(size: int, seed: int = 0) -> Tensor:
    """Return a random image on the device."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(1, 3, size, size, generator=generator).to(DEVICE)


def memory() -> str:
    """Return the peak of GPU memory since the last call."""
    if not CUDA:
        return ""
    peak = torch.cuda.max_memory_allocated() / 1e6
    torch.cuda.reset_peak_memory_stats()
    return f", peak {peak:.0f} MB"


def precision() -> None:
    """Compare convolutions in float32 and bfloat16 with float64."""
    x, w = torch.randn(1, 64, 96, 96, device=DEVICE), torch.randn(64, 64, 3, 3, device=DEVICE)
    exact = F.conv2d(x.double().cpu(), w.double().cpu(), padding=1)
    for dtype in (torch.float32, torch.bfloat16):
        result = F.conv2d(x.to(dtype), w.to(dtype), padding=1).double().cpu()
        print(f"# {dtype} convolution: relative error {(result - exact).norm() / exact.norm():.1e}")
    print(f"# TF32 in cuDNN: {torch.backends.cudnn.allow_tf32}, "
          f"in matmul: {torch.backends.cuda.matmul.allow_tf32}")  # fmt: skip


def agreement() -> None:
    """Compare the results of Gatys in float32 on this device and on the CPU after a few steps."""
    images = []
    for device in (DEVICE, torch.device("cpu")):
        made = context(64, precision="float32", device=device)
        stylize = Gatys(iterations=3).fit(image(64, 1).to(device), made)
        images.append(stylize(image(64).to(device), made).cpu())
    print(f"# gatys after 3 steps, device against CPU: {(images[0] - images[1]).abs().max():.1e}")


def gatys() -> None:
    """Measure image optimisation by size and optimizer."""
    for size in SIZES:
        for optimizer in ("lbfgs", "adam"):
            clock = Clock()
            made = context(size, clock)
            method = Gatys(iterations=STEPS, optimizer=optimizer)  # type: ignore[arg-type]
            method.fit(image(size, 1), made)(image(size), made)
            print(f"# gatys {optimizer} {size} px: {clock.rate()}{memory()}")


def johnson() -> None:
    """Measure training, with crops of photographs and with one batch that stays the same."""
    folder = Path(os.environ.get("INPUTS", ".gpu")) / "photos"
    photos = list(image_files(folder)) if folder.is_dir() else []
    photos = photos or [skimage_photograph(name) for name in BUILTIN]
    crop = SIZES[0]
    crops, fixed = Crops(photos, crop, crop), torch.rand(4, 3, crop, crop)

    def cropped(batch: int, crop: int, skip: int = 0) -> Iterator[Tensor]:
        return crops.batches(batch, torch.Generator().manual_seed(0), skip)

    def constant(batch: int, crop: int, skip: int = 0) -> Iterator[Tensor]:
        while True:
            yield fixed

    for name, batches in (("crops", cropped), ("constant batch", constant)):
        clock = Clock()
        made = context(crop, clock, batches)
        Johnson(steps=STEPS, crop=crop).fit(image(crop, 1), made)
        print(f"# johnson {crop} px, batch 4, {name}: {clock.rate()}{memory()}")


def profile() -> None:
    """Write a profile of one short optimisation to profile.txt."""
    if not CUDA:
        return
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as profiler

    made = context(512)
    stylize = Gatys(iterations=20).fit(image(512, 1), made)
    stylize(image(512), made)
    with profiler(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as profiled:
        stylize(image(512), made)
    table = profiled.key_averages().table(sort_by="self_cuda_time_total", row_limit=40)
    (Path(os.environ["OUT"]) / "profile.txt").write_text(table, encoding="utf-8")


def main() -> int:
    """Run all parts and return 1 if one of them failed."""
    failed = False
    for part in (precision, agreement, gatys, johnson, profile):
        try:
            part()
        except Exception as error:
            failed = True
            print(f"! {part.__name__}: {type(error).__name__}: {str(error)[:200]}", flush=True)
            traceback.print_exc()
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
