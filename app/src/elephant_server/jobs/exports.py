"""The jobs whose outcome is a file."""

import logging
import os
import time
from typing import Any, BinaryIO

from elephant.errors import Cancelled, reason_of
from elephant.export.ctc import export_ctc
from elephant_server.errors import StorageError
from elephant_server.jobs.context import WorkerContext, open_dataset
from elephant_server.jobs.control import JobControl
from elephant_server.jobs.progress import LINE_INTERVAL_S, DashboardProgress
from elephant_server.schemas.download import CtcBody
from elephant_server.uploads import passing_place

logger = logging.getLogger(__name__)


def ctc_export(context: WorkerContext, body: CtcBody, control: JobControl, file: str) -> dict[str, Any]:
    """Write masks into the file that is there for them, and tell after each one how much of it there is."""
    place = passing_place(context.exports, file)
    dataset = open_dataset(context, body.dataset_name, body.is_3d, body.stated_voxel_size)
    nuclei = body.nuclei(control)
    try:
        # Only where it is there: whoever made it removes it when nobody waits any more.
        with place.open("r+b") as masks:
            reporter = DashboardProgress(context.feed_publisher, control.job_id, SizeReporter(masks, control))
            export_ctc(dataset, nuclei, body.params(), masks, reporter, control)
            os.fsync(masks.fileno())
            size = masks.seek(0, os.SEEK_END)
    except FileNotFoundError as error:
        raise Cancelled("nobody waits for the export any more") from error
    except OSError as error:
        raise StorageError(
            f"the masks cannot be written ({reason_of(error)}): make room on the disk of the workspace, then try again"
        ) from error
    return {"size": size}


class SizeReporter:
    """Tells after each mask how large the file is, and writes a line about it at a rate that a person can read."""

    def __init__(self, file: BinaryIO, control: JobControl) -> None:
        self._file = file
        self._control = control
        self._last = 0.0

    def progress(self, stage: str, done: int, total: int, **values: float) -> None:
        """See :meth:`elephant.progress.ProgressReporter.progress`."""
        del stage, values
        # Whoever sends it on may be another machine, which sees only what has left this one.
        os.fsync(self._file.fileno())
        self._control.announce(size=self._file.tell())
        now = time.monotonic()
        if done == total or now - self._last >= LINE_INTERVAL_S:
            self._last = now
            logger.info("Export: mask %d/%d", done, total)
