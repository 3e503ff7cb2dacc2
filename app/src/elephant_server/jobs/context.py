"""What a worker's process keeps between jobs, and what a job is given."""

import logging
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from elephant.dataset import Dataset
from elephant.errors import Cancelled, InvalidInputError
from elephant.models.pretrained import Pretrained
from elephant.models.shelf import ModelShelf
from elephant.training.control import LiveSettings
from elephant_server.messaging import Messages
from elephant_server.state import Board, Checkpoint

logger = logging.getLogger(__name__)

LOOK_INTERVAL_S = 0.05
WAIT_S = 1.0


class JobControl:
    """The board as one job's :class:`~elephant.training.control.TrainingControl`.

    Looks at most every `LOOK_INTERVAL_S` seconds, so that it may be asked as often as one likes.
    """

    def __init__(self, board: Board, job_id: str) -> None:
        self.job_id = job_id
        self._board = board
        self._seen: Checkpoint | None = None
        self._seen_at = 0.0
        self._is_shutting_down = threading.Event()

    def check(self) -> None:
        """Return if the work may go on; blocks while a training is held.

        Raises
        ------
        Cancelled
            The job was aborted, its lease ran out, or its worker is asked to end.
        """
        seen = self._look()
        if not seen.must_wait:
            return
        logger.debug("Training is held")
        with self._board.watch() as wait:
            while self._look(fresh=True).must_wait:
                wait(WAIT_S)

    def settings(self) -> LiveSettings:
        """Return learning rate and number of crops as they are now."""
        params = self._look().params
        return LiveSettings(params.lr, params.n_crops)

    def announce(self, **news: Any) -> None:
        """Tell whoever follows the job what is there of it already."""
        self._board.announce(self.job_id, news)

    def end(self) -> None:
        """Make the next check raise; safe to call from a signal handler."""
        self._is_shutting_down.set()

    def _look(self, fresh: bool = False) -> Checkpoint:
        if self._is_shutting_down.is_set():
            raise Cancelled("the server is stopping")
        now = time.monotonic()
        if fresh or self._seen is None or now - self._seen_at > LOOK_INTERVAL_S:
            self._seen = self._board.look(self.job_id)
            self._seen_at = now
        if self._seen.is_cancelled:
            raise Cancelled("aborted")
        return self._seen


@dataclass(frozen=True, slots=True)
class WorkerContext:
    """What lives as long as the worker: folders, warm models, the board and the messages."""

    datasets: Path
    models: Path
    logs: Path
    pretrained: Pretrained
    shelf: ModelShelf
    board: Board
    messages: Messages


def open_dataset(context: WorkerContext, name: str, is_3d: bool) -> Dataset:
    """Open a dataset that must have volumes, or planes, as the request says.

    Raises
    ------
    InvalidInputError
        It has the other.
    elephant.errors.NotFoundError, elephant.errors.DatasetError
        There is none of this name, or it is damaged.
    """
    dataset = Dataset.open(context.datasets, name)
    if dataset.is_3d != is_3d:
        raise InvalidInputError(
            f"{name} is {dataset.n_dims}D, but the request is for {3 if is_3d else 2}D: generate the dataset as the "
            "project needs it, or choose another"
        )
    return dataset
