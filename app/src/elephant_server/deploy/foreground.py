"""A server in the foreground of a terminal: printing, and requests to stop."""

import contextlib
import signal
import sys
from collections.abc import Iterator
from types import FrameType

from elephant_server.stop_flag import StopFlag


@contextlib.contextmanager
def stop_on_signals() -> Iterator[StopFlag]:
    """Yield a flag that is set by Ctrl-C, SIGTERM and a closed terminal."""
    stop = StopFlag()

    def handle(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the shape of a handler
        stop.set()

    numbers = [signal.SIGINT, signal.SIGTERM]
    # Windows has no such signal; nohup asks to ignore it.
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    before = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def say(line: str) -> None:
    """Print a line for a person."""
    # A file on Windows, for instance, holds the characters of one code page; a path may have others.
    encoding = sys.stdout.encoding or "utf-8"
    with contextlib.suppress(OSError):  # the terminal may be closed
        print(line.encode(encoding, "backslashreplace").decode(encoding), flush=True)
