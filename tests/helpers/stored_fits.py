"""Fits of johnson as a run stores them, without a training."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from harness.resources.weights import pack_recipe
from methods._transformer_net import InstanceNorm, TransformerNet
from methods.johnson import Johnson


def store_fit(out: Path, fit_id: str = "0123456789ab", suite: str = "s", **params: Any) -> Path:
    """Store a network with random weights, also in its normalisation, and return its file."""
    method = Johnson(steps=0, **params)
    file = out / suite / "fits" / fit_id / "model.safetensors"
    file.parent.mkdir(parents=True)
    recipe = {"method": "johnson", "version": Johnson.version, "params": asdict(method)}
    tensors = {name: tensor.contiguous() for name, tensor in network(method).state_dict().items()}
    save_file(tensors, file, pack_recipe(recipe))
    return file


def network(recipe: Johnson, seed: int = 0) -> TransformerNet:
    """Return a network with random weights whose statistics are those of an image."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        built = TransformerNet(recipe)
        for part in built.modules():
            if isinstance(part, (InstanceNorm, torch.nn.BatchNorm2d)):
                torch.nn.init.uniform_(part.weight, 0.5, 1.5)
                torch.nn.init.normal_(part.bias)
            if isinstance(part, torch.nn.BatchNorm2d):
                part.momentum = 1.0  # the statistics of the next image replace the initial ones
        with torch.no_grad():
            built(torch.rand(4, 3, 32, 32))
    return built.eval().requires_grad_(False)
