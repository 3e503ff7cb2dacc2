"""TensorBoard scalars of trainings, whose steps count on from run to run."""

import logging
import struct
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from google.protobuf.message import DecodeError
from tensorboardX import SummaryWriter
from tensorboardX.proto.event_pb2 import Event

from elephant.paths import resolve_inside
from elephant.reporting import NoReporter, ProgressReporter
from elephant_server.jobs.context import WorkerContext
from elephant_server.jobs.scalar_names import SCALAR_NAMES

logger = logging.getLogger(__name__)

FLUSH_S = 2
_LENGTH_BYTES, _CHECKSUM_BYTES = 8, 4


class ScalarReporter:
    """A :class:`~elephant.reporting.ProgressReporter` that writes the values of each step to TensorBoard files.

    The folder and the file appear with the first step.

    Parameters
    ----------
    folder
        Where the files are; steps go on from the last one found there.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writer: SummaryWriter | None = None
        self._step = 0

    def progress(self, stage: str, done: int, total: int, **values: float) -> None:
        """See :meth:`elephant.reporting.ProgressReporter.progress`."""
        del done, total
        if stage != "step":
            return
        if self._writer is None:
            self._step = last_step(self._folder)
            # Names tell seconds alone: without more, trainings that begin in the same one would share a file.
            suffix = f".{uuid.uuid4().hex[:8]}"
            self._writer = SummaryWriter(str(self._folder), flush_secs=FLUSH_S, filename_suffix=suffix)
        self._step += 1
        for name, value in values.items():
            if name in SCALAR_NAMES:
                self._writer.add_scalar(SCALAR_NAMES[name], value, self._step)

    def close(self) -> None:
        """Write what is still in memory."""
        if self._writer is not None:
            self._writer.close()


@contextmanager
def training_reporter(context: WorkerContext, log_dir: str | None) -> Iterator[ProgressReporter]:
    """Give the reporter of a training: scalars below the workspace's logs, or nothing where no folder is named.

    Raises
    ------
    elephant.errors.InvalidInputError
        The name leads out of the logs.
    """
    if not log_dir:
        yield NoReporter()
        return
    reporter = ScalarReporter(resolve_inside(context.logs, log_dir))
    try:
        yield reporter
    finally:
        reporter.close()


def last_step(folder: Path) -> int:
    """Return the largest step in the TensorBoard files of a folder; 0 where there is none."""
    return max((step for path in folder.glob("events.out.tfevents.*") for step in _steps(path)), default=0)


def _steps(path: Path) -> Iterator[int]:
    """Yield the steps of a file: records of a length, its checksum, an event, and its checksum."""
    data = path.read_bytes()
    at = 0
    while at + _LENGTH_BYTES <= len(data):
        (length,) = struct.unpack_from("<Q", data, at)
        begin = at + _LENGTH_BYTES + _CHECKSUM_BYTES
        at = begin + length + _CHECKSUM_BYTES
        if at > len(data):
            return  # its writer was killed within a record
        try:
            yield Event.FromString(data[begin : begin + length]).step
        except DecodeError:
            logger.warning("The scalars in %s are damaged: their steps are not counted", path.name)
            return
