"""The machines that Ray has, what each can do, and which of them a run takes."""

from __future__ import annotations

import json
import logging
import os
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness import environment, precision
from harness.devices import Hardware, find_device
from harness.errors import UsageError, WorkerError

INSTALL = "pip install 'nstbench[ray]'"

CENSUS_SECONDS = 120.0
"""A node's first process takes seconds to start, and one of a large cluster's may be slow."""


@dataclass(frozen=True)
class Node:
    """A machine of the cluster."""

    id: str
    name: str
    device: str  # "cpu", or its GPUs' name
    gpus: int
    cores: int
    bfloat16: bool  # where that is fast
    versions: Mapping[str, str] = field(hash=False)


@dataclass(frozen=True)
class Fleet:
    """The nodes that a run takes: all of one device, since that is part of what a cell is."""

    ray: Any  # connected
    device: str
    nodes: tuple[Node, ...]
    threads: int  # of each worker
    share: float = 1.0  # of a GPU that a worker takes
    others: tuple[Node, ...] = ()  # of other devices: left alone

    def slots(self, node: Node) -> int:
        """Return how many workers a node has room for."""
        return node.cores // self.threads if self.device == "cpu" else int(node.gpus / self.share)

    @property
    def workers(self) -> int:
        """How many workers there is room for."""
        return sum(map(self.slots, self.nodes))

    @property
    def hardware(self) -> Hardware:
        """What its nodes have in common."""
        return Hardware(self.device, all(node.bfloat16 for node in self.nodes))

    def lines(self) -> Iterator[str]:
        """Say where cells run, what is left alone, and in what the nodes differ."""
        places = ", ".join(f"{node.name} ({self.slots(node)})" for node in self.nodes)
        yield f"{self.workers} workers on {_nodes(len(self.nodes))}: {places}"
        for device in dict.fromkeys(node.device for node in self.others):
            names = ", ".join(node.name for node in self.others if node.device == device)
            yield f"not used: {names} ({device}); --device names another device"
        for package in ("torch", "numpy", "commit"):
            found = Counter(node.versions.get(package, "") or "none" for node in self.nodes)
            if len(found) > 1:
                yield f"! the nodes differ in {package}: {', '.join(found)}"


def connect(address: str) -> Any:
    """Return Ray, connected to a cluster, or to one of its own on this machine.

    Args:
        address: Of a cluster that this machine is part of, or empty.

    Raises:
        UsageError: Ray is not installed, or does not answer there.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would report to its makers
    try:
        import ray
    except ImportError:
        raise UsageError(f"--executor ray: Ray is not installed. `{INSTALL}` does that.") from None
    if address.startswith("ray://"):
        raise UsageError(
            f"--address {address}: this machine has to be a node of the cluster. "
            "`ray start --address=HOST:6379 --num-cpus=0` makes it one; then --address auto."
        )
    _quieten(ray)
    try:
        ray.init(
            address=address or "local", log_to_driver=False, logging_level=logging.ERROR,
            include_dashboard=None if address else False,
        )  # fmt: skip
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise UsageError(
            f"--address {address or 'local'}: no cluster answers there ({_first(error)}). "
            "`ray start --head` begins one, and says its address."
        ) from None
    return ray


def muster(ray: Any, asked: str, share: float = 1.0) -> Fleet:
    """Return the nodes for a run.

    Args:
        ray: Connected.
        asked: `auto` takes the GPUs that there are most of, else processors; `cuda` insists on
            GPUs; `cpu`; or a GPU's name, or part of it.
        share: Of a GPU that each worker takes.

    Raises:
        UsageError: No node has what was asked for, or one has another nstbench.
        WorkerError: A node does not answer.
    """
    nodes = [node for node in _census(ray) if node.gpus or node.cores]
    _same_nstbench(nodes)
    device = choose(nodes, asked)
    chosen = tuple(n for n in nodes if (n.cores if device == "cpu" else n.device == device))
    return Fleet(
        ray,
        device=device,
        nodes=chosen,
        threads=_threads(chosen, device),
        share=share,
        others=tuple(n for n in nodes if n not in chosen),
    )


def choose(nodes: Sequence[Node], asked: str) -> str:
    """Return the device that a run is on."""
    count: Counter[str] = Counter()
    for node in nodes:
        count[node.device] += node.gpus
    count.pop("cpu", None)
    there = ", ".join(f"{number} × {device}" for device, number in count.items()) or "no GPU"
    if asked == "cpu" or (asked == "auto" and not count):
        if not any(node.cores for node in nodes):
            raise UsageError(f"--device {asked}: the cluster has no processors to give away.")
        return "cpu"
    names = [d for d in count if asked in {"auto", "cuda"} or asked.lower() in d.lower()]
    if not names:
        raise UsageError(f"--device {asked}: the cluster has {there}.")
    return max(names, key=lambda device: count[device])


def _census(ray: Any) -> list[Node]:
    """Ask every node what it is; one that leaves meanwhile is left out."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    there = {node["NodeID"]: node for node in ray.nodes() if node["Alive"]}
    ask = ray.remote(num_cpus=0, max_retries=0)(look_at_this_node)
    asked = {
        ask.options(
            scheduling_strategy=NodeAffinitySchedulingStrategy(id_, soft=False)
        ).remote(): id_
        for id_ in there
    }
    _, silent = ray.wait(list(asked), num_returns=len(asked), timeout=CENSUS_SECONDS)
    found = []
    for answer, id_ in asked.items():
        name = there[id_]["NodeManagerHostname"]
        if answer in silent:
            raise WorkerError(f"{name} does not answer after {CENSUS_SECONDS:g} s.")
        try:
            found.append(_node(id_, there[id_]["Resources"], ray.get(answer)))
        except ray.exceptions.RayTaskError as error:
            raise UsageError(f"{name} cannot run nstbench: {_last(error)}") from None
        except ray.exceptions.RayError:
            continue
    return found


