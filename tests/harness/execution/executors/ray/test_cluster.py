"""Selection of a cluster's nodes for a run, and its messages."""

from __future__ import annotations

import io
import os
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from harness.api.display import MAX_LINES, Display
from harness.errors import UsageError
from harness.execution.executors.ray import cluster
from harness.execution.executors.ray.cluster import Cluster, Node, choose
from harness.records import Record, Timing
from harness.resources import software
from tests.harness.execution.executors.test_ipc import job
from tests.helpers.command_line import SMOKE, nstbench

VERSIONS = {**software.versions(), "commit": "abc"}


def node(name: str, device: str = "cpu", gpus: int = 0, cores: int = 16, **more: Any) -> Node:
    facts = {"bfloat16": device != "cpu", "versions": VERSIONS, **more}
    return Node(name, name, device, gpus, cores, **facts)


MIXED = [
    node("head", cores=0),
    node("a1", "NVIDIA A100-SXM4-80GB", 8, 96),
    node("h1", "NVIDIA H100 80GB HBM3", 4, 48),
    node("h2", "NVIDIA H100 80GB HBM3", 2, 16),
]


def cluster_of(device: str, nodes: list[Node], **more: Any) -> Cluster:
    chosen = [n for n in nodes if cluster._has_device(n, device)]
    threads = cluster._threads(chosen, device)
    others = tuple(n for n in nodes if n not in chosen)
    return Cluster(None, device, tuple(chosen), threads, others=others, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("device", "selected"),
    [
        ("auto", "NVIDIA A100-SXM4-80GB"),  # 8 A100 and 6 H100
        ("cuda", "NVIDIA A100-SXM4-80GB"),
        ("h100", "NVIDIA H100 80GB HBM3"),
        ("NVIDIA", "NVIDIA A100-SXM4-80GB"),
        ("cpu", "cpu"),
    ],
)
def test_a_run_on_a_mixed_cluster_uses_one_device(device: str, selected: str) -> None:
    assert choose(MIXED, device) == selected


def test_the_error_for_a_missing_device_lists_the_available_ones() -> None:
    with pytest.raises(UsageError, match=r"--device H200: the cluster has 8 × NVIDIA A100.*, 6 ×"):
        choose(MIXED, "H200")
    with pytest.raises(UsageError, match="--device cuda: the cluster has no GPU"):
        choose([node("a")], "cuda")
    with pytest.raises(UsageError, match="offer no CPU cores"):
        choose([node("head", cores=0)], "auto")


def test_the_plan_lists_the_workers_and_the_unused_nodes() -> None:
    lines = list(cluster_of("NVIDIA H100 80GB HBM3", MIXED).lines())
    assert lines[0] == "6 workers on 2 nodes: h1 (4), h2 (2)"
    assert lines[1].startswith("not used: a1 (NVIDIA A100-SXM4-80GB)")
    assert len(lines) == 2


def test_nodes_with_different_versions_are_reported() -> None:
    other = node("b", versions={**VERSIONS, "torch": "1.0"})
    (_, warning) = cluster_of("cpu", [node("a"), other]).lines()
    assert warning == f"! the nodes differ in torch: {VERSIONS['torch']}, 1.0"


