"""Logging of the service's processes: to standard error, and to the client's log window."""

import functools
import logging

from elephant_server.messaging import Messages, Publisher, QueueLogHandler
from elephant_server.settings import Settings

FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
OURS = ("elephant", "elephant_server")


@functools.cache
def messages_of(settings: Settings) -> Messages:
    """Return this process's way to the client; connects when the first message is sent."""
    return Messages(Publisher(settings.rabbitmq_url))


def set_up_logging(settings: Settings) -> None:
    """Log to standard error at the settings' level, and what the packages of the project say also to the client."""
    logging.basicConfig(level=settings.log_level, format=FORMAT, force=True)
    handler = QueueLogHandler(messages_of(settings), logging.getLevelNamesMapping()[settings.log_level])
    for name in OURS:
        ours = logging.getLogger(name)
        ours.handlers = [handler]
