"""How a label update reaches the live training."""

import json
import logging
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from redis.exceptions import RedisError

from elephant.methods.annotations import by_timepoint
from elephant.methods.base import AnyMethod
from elephant.types import FloatArray
from elephant_server.jobs.context import JobControl
from elephant_server.jobs.store import JobStore

logger = logging.getLogger(__name__)

WAIT_S = 1.0


def tell(
    job_store: JobStore, dataset_name: str, method: AnyMethod, annotations: Sequence[Any], n_timepoints: int
) -> None:
    """Tell the live session, where there is one, at which timepoints labels were written, and of what."""
    for t, group in by_timepoint(annotations, n_timepoints).items():
        update = {"dataset_name": dataset_name, "t": t, "positions": method.positions(group).tolist()}
        job_store.tell_live(json.dumps(update))


class LiveUpdates:
    """The job store as a live session's :class:`~elephant.methods.training.LiveUpdates`.

    Parameters
    ----------
    job_store, control, job_id
        Where updates are told, who ends the session, and the session itself.
    dataset_name
        Updates of other datasets are none of this session.
    """

    def __init__(self, job_store: JobStore, control: JobControl, job_id: str, dataset_name: str) -> None:
        self._job_store = job_store
        self._control = control
        self._job_id = job_id
        self._dataset_name = dataset_name
        job_store.open_live(job_id)

    def wait(self) -> dict[int, FloatArray]:
        """See :meth:`elephant.methods.training.LiveUpdates.wait`."""
        while True:
            found: dict[int, FloatArray] = {}
            for text in self._heard():
                update = json.loads(text)
                if update["dataset_name"] == self._dataset_name:
                    found.pop(update["t"], None)
                    found[update["t"]] = np.array(update["positions"], dtype=np.float64).reshape(-1, 3)
            self._control.check()
            if found:
                return found

    def _heard(self) -> list[str]:
        try:
            # Again each time: a Redis that lost its data knows of no session.
            self._job_store.open_live(self._job_id)
            return self._job_store.wait_for_live(self._job_id, WAIT_S)
        except RedisError as error:
            logger.debug("The state cannot be reached (%s)", error)
            time.sleep(WAIT_S)
            return []
