"""What the options that every command has say about one run."""

import logging
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import MappingProxyType

import click
from tqdm import tqdm

# What the core advises those who use a server, and what a person at a shell does instead.
REMEDIES = MappingProxyType(
    {
        "check its name, or upload it": "check the path",
        "Copy or upload it again": "Copy it again",
        "or upload it again": "or copy it again",
        "generate the dataset, or upload its movie": "make it with elephant convert",
        "generate it, or check its name": "check its name, or make it with elephant convert",
        "generate the dataset from its movie": "make it with elephant convert",
        "generate the dataset again from its movie": "make it again with elephant convert --overwrite",
        "generate the dataset again, which starts": "make it again with elephant convert --overwrite, which starts",
        "fill_gaps in dataset/generate": "fill_gaps",
    }
)

# `name`, or a name of several words that is no part of a path.
_PARAMETER = re.compile(r"`([a-z][a-z0-9_]*)`|(?<![\w./`-])[a-z]+(?:_[a-z]+)+(?![\w./`-])")


@dataclass(slots=True)
class Session:
    """How much a person wants to see.

    Attributes
    ----------
    quiet
        No progress, no warnings and no remarks; results and errors all the same.
    verbose
        What the core logs, too.
    debug
        Where an error came from.
    options
        The options of the command that runs, by the names of their parameters.
    """

    quiet: bool = False
    verbose: bool = False
    debug: bool = False
    options: Mapping[str, str] = field(default_factory=dict)

    def in_options(self, words: str) -> str:
        """Return a sentence of the core with options in the place of the parameters that it names."""

        def option(found: re.Match[str]) -> str:
            return self.options.get(found[1] or found[0], found[0])

        for others, own in REMEDIES.items():
            words = words.replace(others, own)
        return _PARAMETER.sub(option, words)

    @contextmanager
    def logging_to_terminal(self) -> Iterator[None]:
        """Print the block's log records to standard error: warnings, and with `verbose` all others."""
        handler = _AboveTheBars()
        handler.setFormatter(_Words(self))
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
    """Writes to the current standard error, without breaking the progress bars."""

    def emit(self, record: logging.LogRecord) -> None:
        tqdm.write(self.format(record), file=sys.stderr)


class _Words(logging.Formatter):
    """``warning: ...``; information has no prefix."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session

    def format(self, record: logging.LogRecord) -> str:
        prefix = "" if record.levelno < logging.WARNING else f"{record.levelname.lower()}: "
        return prefix + self._session.in_options(record.getMessage())
