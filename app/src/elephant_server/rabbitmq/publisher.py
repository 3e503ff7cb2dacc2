"""One kept connection to the broker, used by one thread in the background.

Publishing only puts a message into a bounded buffer: nothing waits for the broker. While the broker is down, the oldest
messages are dropped, and the connection is retried at growing intervals; expired messages are not sent.
"""

import logging
import os
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import pika

from elephant_server.rabbitmq.errors import BROKER_ERRORS

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


class Publisher:
    """Publishes messages in order from a thread of its own, which starts with the first one.

    Creating one does not connect. It survives a fork: the child gets its own thread and connection.

    Parameters
    ----------
    url
        The broker, amqp://user:password@host:port/vhost.
    """

    _thread: threading.Thread | None
    _buffer: deque[Message]

    def __init__(self, url: str) -> None:
        self._url = url
        self._start_afresh()

    def publish(self, message: Message) -> None:
        """Put a message into the buffer; returns at once."""
        if self._pid != os.getpid():
            # A fork has copied the buffer and the lock, but not the thread.
            self._start_afresh()
        with self._changed:
            if len(self._buffer) == BUFFER_SIZE:
                self._unsent -= 1
            self._buffer.append(message)
            self._unsent += 1
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="publisher", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def flush(self, timeout_s: float) -> bool:
        """Wait until everything published so far has been handed to the broker; False after `timeout_s` seconds.

        If the broker is down, it is retried once at once, and not waited for if that fails.
        """
        with self._changed:
            failures = self._n_failures
            self._retry.set()
            self._changed.wait_for(lambda: not self._unsent or self._n_failures > failures, timeout_s)
            return not self._unsent

    def _start_afresh(self) -> None:
        self._pid = os.getpid()
        self._changed = threading.Condition()
        self._buffer = deque(maxlen=BUFFER_SIZE)
        self._unsent = 0
        self._is_away = False
        self._n_failures = 0
        self._retry = threading.Event()
        self._thread = None

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
