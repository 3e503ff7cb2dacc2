"""A server on several machines, played by sets of processes that share a workspace, and no other setting."""

import signal
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from stack.running import RunningServer, free_ports

# Another address of this machine than the one on which everything listens by default.
ADDRESS = "127.0.0.2"


@dataclass(frozen=True)
class Cluster:
    """A machine with Redis, RabbitMQ and HTTP, and others with workers alone."""

    head: RunningServer
    machines: Sequence[RunningServer]


def head_settings(folder: Path) -> dict[str, str]:
    """Return the variables of the machine that the others reach."""
    http, redis, rabbitmq, cluster = free_ports(4)
    return {
        "ELEPHANT_ROLES": "redis,broker,web",
        "ELEPHANT_MACHINE": "head",
        "ELEPHANT_CLUSTER_ADDRESS": ADDRESS,
        "ELEPHANT_HTTP_PORT": str(http),
        "ELEPHANT_REDIS_PORT": str(redis),
        "ELEPHANT_RABBITMQ_NODE_PORT": str(rabbitmq),
        "ELEPHANT_RABBITMQ_CLUSTER_PORT": str(cluster),
        "ELEPHANT_WORKSPACE": str(folder / "workspace"),
        "ELEPHANT_PRETRAINED_URL": "",
    }


def worker_settings(head: dict[str, str], name: str) -> dict[str, str]:
    """Return the variables of a machine that computes: where Redis and RabbitMQ are, and the workspace."""
    shared = ("REDIS_PORT", "RABBITMQ_CLUSTER_PORT", "WORKSPACE", "PRETRAINED_URL")
    return {f"ELEPHANT_{key}": head[f"ELEPHANT_{key}"] for key in shared} | {
        "ELEPHANT_ROLES": "workers",
        "ELEPHANT_MACHINE": name,
        "ELEPHANT_REDIS_HOST": ADDRESS,
        "ELEPHANT_RABBITMQ_HOST": ADDRESS,
        "OMP_NUM_THREADS": "1",
    }


@contextmanager
def running_cluster(folder: Path, names: Sequence[str]) -> Iterator[Cluster]:
    """Start a server on a head and on machines of these names; all of it is ended after the block."""
    values = head_settings(folder)
    with ExitStack() as stack:
        # All at once, as after a power cut: they find each other.
        machines = [RunningServer.start(folder / name, worker_settings(values, name)) for name in names]
        head = RunningServer.start(folder / "head", values)
        for server in (*machines, head):  # the head ends first
            stack.callback(server.stop)
        for server in (head, *machines):
            server.wait_until_serving()
        try:
            yield Cluster(head, machines)
        finally:
            for server in (head, *machines):  # together: they are waited for one after the other
                server.process.send_signal(signal.SIGINT)
