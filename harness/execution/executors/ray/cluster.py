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

from harness.errors import UsageError
from harness.resources import precision, software
from harness.resources.devices import Hardware, find_device

INSTALL = "pip install 'ray>=2.60'"

_OURS = software.versions()["nstbench"]

KNOCK_SECONDS = 5.0
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
class Cluster:
    """The nodes that a run takes: all of one device, since that is part of what a cell is."""

    ray: Any  # connected
    census: Census  # hears of nodes that come later
    device: str
    nodes: tuple[Node, ...]
    threads: int  # of each worker
    share: float = 1.0  # of a GPU that a worker takes
    others: tuple[Node, ...] = ()  # of other devices: left alone
    complaints: tuple[str, ...] = ()  # of nodes that cannot be used

    def takes(self, node: Node) -> bool:
        """Tell whether a node that came later is one for this run."""
        return _fits(node, self.device) and self.slots(node) > 0

    @property
    def of_a_worker(self) -> dict[str, float]:
        """What a worker takes of its node, in Ray's words."""
        if self.device == "cpu":
            return {"num_cpus": self.threads}
        return {"num_cpus": 1, "num_gpus": self.share}

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
        idle = [node for node in self.others if node.gpus]
        for device in dict.fromkeys(node.device for node in idle):
            names = ", ".join(node.name for node in idle if node.device == device)
            yield f"not used: {names} ({device}); --device takes them instead"
        yield from (f"! {complaint}" for complaint in self.complaints)
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
            f"--ray-address {address}: this machine has to be a node of the cluster. "
            "`ray start --address=HOST:6379 --num-cpus=0` makes it one; then pass "
            "--ray-address auto."
        )
    _quieten(ray)
    try:
        if address not in {"", "auto"}:
            _check_port(address)
        ray.init(
            address=address or "local", log_to_driver=False, logging_level=logging.ERROR,
            include_dashboard=None if address else False,
        )  # fmt: skip
    except (OSError, RuntimeError, ValueError) as error:
        raise UsageError(
            f"--ray-address {address or 'local'}: no cluster answers there ({_first(error)}). "
            "`ray start --head` begins one, and says its address. If it asks for a token: "
            "`--ray-address auto` finds that on a node, RAY_AUTH_MODE=token elsewhere."
        ) from None
    return ray


def select_nodes(ray: Any, asked: str, share: float = 1.0) -> Cluster:
    """Return the nodes for a run.

    Args:
        ray: Connected.
        asked: `auto` takes the GPUs that there are most of, else processors; `cuda` insists on
            GPUs; `cpu`; or a part of a GPU's name.
        share: Of a GPU that each worker takes.

    Raises:
        UsageError: No node has what was asked for.
    """
    census = Census(ray)
    census.there()
    answers = list(census.answers(CENSUS_SECONDS))
    nodes = [answer for answer in answers if isinstance(answer, Node)]
    complaints = tuple(answer for answer in answers if isinstance(answer, str))
    if not nodes:
        raise UsageError("No node of the cluster can be used. " + ". ".join(complaints))
    device = choose(nodes, asked)
    chosen = [node for node in nodes if _fits(node, device)]
    return Cluster(
        ray=ray,
        census=census,
        device=device,
        nodes=tuple(chosen),
        threads=_threads(chosen, device),
        share=share,
        others=tuple(node for node in nodes if node not in chosen),
        complaints=complaints,
    )


def _fits(node: Node, device: str) -> bool:
    return node.cores > 0 if device == "cpu" else node.device == device


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


class Census:
    """Asks every node what it is, once."""

    def __init__(self, ray: Any) -> None:
        self._ray = ray
        self._known: set[str] = set()
        self._asked: dict[Any, Mapping[str, Any]] = {}  # who has not answered yet
        self._names: Counter[str] = Counter()  # machines may be called alike

    def there(self) -> set[str]:
        """Return the ids of the nodes that are alive, and ask those that are new."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        alive = {node["NodeID"]: node for node in self._ray.nodes() if node["Alive"]}
        ask = self._ray.remote(num_cpus=0, max_retries=0)(look_at_this_node)
        for id_ in alive.keys() - self._known:
            only_there = NodeAffinitySchedulingStrategy(id_, soft=False)
            self._asked[ask.options(scheduling_strategy=only_there).remote()] = alive[id_]
        self._known |= alive.keys()
        return set(alive)

    def answers(self, seconds: float = 0.0) -> Iterator[Node | str]:
        """Yield what nodes answer within that time; a complaint where one cannot be used."""
        asked = list(self._asked)
        heard, silent = self._ray.wait(asked, num_returns=len(asked), timeout=seconds) \
            if asked else ([], [])  # fmt: skip
        for answer in heard:
            facts = self._asked.pop(answer)
            name = facts["NodeManagerHostname"]
            try:
                node = self._node(facts, self._ray.get(answer))
            except self._ray.exceptions.RayTaskError as error:
                yield f"{name} is left out: {_last(error)}"
            except self._ray.exceptions.RayError:
                continue  # it left meanwhile
            else:
                theirs = node.versions["nstbench"]
                other = f"{name} is left out: it has nstbench {theirs}, this machine {_OURS}"
                yield node if theirs == _OURS else other
        if seconds:
            yield from (
                f"{self._asked[one]['NodeManagerHostname']} does not answer" for one in silent
            )

    def _node(self, facts: Mapping[str, Any], told: Mapping[str, Any]) -> Node:
        has, name = facts["Resources"], told["name"]
        self._names[name] += 1
        return Node(
            id=facts["NodeID"],
            name=name if self._names[name] == 1 else f"{name}-{self._names[name]}",
            device=told["device"],
            gpus=int(has.get("GPU", 0)) if told["device"] != "cpu" else 0,
            cores=int(has.get("CPU", 0)),
            bfloat16=told["bfloat16"],
            versions=told["versions"],
        )


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
        "versions": {**software.versions(), "commit": software.commit()},
    }


def _threads(nodes: Sequence[Node], device: str) -> int:
    """Return how many a worker computes with: the same everywhere, or sums would differ in bits."""
    if device != "cpu":
        return max(1, min(node.cores // node.gpus for node in nodes))
    fewest = min(node.cores for node in nodes)
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return min(int(asked), fewest) if asked.isdecimal() and int(asked) else fewest


def _check_port(address: str) -> None:
    """Raise unless somebody listens there: Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    if not (host and port.isdecimal()):
        raise ValueError("it is not like HOST:6379")
    socket.create_connection((host, int(port)), KNOCK_SECONDS).close()


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
