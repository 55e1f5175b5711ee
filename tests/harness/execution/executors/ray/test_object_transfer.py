"""Transfer of resources and jobs to other nodes: each file once, verified, under a local path."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.errors import HashError
from harness.execution.executors.ray import object_transfer
from harness.execution.executors.ray.object_transfer import (
    NodeCache,
    Packer,
    SourceFile,
    bundles,
    map_job_files,
    map_resource_files,
)
from harness.execution.jobs import Job
from harness.plan import Resources
from harness.records import EncoderUse
from tests.harness.execution.executors.test_ipc import job


@dataclass(frozen=True)
class Metric:
    """A metric with a network, or without."""

    network_file: str = ""


class Transfer:
    """A driver and a node without Ray: an object reference is an index into `objects`."""

    def __init__(self, folder: Path) -> None:
        self.objects: list[Any] = []
        self.requests: list[list[str]] = []
        self.corrupt: Callable[[bytes], bytes] = bytes
        self.packer = Packer(self.put)
        self.folder = folder / "node"
        self.node = NodeCache(self.read, self.folder)

    def put(self, content: Any) -> int:
        self.objects.append(content)
        return len(self.objects) - 1

    def read(self, paths: Sequence[str]) -> list[bytes]:
        self.requests.append(list(paths))
        return [self.corrupt(Path(path).read_bytes()) for path in paths]


@pytest.fixture
def transfer(tmp_path: Path) -> Transfer:
    return Transfer(tmp_path)


def job_with_file(path: str) -> Job:
    one = job()
    cell = replace(one.cell, params={"checkpoint": path}, files={"checkpoint": "0" * 64})
    return replace(one, cell=cell)


def resources_with(*photographs: Path, **fields: Any) -> Resources:
    return Resources(
        encoder=EncoderUse("e", "w", "o"), device="cpu", precision="float32",
        training_files=photographs, **{"encoder_files": {}, "metrics": (), **fields},
    )  # fmt: skip


def photographs(folder: Path, number: int, size: int = 5000) -> list[Path]:
    paths = [folder / f"{index}.png" for index in range(number)]
    for index, path in enumerate(paths):
        path.write_bytes(bytes([index]) * size)
    return paths


def test_images_and_nets_become_references_and_each_is_stored_once(transfer: Transfer) -> None:
    sent = [job(), job(content="other", kept=(b"t" * 5000, {"seconds": 1.5})), job()]
    package = transfer.packer.pack_jobs([sent[:1], sent[1:]])
    assert [len(batch) for batch in package.content] == [1, 2]
    assert len(transfer.objects) == 4  # two contents, one style, one net
    for original, packed in zip(
        sent, [one for batch in package.content for one in batch], strict=True
    ):
        assert np.array_equal(transfer.objects[packed.content], original.content)
        assert np.array_equal(transfer.objects[packed.style], original.style)
        assert packed.cell == original.cell
    assert transfer.objects[package.content[1][0].kept] == sent[1].kept
    assert package.content[0][0].kept is None
    transfer.packer.pack_jobs([[job()]])
    assert len(transfer.objects) == 4


def test_a_file_that_a_node_has_is_not_sent_again_to_any_of_its_processes(
    transfer: Transfer, tmp_path: Path
) -> None:
    package = transfer.packer.pack_resources(resources_with(*photographs(tmp_path, 2)))
    transfer.node.fetch(package.files)
    assert len(transfer.requests) == 1
    NodeCache(transfer.read, transfer.folder).fetch(package.files)
    assert len(transfer.requests) == 1


def test_the_resources_name_the_copies_of_the_node(transfer: Transfer, tmp_path: Path) -> None:
    weights, net, photograph = (tmp_path / name for name in ("w.pth", "net.pth", "p.png"))
    for path in (weights, net, photograph):
        path.write_bytes(path.name.encode())
    encoder_files = {"abc": weights, "drawn": None}
    metrics = (Metric(str(net)), Metric())
    sent = resources_with(photograph, encoder_files=encoder_files, metrics=metrics)
    package = transfer.packer.pack_resources(sent)
    found = map_resource_files(package.content, transfer.node.fetch(package.files))

    def copy(path: Path) -> Path:  # loaders choose the format by the suffix
        name = f"{hashlib.sha256(path.name.encode()).hexdigest()}{path.suffix}"
        return transfer.folder / name

    assert found.encoder_files == {"abc": copy(weights), "drawn": None}
    assert found.metrics == (Metric(str(copy(net))), Metric())
    assert found.training_files == (copy(photograph),)
    assert copy(weights).read_bytes() == b"w.pth"
    assert sorted(transfer.requests[0]) == sorted(map(str, (weights, net, photograph)))


def test_a_relative_path_is_replaced_too(
    transfer: Transfer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("net.pth").write_bytes(b"net")
    package = transfer.packer.pack_jobs([[job_with_file("./net.pth")]])
    monkeypatch.chdir(tmp_path.parent)  # the reader is another process
    found = map_job_files(package.content[0][0], transfer.node.fetch(package.files))
    copy = Path(found.cell.params["checkpoint"])
    assert copy.parent == transfer.folder
    assert copy.read_bytes() == b"net"


def test_the_files_of_a_job_are_those_of_its_method_and_its_stored_image(
    transfer: Transfer, tmp_path: Path
) -> None:
    net, image = tmp_path / "net.pth", tmp_path / "image.png"
    net.write_bytes(b"net")
    image.write_bytes(b"image")
    package = transfer.packer.pack_jobs([[replace(job_with_file(str(net)), image=image)]])
    assert [file.path for file in package.files] == [str(net), str(image)]
    found = map_job_files(package.content[0][0], transfer.node.fetch(package.files))
    assert found.image is not None
    assert found.image.read_bytes() == b"image"
    assert transfer.packer.pack_jobs([[job()]]).files == ()


def test_a_file_of_a_methods_package_stays_where_it_is(transfer: Transfer) -> None:
    one = job_with_file("net.pth")
    one = replace(one, cell=replace(one.cell, params={}, files={"weights": "0" * 64}))
    package = transfer.packer.pack_jobs([[one]])
    assert package.files == ()
    assert package.content[0][0].cell.files == one.cell.files


def test_the_style_at_its_own_size_becomes_a_reference(transfer: Transfer) -> None:
    one = job()
    own = np.ones((512, 512, 3), np.uint8)
    one = replace(one, cell=replace(one.cell, style_size=512), own_style=own)
    (packed,) = transfer.packer.pack_jobs([[one]]).content[0]
    assert np.array_equal(transfer.objects[packed.own_style], own)
    assert np.array_equal(transfer.objects[packed.style], one.style)
    assert transfer.packer.pack_jobs([[job()]]).content[0][0].own_style is None


@pytest.mark.parametrize("how", ["changed", "cut short"])
def test_a_file_that_changes_on_the_way_is_refused(
    transfer: Transfer, tmp_path: Path, how: str
) -> None:
    package = transfer.packer.pack_resources(resources_with(*photographs(tmp_path, 1)))
    transfer.corrupt = lambda data: data[:-1] + b"x" if how == "changed" else data[:-1]
    name = package.files[0].name
    with pytest.raises(HashError, match=f"SHA-256 {Path(name).stem} arrived with"):
        transfer.node.fetch(package.files)
    assert not (transfer.folder / name).exists()


def test_a_truncated_copy_is_fetched_again(transfer: Transfer, tmp_path: Path) -> None:
    (path,) = photographs(tmp_path, 1)
    package = transfer.packer.pack_resources(resources_with(path))
    transfer.node.fetch(package.files)
    copy = transfer.folder / package.files[0].name
    copy.write_bytes(b"half")
    NodeCache(transfer.read, transfer.folder).fetch(package.files)
    assert copy.read_bytes() == path.read_bytes()
    assert transfer.requests == [[str(path)]] * 2


def test_a_request_reads_no_more_files_than_fit_into_memory(
    transfer: Transfer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(object_transfer, "MAX_BUNDLE_BYTES", 10_000)
    package = transfer.packer.pack_resources(resources_with(*photographs(tmp_path, 5)))
    transfer.node.fetch(package.files)
    assert [len(paths) for paths in transfer.requests] == [2, 2, 1]
    monkeypatch.setattr(object_transfer, "MAX_BUNDLE_BYTES", 9_999)
    assert [len(bundle) for bundle in bundles(package.files)] == [1] * 5
    large = SourceFile("", "", "", 20_000)
    assert [len(bundle) for bundle in bundles([large, large])] == [1, 1]
