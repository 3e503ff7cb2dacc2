"""Questions of a worker's process to the server's, over the worker's standard input and output.

A question is a line of JSON, ``[number, step, values]``, and so is its answer, ``[number, value, error]``. Threads of
the worker ask side by side, and a question that blocks keeps no other one waiting. These pipes exist on every system,
nobody else can get at them, and each side notices at once when the other one ends.
"""

import itertools
import json
import logging
import threading
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from queue import SimpleQueue
from typing import IO, Any

logger = logging.getLogger(__name__)

# The number of what the server's process says without being asked: end.
END = 0

Step = Callable[..., Any]


class ChannelError(Exception):
    """A step could not be done, for a fault of the server."""


class Questions:
    """The worker's end: asks, from any thread.

    Parameters
    ----------
    reading, writing
        Where answers come from, and questions go to.
    """

    def __init__(self, reading: IO[bytes], writing: IO[bytes]) -> None:
        self._reading = reading
        self._writing = writing
        self._lock = threading.Lock()
        self._numbers = itertools.count(END + 1)
        self._asked: dict[int, SimpleQueue[tuple[Any, str | None]]] = {}

    def ask(self, step: str, *values: Any) -> Any:
        """Have a step done in the server's process, and return what it returns.

        Raises
        ------
        ChannelError
            It raised an error.
        """
        number, answers = next(self._numbers), SimpleQueue[tuple[Any, str | None]]()
        self._asked[number] = answers
        line = _line([number, step, values])
        with self._lock:
            self._writing.write(line)
            self._writing.flush()
        value, error = answers.get()
        if error is not None:
            raise ChannelError(error)
        return value

    def listen(self, end: Callable[[], None]) -> None:
        """Hand out the answers until the server's process ends.

        Parameters
        ----------
        end
            Called when that process asks this one to end.
        """
        with self._reading:
            for line in self._reading:
                number, value, error = json.loads(line)
                if number == END:
                    end()
                else:
                    self._asked.pop(number).put((value, error))

    def close(self) -> None:
        """Ask nothing any more."""
        with self._lock:
            self._writing.close()


class Answers:
    """The server's end: does what one worker asks for.

    Parameters
    ----------
    reading, writing
        Where questions come from, and answers go to.
    steps
        What may be asked for, by name.
    blocking
        The steps that may block: each of them runs in a thread of its own.
    """

    def __init__(
        self, reading: IO[bytes], writing: IO[bytes], steps: Mapping[str, Step], blocking: Collection[str]
    ) -> None:
        self._reading = reading
        self._writing = writing
        self._steps = steps
        self._blocking = blocking
        self._lock = threading.Lock()

    def serve(self) -> None:
        """Answer until the worker ends."""
        for line in self._reading:
            try:
                question = json.loads(line)
            except ValueError:  # it was killed within a line
                return
            if question[1] in self._blocking:
                threading.Thread(target=self._answer, args=question, name=f"asked-{question[1]}", daemon=True).start()
            else:
                self._answer(*question)

    def end(self) -> None:
        """Ask the worker to end."""
        self._send([END, None, None])

    def close(self) -> None:
        """Let go of both pipes, when the worker has ended."""
        with self._lock, suppress(OSError):
            self._writing.close()
        self._reading.close()

    def _answer(self, number: int, step: str, values: list[Any]) -> None:
        try:
            answer = [number, self._steps[step](*values), None]
        except Exception as error:
            logger.exception("A worker could not be answered")
            answer = [number, None, f"{type(error).__name__}: {error}"]
        self._send(answer)

    def _send(self, answer: list[Any]) -> None:
        with self._lock:
            try:
                self._writing.write(_line(answer))
                self._writing.flush()
            except (OSError, ValueError):  # it has ended, and the pipe is closed
                logger.debug("A worker has ended before it was answered")


def _line(value: Any) -> bytes:
    return json.dumps(value).encode() + b"\n"
