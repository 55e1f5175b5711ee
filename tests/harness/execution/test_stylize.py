"""Names of stylized pictures, and what happens without enough memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from harness.errors import TooLargeError
from harness.execution.machine import memory_estimate
from harness.execution.picture_files import INFIX, output_names
from harness.execution.picture_recipe import Recipe
from harness.execution.prepare import RunOptions
from harness.execution.stylize import MIN_TILE, PictureStylizer
from harness.resources.images import skimage_photograph

OPTIONS = RunOptions(out=Path("runs"), encoder="random", precision="float32", offline=True)
STYLE = skimage_photograph("hubble_deep_field")
CONTENT = skimage_photograph("chelsea")


def names(*paths: str) -> list[str]:
    return [name.removesuffix(f"{INFIX}x.png") for name in output_names([*map(Path, paths)], "x")]


def test_contents_of_the_same_name_get_different_outputs() -> None:
    assert names("/p/a.jpg", "/p/b.jpg") == ["a", "b"]
    assert names("/p/a.jpg", "/p/a.png", "/p/b.jpg") == ["a_jpg", "a_png", "b"]
    assert names("/p/a.jpg", "/q/a.jpg") == ["p_a", "q_a"]
    assert names("/p/a.jpg", "/q/A.jpg", "/q/a.png") == ["p_a_jpg", "q_A_jpg", "q_a_png"]
    assert names("/1/p/a.jpg", "/2/p/a.jpg") == ["1_p_a", "2_p_a"]
    # A name that another content has by itself.
    assert names("/p/a.jpg", "/q/a.jpg", "/r/p_a.jpg") == ["p_a", "q_a", f"p_a{INFIX}x_2.png"]


def test_long_names_are_cut() -> None:
    (name,) = output_names([Path("é" * 200 + ".jpg")], "x" * 200)
    assert len(name.encode()) < 200


def network() -> PictureStylizer:
    """Return a stylizer with a network of initial weights."""
    overrides = ("width=0.25", "steps=0")
    return PictureStylizer(Recipe("johnson", STYLE, overrides=overrides, size=200), OPTIONS)


def stylized(stylizer: PictureStylizer) -> Any:
    return stylizer.stylize(stylizer.open(CONTENT), lambda phase, index, of: None)[0]


@pytest.fixture
def tiles(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Edges of the tiles that networks work in."""
    from methods import _network_tiles

    edges: list[int] = []
    original = _network_tiles.stylize

    def spy(net: Any, image: Any, tile: int) -> Any:
        edges.append(tile)
        return original(net, image, tile)

    monkeypatch.setattr(_network_tiles, "stylize", spy)
    return edges


def test_networks_work_in_tiles_where_the_memory_is_short(
    monkeypatch: pytest.MonkeyPatch, tiles: list[int]
) -> None:
    whole = stylized(network())
    assert not tiles
    monkeypatch.setattr("harness.execution.machine.memory_limit.free", lambda: 5_000_000)
    assert abs(stylized(network()).astype(int) - whole).max() <= 1
    assert tiles
    assert MIN_TILE <= tiles[0] < 200


def test_running_out_of_memory_leads_to_smaller_tiles(
    monkeypatch: pytest.MonkeyPatch, tiles: list[int]
) -> None:
    from methods._network_training import FeedForward

    monkeypatch.setattr(memory_estimate, "bytes_of_call", lambda call, content: 0.0)

    def fail(*args: Any) -> Any:
        raise torch.OutOfMemoryError("none is left")

    monkeypatch.setattr(FeedForward, "__call__", fail)
    assert stylized(network()).shape == (133, 200, 3)
    assert tiles == [4 * MIN_TILE]


def test_an_optimisation_that_is_too_large_says_which_size_fits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stylizer = PictureStylizer(Recipe("gatys", STYLE, size="native"), OPTIONS)
    monkeypatch.setattr("harness.execution.machine.memory_limit.free", lambda: 20_000_000)
    with pytest.raises(TooLargeError, match=r"451 x 300 pixels.* Pass --size \d+ or less"):
        stylized(stylizer)


def test_methods_that_optimise_have_a_default_size() -> None:
    def size(method: str, path: Path, size: Any = None) -> int:
        return PictureStylizer(Recipe(method, STYLE, size=size), OPTIONS).open(path).cell.size

    large = skimage_photograph("coffee")  # 600 x 400
    assert size("gatys", large) == 512
    assert size("gatys", CONTENT) == 451  # it is not enlarged
    assert size("gatys", large, "native") == 600
    assert size("color_match", large) == 600
    assert size("color_match", large, 700) == 700


def test_the_memory_of_a_call_is_proportional_to_the_pixels() -> None:
    def double(image: torch.Tensor) -> torch.Tensor:
        return image * 2 + 1  # two results, of which the first is dropped after the second

    with torch.inference_mode():
        need = memory_estimate.bytes_of_call(double, torch.rand(1, 3, 700, 500))
    assert need == 2 * 12 * 700 * 500
