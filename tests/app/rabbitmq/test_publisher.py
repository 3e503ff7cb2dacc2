import logging
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pika
import pika.exceptions
import pytest

from elephant_server import rabbitmq as publisher_module
from elephant_server.deploy import health
from elephant_server.rabbitmq import BUFFER_SIZE, Message, Messages, Publisher, QueueLogHandler
from elephant_server.settings import Settings
from stack.running import wait_until


class Kept(Publisher):
    def __init__(self) -> None:
        super().__init__("amqp://user:user@127.0.0.1:1/%2F")
        self.kept: list[Message] = []

    def publish(self, message: Message) -> None:
        self.kept.append(message)


def test_nobody_waits_for_a_broker_that_is_away(caplog: pytest.LogCaptureFixture) -> None:
    publisher = Publisher("amqp://user:user@127.0.0.1:1/%2F")
    begin = time.monotonic()
    for _ in range(3 * BUFFER_SIZE):
        publisher.publish(Message("log", "{}", 1000))
    assert not publisher.flush(30)
    assert time.monotonic() - begin < 20
    time.sleep(2)
    said = [r.getMessage() for r in caplog.records if "RabbitMQ cannot be reached" in r.getMessage()]
    assert len(said) == 1


@pytest.fixture
def silent_port() -> Iterator[int]:
    """Give a port at which connections are taken and nothing is said, as a broker does that hangs."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield listening.getsockname()[1]


def test_a_silent_broker_is_tried_again(silent_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    parameters = publisher_module._parameters

    def impatient(url: str) -> Any:
        found = parameters(url)
        found.stack_timeout = 0.3
        return found

    monkeypatch.setattr(publisher_module, "_parameters", impatient)
    publisher = Publisher(f"amqp://user:user@127.0.0.1:{silent_port}/%2F")
    publisher.publish(Message("log", "{}", 60_000))
    wait_until(lambda: publisher._n_failures >= 2, 60, "a second attempt")


def test_a_silent_broker_is_told_of(silent_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "_SECONDS", 0.2)
    assert "Timeout" in health.ask_rabbitmq(Settings(rabbitmq_node_port=silent_port))


class Broker:
    """A broker that can be away; it stands for its one connection and channel, too."""

    def __init__(self) -> None:
        self.is_away = True
        self.taken: list[tuple[bytes, int]] = []

    def connect(self, _: object) -> "Broker":
        if self.is_away:
            raise pika.exceptions.AMQPConnectionError
        return self

    def channel(self) -> "Broker":
        return self

    def process_data_events(self, _: float) -> None: ...

    def queue_declare(self, *_: object, **__: object) -> None: ...

    def basic_publish(self, _: str, __: str, body: bytes, properties: pika.BasicProperties) -> None:
        self.taken.append((body, int(properties.expiration)))


def test_what_expires_while_the_broker_is_away_is_not_sent_later(monkeypatch: pytest.MonkeyPatch) -> None:
    away = Broker()
    monkeypatch.setattr(pika, "BlockingConnection", away.connect)
    publisher = Publisher("amqp://user:user@127.0.0.1:1/%2F")
    publisher.publish(Message("dataset", "of long ago", 200))
    publisher.publish(Message("log", "still true", 60_000))
    time.sleep(0.5)
    away.is_away = False
    # The first asks for one more attempt, which may be one that failed already.
    assert publisher.flush(20) or publisher.flush(20)
    ((body, expires_ms),) = away.taken
    assert body == b"still true"
    assert 0 < expires_ms < 59_600


def test_messages_are_what_the_client_expects() -> None:
    publisher = Kept()
    messages = Messages(publisher)
    messages.model_updated()
    messages.prediction_updated()
    messages.dataset_progress(2, 10)
    messages.log(logging.WARNING, "caution \n ü")
    assert [(m.queue, m.body) for m in publisher.kept] == [
        ("update", "Model updated"),
        ("prediction", "Prediction updated"),
        ("dataset", '{"t_max": 10, "t_current": 2}'),
        ("log", '{"level": "WARNING", "message": "caution \\n \\u00fc"}'),
    ]
    assert all(m.expires_ms > 0 for m in publisher.kept)
    assert publisher.kept[2].expires_ms <= 10_000


@pytest.mark.parametrize(
    ("level", "name"), [(1, "DEBUG"), (10, "DEBUG"), (25, "INFO"), (40, "ERROR"), (50, "CRITICAL"), (90, "CRITICAL")]
)
def test_every_level_has_one_of_the_five_names(level: int, name: str) -> None:
    publisher = Kept()
    Messages(publisher).log(level, "x")
    assert f'"level": "{name}"' in publisher.kept[0].body


def test_what_is_logged_goes_to_the_client_but_not_the_publishers_own_words() -> None:
    publisher = Kept()
    handler = QueueLogHandler(Messages(publisher))
    for name in ("elephant.training", "elephant_server.rabbitmq"):
        handler.emit(logging.LogRecord(name, logging.INFO, "", 0, "%d of %d", (1, 2), None))
    assert [m.body for m in publisher.kept] == ['{"level": "INFO", "message": "1 of 2"}']


def test_the_words_of_an_error_go_to_the_client_without_where_it_came_from() -> None:
    publisher = Kept()
    error = ValueError("no room for 3 apples")
    record = logging.LogRecord("elephant", logging.ERROR, "", 0, "Unexpected", (), (ValueError, error, None))
    QueueLogHandler(Messages(publisher)).emit(record)
    assert [m.body for m in publisher.kept] == [
        '{"level": "ERROR", "message": "Unexpected (ValueError: no room for 3 apples)"}'
    ]


FORKING = """
import os
from elephant_server.feed import ActivityFeed, FeedPublisher
from elephant_server.jobs.store_redis import RedisStore
from elephant_server.rabbitmq import Message, Publisher

messages = Publisher("amqp://user:user@127.0.0.1:1/%2F")
feed = FeedPublisher(ActivityFeed(RedisStore("redis://127.0.0.1:1/0")))
feed._run = lambda: feed._pid  # what is kept stays where it can be seen

def publish(who):
    messages.publish(Message("log", who, 1000))
    feed.line("INFO", who)

def tell():
    kept = [message.body for message in messages._buffer], [line.text for line in feed._news.lines]
    print(*kept, messages._thread.is_alive(), feed._thread is not before, flush=True)

before = None
publish("the parent's")
if not os.fork():
    before = feed._thread
    publish("the child's")
    tell()
    os._exit(0)
os.wait()
tell()
"""


def test_a_forked_process_publishes_what_is_its_own_alone() -> None:
    # A process of its own is forked: the tests' threads are not copied by halves.
    forking = [sys.executable, "-c", FORKING]
    said = subprocess.run(forking, check=True, capture_output=True, text=True, timeout=60).stdout
    child, parent = (f'["the {who}\'s"] ["the {who}\'s"] True True' for who in ("child", "parent"))
    assert said.splitlines() == [child, parent]
