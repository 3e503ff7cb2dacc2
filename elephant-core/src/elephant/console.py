"""What long work shows to a person at a terminal or in a notebook, progress bars, and Ctrl-C as a cancel token."""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import FrameType, TracebackType
from typing import Self

from tqdm import tqdm

from elephant.errors import Cancelled
from elephant.progress import cancelled_by

# What is counted within something larger; their bars go away when they are full.
_INNER = frozenset({"tile"})
_WORDS = b"\nstopping at the next safe moment; Ctrl-C again stops at once\n"

# Ctrl-C, and the signal with which a cluster ends a job.
_OF_PROGRAMS = (signal.SIGINT, signal.SIGTERM)
_OF_SCRIPTS = (signal.SIGINT,)


class Bars:
    """A :class:`elephant.progress.ProgressReporter` with a bar for each stage, on a terminal or in a notebook.

    Parameters
    ----------
    quiet
        Whether to show none.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        # None: where standard error is a terminal.
        self._disable = True if quiet else False if _is_notebook() else None
        self._bars: dict[str, tqdm] = {}

    def progress(self, stage: str, done: int, total: int, **values: float) -> None:
        """Move the bar of a stage; one that starts again is reset."""
        if stage in _INNER and total == 1:
            return
        bar = self._bars.get(stage) or self._new(stage, total)
        if done < bar.n or bar.total != total:
            bar.reset(total)
        bar.set_postfix({name: _short(value) for name, value in values.items()}, refresh=False)
        bar.update(done - bar.n)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the bars as they are and go to the next line."""
        for bar in reversed(self._bars.values()):
            bar.close()

    def _new(self, stage: str, total: int) -> tqdm:
        bar = tqdm(
            total=total,
            unit=f" {stage}s",
            desc=stage,
            disable=self._disable,
            dynamic_ncols=True,
            leave=stage not in _INNER,
            file=sys.stderr,
        )
        self._bars[stage] = bar
        return bar


def _is_notebook() -> bool:
    """Tell whether a notebook shows what is written: its standard error is no terminal, but moves a bar as one does."""
    return "ipykernel" in sys.modules and "ipykernel" in type(sys.stderr).__module__


def _short(value: float) -> str:
    return f"{value:d}" if isinstance(value, int) else f"{value:.4g}"


class Interruption:
    """A :class:`elephant.progress.CancelToken` that a signal sets off; a second signal ends at once."""

    def __init__(self) -> None:
        self._is_asked = False

    def check(self) -> None:
        """Raise :class:`elephant.errors.Cancelled` once a signal has come."""
        if self._is_asked:
            raise Cancelled

    def ask(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - the shape of a handler
        """Take a signal."""
        if self._is_asked:
            raise KeyboardInterrupt
        self._is_asked = True
        if number == signal.SIGINT:
            os.write(2, _WORDS)  # a handler may come in the middle of any print


@contextlib.contextmanager
def _interruptible(promise: Callable[[], str], signals: Sequence[signal.Signals]) -> Iterator[Interruption]:
    """Give a token for work that a person may end.

    Parameters
    ----------
    promise
        Says what the work leaves behind when it is ended.
    signals
        What ends it; only in the main thread, since no other may take signals.

    Raises
    ------
    elephant.errors.Cancelled
        The work was ended; the message is the promise.
    """
    interruption = Interruption()
    numbers = signals if threading.current_thread() is threading.main_thread() else ()
    before = {number: signal.signal(number, interruption.ask) for number in numbers}
    try:
        yield interruption
    except (Cancelled, KeyboardInterrupt):
        raise Cancelled(promise()) from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@dataclass(frozen=True, slots=True)
class Console:
    """How a person follows long work, and ends it.

    Attributes
    ----------
    quiet
        Whether to show no progress.
    is_program
        Whether this process is a program of its own, which a cluster's signal ends, too; otherwise a script or a
        notebook, in which only Ctrl-C does.
    """

    quiet: bool = False
    is_program: bool = False

    @contextlib.contextmanager
    def attend(self, promise: Callable[[], str]) -> Iterator[tuple[Bars, Interruption]]:
        """Give the reporter and the cancel token for a piece of work.

        Parameters
        ----------
        promise
            Says what the work leaves behind when it is ended.

        Raises
        ------
        elephant.errors.Cancelled
            The work was ended, in a program; the message is the promise.
        KeyboardInterrupt
            It was ended, in a script or a notebook; likewise.
        """
        signals = _OF_PROGRAMS if self.is_program else _OF_SCRIPTS
        try:
            with Bars(quiet=self.quiet) as bars, _interruptible(promise, signals) as cancel, cancelled_by(cancel):
                yield bars, cancel
        except Cancelled as stop:
            if self.is_program:
                raise
            raise KeyboardInterrupt(str(stop)) from None
