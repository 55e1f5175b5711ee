"""Run a method on small images and observe its side effects."""

from __future__ import annotations

import pickle
import random
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from harness import encoders
from harness.conformance import opened_files
from harness.encoders.feature_extractor import LayeredEncoder
from harness.protocols import Context, Image, Scale, Step, Stylizer
from harness.registry.redirect_stdout import stdout_to
from harness.resources import stand_ins
from harness.resources.downloads import Network
from harness.resources.images import read, resize, skimage_photograph, to_tensor
from harness.resources.training_images import Crops
from harness.resources.weights import WeightsStore

SIZE = 48  # long edge, pixels
REALISTIC_SIZE = 64
"""Long edge, in pixels, of images for checks that measure the quality of results."""

PAINTING = "starry-night"
"""A style with saturated strokes, which drive an optimizer out of [0, 1] more than photographs."""

SETTINGS: dict[str, tuple[Callable[[], Any], Callable[[Any], Any]]] = {
    "gradients": (torch.is_grad_enabled, torch.set_grad_enabled),
    "default type": (torch.get_default_dtype, torch.set_default_dtype),
    "number of threads": (torch.get_num_threads, torch.set_num_threads),
    "precision of products": (
        torch.get_float32_matmul_precision, torch.set_float32_matmul_precision
    ),
    "deterministic algorithms": (
        torch.are_deterministic_algorithms_enabled, torch.use_deterministic_algorithms
    ),
}  # fmt: skip
"""Global settings of torch, each with its getter and setter."""


@dataclass(frozen=True)
class ReportedStep:
    """A copy of a step: the method may reuse its tensors later."""

    index: int
    of: int
    losses: dict[str, float]
    image_shape: tuple[int, ...] | None


@dataclass(frozen=True)
class ObservedRun:
    """The image of one fit and one stylization, and their side effects."""

    image: Image
    steps: dict[str, list[ReportedStep]]  # by phase: fit, stylize
    layers_read: frozenset[str]
    reads_photographs: bool  # to train on
    printed: str
    generators_used: tuple[str, ...]  # global ones
    settings_changed: tuple[str, ...]  # names in SETTINGS
    inputs_changed: tuple[str, ...]  # content, style
    files_read: frozenset[Path]


class Probe:
    """A method with the encoder, images and contexts to run it with."""

    size = SIZE

    def __init__(self, method: Any) -> None:
        self.method = method
        self.content, self.style = photograph("coffee", SIZE), photograph("chelsea", 40)
        self.initial_threads = set(threading.enumerate())

    @cached_property
    def encoder(self) -> LayeredEncoder:
        """The encoder with random weights, with the method's stand-in layers."""
        network = offline_encoder("random")
        return network.with_stand_ins(encoders.replacement_layers(self.method, network.layers))

    @cached_property
    def missing_layers(self) -> list[str]:
        """Declared layers that the encoder does not have."""
        available = {*self.encoder.layers, *self.encoder.stand_ins}
        return [layer for layer in self.method.layers if layer not in available]

    @cached_property
    def first_run(self) -> ObservedRun:
        """The run that most checks read."""
        return self.run()

    def run(self) -> ObservedRun:
        """Fit and stylize with seed 0, and observe the side effects."""
        layers, batch_sizes = set[str](), list[int]()
        steps: dict[str, list[ReportedStep]] = {"fit": [], "stylize": []}
        images = {"content": self.content, "style": self.style}
        originals = {name: image.clone() for name, image in images.items()}
        encoder = RecordingEncoder(self.encoder, layers)
        with (
            _restore_settings() as settings,
            _restore_generators() as generators,
            _capture_stdout() as printed,
            opened_files.recorded() as files_read,
        ):
            contexts = {
                phase: self.context(0, reported, encoder, batch_sizes)
                for phase, reported in steps.items()
            }
            stylizer = self.method.fit(self.style, contexts["fit"])
            image = stylizer(self.content, contexts["stylize"])
            files = files_read()
        return ObservedRun(
            image=image,
            steps=steps,
            layers_read=frozenset(layers),
            reads_photographs=bool(batch_sizes),
            printed="".join(printed),
            generators_used=tuple(generators),
            settings_changed=tuple(settings),
            inputs_changed=tuple(n for n in images if not torch.equal(images[n], originals[n])),
            files_read=files,
        )

    def fit(self, style: Image | None = None) -> Stylizer:
        """Fit with seed 0, by default to the probe's style."""
        stylizer: Stylizer = self.method.fit(
            self.style if style is None else style, self.context(0)
        )
        return stylizer

    def context(
        self,
        seed: int,
        steps: list[ReportedStep] | None = None,
        encoder: RecordingEncoder | LayeredEncoder | None = None,
        batch_sizes: list[int] | None = None,
    ) -> Context:
        """Return a context on the CPU.

        Args:
            seed: Seed of the generator.
            steps: Receives the reported steps.
            encoder: Replaces the encoder of the probe.
            batch_sizes: Receives the size of each request for training batches.
        """
        generator = torch.Generator().manual_seed(seed)
        steps = [] if steps is None else steps
        sizes = [] if batch_sizes is None else batch_sizes

        def batches(batch_size: int, crop: int | None, skip: int = 0) -> Iterator[Image]:
            sizes.append(batch_size)
            crops = _crops(crop or self.size, self.size)
            return crops.batches(batch_size, generator, skip)

        return Context(
            device=torch.device("cpu"),
            generator=generator,
            encoder=encoder or self.encoder,
            size=self.size,
            on_step=lambda step: steps.append(_copy_step(step)),
            batches=batches,
            note=lambda text: None,
        )