def _node(id_: str, resources: Mapping[str, float], told: Mapping[str, Any]) -> Node:
    gpus = int(resources.get("GPU", 0)) if told["device"] != "cpu" else 0
    return Node(id_, gpus=gpus, cores=int(resources.get("CPU", 0)), **told)


def look_at_this_node() -> dict[str, Any]:
    """Return what a node is; runs there.

    It looks from a process of its own: Ray hides the GPUs from one that took none, and torch would
    keep some of their memory.
    """
    code = f"import json, {__name__} as here; print(json.dumps(here.about_this_machine()))"
    around = {k: v for k, v in os.environ.items() if k != "CUDA_VISIBLE_DEVICES"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=around, check=True
    )
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


def about_this_machine() -> dict[str, Any]:
    """Return its name, its device, whether that is fast at bfloat16, and its versions."""
    device = find_device("auto")
    return {
        "name": socket.gethostname(),
        "device": device,
        "bfloat16": precision.resolve("auto", device) == "bfloat16",
        "versions": {**environment.versions(), "commit": environment.commit()},
    }


def _same_nstbench(nodes: Sequence[Node]) -> None:
    ours = environment.versions()["nstbench"]
    for node in nodes:
        theirs = node.versions["nstbench"]
        if theirs != ours:
            raise UsageError(
                f"{node.name} has nstbench {theirs or 'not installed'}, this machine {ours}. "
                "All nodes need the same: what a cell is would not be the same there."
            )


def _threads(nodes: Sequence[Node], device: str) -> int:
    """Return how many a worker computes with: the same everywhere, or sums would differ in bits."""
    if device != "cpu":
        return max(1, min(node.cores // node.gpus for node in nodes))
    fewest = min(node.cores for node in nodes)
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return min(int(asked), fewest) if asked.isdecimal() and int(asked) else fewest


def _quieten(ray: Any) -> None:
    """Keep Ray from printing a dead node's last log among ours: which node it was, we say."""
    if hasattr(ray._private.worker, "print_to_stdstream"):
        ray._private.worker.print_to_stdstream = lambda *_, **__: None


def _nodes(count: int) -> str:
    return "1 node" if count == 1 else f"{count} nodes"


def _first(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")


def _last(error: Exception) -> str:
    return str(error).strip().splitlines()[-1]
