"""Taking a message off its queue for good before its job begins, not after it."""

from celery.utils.log import get_logger
from celery.worker.request import Request

logger = get_logger(__name__)


class PromptRequest(Request):  # type: ignore[misc]
    """A message that is acknowledged as soon as its job is accepted.

    Celery acknowledges early by asking its event loop to. A worker of one process has no loop while it does a job, so
    that the message stayed unacknowledged for as long as the job took; once that was longer than the visibility
    timeout, another worker (or the same one after the job) put it back into the queue and it came a second time.
    """

    acknowledged: bool

    def acknowledge(self) -> None:
        """Tell the broker now: this is the process, and the thread, that received the message."""
        if not self.acknowledged:
            # Where Redis is away it is logged: the message comes again, and the board lets a job begin only once.
            self._message.ack_log_error(logger, self._connection_errors)
            self.acknowledged = True
