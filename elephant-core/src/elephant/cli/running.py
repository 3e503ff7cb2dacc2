"""Running a command: how much a person wants to see, and what ends it, in words and as an exit status."""

import json
import logging
import os
import re
import signal
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import click

from elephant.cli import IS_PROGRAM
from elephant.cli.variables import PRECISION, value_of
from elephant.errors import Cancelled, ElephantError, InvalidInputError

if TYPE_CHECKING:
    from elephant.console import Console

DONE, FAILED, INTERRUPTED = 0, 1, 130
EXIT_STATUSES = "Exit status: 0 done, 1 failed, 2 wrong usage, 130 interrupted."

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
        "generate the dataset again, which clears": "make it again with elephant convert --overwrite, which clears",
        "fill_gaps in dataset/generate": "fill_gaps",
        # What it advises in Python.
        "choose another folder, or overwrite": "give --overwrite, or another name",
        "choose another name, or overwrite": "give --overwrite, or another name",
        "the dataset is used as it is": "this command uses the dataset as it is",
    }
)

# `name`, or a name of several words that is no part of a path.
_PARAMETER = re.compile(r"`([a-z][a-z0-9_]*)`|(?<![\w./`-])[a-z]+(?:_[a-z]+)+(?![\w./`-])")


def prepare_to_compute() -> None:
    """Make this process ready to run networks: it keeps memory, and computes in the precision that is set.

    Raises
    ------
    elephant.errors.InvalidInputError
        `ELEPHANT_PRECISION` is no precision.
    """
    from elephant.device import choose_precision
    from elephant.memory import keep_memory

    keep_memory()
    try:
        choose_precision(value_of(PRECISION) or "auto")
    except InvalidInputError as error:
        raise InvalidInputError(f"{PRECISION}: {error}") from None


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


def console() -> "Console":
    """Return how a person follows the work of the command that runs, and ends it."""
    from elephant.console import Console

    return Console(current().quiet, is_program=True)


def print_json(value: Any) -> None:
    """Print a value as one JSON document."""
    click.echo(json.dumps(value, indent=2, allow_nan=False))


class _AboveTheBars(logging.Handler):
    """Writes to the current standard error, without breaking the progress bars."""

    def emit(self, record: logging.LogRecord) -> None:
        from tqdm import tqdm

        tqdm.write(self.format(record), file=sys.stderr)


class _Words(logging.Formatter):
    """``warning: ...``; information has no prefix."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session

    def format(self, record: logging.LogRecord) -> str:
        prefix = "" if record.levelno < logging.WARNING else f"{record.levelname.lower()}: "
        return prefix + self._session.in_options(record.getMessage())


def run(command: click.Command, argv: Sequence[str], name: str = "elephant") -> int:
    """Run a command and return its exit status; whatever goes wrong is a line or two on standard error.

    Parameters
    ----------
    command
        What to run; its function returns an exit status, or None for 0.
    argv
        Its arguments.
    name
        What the command is called in its help.
    """
    with _interrupts():
        return _run(command, argv, name)


@contextmanager
def _interrupts() -> Iterator[None]:
    """Let Ctrl-C interrupt the block; before and after it the program exits silently."""
    if not IS_PROGRAM or signal.getsignal(signal.SIGINT) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def _run(command: click.Command, argv: Sequence[str], name: str) -> int:
    session = Session()
    try:
        status = command.main(list(argv), prog_name=name, standalone_mode=False, obj=session)
        sys.stdout.flush()
    except click.ClickException as error:
        _show(error)
        return error.exit_code
    except (Cancelled, click.Abort, KeyboardInterrupt) as error:
        click.secho(f"interrupted: {error}" if str(error) else "interrupted", fg="yellow", err=True)
        return INTERRUPTED
    except BrokenPipeError:  # the reader of the output, such as `head`, has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except (ElephantError, OSError, MemoryError) as error:
        return _fail(error, session.in_options(_in_words(error, session)), session)
    except Exception as error:  # noqa: BLE001 - a person gets a line, and --debug the rest
        words = f"unexpected error: {type(error).__name__}: {error}; --debug shows where it occurred"
        return _fail(error, words, session)
    return status if isinstance(status, int) else DONE


def _show(error: click.ClickException) -> None:
    """Print what is wrong with the use of a command, and how to get its help."""
    if isinstance(error, click.UsageError) and error.ctx is not None:
        click.echo(error.ctx.get_usage(), err=True)
        click.echo(f"Try '{error.ctx.command_path} --help'.", err=True)
    _say_error(error.format_message())


def _say_error(words: str) -> None:
    click.echo(click.style("error: ", fg="red") + words, err=True)


def _fail(error: BaseException, words: str, session: Session) -> int:
    if session.debug:
        traceback.print_exception(error)
    _say_error(words)
    return FAILED


def _in_words(error: BaseException, session: Session) -> str:
    if isinstance(error, MemoryError):
        return f"there is not enough memory ({error}): {_smaller(session)}"
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{error.strerror}: {error.filename}"
    return str(error)


def _smaller(session: Session) -> str:
    """Return which options of the command reduce its memory."""
    there = [session.options[name] for name in ("patch", "crop_size", "batch_size") if name in session.options]
    return f"make {' or '.join(there)} smaller" if there else "close other programs"
