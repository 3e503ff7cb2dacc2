"""Logging of the service's processes: to standard error, to the client's log window, and to the dashboard."""

import functools
import logging

from elephant_server.rabbitmq import Messages, Publisher, QueueLogHandler
from elephant_server.settings import Settings
from elephant_server.state import Poster, RedisBulletin

FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
OURS = ("elephant", "elephant_server")


@functools.cache
def messages_of(settings: Settings) -> Messages:
    """Return this process's way to the client; connects when the first message is sent."""
    return Messages(Publisher(settings.rabbitmq_url))


@functools.cache
def poster_of(settings: Settings) -> Poster:
    """Return this process's way to the dashboard; connects when the first news is put up."""
    return Poster(RedisBulletin(settings.redis_url))


class BulletinHandler(logging.Handler):
    """Puts records up on the bulletin, without tracebacks."""

    def __init__(self, poster: Poster, level: int = logging.INFO) -> None:
        super().__init__(level)
        self._poster = poster

    def emit(self, record: logging.LogRecord) -> None:
        """Leave the record's text with the poster; never waits, never raises."""
        try:
            self._poster.line(record.levelname, record.getMessage())
        except Exception:  # noqa: BLE001 - a log record must never break the work that it is about
            self.handleError(record)


def set_up_logging(settings: Settings, messages: Messages | None = None, poster: Poster | None = None) -> None:
    """Log to standard error at the settings' level, and what the project's packages say to client and dashboard.

    Parameters
    ----------
    messages, poster
        The ways to the client and to the dashboard; this process' ones of the stack without.
    """
    logging.basicConfig(level=settings.log_level, format=FORMAT, force=True)
    level = logging.getLevelNamesMapping()[settings.log_level]
    handlers = [
        QueueLogHandler(messages or messages_of(settings), level),
        BulletinHandler(poster or poster_of(settings), level),
    ]
    for name in OURS:
        ours = logging.getLogger(name)
        ours.handlers = list(handlers)
