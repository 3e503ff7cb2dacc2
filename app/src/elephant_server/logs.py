"""Logging of the service's processes: to standard error, to the client's log window, and to the dashboard."""

import functools
import logging

from elephant_server.feed import ActivityFeed, FeedPublisher
from elephant_server.jobs.store_redis import RedisStore
from elephant_server.rabbitmq import Messages, NoBroker, Publisher, QueueLogHandler
from elephant_server.settings import Settings

FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
OURS = ("elephant", "elephant_server")


@functools.cache
def messages_of(settings: Settings) -> Messages:
    """Return this process's publisher of messages to the client; it connects with the first message."""
    return Messages(Publisher(settings.rabbitmq_url))


def messages_if_any(settings: Settings) -> Messages:
    """Return this process's publisher where the settings name a broker; one that drops all messages elsewhere."""
    return messages_of(settings) if "rabbitmq_host" in settings.model_fields_set else Messages(NoBroker())


@functools.cache
def feed_publisher_of(settings: Settings) -> FeedPublisher:
    """Return this process's publisher for the dashboard's feed; it connects with the first entry."""
    return FeedPublisher(ActivityFeed(RedisStore(settings.redis_url)))


class FeedHandler(logging.Handler):
    """Publishes log records in the activity feed, without tracebacks."""

    def __init__(self, feed_publisher: FeedPublisher, level: int = logging.INFO) -> None:
        super().__init__(level)
        self._feed_publisher = feed_publisher

    def emit(self, record: logging.LogRecord) -> None:
        """Pass the record's text to the publisher; never blocks, never raises."""
        try:
            self._feed_publisher.line(record.levelname, record.getMessage())
        except Exception:  # noqa: BLE001 - a log record must never break the work that it is about
            self.handleError(record)


def set_up_logging(
    settings: Settings, messages: Messages | None = None, feed_publisher: FeedPublisher | None = None
) -> None:
    """Log to standard error at the settings' level, and send the project's own records to client and dashboard.

    Parameters
    ----------
    messages, feed_publisher
        The publishers to the client and to the dashboard; by default this process's own in the stack.
    """
    logging.basicConfig(level=settings.log_level, format=FORMAT, force=True)
    level = logging.getLevelNamesMapping()[settings.log_level]
    handlers = [
        QueueLogHandler(messages or messages_of(settings), level),
        FeedHandler(feed_publisher or feed_publisher_of(settings), level),
    ]
    for name in OURS:
        ours = logging.getLogger(name)
        ours.handlers = list(handlers)
