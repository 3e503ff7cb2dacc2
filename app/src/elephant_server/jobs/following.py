"""Sending a file on while a job still writes it.

The file is made here, so that the worker needs no leave to make one, and loses its name as soon as the worker has it
open: from then on it is gone when the last of both processes has closed it, however they end.
"""

import logging
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from flask import Response

from elephant.errors import ElephantError
from elephant_server.errors import StorageError
from elephant_server.jobs.patience import LOOK_INTERVAL_S, Patience
from elephant_server.jobs.submit import Job
from elephant_server.jobs.waiting import give_up, raise_failure
from elephant_server.state import Board, News, Outcome

logger = logging.getLogger(__name__)

BLOCK = 1 << 18
# Network file systems look at a file that is open again after a minute at most.
ARRIVAL_S = 90.0
ARRIVAL_LOOK_S = 0.2


class GrowingFile:
    """A file that a job writes and this process reads.

    Parameters
    ----------
    folder
        Where it lies while it has a name.

    Raises
    ------
    StorageError
        It cannot be made.
    """

    def __init__(self, folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=folder, delete=False) as made:
                self.path = Path(made.name)
            self._file: BinaryIO = self.path.open("rb")
        except OSError as error:
            raise StorageError(
                f"nothing can be written into {folder} ({error.strerror}): make room on the disk"
            ) from error

    def hide(self) -> None:
        """Take its name away; whoever has it open goes on."""
        # On Windows what is open keeps its name: there it goes when it is closed, or is swept later.
        with suppress(PermissionError):
            self.path.unlink(missing_ok=True)

    def read_to(self, end: int) -> Iterator[bytes]:
        """Yield what comes next, to a position in the file.

        Raises
        ------
        StorageError
            It is not there, though the job says so.
        """
        while (left := end - self._file.tell()) > 0:
            yield self._read_some(min(BLOCK, left))

    def _read_some(self, size: int) -> bytes:
        """Read what another machine may have written: a network file system takes a while to notice."""
        give_up_at = time.monotonic() + ARRIVAL_S
        while not (block := self._file.read(size)):
            if time.monotonic() > give_up_at:
                raise StorageError(f"{self.path.parent} does not show what a worker has written into it")
            time.sleep(ARRIVAL_LOOK_S)
        return block

    def close(self) -> None:
        """Remove it."""
        self._file.close()
        self.hide()


@contextmanager
def growing_file(folder: Path) -> Iterator[GrowingFile]:
    """Make a :class:`GrowingFile` for a job; it is removed here where the block fails, else with the response."""
    file = GrowingFile(folder)
    try:
        yield file
    except BaseException:
        file.close()
        raise


class Follower:
    """Turns a job that writes a file, and announces its `size` so far, into a response.

    Parameters
    ----------
    board
        Where the job announces.
    """

    def __init__(self, board: Board) -> None:
        self._board = board

    def respond(self, job: Job, file: GrowingFile, mimetype: str) -> Response:
        """Wait for the beginning of the file and send it; 204 where the job was ended before there was one.

        A job that fails or is ended later ends the answer early. A client that goes away ends the job.

        Raises
        ------
        ElephantError
            The job failed before it announced anything.
        """
        patience = Patience(self._board, job)
        heard = self._next(patience)
        if isinstance(heard, Outcome) and raise_failure(heard).cancelled:
            file.close()
            return Response(status=204)
        file.hide()
        response = Response(self._stream(patience, file, heard), mimetype=mimetype, headers={"X-Accel-Buffering": "no"})
        response.call_on_close(lambda: self._end(job, file))
        return response

    def _stream(self, patience: Patience, file: GrowingFile, heard: News | Outcome) -> Iterator[bytes]:
        try:
            while not isinstance(heard, Outcome):
                yield from file.read_to(int(heard["size"]))
                heard = self._next(patience)
            ended = raise_failure(heard)
            if not ended.cancelled:
                yield from file.read_to(int((ended.result or {})["size"]))
        except ElephantError as error:
            logger.error("%s", error)  # noqa: TRY400 - the message is for the person, the traceback is the worker's

    def _next(self, patience: Patience) -> News | Outcome:
        while True:
            heard = patience.look(self._board.wait_for_news, LOOK_INTERVAL_S)
            if heard is not None:
                return heard

    def _end(self, job: Job, file: GrowingFile) -> None:
        file.close()
        give_up(self._board, job)
