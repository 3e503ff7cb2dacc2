"""Who is told how far a job has come."""

import logging
import time

from elephant_server.messaging import Messages

logger = logging.getLogger(__name__)

LINE_INTERVAL_S = 1.0


class TileReporter:
    """Writes a line about the tiles of a prediction, at a rate that a person can read."""

    def __init__(self) -> None:
        self._last = 0.0

    def progress(self, stage: str, done: int, total: int, **values: float) -> None:
        """See :meth:`elephant.progress.ProgressReporter.progress`."""
        del values
        now = time.monotonic()
        if stage == "tile" and (done == total or now - self._last >= LINE_INTERVAL_S):
            self._last = now
            logger.info("Prediction: tile %d/%d", done, total)


class DatasetReporter:
    """Tells the client about every converted timepoint."""

    def __init__(self, messages: Messages) -> None:
        self._messages = messages

    def progress(self, stage: str, done: int, total: int, **values: float) -> None:
        """See :meth:`elephant.progress.ProgressReporter.progress`."""
        del values
        if stage == "timepoint":
            self._messages.dataset_progress(done, total)
