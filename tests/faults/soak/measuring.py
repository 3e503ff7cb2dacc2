"""What must not grow, and what must be whole."""

from collections import Counter
from pathlib import Path

import pika
import pika.exceptions
import psutil
import redis

from faults.ground import Ground
from stack.player import QUEUES
from stack.running import wait_until

MIB = 1 << 20
PROGRAMS = ("training", "answering", "uwsgi", "nginx", "redis", "rabbitmq", "others")
_MARKS = {
    "training@": "training",
    "answering@": "answering",
    "elephant_server.wsgi": "uwsgi",
    "nginx": "nginx",
    "redis-server": "redis",
    "beam.smp": "rabbitmq",
}
LEFT = (".tmp", ".part", ".growing")


def measure(ground: Ground) -> dict[str, float]:
    """Return memory (MiB) and descriptors of each program, keys of Redis, and messages that wait."""
    found: Counter[str] = Counter()
    for process in [*ground.server.processes(), psutil.Process(ground.server.process.pid)]:
        try:
            words = " ".join(process.cmdline())
            name = next((name for mark, name in _MARKS.items() if mark in words), "others")
            found[f"memory of {name}, MiB"] += round(process.memory_info().rss / MIB)
            found[f"descriptors of {name}"] += process.num_fds()
        except psutil.Error:
            continue
    databases = [ground.server.redis(db) for db in range(2)]
    # What says that an outcome was given up, or is there, expires by itself.
    found["keys in the job store"] = sum(not _expires(databases[0], key) for key in databases[0].scan_iter())
    found["keys of the queues"] = databases[1].dbsize()
    found["messages that wait"] = _messages(ground)
    return dict(found)


def growth(before: dict[str, float], after: dict[str, float]) -> list[str]:
    """Return what has grown by more than a program's life explains."""
    found = []
    for name, value in after.items():
        limit = before.get(name, 0)
        if name.startswith("memory"):
            limit = limit * 1.25 + 60
        elif name.startswith("descriptors"):
            limit += 40
        elif name == "messages that wait":
            limit = 20_000  # they expire after minutes; nobody reads them here
        else:
            limit += 8
        if value > limit:
            found.append(f"{name}: {before.get(name, 0):.0f} before, {value:.0f} at the end")
    return found


def wait_until_nothing_is_left(ground: Ground) -> None:
    """Return when no file of something that was interrupted is there; fail after a minute."""
    wait_until(lambda: not left(ground.workspace), 60, f"nothing to be left, such as {left(ground.workspace)[:5]}")


def left(workspace: Path) -> list[str]:
    found = [p for name in ("models", "datasets", ".exports") for p in (workspace / name).rglob("*") if p.is_file()]
    in_passing = [p for p in found if p.name.endswith(LEFT) or ".exports" in p.parts or "models/.uploads" in str(p)]
    return [str(path.relative_to(workspace)) for path in in_passing]


def _expires(database: "redis.Redis[str]", key: str) -> bool:
    return int(database.pttl(key)) > 0


def _messages(ground: Ground) -> int:
    parameters = pika.ConnectionParameters(
        "127.0.0.1", ground.server.rabbitmq_port, "/", pika.PlainCredentials("user", "user")
    )
    total = 0
    connection = pika.BlockingConnection(parameters)
    for queue in QUEUES:
        try:
            channel = connection.channel()
            total += channel.queue_declare(queue, passive=True).method.message_count
        except pika.exceptions.ChannelClosedByBroker:
            continue  # nothing was said there yet
    connection.close()
    return total
