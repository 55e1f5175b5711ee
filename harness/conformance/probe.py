"""A method under observation: what it takes to run it, and what is noted while it runs."""

from __future__ import annotations

import pickle
import random
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import numpy as np
import torch

from harness import encoders
from harness.encoders.feature_extractor import LayeredEncoder
from harness.protocols import Context, Image, Scale, Step, Stylizer
from harness.registry.redirect_stdout import stdout_to
from harness.resources import stand_ins
from harness.resources.downloads import Network
from harness.resources.images import read, resize, skimage_photograph, to_tensor
from harness.resources.training_images import Crops
from harness.resources.weights import WeightsStore

SIZE = 48  # long edge, pixels
REALISTIC = 64
"""Long edge, in pixels, of the images on which results are judged, not only conduct."""

PAINTING = "starry-night"
"""Strokes of saturated colour: what drives an optimiser out of [0, 1]. Photographs seldom do."""

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


@dataclass(frozen=True)
class Reported:
    """A step as it was when it was reported; later the method may reuse its tensors."""

    index: int
    of: int
    losses: dict[str, float]
    shape: tuple[int, ...] | None  # of its image


@dataclass(frozen=True)
class Trial:
    """One fit and one stylization, and what they did besides."""

    image: Image
    steps: dict[str, list[Reported]]  # by phase
    asked: frozenset[str]  # layers
    read: bool  # photographs to train on
    printed: str
    drew: tuple[str, ...]  # global random generators that moved
    set: tuple[str, ...]  # torch's settings that are others now
    altered: tuple[str, ...]  # content and style, where they were written to


class Lab:
    """A method with an encoder, photographs and contexts to run it with."""

    size = SIZE

    def __init__(self, method: Any) -> None:
        self.method = method
        self.content, self.style = photograph("coffee", SIZE), photograph("chelsea", 40)
        self.threads = set(threading.enumerate())

    @cached_property
    def encoder(self) -> LayeredEncoder:
        """The encoder of random weights, with what the method lets stand in."""
        network = offline_encoder("random")
        return network.with_stand_ins(encoders.stood_in(self.method, network.layers))

    @cached_property
    def missing(self) -> list[str]:
        """The layers that are declared and that the encoder lacks."""
        there = {*self.encoder.layers, *self.encoder.stand_ins}
        return [layer for layer in self.method.layers if layer not in there]

    @cached_property
    def trial(self) -> Trial:
        """The first run; most checks look at it."""
        return self.run()

    def run(self) -> Trial:
        """Fit and stylize from seed 0, under observation."""
        asked, read = set[str](), list[int]()
        steps: dict[str, list[Reported]] = {"fit": [], "stylize": []}
        images = {"content": self.content, "style": self.style}
        before = {name: image.clone() for name, image in images.items()}
        encoder = Encoder(self.encoder, asked)
        with _own_settings() as changed, _own_randomness() as drew, _printed() as printed:
            contexts = {p: self.context(0, own, encoder, read) for p, own in steps.items()}
            stylizer = self.method.fit(self.style, contexts["fit"])
            image = stylizer(self.content, contexts["stylize"])
        altered = (name for name in images if not torch.equal(images[name], before[name]))
        return Trial(
            image, steps, frozenset(asked), bool(read), "".join(printed), tuple(drew),
            tuple(changed), tuple(altered),
        )  # fmt: skip

    def fit(self, style: Image | None = None) -> Stylizer:
        """Fit from seed 0."""
        stylizer: Stylizer = self.method.fit(
            self.style if style is None else style, self.context(0)
        )
        return stylizer

    def context(
        self,
        seed: int,
        steps: list[Reported] | None = None,
        encoder: Encoder | LayeredEncoder | None = None,
        read: list[int] | None = None,
    ) -> Context:
        """Return what a method may lean on.

        Args:
            seed: Of its generator.
            steps: Collects what is reported.
            encoder: Instead of the plain one.
            read: Collects the sizes of the batches that are asked for.
        """
        generator = torch.Generator().manual_seed(seed)
        kept, sizes = [] if steps is None else steps, [] if read is None else read

        def batches(batch_size: int, crop: int | None, skip: int = 0) -> Iterator[Image]:
            sizes.append(batch_size)
            crops = _crops(crop or self.size, self.size)
            return crops.batches(batch_size, generator, skip)

        return Context(
            device=torch.device("cpu"),
            generator=generator,
            encoder=encoder or self.encoder,
            size=self.size,
            on_step=lambda step: kept.append(_reported(step)),
            batches=batches,
            note=lambda text: None,
        )


