"""Shows how a request gets on: a bar with the falling loss, from the queue `log` or from the server's status."""

import logging
import re
import ssl
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import pika
from tqdm import tqdm

from elephant_server.demo.client import ServerClient
from elephant_server.demo.errors import DemoError
from elephant_server.rabbitmq import BROKER_ERRORS

QUEUES = ("update", "dataset", "log")  # what the client declares
PAUSE = 0.2  # seconds between two looks
RARELY = 10.0  # seconds between two lines where nobody sees a line change
Result = TypeVar("Result")

_EPOCH = re.compile(r"\bepoch\W+(\d+)\s*(?:/|of)\s*(\d+)", re.IGNORECASE)
_STEP = re.compile(r"\bstep\W+(\d+)\s*(?:/|of)\s*(\d+)", re.IGNORECASE)
_LOSS = re.compile(r"\bloss\W+(\d+(?:\.\d*)?(?:e[+-]?\d+)?)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class TrainingLine:
    """What a line of the log says of a training; None where it says nothing."""

    epoch: int | None
    step: int | None
    steps: int | None
    loss: float

    def done(self, total: int) -> int:
        """Return how many of `total` steps are done; steps are counted over the training, or within an epoch."""
        if self.step is None or self.steps is None:
            return 0
        if self.steps < total and self.epoch is not None:
            return (self.epoch - 1) * self.steps + self.step
        return self.step


def read_line(message: str) -> TrainingLine | None:
    """Return what a log message says of a training, None where it is about something else."""
    epoch, step, loss = _EPOCH.search(message), _STEP.search(message), _LOSS.search(message)
    if loss is None or (epoch is None and step is None):
        return None
    return TrainingLine(
        epoch=int(epoch[1]) if epoch else None,
        step=int(step[1]) if step else None,
        steps=int(step[2]) if step else None,
        loss=float(loss[1]),
    )


class Source(Protocol):
    """Where the news of a training come from."""

    def news(self, steps: int) -> Iterator[tuple[int, float]]:
        """Yield how many of `steps` are done, and the loss, since the last call; wait for a moment where nothing is."""


class LogQueue:
    """Listens to what the server logs, as the client does; silent where no broker can be reached."""

    def __init__(self, url: str, trust: ssl.SSLContext | None = None) -> None:
        logging.getLogger("pika").setLevel(logging.CRITICAL)  # that nobody answers is said once, by who asks
        self._connection: Any = None
        try:
            parameters = pika.URLParameters(url)
            parameters.socket_timeout = parameters.blocked_connection_timeout = 3
            parameters.connection_attempts = 1
            parameters.ssl_options = None if trust is None else pika.SSLOptions(trust)
            self._connection = pika.BlockingConnection(parameters)
            channel = self._connection.channel()
            for queue in QUEUES:
                channel.queue_declare(queue, durable=False, exclusive=False, auto_delete=False)
            channel.queue_purge("log")  # what an earlier training said
            self._stream = channel.consume("log", auto_ack=True, inactivity_timeout=PAUSE)
        except BROKER_ERRORS:
            self.close()

    @property
    def is_open(self) -> bool:
        """Whether messages can still come."""
        return self._connection is not None

    def messages(self) -> Iterator[str]:
        """Yield the bodies that came since the last call; wait for a moment where there are none."""
        if not self.is_open:
            time.sleep(PAUSE)
            return
        try:
            for _, _, body in self._stream:
                if body is None:
                    return
                yield body.decode("utf-8", "replace")
        except BROKER_ERRORS:
            self.close()

    def news(self, steps: int) -> Iterator[tuple[int, float]]:
        """Yield how many of `steps` are done, and the loss, as messages say."""
        for message in self.messages():
            line = read_line(message)
            if line is not None:
                yield line.done(steps), line.loss

    def close(self) -> None:
        """Hang up."""
        connection, self._connection = self._connection, None
        if connection is not None and connection.is_open:
            connection.close()


class ServerStatus:
    """Asks the server itself, as its dashboard does; silent where it has no answer."""

    def __init__(self, client: ServerClient) -> None:
        self._client = client

    @property
    def is_there(self) -> bool:
        """Whether the server tells what it does."""
        return self._jobs() is not None

    def news(self, steps: int) -> Iterator[tuple[int, float]]:
        """Yield how many of `steps` are done, and the loss, as the server shows them."""
        time.sleep(PAUSE)
        if not steps:
            return
        for job in self._jobs() or []:
            done, values = job.get("done"), job.get("values")
            if job.get("stage") == "step" and isinstance(done, int) and isinstance(values, dict) and "loss" in values:
                yield done, float(values["loss"])

    def _jobs(self) -> list[dict[str, Any]] | None:
        try:
            return self._client.jobs()
        except DemoError:  # what matters is the request that is watched: that it fails is said there
            return None


def watch(title: str, work: Callable[[], Result], source: Source, steps: int = 0) -> Result:
    """Run `work` and show meanwhile how it gets on; return what it returns.

    Parameters
    ----------
    title
        What is going on.
    work
        A request that takes long; it runs in a thread.
    source
        Where the news come from.
    steps
        How many steps of a training to expect; 0 shows the elapsed time alone.
    """
    with ThreadPoolExecutor(max_workers=1) as pool, _bar(title, steps) as bar:
        future: Future[Result] = pool.submit(work)
        while not future.done():
            _look(source, bar)
        _look(source, bar)
        if steps and bar.n and not future.exception():
            bar.update(steps - bar.n)
    return future.result()


def _bar(title: str, steps: int) -> Any:
    """Make a bar; in a file or a pipe, where each change is a line of its own, it is written rarely."""
    often = {"dynamic_ncols": True} if sys.stderr.isatty() else {"mininterval": RARELY, "miniters": 1}
    if steps:
        return tqdm(total=steps, desc=title, unit="step", **often)
    return tqdm(desc=title, bar_format="{desc} {postfix}[{elapsed}]", **often)


def _look(source: Source, bar: Any) -> None:
    """Take in what is new."""
    for done, loss in source.news(bar.total or 0):
        if bar.total:
            bar.set_postfix_str(f"loss {loss:.4f}", refresh=False)
            bar.update(max(min(done, bar.total) - bar.n, 0))
    if sys.stderr.isatty():
        bar.refresh()