def test_cpu_workers_use_whole_nodes_unless_threads_are_limited(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    nodes = [node("a", cores=16), node("b", cores=40)]
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    # All workers have 16 threads, because sums depend on the number: b has room for two workers.
    assert [cluster_of("cpu", nodes).slots(n) for n in nodes] == [1, 2]
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    assert [cluster_of("cpu", nodes).slots(n) for n in nodes] == [4, 10]
    assert cluster_of("cpu", nodes).worker_resources == {"num_cpus": 4}


def test_a_worker_has_a_whole_gpu_unless_a_share_is_set() -> None:
    h100 = "NVIDIA H100 80GB HBM3"
    assert cluster_of(h100, MIXED).worker_resources == {"num_cpus": 1, "num_gpus": 1.0}
    assert cluster_of(h100, MIXED).workers == 6
    assert cluster_of(h100, MIXED, share=0.25).workers == 24
    assert cluster_of(h100, MIXED).threads == 8  # h1 has 12 cores per GPU, h2 has 8: the minimum


def test_workers_spread_over_the_nodes() -> None:
    places = cluster_of("NVIDIA H100 80GB HBM3", MIXED).places()
    names = [f"{place.node.name}#{place.number}" for place in places]
    assert names == ["h1#1", "h2#1", "h1#2", "h2#2", "h1#3", "h1#4"]


def test_a_node_that_joins_later_needs_the_same_device() -> None:
    used = cluster_of("NVIDIA H100 80GB HBM3", MIXED)
    assert used.accepts(node("h3", "NVIDIA H100 80GB HBM3", 1, 8))
    assert not used.accepts(node("a2", "NVIDIA A100-SXM4-80GB", 8, 96))


def test_a_refresh_drops_lost_nodes_and_adds_those_of_the_same_device() -> None:
    h100, problem = "NVIDIA H100 80GB HBM3", "old is excluded: it has nstbench 0.1"
    joined = [node("h3", h100, 1, 8), node("a2", "NVIDIA A100-SXM4-80GB", 8, 96), problem]
    used = cluster_of(h100, MIXED)
    used.inspector = SimpleNamespace(alive={"h2", "h3", "a2"}, update=lambda: joined)  # type: ignore[assignment]
    assert used.refresh() == [problem]
    assert [n.name for n in used.nodes] == ["h2", "h3"]
    assert used.workers == 3


def test_bfloat16_is_used_if_it_is_fast_on_all_nodes() -> None:
    fast, slow = node("a", bfloat16=True), node("b", bfloat16=False)
    assert cluster_of("cpu", [fast, fast]).hardware.bfloat16
    assert not cluster_of("cpu", [fast, slow]).hardware.bfloat16


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--ray-address", "auto"), "--ray-address auto requires --executor ray."),
        (
            ("--executor", "ray", "--ray-address", "ray://here:10001"),
            "has to be a node of the cluster",
        ),
        (("--executor", "ray", "--ray-address", "here"), r"the form is HOST:6379"),
        (("--executor", "ray", "--ray-address", "127.0.0.1:1"), "no cluster responds there"),
        (
            ("--executor", "ray", "--gpus-per-worker", "0.5"),
            "--gpus-per-worker 0.5 requires --batch-cells",
        ),
    ],
)
def test_invalid_options_fail_before_the_run(
    options: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    pytest.importorskip("ray")
    result = nstbench("run", SMOKE, "--out", tmp_path / "out", *options)
    assert result.returncode == 2, result.stdout + result.stderr
    assert re.search(message, result.stderr)
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "out").exists()


def test_a_missing_ray_is_reported_with_the_install_command(tmp_path: Path) -> None:
    (tmp_path / "ray.py").write_text("raise ImportError")
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    result = nstbench("run", SMOKE, "--executor", "ray", env={"PYTHONPATH": path})
    assert result.returncode == 2
    assert "pip install 'ray>=2.60'" in result.stderr


def test_a_terminal_shows_each_worker_and_the_time_left() -> None:
    written = io.StringIO()
    display = Display(Console(file=written, force_terminal=True, width=100, height=40))
    cells = [replace(job().cell, seed=seed) for seed in range(5)]
    timing = Timing(0.0, False, 60.0, 1, 0.0, 0, None, None, "process")
    display.run_started(cells)
    display.workers_changed(["a#1", "a#2", "b#1"])
    display.progress(cells[0].id, "stylize", 3, 10, "a#2")
    display.cell_finished(Record(cells[1], "done", timing=timing))
    display.workers_changed(["a#2", "b#1"])
    display.run_ended()
    last = written.getvalue().rpartition("cells ")[2]  # the final frame
    assert "a#2 stylizing v/a--style/s0" in last
    assert "b#1 starting" in last
    assert "a#1" not in last  # it was lost
    # Four cells of a minute for two workers.
    assert "1/5, 2:00 left" in last


def test_workers_without_room_in_the_terminal_are_counted() -> None:
    written = io.StringIO()
    display = Display(Console(file=written, force_terminal=True, width=100, height=60))
    display.run_started([job().cell])
    display.workers_changed([f"n#{number}" for number in range(1, 17)])
    display.run_ended()
    last = written.getvalue()
    assert f"{16 - MAX_LINES} more workers" in last
    assert "n#12 starting" in last
    assert "n#13" not in last
