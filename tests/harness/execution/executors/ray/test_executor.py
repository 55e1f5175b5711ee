"""Cells on a real Ray cluster of several nodes on this machine, with CPU cores instead of GPUs.

The faulty method writes a line for each completed stylization, on any node.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.harness.execution.test_checkpoints import FREQUENT_CHECKPOINTS
from tests.helpers.faults.faulty_runs import ROOT, SLOW, Bench, site

if TYPE_CHECKING:
    from ray.cluster_utils import Cluster

__all__ = ["site"]

pytestmark = [
    pytest.mark.slow,
    # Ray does not close the files with the addresses of its processes.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

STORE_BYTES = 80 * 2**20
"""Shared memory of each node: the minimum that Ray accepts."""


@pytest.fixture(scope="module")
def cluster(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Start a head without cores; tests add nodes of one core, each with its own cache folder."""
    pytest.importorskip("ray")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", f"{site}{os.pathsep}{ROOT}")
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        from ray.cluster_utils import Cluster

        cluster = Cluster()
        cluster.add_node(num_cpus=0, object_store_memory=STORE_BYTES, include_dashboard=False)
        yield cluster
        cluster.shutdown()


@pytest.fixture
def nodes(cluster: Cluster, tmp_path: Path) -> Iterator[Callable[[], Any]]:
    """Add nodes, and remove them after the test."""
    added = []

    def add() -> Any:
        cache = str(tmp_path / f"cache-{len(added)}")
        environment = {"NSTBENCH_CACHE": cache, "NSTBENCH_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
        added.append(
            cluster.add_node(num_cpus=1, object_store_memory=STORE_BYTES, env_vars=environment)
        )
        return added[-1]

    yield add
    for node in added:
        if node in cluster.worker_nodes:
            cluster.remove_node(node, allow_graceful=False)


def ray_options(cluster: Cluster) -> tuple[str, ...]:
    return ("--executor", "ray", "--ray-address", cluster.address)


ONCE = SLOW.replace("{seconds}", "1.1")
"""Slow enough to run once; a faster stylization is repeated to measure its time."""

GATYS_AND_JOHNSON = """\
  gatys: {params: {iterations: 6}, axes: {optimizer: [lbfgs, adam]}}
  johnson: {params: {width: 0.25, steps: 4, batch_size: 2}, axes: {norm: [instance, batch]}}
"""


def start_run(cluster: Cluster, folder: Path, site: Path) -> tuple[Bench, subprocess.Popen[str]]:
    """Start a run of twelve cells and wait until four are done."""
    bench = Bench(folder, site, ONCE.format(folder=folder), seeds=str(list(range(12))))
    process = bench.start(*ray_options(cluster))
    bench.wait_for(process, lines=4)
    return bench, process


def test_a_cluster_gives_the_same_bits_as_one_machine(
    cluster: Cluster, nodes: Callable[[], Any], tmp_path: Path, site: Path
) -> None:
    nodes(), nodes(), nodes()
    images = []
    for name, where in (("local", ()), ("ray", ray_options(cluster))):
        (tmp_path / name).mkdir()
        bench = Bench(
            tmp_path / name, site, GATYS_AND_JOHNSON, metrics="[ssim, style_loss]",
            contents="{coffee: {builtin: coffee}, moon: {builtin: moon}}",
            profiles="{}", training="{images: " + str(photographs(tmp_path)) + "}",
        )  # fmt: skip
        bench.run("--deterministic", *where)
        images.append({
            r.cell.name: (r.image_sha256, [s.value for s in r.scores])
            for r in bench.store.all_records()
        })  # fmt: skip
    local, ray = images
    assert len(local) == 8
    assert local == ray
    assert "on 3 of Ray's nodes" in bench.store.run().environment["workers"]


def photographs(folder: Path) -> Path:
    """Return a folder of two photographs to train on."""
    import shutil

    from harness.resources.images import skimage_photograph

    target = folder / "photographs"
    target.mkdir(exist_ok=True)
    for name in ("coffee", "chelsea"):
        source = skimage_photograph(name)
        shutil.copy(source, target / source.name)
    return target


def test_the_cells_of_a_lost_node_run_on_others(
    cluster: Cluster, nodes: Callable[[], Any], tmp_path: Path, site: Path
) -> None:
    _, lost = nodes(), nodes()
    bench = Bench(tmp_path, site, ONCE.format(folder=tmp_path), seeds=str(list(range(16))))
    process = bench.start(*ray_options(cluster))
    bench.wait_for(process, lines=5)
    cluster.remove_node(lost, allow_graceful=False)
    stdout, stderr = process.communicate(timeout=200)
    assert process.returncode == 0, stdout + stderr
    assert "lost the worker" in stdout
    assert "Traceback" not in stderr
    records = bench.store.all_records()
    assert Counter(r.status for r in records) == {"done": 16}
    # The running cell was tried once more, and its record has both attempts; no other ran twice.
    retried = [r for r in records if r.attempts]
    assert [a.kind for r in retried for a in r.attempts] == ["Lost"] * len(retried)
    assert len(retried) <= 1
    assert len(set(bench.done())) == 16
    assert len(bench.done()) <= 16 + len(retried)


def test_a_hanging_cell_is_killed_and_a_crash_affects_no_other_cell(
    cluster: Cluster, nodes: Callable[[], Any], tmp_path: Path, site: Path
) -> None:
    nodes(), nodes()
    ways = {"well": "done", "sleeps": "timeout", "segfaults": "crashed", "raises": "failed",
            "crashes once": "done"}  # fmt: skip
    methods = f"  trouble: {{params: {{folder: {tmp_path}}}, axes: {{way: {json.dumps([*ways])}}}}}"
    bench = Bench(tmp_path, site, methods)
    bench.run("--timeout", "5", *ray_options(cluster), code=3)
    found = bench.records()
    assert {way: found[f"{way} coffee"].status for way in ways} == ways
    assert [a.kind for a in found["crashes once coffee"].attempts] == ["Crashed"]
    failure = found["segfaults coffee"].failure
    assert failure is not None
    assert "trouble.py" in failure.traceback  # from the worker's log on the node


def test_a_run_after_a_killed_driver_runs_only_the_remaining_cells(
    cluster: Cluster, nodes: Callable[[], Any], tmp_path: Path, site: Path
) -> None:
    nodes(), nodes()
    bench, process = start_run(cluster, tmp_path, site)
    process.send_signal(signal.SIGKILL)
    process.wait()
    finished = {r.cell.id for r in bench.store.all_records() if r.ok}
    time.sleep(2)  # the workers end with the driver
    before = len(bench.done())
    bench.run(*ray_options(cluster))
    assert Counter(r.status for r in bench.store.all_records()) == {"done": 12}
    assert len(bench.done()) - before == 12 - len(finished)


def test_ctrl_c_completes_the_running_cells(
    cluster: Cluster, nodes: Callable[[], Any], tmp_path: Path, site: Path
) -> None:
    nodes(), nodes()
    bench, process = start_run(cluster, tmp_path, site)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stdout + stderr
    assert "Traceback" not in stderr
    done = [r for r in bench.store.all_records() if r.ok]
    assert len(done) == len(bench.done()) < 12  # every started cell is completed


def test_a_training_resumes_on_another_node_from_its_last_checkpoint(
    cluster: Cluster, nodes: Callable[[], Any], tmp_path: Path, site: Path
) -> None:
    added = [nodes(), nodes()]
    methods = "  johnson: {params: {width: 0.25, steps: 150, batch_size: 2, crop: 32}}\n"
    (tmp_path / "uninterrupted_bench").mkdir()
    uninterrupted_bench = Bench(tmp_path / "uninterrupted_bench", site, methods)
    uninterrupted_bench.run()
    bench = Bench(tmp_path, site, methods)
    process = bench.start(*ray_options(cluster), how=("-c", FREQUENT_CHECKPOINTS))
    deadline = time.monotonic() + 120
    while not list(bench.store.root.glob("checkpoints/*/state.safetensors")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    used = [(tmp_path / f"cache-{n}" / "transferred").exists() for n in (0, 1)]
    assert sum(used) == 1  # one training needs one worker
    cluster.remove_node(added[used.index(True)], allow_graceful=False)
    stdout, stderr = process.communicate(timeout=200)
    assert process.returncode == 0, stdout + stderr
    (resumed,), (uninterrupted,) = (
        bench.store.all_records(),
        uninterrupted_bench.store.all_records(),
    )
    assert any(note.startswith("The training was resumed at step") for note in resumed.notes)
    assert resumed.image_sha256 == uninterrupted.image_sha256


def test_a_node_that_joins_later_is_used(
    cluster: Cluster, nodes: Callable[[], Any], tmp_path: Path, site: Path
) -> None:
    nodes()
    bench = Bench(tmp_path, site, ONCE.format(folder=tmp_path), seeds=str(list(range(24))))
    process = bench.start(*ray_options(cluster))
    bench.wait_for(process, lines=1)
    nodes()
    stdout, stderr = process.communicate(timeout=200)
    assert process.returncode == 0, stdout + stderr
    assert "2 on 2 of Ray's nodes" in bench.store.run().environment["workers"]


def test_each_node_receives_every_file_once_under_its_hash(
    cluster: Cluster, nodes: Callable[[], Any], tmp_path: Path, site: Path
) -> None:
    import hashlib

    nodes(), nodes()
    bench = Bench(
        tmp_path, site, "  johnson: {params: {width: 0.25, steps: 2, batch_size: 2}}\n",
        seeds="[0, 1, 2, 3]", training="{images: " + str(photographs(tmp_path)) + "}",
    )  # fmt: skip
    bench.run(*ray_options(cluster))
    for cache in ("cache-0", "cache-1"):
        files = list((tmp_path / cache / "transferred").glob("[!.]*"))
        suffixes = Counter(file.suffix for file in files)
        assert suffixes[".png"] == 2  # both photographs
        for file in files:
            assert file.stem == hashlib.sha256(file.read_bytes()).hexdigest()


def test_a_second_ctrl_c_ends_the_running_cells(
    cluster: Cluster, nodes: Callable[[], Any], tmp_path: Path, site: Path
) -> None:
    nodes(), nodes()
    methods = "  identity:\n  trouble: {params: {way: sleeps}}\n"
    bench = Bench(tmp_path, site, methods, seeds="[0, 1]")
    process = bench.start(*ray_options(cluster))
    deadline = time.monotonic() + 120
    while len(bench.store.all_records()) < 2 and time.monotonic() < deadline:
        time.sleep(0.1)  # afterwards both workers sleep
    for _ in range(2):
        process.send_signal(signal.SIGINT)
        time.sleep(1)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stdout + stderr
    assert "Traceback" not in stderr
    statuses = Counter(record.status for record in bench.store.all_records())
    assert statuses == {"done": 2, "interrupted": 2}
