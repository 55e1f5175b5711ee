"""The transformer net in tiles: the same image as in one piece."""

from __future__ import annotations

from typing import Any, get_args, get_type_hints

import pytest
import torch

from methods._network_tiles import stylize
from methods._transformer_net import TransformerNet
from methods.johnson import Johnson

KINDS = get_type_hints(Johnson)
VARIANTS = [
    *({"norm": norm} for norm in get_args(KINDS["norm"])),
    *({"upsample": upsample} for upsample in get_args(KINDS["upsample"])),
    *({"padding": padding} for padding in get_args(KINDS["padding"])),
    *({"output": output} for output in get_args(KINDS["output"])),
    {"interpolation": "bilinear"},
]


def network(**recipe: Any) -> TransformerNet:
    """Return a network whose norms and biases differ from channel to channel."""
    torch.manual_seed(0)
    made = TransformerNet(Johnson(width=0.25, **recipe)).eval().requires_grad_(False)
    for parameter in made.parameters():
        if parameter.ndim == 1:
            parameter.normal_(0.5, 0.3)
    return made


@pytest.mark.parametrize("recipe", VARIANTS, ids=str)
def test_tiles_give_the_image_of_the_whole_network(recipe: dict[str, Any], photograph: Any) -> None:
    content = photograph("coffee", 150)[..., :131]
    net = network(**recipe)
    whole = net(content)
    assert whole.std() > 1e-3
    for tile in (37, 64, 1000):  # not a multiple of the stride; several tiles; one tile
        assert float((stylize(net, content, tile) - whole).abs().max()) < 1e-4


def test_a_tile_alone_would_have_another_contrast(photograph: Any) -> None:
    """The statistics of instance normalisation are those of the whole image."""
    content, net = photograph("coffee", 192), network()
    whole, alone = net(content)[..., :64, :64], net(content[..., :96, :96])[..., :64, :64]
    assert float((whole - alone).abs().mean()) > 0.02
