"""The table of what goes to RabbitMQ: each message is made by the code that makes it for the client."""

import logging

from _documenting.tables import code, table
from elephant_server.rabbitmq import Message, Messages


class _Kept:
    """Keeps messages instead of carrying them."""

    def __init__(self) -> None:
        self.messages: list[Message] = []

    def publish(self, message: Message) -> None:
        """Keep a message."""
        self.messages.append(message)

    def flush(self, timeout_s: float) -> bool:  # noqa: ARG002 - the shape of a carrier
        """Return at once."""
        return True


def page() -> str:
    """Return the table of the queues, with a message of each."""
    kept = _Kept()
    says = Messages(kept)
    says.model_updated()
    says.dataset_progress(3, 40)
    says.log(logging.INFO, "38 detections found, 38 kept")
    says.prediction_updated()
    meanings = (says.model_updated, says.dataset_progress, says.log, says.prediction_updated)
    rows = [
        (
            code(message.queue),
            code(message.body),
            f"{message.expires_ms / 1000:g} s",
            (about.__doc__ or "").split("\n")[0],
        )
        for message, about in zip(kept.messages, meanings, strict=True)
    ]
    return table(("queue", "a message", "expires after", "its purpose"), rows)
