"""What travels to other machines: once, checked, and the same when it arrives."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from harness.errors import HashError
from harness.execution.executors.ray import object_transfer
from harness.execution.executors.ray.object_transfer import NodeCache, Packer, files_of_job
from tests.harness.execution.executors.test_ipc import job


class Wire:
    """A depot without a network: what is offered here, it reads for the node."""

    def __init__(self, folder: Path) -> None:
        self.paths: dict[str, Path] = {}
        self.asked: list[list[str]] = []
        (folder / "driver").mkdir()
        self.packer = Packer(folder / "driver", self.paths.update)
        self.node = NodeCache(self.read, folder / "node")

    def read(self, names: Sequence[str]) -> list[bytes]:
        self.asked.append(list(names))
        return [self.paths[name].read_bytes() for name in names]


@pytest.fixture
def wire(tmp_path: Path) -> Wire:
    return Wire(tmp_path)


def test_a_job_arrives_as_it_was_sent_and_its_images_by_hash(wire: Wire) -> None:
    sent = [job(), job(content="other", kept=(b"t" * 5000, {"seconds": 1.5}))]
    packed = wire.packer.pack(sent)
    assert len(packed.payload) < 4000  # no pixels in it: 171 x 256 x 3 are 131,328 bytes
    found = wire.node.unpack(packed)
    for one, other in zip(sent, found, strict=True):
        assert np.array_equal(one.content, other.content)
        assert np.array_equal(one.style, other.style)
        assert (one.kept, one.cell.id) == (other.kept, other.cell.id)
    # Two contents, the style that they share, and the net.
    assert len(packed.pieces) == 4
    for name in packed.pieces:
        assert Path(name).stem == hashlib.sha256(wire.paths[name].read_bytes()).hexdigest()


def test_what_a_node_has_is_not_sent_again_to_any_of_its_processes(
    wire: Wire, tmp_path: Path
) -> None:
    wire.node.unpack(wire.packer.pack(job()))
    assert len(wire.asked) == 1
    NodeCache(wire.read, tmp_path / "node").unpack(wire.packer.pack([job(), job()]))
    assert len(wire.asked) == 1


def test_a_file_becomes_the_nodes_copy_wherever_it_is_named(wire: Wire, tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(b"weights")
    sent = {"encoder_files": {"abc": path}, "network_file": str(path), "other": "weights.pth"}
    found = wire.node.unpack(wire.packer.pack(sent, [path]))
    name = f"{hashlib.sha256(b'weights').hexdigest()}.pth"  # the loader goes by the suffix
    copy = tmp_path / "node" / name
    assert found == {"encoder_files": {"abc": copy}, "network_file": str(copy),
                     "other": "weights.pth"}  # fmt: skip
    assert copy.read_bytes() == b"weights"


def test_a_relative_name_is_known_as_it_was_written(
    wire: Wire, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("net.pth").write_bytes(b"net")
    sent = job()
    sent = replace(sent, cell=replace(sent.cell, params={"checkpoint": "./net.pth"},
                                      files={"checkpoint": "0" * 64}))  # fmt: skip
    found = wire.node.unpack(wire.packer.pack([sent], files_of_job(sent)))
    copy = Path(found[0].cell.params["checkpoint"])
    assert copy.parent == tmp_path / "node"
    assert copy.read_bytes() == b"net"


def test_a_file_that_nothing_names_is_not_sent(wire: Wire, tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(b"weights")
    assert wire.packer.pack({"another": 1}, [path]).pieces == {}


@pytest.mark.parametrize("how", ["changed", "cut short"])
def test_what_arrives_other_than_it_was_sent_is_refused(wire: Wire, how: str) -> None:
    packed = wire.packer.pack(job())
    name = next(iter(packed.pieces))
    data = wire.paths[name].read_bytes()
    wire.paths[name].write_bytes(data[:-1] + b"x" if how == "changed" else data[:-1])
    with pytest.raises(HashError, match=f"SHA-256 {Path(name).stem} arrived with"):
        wire.node.unpack(packed)


def test_a_piece_that_was_cut_short_on_the_node_comes_again(wire: Wire, tmp_path: Path) -> None:
    packed = wire.packer.pack(job())
    wire.node.unpack(packed)
    name = next(iter(packed.pieces))
    (tmp_path / "node" / name).write_bytes(b"half")
    again = NodeCache(wire.read, tmp_path / "node").unpack(packed)
    assert np.array_equal(again.content, job().content)
    assert wire.asked[-1] == [name]


def test_much_is_asked_for_in_loads_that_fit_into_memory(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(object_transfer, "LOAD_BYTES", 10_000)
    wire.node.unpack(wire.packer.pack([bytes([n]) * 5000 for n in range(5)]))
    assert [len(load) for load in wire.asked] == [2, 2, 1]
    monkeypatch.setattr(object_transfer, "LOAD_BYTES", 9_999)
    wire.node.unpack(wire.packer.pack([bytes([n]) * 5000 for n in range(5, 10)]))
    assert [len(load) for load in wire.asked[3:]] == [1, 1, 1, 1, 1]


def test_a_jobs_files_are_its_methods_and_its_stored_image(tmp_path: Path) -> None:
    net, image = tmp_path / "net.pth", tmp_path / "image.png"
    own = job(image=image)
    own = replace(own, cell=replace(own.cell, params={"checkpoint": str(net)},
                                    files={"checkpoint": "0" * 64}))  # fmt: skip
    assert files_of_job(own) == [str(net), image]
    assert files_of_job(job()) == []
