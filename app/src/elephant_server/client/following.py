"""Work that takes long: it is asked for in a thread, while the server's status says how far it has come."""

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, wait
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from elephant.console import Bars
from elephant.progress import ProgressReporter
from elephant_server.client.transport import ServerError, Transport, UnreachableError
from elephant_server.schemas.dashboard import JobStatus, Status

PAUSE_S = 0.3
_TASKS = {"download/ctc": "elephant.ctc_export", "download/tracks": "elephant.tracks_export"}
_ABOUT = ("dataset_name", "model_name", "timepoint")


class Follower:
    """Asks for work and reports its progress.

    Parameters
    ----------
    transport
        Asks the server.
    progress
        Receives the progress; by default bars on a terminal or in a notebook.
    """

    def __init__(self, transport: Transport, progress: ProgressReporter | None) -> None:
        self._transport, self._progress = transport, progress

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """Return the answer to a request, as :meth:`.Transport.post` does; Ctrl-C leaves the work alone."""
        return self.follow(path, body, lambda: self._transport.post(path, body))

    def lines(self, path: str, body: Mapping[str, Any], n_lines: int) -> Iterator[Any]:
        """Yield the lines of an answer but for the last one, which says that all is done, and report each of them."""
        with self._reporting() as reporter:
            for done, line in enumerate(self._transport.lines(path, body), start=1):
                if line.get("completed"):
                    return
                reporter.progress("timepoint", done, n_lines)
                yield line

    def ended(self, path: str, body: Mapping[str, Any]) -> Any:
        """Return the last line of an answer, and report those before: how much `of` something is done."""
        line: Any = None
        with self._reporting() as reporter:
            for line in self._transport.lines(path, body):
                for stage in line.keys() - {"of"} if "of" in line else ():
                    reporter.progress(stage, line[stage], line["of"])
        return line

    def reset(self, path: str, body: Mapping[str, Any], file: Path | str | None) -> None:
        """Start a model anew, perhaps with a model file that is sent along."""
        if file is None:
            self.post(path, body)
            return
        fields, source = {"data": json.dumps(body)}, Path(file)
        with source.open("rb") as content:
            n_bytes = source.stat().st_size
            self.follow(path, body, lambda: self._transport.send_file(path, fields, content, n_bytes))

    def follow(self, path: str, body: Mapping[str, Any], ask: Callable[[], Any]) -> Any:
        """Return what `ask` returns, and report meanwhile how far the work has come."""
        asked, last = in_thread(ask), None
        with self._reporting() as reporter:
            while wait([asked], PAUSE_S).not_done:
                job = self.job(path, body)
                if job is not None and job.stage and job.done and job.total and job != last:
                    reporter.progress(job.stage, job.done, job.total, **job.values)
                    last = job
            if last is not None and last.total and last.stage and asked.exception() is None:
                reporter.progress(last.stage, last.total, last.total, **last.values)
        return asked.result()

    def job(self, path: str, body: Mapping[str, Any]) -> JobStatus | None:
        """Return the job of a request, as far as the server shows it; None where there is none."""
        task = _TASKS.get(path, f"elephant.{path.replace('/', '_')}")
        try:
            jobs = Status.model_validate(self._transport.get("dashboard/api/status")).jobs
        except (ServerError, UnreachableError, ValidationError):
            return None  # what matters is the request itself: that it fails is said there
        about = {name: body[name] for name in _ABOUT if name in body}
        return next((job for job in jobs if job.task == task and _is_about(job, about)), None)

    @contextmanager
    def _reporting(self) -> Iterator[ProgressReporter]:
        if self._progress is not None:
            yield self._progress
        else:
            with Bars() as bars:
                yield bars


def in_thread(ask: Callable[[], Any]) -> "Future[Any]":
    """Begin to ask, in a thread that does not keep the program from ending."""
    asked: Future[Any] = Future()

    def run() -> None:
        try:
            asked.set_result(ask())
        except BaseException as error:  # noqa: BLE001 - it is raised where the result is awaited
            asked.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return asked


def _is_about(job: JobStatus, about: Mapping[str, Any]) -> bool:
    return all(getattr(job, name) in (None, value) for name, value in about.items())
