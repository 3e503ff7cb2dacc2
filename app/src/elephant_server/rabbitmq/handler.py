"""The server's log in the client's log window."""

import logging

from elephant_server.rabbitmq.queues import Messages


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
