"""What the options that every command has say about one run."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import click
from tqdm import tqdm


@dataclass(slots=True)
class Session:
    """How much a person wants to see.

    Attributes
    ----------
    quiet
        Neither progress nor warnings.
    verbose
        What the core logs, too.
    debug
        Where an error came from.
    """

    quiet: bool = False
    verbose: bool = False
    debug: bool = False

    @contextmanager
    def logging_to_terminal(self) -> Iterator[None]:
        """Send what is logged within to standard error: warnings, and with `verbose` the rest."""
        handler = _AboveTheBars()
        handler.setFormatter(_Words())
        logger = logging.getLogger("elephant")
        before = logger.handlers, logger.propagate, logger.level
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(logging.INFO if self.verbose else logging.ERROR if self.quiet else logging.WARNING)
        try:
            yield
        finally:
            logger.handlers, logger.propagate = before[:2]
            logger.setLevel(before[2])


def current() -> Session:
    """Return the session of the command that runs."""
    return click.get_current_context().ensure_object(Session)


class _AboveTheBars(logging.Handler):
    """Writes to standard error as it is now, without tearing the progress bars."""

    def emit(self, record: logging.LogRecord) -> None:
        tqdm.write(self.format(record), file=sys.stderr)


class _Words(logging.Formatter):
    """``warning: ...``; what is only for information stands for itself."""

    def format(self, record: logging.LogRecord) -> str:
        prefix = "" if record.levelno < logging.WARNING else f"{record.levelname.lower()}: "
        return prefix + record.getMessage()
