"""Connect to a Ray cluster, inspect its nodes and select those for a run."""

from __future__ import annotations

import logging
import os
import socket
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from harness.errors import UsageError
from harness.resources import precision, software
from harness.resources.devices import Hardware, find_device

INSTALL = "pip install 'ray>=2.60'"

_LOCAL_VERSION = software.versions()["nstbench"]

CONNECT_SECONDS = 5.0
INSPECTION_SECONDS = 120.0
"""Starting the first process of a node takes seconds, and longer in a large cluster."""


@dataclass(frozen=True)
class Node:
    """A machine of the cluster."""

    id: str
    name: str
    device: str  # "cpu", or the name of its GPUs
    gpus: int
    cores: int
    bfloat16: bool  # whether it is fast there
    versions: Mapping[str, str] = field(hash=False)


class Place(NamedTuple):
    """A place for a worker."""

    node: Node
    number: int  # on the node, from 1


@dataclass
class Cluster:
    """The nodes for a run: all of one device, because the device is part of a cell's id."""

    inspector: NodeInspector  # finds nodes that join later
    device: str
    nodes: list[Node]
    threads: int  # per worker
    share: float = 1.0  # of a GPU per worker
    others: tuple[Node, ...] = ()  # of other devices: not used
    problems: tuple[str, ...] = ()  # of nodes that cannot be used

    def refresh(self) -> list[str]:
        """Drop lost nodes, add those that joined; return messages on nodes that cannot be used."""
        results = self.inspector.update()
        joined = [node for node in results if isinstance(node, Node) and self.accepts(node)]
        self.nodes = [node for node in [*self.nodes, *joined] if node.id in self.inspector.alive]
        return [problem for problem in results if isinstance(problem, str)]

    def accepts(self, node: Node) -> bool:
        """Return whether a node that joined later has the run's device and room for a worker."""
        return _has_device(node, self.device) and self.slots(node) > 0

    @property
    def worker_resources(self) -> dict[str, float]:
        """The resources of a worker, as options of a Ray actor."""
        if self.device == "cpu":
            return {"num_cpus": self.threads}
        return {"num_cpus": 1, "num_gpus": self.share}

    def slots(self, node: Node) -> int:
        """Return the number of workers that fit on a node."""
        return node.cores // self.threads if self.device == "cpu" else int(node.gpus / self.share)

    def places(self) -> list[Place]:
        """Return the places on all nodes: the first of each node, then the second of each."""
        places = [Place(node, i + 1) for node in self.nodes for i in range(self.slots(node))]
        return sorted(places, key=lambda place: place.number)

    @property
    def workers(self) -> int:
        """The number of workers that fit on all nodes."""
        return sum(map(self.slots, self.nodes))

    @property
    def hardware(self) -> Hardware:
        """What its nodes have in common."""
        return Hardware(self.device, all(node.bfloat16 for node in self.nodes))

    def lines(self) -> Iterator[str]:
        """Describe the workers, the unused nodes and the differences between nodes."""
        places = ", ".join(f"{node.name} ({self.slots(node)})" for node in self.nodes)
        nodes = "1 node" if len(self.nodes) == 1 else f"{len(self.nodes)} nodes"
        yield f"{self.workers} workers on {nodes}: {places}"
        unused = [node for node in self.others if node.gpus]
        for device in dict.fromkeys(node.device for node in unused):
            names = ", ".join(node.name for node in unused if node.device == device)
            yield f"not used: {names} ({device}); use --device to select them"
        yield from (f"! {problem}" for problem in self.problems)
        for package in ("torch", "numpy", "commit"):
            versions = Counter(node.versions.get(package, "") or "none" for node in self.nodes)
            if len(versions) > 1:
                yield f"! the nodes differ in {package}: {', '.join(versions)}"


