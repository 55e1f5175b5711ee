"""Mirrors in a folder and behind a web address, with working and failing servers."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image as Pillow

from harness.encoders import find
from harness.errors import HashError, ImageError, MissingWeightsError, UsageError
from harness.resources import downloads, http_transfer, weights
from harness.resources.downloads import Network
from harness.resources.images import ImageSource, ImageStore
from harness.resources.mirror import Mirror, open_mirror
from harness.resources.weights import WeightsStore
from tests.helpers import web_server as web
from tests.helpers.web_server import Web


def picture(color: str) -> bytes:
    buffer = io.BytesIO()
    Pillow.new("RGB", (32, 32), color).save(buffer, format="PNG")
    return buffer.getvalue()


RED, BLUE = picture("red"), picture("blue")


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def source(content: bytes = RED, **more: Any) -> ImageSource:
    # Port 1 is closed: without the mirror the painting is not available.
    return ImageSource("p", url="http://127.0.0.2:1/my%20paint.png", sha256=sha(content), **more)


@pytest.fixture
def server(web_server: Web, monkeypatch: pytest.MonkeyPatch) -> Web:
    monkeypatch.setattr(downloads, "WAIT_SECONDS", 0.0)
    monkeypatch.setattr(http_transfer, "READ_SECONDS", 0.3)
    return web_server


def mirror_at(where: str | Path, network: Network | None = None) -> Mirror:
    found = open_mirror(str(where), network or Network())
    assert found is not None
    return found


def test_a_folder_is_searched_by_name(tmp_path: Path) -> None:
    (tmp_path / "my paint.png").write_bytes(RED)
    used = ImageStore(Network(offline=True), mirror_at(tmp_path)).find(source())
    assert (used.sha256, used.stand_in) == (sha(RED), None)
    assert used.origin == source().url  # a copy has the identity of the original


def test_a_manifest_finds_a_copy_under_any_name(tmp_path: Path) -> None:
    (tmp_path / "other.png").write_bytes(RED)
    manifest = [{"file": "other.png", "sha256": sha(RED), "title": "more is allowed"}]
    (tmp_path / "MANIFEST.json").write_text(json.dumps(manifest))
    assert ImageStore(Network(offline=True), mirror_at(tmp_path)).find(source()).sha256 == sha(RED)


@pytest.mark.parametrize("text", ["{", '{"a": 1}', '[["a"]]', '[{"file": "x"}]', "[1]", "null"])
def test_an_invalid_manifest_is_reported(tmp_path: Path, text: str) -> None:
    (tmp_path / "MANIFEST.json").write_text(text)
    with pytest.raises(UsageError, match=r"MANIFEST\.json is not a list of \{file, sha256\}"):
        ImageStore(Network(offline=True), mirror_at(tmp_path)).find(source())


def test_a_copy_with_a_wrong_hash_is_an_error_without_stand_in(tmp_path: Path) -> None:
    (tmp_path / "my paint.png").write_bytes(BLUE)
    images = ImageStore(Network(offline=True), mirror_at(tmp_path))
    with pytest.raises(ImageError, match=f"has SHA-256 {sha(BLUE)} instead of {sha(RED)}"):
        images.find(source(stand_in="seated-nude"))
    assert (tmp_path / "my paint.png").read_bytes() == BLUE


def test_a_missing_mirror_folder_is_reported(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no such folder"):
        open_mirror(str(tmp_path / "nowhere"), Network())
    assert open_mirror("", Network()) is None


def test_a_web_mirror_gets_one_request_and_its_copy_works_offline(server: Web) -> None:
    server.files["copies/my paint.png"] = RED
    base = f"{server.url}/copies/"
    assert ImageStore(Network(), mirror_at(base)).find(source()).sha256 == sha(RED)
    assert server.requests == ["copies/MANIFEST.json", "copies/my paint.png"]
    closed = Network(offline=True)
    again = ImageStore(closed, mirror_at(base, closed)).find(source())
    assert (again.sha256, again.stand_in) == (sha(RED), None)
    assert len(server.requests) == 2


def test_a_web_mirror_may_have_a_manifest(server: Web) -> None:
    server.files["x/1.png"] = RED
    server.files["MANIFEST.json"] = json.dumps([{"file": "x/1.png", "sha256": sha(RED)}]).encode()
    assert ImageStore(Network(), mirror_at(server.url)).find(source()).sha256 == sha(RED)


def test_files_that_a_web_mirror_lacks_come_from_other_sources(server: Web) -> None:
    mirror = mirror_at(server.url)
    used = ImageStore(Network(), mirror).find(source(stand_in="seated-nude"))
    assert used.stand_in == "seated-nude"
    assert "no connection to 127.0.0.2" in used.why_stand_in
    assert mirror.complaint == ""  # a 404 is not a failure of the mirror


def test_a_web_mirror_with_a_wrong_hash_is_an_error(server: Web) -> None:
    server.files["my paint.png"] = BLUE
    with pytest.raises(ImageError, match=f"has SHA-256 {sha(BLUE)} instead of {sha(RED)}"):
        ImageStore(Network(), mirror_at(server.url)).find(source(stand_in="seated-nude"))


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (web.status(500), "answers 500"),
        (web.never, "does not answer"),
        (web.trickle(1, 0.1), r"sends \d+ bytes a second"),
        (web.cut(after=10, times=9), "was interrupted"),
    ],
    ids=["500", "never", "slowly", "cut"],
)
def test_a_failing_web_mirror_sets_complaint_and_other_sources_are_used(
    server: Web, fault: Any, message: str
) -> None:
    import re

    server.files["my paint.png"] = RED
    server.faults["my paint.png"] = fault
    mirror = mirror_at(server.url)
    used = ImageStore(Network(), mirror).find(source(stand_in="seated-nude"))
    assert used.stand_in == "seated-nude"
    assert re.search(rf"The mirror {server.url} failed: .*{message}", mirror.complaint)


def test_mirrors_provide_weights(
    server: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mirrors have torchvision's file names; downloads go to TORCH_HOME."""
    from harness.encoders.architectures import ARCHITECTURES

    network = ARCHITECTURES["squeezenet1_1"].build()
    tensors = {key: torch.zeros(value.shape) for key, value in network.state_dict().items()}
    buffer = io.BytesIO()
    torch.save(tensors, buffer)
    content = buffer.getvalue()
    file = f"squeezenet1_1-{sha(content)[:8]}.pth"
    monkeypatch.setitem(weights.TORCHVISION, "squeezenet1_1", (file, 5))
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror" / file).write_bytes(content)
    server.files[file] = content

    closed = Network(offline=True)
    from_folder = WeightsStore(closed, {}, mirror_at(tmp_path / "mirror", closed)).find(
        "squeezenet1_1"
    )
    assert from_folder.path == tmp_path / "mirror" / file
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    from_web = WeightsStore(Network(), {}, mirror_at(server.url)).find("squeezenet1_1")
    assert from_web.path == tmp_path / "torch" / "hub" / "checkpoints" / file
    assert from_web.sha256 == from_folder.sha256 == sha(content)
    use, _ = find("squeezenet1_1", WeightsStore(closed, {}))  # now in torch's cache
    assert use.layers == ARCHITECTURES["squeezenet1_1"].layers


def test_torchvisions_server_is_the_last_source(
    server: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = f"vgg19-{sha(RED)[:8]}.pth"
    monkeypatch.setitem(weights.TORCHVISION, "vgg19", (file, 1))
    monkeypatch.setattr(weights, "STORE", f"{server.url}/models/")
    with pytest.raises(MissingWeightsError, match=r"answers 404 .*--weights vgg19=PATH"):
        WeightsStore(Network(), {}).find("vgg19")
    server.files[f"models/{file}"] = RED
    assert WeightsStore(Network(), {}).find("vgg19").sha256 == sha(RED)


def test_a_wrong_hash_in_torchs_cache_is_an_error_without_fallback() -> None:
    cached = weights.torch_cache() / weights.TORCHVISION["vgg19"][0]
    cached.parent.mkdir(parents=True)
    cached.write_bytes(b"half a download")
    with pytest.raises(HashError, match=f"{cached} has SHA-256 .* instead of dcbb9e9d"):
        find("auto", WeightsStore(Network(offline=True), {}))
    assert cached.exists()
