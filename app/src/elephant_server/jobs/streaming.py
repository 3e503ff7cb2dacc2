"""Sending a file on while a job still writes it.

The file is made here, so that the worker needs no leave to make one, and loses its name before it is sent, when the
worker has it open: from then on it is gone when the last of both processes has closed it, however they end.

No status goes out before the job has ended or some time is over. After that the answer streams, and only a transfer
that breaks can tell of a failure.
"""

import logging
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from flask import Response

from elephant.errors import ElephantError, reason_of
from elephant_server.errors import StorageError
from elephant_server.jobs.records import Announcement, Outcome
from elephant_server.jobs.responses import (
    LOOK_INTERVAL_S,
    NEXT_BYTE_AFTER_S,
    RedisRetry,
    give_up,
    raise_failure,
)
from elephant_server.jobs.store import JobStore
from elephant_server.jobs.submit import Job
from elephant_server.schemas.dataset import LATE_FIRST_BYTE_AFTER_S

logger = logging.getLogger(__name__)

BLOCK = 1 << 18
# So much of what could be sent is held back, for the times in which nothing new comes.
RESERVE = 4096
# Set by NGINX, which speaks HTTP/1.1 behind it whatever its client speaks.
CLIENT_PROTOCOL = "HTTP_X_CLIENT_PROTOCOL"
# Network file systems look at a file that is open again after a minute at most.
ARRIVAL_S = 90.0
ARRIVAL_LOOK_S = 0.2


class TransferBroken(Exception):  # noqa: N818 - not an error of its own: what went wrong was told
    """Raised within an answer that has begun, so that its reader notices that it is incomplete."""


class GrowingFile:
    """A file that a job writes and this process reads.

    Parameters
    ----------
    folder
        Where it lies while it has a name.
    beginning
        What the job will begin it with: it can be sent before the job does.

    Raises
    ------
    StorageError
        It cannot be made.
    """

    def __init__(self, folder: Path, beginning: bytes = b"") -> None:
        self._n_known = len(beginning)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=folder, delete=False) as made:
                self.path = Path(made.name)
                made.write(beginning)
            self._file: BinaryIO = self.path.open("rb")
        except OSError as error:
            raise StorageError(
                f"nothing can be written into {folder} ({reason_of(error)}): make room on the disk"
            ) from error

    def heard_of(self, news: Announcement | None) -> int:
        """Take note of what the job has announced, and return how much of the file is known to be as it stays."""
        if news is not None:
            self.hide()  # the job has it open
            self._n_known = max(self._n_known, int(news["size"]))
        return self._n_known

    def hide(self) -> None:
        """Remove its name; those who have it open go on."""
        # On Windows what is open keeps its name: there it goes when it is closed, or is swept later.
        with suppress(PermissionError):
            self.path.unlink(missing_ok=True)

    @property
    def position(self) -> int:
        """How much of it was read."""
        return self._file.tell()

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
def growing_file(folder: Path, beginning: bytes = b"") -> Iterator[GrowingFile]:
    """Make a :class:`GrowingFile` for a job; it is removed here where the block fails, else with the response."""
    file = GrowingFile(folder, beginning)
    try:
        yield file
    except BaseException:
        file.close()
        raise


class Follower:
    """Turn a job that writes a file, and announces its `size` so far, into a response.

    Parameters
    ----------
    job_store
        Where the job announces.
    next_byte_after_s
        Seconds after which a byte is sent, though nothing new has come.
    """

    def __init__(self, job_store: JobStore, next_byte_after_s: float = NEXT_BYTE_AFTER_S) -> None:
        self._job_store = job_store
        self._next_byte_after_s = next_byte_after_s

    def respond(
        self, job: Job, file: GrowingFile, mimetype: str, first_byte_after_s: float = LATE_FIRST_BYTE_AFTER_S
    ) -> Response:
        """Wait for the job and send its file; 204 where it was aborted.

        Where it is not done after `first_byte_after_s` seconds, what is there is sent, then the rest as it comes. If it
        fails or is aborted from then on, the answer raises :class:`TransferBroken`. A client that goes away ends it.

        Raises
        ------
        ElephantError
            The job failed before the answer began.
        """
        retry, known = RedisRetry(self._job_store, job), file.heard_of(None)
        end = time.monotonic() + first_byte_after_s
        while (left := end - time.monotonic()) > 0:
            heard = self._listen(retry, left)
            if isinstance(heard, Outcome):
                return self._whole(job, file, mimetype, raise_failure(heard))
            known = file.heard_of(heard)
        response = Response(self._stream(retry, file, known), mimetype=mimetype, headers={"X-Accel-Buffering": "no"})
        response.call_on_close(lambda: self._end(job, file))
        return response

    def _whole(self, job: Job, file: GrowingFile, mimetype: str, ended: Outcome) -> Response:
        if ended.cancelled:
            file.close()
            return Response(status=204)
        file.hide()
        size = int((ended.result or {})["size"])
        response = Response(file.read_to(size), mimetype=mimetype)
        response.content_length = size
        response.call_on_close(lambda: self._end(job, file))
        return response

    def _stream(self, retry: RedisRetry, file: GrowingFile, known: int) -> Iterator[bytes]:
        try:
            # The status leaves with the first byte.
            yield from file.read_to(max(known - RESERVE, min(known, 1)))
            while not isinstance(heard := self._listen(retry, self._next_byte_after_s), Outcome):
                known = file.heard_of(heard)
                at_least = file.position + (1 if heard is None else 0)
                yield from file.read_to(max(known - RESERVE, min(known, at_least)))
            ended = raise_failure(heard)
            if ended.cancelled:
                raise TransferBroken("aborted")
            yield from file.read_to(int((ended.result or {})["size"]))
        except ElephantError as error:
            logger.error("%s", error)  # noqa: TRY400 - the message is for the person, the traceback is the worker's
            raise TransferBroken(str(error)) from error

    def _listen(self, retry: RedisRetry, timeout_s: float) -> Announcement | Outcome | None:
        """Return what the job says next; None where it says nothing for so long."""
        end = time.monotonic() + timeout_s
        while (left := end - time.monotonic()) > 0:
            heard = retry.look(self._job_store.wait_for_news, min(left, LOOK_INTERVAL_S))
            if heard is not None:
                return heard
        return None

    def _end(self, job: Job, file: GrowingFile) -> None:
        file.close()
        give_up(self._job_store, job)


def can_break(environ: Mapping[str, Any]) -> bool:
    """Tell whether a client would notice an answer that breaks: before HTTP/1.1 nothing tells where one ends."""
    protocol: object = environ.get(CLIENT_PROTOCOL, environ.get("SERVER_PROTOCOL"))
    return protocol != "HTTP/1.0"


def breakable(response: Response, environ: Mapping[str, Any]) -> Response:
    """Have an answer of unknown length break, where it raises :class:`TransferBroken`, in whatever server this is.

    Waitress sends it in chunks, and leaves out the last one where something is raised. uWSGI only closes the
    connection, which NGINX takes for a good end: there the chunks are made here, for NGINX to read.
    """
    if "uwsgi.version" in environ and response.content_length is None and response.status_code == 200:
        response.headers["Transfer-Encoding"] = "chunked"
        response.response = _in_chunks(response.iter_encoded())
    return response


def _in_chunks(pieces: Iterable[bytes]) -> Iterator[bytes]:
    try:
        for piece in pieces:
            if piece:
                yield b"%x\r\n%b\r\n" % (len(piece), piece)
    except TransferBroken:
        return
    yield b"0\r\n\r\n"
