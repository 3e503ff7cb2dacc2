"""Messages to the client over RabbitMQ: their format, one kept connection per process, and the log handler.

Publishing only puts a message into a bounded buffer: nothing waits for the broker. A thread sends them. While the
broker is down, the oldest messages are dropped, and the connection is retried at growing intervals; expired messages
are not sent. Any other format than this one would close the client's channel.
"""

import json
import logging
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Protocol

import pika
import pika.exceptions
from pika.adapters.utils.connection_workflow import AMQPConnectorException

from elephant_server.publishing import BackgroundPublisher

# The second is that of a broker that takes a connection and says nothing: pika has it apart from its other errors.
BROKER_ERRORS = (pika.exceptions.AMQPError, AMQPConnectorException, OSError)


logger = logging.getLogger(__name__)
# pika logs every failed attempt at length; that the broker is away is said once, here.
logging.getLogger("pika").setLevel(logging.CRITICAL)

BUFFER_SIZE = 1000
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 10.0
IDLE_S = 1.0


@dataclass(frozen=True, slots=True)
class Message:
    """A message, its queue, and after how many milliseconds it expires, wherever it is then."""

    queue: str
    body: str
    expires_ms: int
    made_at: float = field(default_factory=time.monotonic, compare=False, repr=False)

    @property
    def left_ms(self) -> int:
        """Milliseconds until it expires."""
        return self.expires_ms - int(1000 * (time.monotonic() - self.made_at))


class Publisher(BackgroundPublisher):
    """Publishes messages in order, over one kept connection.

    Parameters
    ----------
    url
        The broker, amqp://user:password@host:port/vhost.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        super().__init__("publisher")

    def publish(self, message: Message) -> None:
        """Put a message into the buffer; returns at once."""
        with self._adding():
            if len(self._buffer) == BUFFER_SIZE:
                self._unsent -= 1
            self._buffer.append(message)
            self._unsent += 1

    def flush(self, timeout_s: float) -> bool:
        """Wait until everything published so far has been handed to the broker; False after `timeout_s` seconds.

        If the broker is down, it is retried once at once, and not waited for if that fails.
        """
        with self._changed:
            failures = self._n_failures
            self._retry.set()
            self._changed.wait_for(lambda: not self._unsent or self._n_failures > failures, timeout_s)
            return not self._unsent

    def _empty(self) -> None:
        self._buffer: deque[Message] = deque(maxlen=BUFFER_SIZE)
        self._unsent = 0
        self._is_away = False
        self._n_failures = 0
        self._retry = threading.Event()

    def _run(self) -> None:
        pause = FIRST_PAUSE_S
        while True:
            try:
                connection = pika.BlockingConnection(_parameters(self._url))
                channel = connection.channel()
                self._set_away(False)
                pause = FIRST_PAUSE_S
                self._send_until_it_breaks(connection, channel)
            except BROKER_ERRORS as error:
                self._set_away(True, error)
                self._retry.wait(pause)
                self._retry.clear()
                pause = min(2 * pause, LONGEST_PAUSE_S)

    def _send_until_it_breaks(self, connection: Any, channel: Any) -> None:
        declared: set[str] = set()
        while True:
            with self._changed:
                self._changed.wait_for(lambda: bool(self._buffer), IDLE_S)
                message = self._buffer[0] if self._buffer else None
            if message is None:
                # Answers the broker's heartbeats while nothing is to be said.
                connection.process_data_events(0)
                continue
            left_ms = message.left_ms
            if left_ms > 0:
                if message.queue not in declared:
                    channel.queue_declare(message.queue, durable=False, exclusive=False, auto_delete=False)
                    declared.add(message.queue)
                properties = pika.BasicProperties(expiration=str(left_ms))
                channel.basic_publish("", message.queue, message.body.encode(), properties)
            connection.process_data_events(0)
            with self._changed:
                # A full buffer may have dropped the message meanwhile.
                if self._buffer and self._buffer[0] is message:
                    self._buffer.popleft()
                    self._unsent -= 1
                self._changed.notify_all()

    def _set_away(self, is_away: bool, error: Exception | None = None) -> None:
        with self._changed:
            was_away, self._is_away = self._is_away, is_away
            self._n_failures += int(is_away)
            self._changed.notify_all()
        if is_away and not was_away:
            reason = str(error) or type(error).__name__
            logger.warning("RabbitMQ cannot be reached (%s): the client sees no messages until it is back", reason)
        elif was_away and not is_away:
            logger.info("RabbitMQ is back")


def _parameters(url: str) -> Any:
    parameters = pika.URLParameters(url)
    parameters.heartbeat = 30
    parameters.socket_timeout = 5
    parameters.blocked_connection_timeout = 10
    parameters.connection_attempts = 1
    return parameters


MINUTE_MS = 60_000
# Every unfinished progress message opens a dialog that only the answer closes: an old one must not be found later.
DATASET_MS = 5_000
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


class Carrier(Protocol):
    """A transport of messages to a broker."""

    def publish(self, message: Message) -> None:
        """Take a message; returns at once."""

    def flush(self, timeout_s: float) -> bool:
        """Wait until everything published so far is with the broker; False after `timeout_s` seconds."""


class NoBroker:
    """Drops all messages, without a broker."""

    def publish(self, message: Message) -> None:
        """Drop a message."""

    def flush(self, timeout_s: float) -> bool:  # noqa: ARG002 - the shape of a carrier
        """Return at once."""
        return True


class Messages:
    """Sends messages to the client.

    Parameters
    ----------
    publisher
        Carries the messages.
    """

    def __init__(self, publisher: Carrier) -> None:
        self._publisher = publisher

    def model_updated(self) -> None:
        """Report that the weights of a model were saved."""
        self._publisher.publish(Message("update", "Model updated", MINUTE_MS))

    def prediction_updated(self) -> None:
        """Report that a detection is done."""
        self._publisher.publish(Message("prediction", "Prediction updated", MINUTE_MS))

    def dataset_progress(self, done: int, total: int) -> None:
        """Report that `done` of `total` timepoints, 1 to `total`, are converted."""
        body = json.dumps({"t_max": int(total), "t_current": int(done)})
        self._publisher.publish(Message("dataset", body, DATASET_MS))

    def log(self, level: int, text: str) -> None:
        """Put a line into the client's log window; `level` is one of :mod:`logging`'s."""
        name = LEVELS[min(max(level // 10 - 1, 0), len(LEVELS) - 1)]
        self._publisher.publish(Message("log", json.dumps({"level": name, "message": text}), 10 * MINUTE_MS))

    def flush(self, timeout_s: float = 5.0) -> bool:
        """Wait until everything has been handed to the broker."""
        return self._publisher.flush(timeout_s)


class QueueLogHandler(logging.Handler):
    """Sends records to the queue `log`; those of an error end with the error's text, without a traceback."""

    def __init__(self, messages: Messages, level: int = logging.INFO) -> None:
        super().__init__(level)
        self._messages = messages

    def emit(self, record: logging.LogRecord) -> None:
        """Put the record's text into the buffer of messages; never waits, never raises."""
        # The publisher's own words about the broker would only travel over the broker.
        if record.name.startswith(("elephant_server.rabbitmq", "pika")):
            return
        try:
            self._messages.log(record.levelno, _text_of(record))
        except Exception:  # noqa: BLE001 - a log record must never break the work that it is about
            self.handleError(record)


def _text_of(record: logging.LogRecord) -> str:
    error = record.exc_info[1] if record.exc_info else None
    text = record.getMessage()
    return text if error is None else f"{text} ({type(error).__name__}: {error})"