def connect(address: str) -> Any:
    """Return the `ray` module, connected to a cluster or to a new one on this machine.

    Args:
        address: Of a cluster that has this machine as a node; empty for a new cluster.

    Raises:
        UsageError: Ray is not installed, or no cluster responds at the address.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # no usage reports to Ray's developers
    try:
        import ray
    except ImportError:
        raise UsageError(f"--executor ray: Ray is not installed. Run `{INSTALL}`.") from None
    if address.startswith("ray://"):
        raise UsageError(
            f"--ray-address {address}: this machine has to be a node of the cluster. Run "
            "`ray start --address=HOST:6379 --num-cpus=0` here, then pass --ray-address auto."
        )
    # Ray would print the log of a lost node; the executor reports it in one line.
    if hasattr(ray._private.worker, "print_to_stdstream"):
        ray._private.worker.print_to_stdstream = lambda *_, **__: None
    try:
        if address not in {"", "auto"}:
            _check_port(address)
        ray.init(
            address=address or "local", log_to_driver=False, logging_level=logging.ERROR,
            include_dashboard=None if address else False,
        )  # fmt: skip
    except (OSError, RuntimeError, ValueError) as error:
        why = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        raise UsageError(
            f"--ray-address {address or 'local'}: no cluster responds there ({why}). "
            "`ray start --head` starts a cluster and prints its address. If it requires a token, "
            "use --ray-address auto on a node, or set RAY_AUTH_MODE=token."
        ) from None
    return ray


def select_nodes(ray: Any, device: str, share: float = 1.0) -> Cluster:
    """Return the nodes for a run.

    Args:
        ray: The module, connected.
        device: `auto` selects the most frequent GPU, else the CPU; `cuda` requires a GPU; `cpu`;
            or a part of a GPU's name.
        share: Of a GPU per worker.

    Raises:
        UsageError: No node has such a device.
    """
    inspector = NodeInspector(ray)
    results = inspector.update(INSPECTION_SECONDS)
    nodes = [result for result in results if isinstance(result, Node)]
    problems = tuple(result for result in results if isinstance(result, str))
    if not nodes:
        raise UsageError("No node of the cluster can be used. " + ". ".join(problems))
    chosen_device = choose(nodes, device)
    chosen = [node for node in nodes if _has_device(node, chosen_device)]
    return Cluster(
        inspector=inspector,
        device=chosen_device,
        nodes=chosen,
        threads=_threads(chosen, chosen_device),
        share=share,
        others=tuple(node for node in nodes if node not in chosen),
        problems=problems,
    )


def choose(nodes: Sequence[Node], device: str) -> str:
    """Return the device of a run: `cpu`, or the full name of a GPU.

    Raises:
        UsageError: No node has such a device.
    """
    gpus: Counter[str] = Counter()
    for node in nodes:
        gpus[node.device] += node.gpus
    gpus.pop("cpu", None)
    if device == "cpu" or (device == "auto" and not gpus):
        if not any(node.cores for node in nodes):
            raise UsageError(f"--device {device}: the nodes of the cluster offer no CPU cores.")
        return "cpu"
    names = [name for name in gpus if device in {"auto", "cuda"} or device.lower() in name.lower()]
    if not names:
        available = ", ".join(f"{number} × {name}" for name, number in gpus.items()) or "no GPU"
        raise UsageError(f"--device {device}: the cluster has {available}.")
    return max(names, key=lambda name: gpus[name])


class NodeInspector:
    """Inspects each node once, in a Ray task on that node.

    Ray's own labels do not give the exact name of a GPU, its bfloat16 speed or our versions.
    """

    def __init__(self, ray: Any) -> None:
        self._ray = ray
        self.alive: set[str] = set()
        """Ids of the nodes that were alive at the last update."""
        self._known: set[str] = set()
        self._pending: dict[Any, Mapping[str, Any]] = {}  # task -> Ray's description of the node
        self._names: Counter[str] = Counter()  # host names may repeat

    def update(self, seconds: float = 0.0) -> list[Node | str]:
        """Start to inspect new nodes; return inspected nodes, and messages on unusable ones.

        Args:
            seconds: Time to wait; after it, nodes that have not responded are reported.
        """
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        nodes = {node["NodeID"]: node for node in self._ray.nodes() if node["Alive"]}
        self.alive = set(nodes)
        inspect = self._ray.remote(num_cpus=0, max_retries=0, max_calls=1)(describe_node)
        for id_ in self.alive - self._known:
            affinity = NodeAffinitySchedulingStrategy(id_, soft=False)
            self._pending[inspect.options(scheduling_strategy=affinity).remote()] = nodes[id_]
        self._known |= self.alive
        if not self._pending:
            return []
        tasks = list(self._pending)
        done, silent = self._ray.wait(tasks, num_returns=len(tasks), timeout=seconds)
        results = [self._result(task, self._pending.pop(task)) for task in done]
        if seconds:
            names = (self._pending[task]["NodeManagerHostname"] for task in silent)
            results += [f"{name} does not respond" for name in names]
        return [result for result in results if result is not None]

    def _result(self, task: Any, facts: Mapping[str, Any]) -> Node | str | None:
        """Return an inspected node, a message if it cannot be used, or None if it has left."""
        name, resources = facts["NodeManagerHostname"], facts["Resources"]
        try:
            described = self._ray.get(task)
        except self._ray.exceptions.RayTaskError as error:
            return f"{name} is excluded: {str(error).strip().splitlines()[-1]}"
        except self._ray.exceptions.RayError:
            return None
        if (version := described["versions"]["nstbench"]) != _LOCAL_VERSION:
            return f"{name} is excluded: it has nstbench {version}, not {_LOCAL_VERSION}"
        self._names[described["name"]] += 1
        repeated = self._names[described["name"]]
        if repeated > 1:
            described["name"] += f"-{repeated}"
        has_gpu = described["device"] != "cpu"
        gpus, cores = int(has_gpu and resources.get("GPU", 0)), int(resources.get("CPU", 0))
        return Node(facts["NodeID"], gpus=gpus, cores=cores, **described)


def describe_node() -> dict[str, Any]:
    """Return the name, device, bfloat16 support and versions of the node that runs this task.

    Its process must end with the task, because torch keeps GPU memory.
    """
    os.environ.pop("CUDA_VISIBLE_DEVICES", None)  # Ray hides GPUs from a task that reserves none
    device = find_device("auto")
    return {
        "name": socket.gethostname(),
        "device": device,
        "bfloat16": precision.resolve("auto", device) == "bfloat16",
        "versions": {**software.versions(), "commit": software.commit()},
    }


def _has_device(node: Node, device: str) -> bool:
    return node.cores > 0 if device == "cpu" else node.device == device


def _threads(nodes: Sequence[Node], device: str) -> int:
    """Return the CPU threads per worker: equal on all nodes, or the bits of sums would differ."""
    if device != "cpu":
        return max(1, min(node.cores // node.gpus for node in nodes))
    cores = min(node.cores for node in nodes)
    limit = os.environ.get("OMP_NUM_THREADS", "")
    return min(int(limit), cores) if limit.isdecimal() and int(limit) else cores


def _check_port(address: str) -> None:
    """Raise unless the port accepts connections: Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    if not (host and port.isdecimal()):
        raise ValueError("the form is HOST:6379")
    socket.create_connection((host, int(port)), CONNECT_SECONDS).close()
