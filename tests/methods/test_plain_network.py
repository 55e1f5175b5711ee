"""The network of layers of torch alone gives the images of the transformer net."""

from __future__ import annotations

from itertools import product
from typing import Any, get_args, get_type_hints

import pytest
import torch

from methods._plain_network import PlainNetwork
from methods._recipes import NetworkRecipe
from methods.johnson import Johnson
from tests.helpers.stored_fits import network

OPTIONS: dict[str, list[str]] = {
    name: list(get_args(hint))
    for name, hint in get_type_hints(NetworkRecipe).items()
    if name != "width"
}
"""Every value of every option of the network's structure."""

STRUCTURES = [
    dict(zip(OPTIONS, values, strict=True))
    for values in product(*OPTIONS.values())
    if "upsample_conv" in values or "nearest" in values  # others do not interpolate
]


def test_the_product_has_every_structure_once() -> None:
    assert len(STRUCTURES) == 3 * (5 + 1) * 3 * 3


@pytest.mark.parametrize("norm", OPTIONS["norm"])
def test_both_networks_agree_in_every_structure(norm: str) -> None:
    image = torch.rand(2, 3, 19, 22, generator=torch.Generator().manual_seed(1))
    for structure in (one for one in STRUCTURES if one["norm"] == norm):
        full = network(Johnson(steps=0, width=0.03, **structure))  # type: ignore[arg-type]
        plain: Any = PlainNetwork(full)(image)
        with torch.no_grad():
            assert torch.allclose(plain, full(image), atol=2e-5), structure