class RealisticProbe(Probe):
    """A probe with a painting as the style and, if it has the method's layers, `compact`."""

    size = REALISTIC_SIZE

    def __init__(self, method: Any) -> None:
        super().__init__(method)
        # The images are cached, and the method may write to them.
        self.content = photograph("coffee", REALISTIC_SIZE).clone()
        self.style = painting(REALISTIC_SIZE).clone()

    @cached_property
    def encoder(self) -> LayeredEncoder:
        """The encoder `compact`, or the one with random weights if `compact` lacks a layer."""
        network = offline_encoder("compact")
        network = network.with_stand_ins(encoders.replacement_layers(self.method, network.layers))
        available = {*network.layers, *network.stand_ins}
        return network if available >= set(self.method.layers) else super().encoder


class RecordingEncoder:
    """An encoder with the members of the protocol only, which records the requested layers."""

    def __init__(self, network: LayeredEncoder, layers_read: set[str]) -> None:
        self._network, self._layers_read = network, layers_read
        self.name, self.layers, self.dtype = network.name, network.layers, network.dtype

    def __call__(self, image: Image, layers: Sequence[str]) -> dict[str, torch.Tensor]:
        """Return the features at `layers`."""
        self._layers_read.update(layers)
        return self._network(image, layers)

    def with_options(
        self, *, pooling: Any = "max", scale: Scale = "imagenet", upcast: bool = True
    ) -> RecordingEncoder:
        """Return an encoder with the same weights and another pooling or feature scale."""
        network = self._network.with_options(pooling=pooling, scale=scale, upcast=upcast)
        return RecordingEncoder(network, self._layers_read)


@cache
def offline_encoder(name: str) -> LayeredEncoder:
    """Return `random` or `compact`, the encoders that need no download."""
    return encoders.load(*encoders.find(name, WeightsStore(Network(offline=True), {})))


@cache
def photograph(name: str, size: int) -> Image:
    """Return a photograph of scikit-image with the given long edge."""
    return to_tensor(np.asarray(resize(read(skimage_photograph(name)), size)))


@cache
def painting(size: int) -> Image:
    """Return a generated painting with the given long edge."""
    return to_tensor(stand_ins.paint(PAINTING, size, size * 3 // 4))


@cache
def _crops(crop: int, size: int) -> Crops:
    return Crops([skimage_photograph("coffee"), skimage_photograph("chelsea")], crop, size)


def _copy_step(step: Step) -> ReportedStep:
    losses = {name: float(loss) for name, loss in step.losses.items()}
    shape = None if step.image is None else tuple(step.image.shape)
    return ReportedStep(step.index, step.of, losses, shape)


@contextmanager
def restore_global_state() -> Iterator[None]:
    """Restore settings and generators that a method may have changed."""
    with _restore_settings(), _restore_generators():
        yield


@contextmanager
def _restore_settings() -> Iterator[list[str]]:
    """Restore torch's settings at the end, and fill the list with the names of changed ones."""
    changed: list[str] = []
    before = {name: get() for name, (get, _) in SETTINGS.items()}
    try:
        yield changed
    finally:
        changed += [name for name, (get, _) in SETTINGS.items() if get() != before[name]]
        for name in changed:
            SETTINGS[name][1](before[name])


@contextmanager
def _restore_generators() -> Iterator[list[str]]:
    """Seed the global generators, restore them at the end, and list those that were used."""
    used: list[str] = []
    saved = torch.get_rng_state(), np.random.get_state(), random.getstate()  # noqa: NPY002
    torch.manual_seed(SIZE)
    np.random.seed(SIZE)  # noqa: NPY002
    random.seed(SIZE)
    before = _generator_states()
    try:
        yield used
    finally:
        used += [name for name, state in _generator_states().items() if state != before[name]]
        torch.set_rng_state(saved[0])
        np.random.set_state(saved[1])  # noqa: NPY002
        random.setstate(saved[2])


def _generator_states() -> dict[str, object]:
    return {
        "torch": torch.get_rng_state().numpy().tobytes(),
        "numpy": pickle.dumps(np.random.get_state()),  # noqa: NPY002
        "random": random.getstate(),
    }


@contextmanager
def _capture_stdout() -> Iterator[list[str]]:
    """Append everything that is written to stdout to the list, at the end."""
    printed: list[str] = []
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as file:
        try:
            with stdout_to(file, file.fileno()):
                yield printed
        finally:
            file.seek(0)
            printed.append(file.read())