class RealisticLab(Lab):
    """A method with `compact`, where that has its layers, and with a painting as the style."""

    size = REALISTIC

    def __init__(self, method: Any) -> None:
        super().__init__(method)
        # Copies: a method may write to them.
        self.content = photograph("coffee", REALISTIC).clone()
        self.style = painting(REALISTIC).clone()

    @cached_property
    def encoder(self) -> LayeredEncoder:
        """The encoder that comes with nstbench; of random weights where it ends too early."""
        network = offline_encoder("compact")
        network = network.with_stand_ins(encoders.stood_in(self.method, network.layers))
        there = {*network.layers, *network.stand_ins}
        return network if there >= set(self.method.layers) else super().encoder


class Encoder:
    """An encoder that has what the protocol says and no more, and notes what it is asked for."""

    def __init__(self, network: LayeredEncoder, asked: set[str]) -> None:
        self._network, self._asked = network, asked
        self.name, self.layers, self.dtype = network.name, network.layers, network.dtype

    def __call__(self, image: Image, layers: Sequence[str]) -> dict[str, torch.Tensor]:
        """Return the features at `layers`."""
        self._asked.update(layers)
        return self._network(image, layers)

    def with_options(
        self, *, pooling: Any = "max", scale: Scale = "imagenet", upcast: bool = True
    ) -> Encoder:
        """Return the same weights with another pooling, or features on another scale."""
        other = self._network.with_options(pooling=pooling, scale=scale, upcast=upcast)
        return Encoder(other, self._asked)


@cache
def offline_encoder(name: str) -> LayeredEncoder:
    """Return `random` or `compact`, the encoders that every machine has."""
    return encoders.load(*encoders.find(name, WeightsStore(Network(offline=True), {})))


@cache
def photograph(name: str, size: int) -> Image:
    """Return one of scikit-image's photographs with the given long edge."""
    return to_tensor(np.asarray(resize(read(skimage_photograph(name)), size)))


@cache
def painting(size: int) -> Image:
    """Return a painting that nstbench makes itself, with the given long edge."""
    return to_tensor(stand_ins.paint(PAINTING, size, size * 3 // 4))


@cache
def _crops(crop: int, size: int) -> Crops:
    return Crops([skimage_photograph("coffee"), skimage_photograph("chelsea")], crop, size)


def _reported(step: Step) -> Reported:
    losses = {name: float(loss) for name, loss in step.losses.items()}
    shape = None if step.image is None else tuple(step.image.shape)
    return Reported(step.index, step.of, losses, shape)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Put back what a method may have changed for all who run after it."""
    with _own_settings(), _own_randomness():
        yield


@contextmanager
def _own_settings() -> Iterator[list[str]]:
    """Put torch's settings back, and name those that were changed."""
    changed: list[str] = []
    before = {name: get() for name, (get, _) in SETTINGS.items()}
    try:
        yield changed
    finally:
        changed += [name for name, (get, _) in SETTINGS.items() if get() != before[name]]
        for name in changed:
            SETTINGS[name][1](before[name])


@contextmanager
def _own_randomness() -> Iterator[list[str]]:
    """Run from one state of all global generators, put them back, and name those that moved."""
    drew: list[str] = []
    kept = torch.get_rng_state(), np.random.get_state(), random.getstate()  # noqa: NPY002
    torch.manual_seed(SIZE)
    np.random.seed(SIZE)  # noqa: NPY002
    random.seed(SIZE)
    before = _states()
    try:
        yield drew
    finally:
        drew += [name for name, state in _states().items() if state != before[name]]
        torch.set_rng_state(kept[0])
        np.random.set_state(kept[1])  # noqa: NPY002
        random.setstate(kept[2])


def _states() -> dict[str, object]:
    return {
        "torch": torch.get_rng_state().numpy().tobytes(),
        "numpy": pickle.dumps(np.random.get_state()),  # noqa: NPY002
        "random": random.getstate(),
    }


@contextmanager
def _printed() -> Iterator[list[str]]:
    """Collect what goes to stdout."""
    printed: list[str] = []
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as file:
        try:
            with stdout_to(file, file.fileno()):
                yield printed
        finally:
            file.seek(0)
            printed.append(file.read())
