"""Starting the process of a worker: with as few imports as can be, so that it starts before anything else is loaded."""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

# Without what Python puts in front of its path by itself: the current folder may hold anything.
COMMAND = (sys.executable, "-P", "-m", "elephant_server.embedded.worker")

Process = subprocess.Popen[bytes]


def start_process(command: Sequence[str] = COMMAND) -> Process:
    """Start a worker, which loads PyTorch and waits for its queue and the settings.

    Raises
    ------
    OSError
        The system has no process, or no memory, for it.
    """
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # noqa: S603


@contextmanager
def started_early() -> Iterator[Process | None]:
    """Start a worker for the block, and end it after it; None where it cannot be started now."""
    try:
        process = start_process()
    except OSError:  # it is tried again, and told of, when the workers start
        yield None
        return
    try:
        yield process
    finally:
        if process.poll() is None:  # the server did not run: after one that did, it has ended
            with process:
                process.kill()
