"""Running a command: what ends it, in words and as an exit status."""

import os
import signal
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import click

from elephant.cli import IS_PROGRAM
from elephant.cli.session import Session
from elephant.errors import Cancelled, ElephantError

DONE, FAILED, WRONG_USAGE, INTERRUPTED = 0, 1, 2, 130

EXIT_STATUSES = "Exit status: 0 done, 1 failed, 2 wrong usage, 130 interrupted."


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
    except BrokenPipeError:  # whoever read the output, such as `head`, has had enough
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
