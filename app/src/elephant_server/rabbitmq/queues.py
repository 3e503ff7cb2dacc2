"""The four queues and the format of their messages; any other format would close the client's channel."""

import json
from typing import Protocol

from elephant_server.rabbitmq.publisher import Message

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
