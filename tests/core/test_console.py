"""Ctrl-C and its like."""

import os
import signal

import pytest

from elephant.console import Console
from elephant.errors import Cancelled

PROGRAM, SCRIPT = Console(quiet=True, is_program=True), Console(quiet=True)


def _work(console: Console, number: signal.Signals, reached: list[str]) -> None:
    with console.attend(lambda: "all is well") as (_, cancel):
        cancel.check()
        reached.append("first check")
        os.kill(os.getpid(), number)
        reached.append("signal")
        cancel.check()
        reached.append("second check")


def _stubborn_work(console: Console, reached: list[str]) -> None:
    with console.attend(lambda: "all is well"):
        os.kill(os.getpid(), signal.SIGINT)
        reached.append("signal")
        os.kill(os.getpid(), signal.SIGINT)
        reached.append("second signal")


@pytest.mark.parametrize(
    ("console", "number", "kind"),
    [
        (PROGRAM, signal.SIGINT, Cancelled),
        (PROGRAM, signal.SIGTERM, Cancelled),
        (SCRIPT, signal.SIGINT, KeyboardInterrupt),
    ],
)
def test_the_first_signal_ends_at_the_next_check_and_keeps_the_promise(
    console: Console, number: signal.Signals, kind: type[BaseException]
) -> None:
    before = signal.getsignal(number)
    reached: list[str] = []
    with pytest.raises(kind, match="all is well"):
        _work(console, number, reached)
    assert reached == ["first check", "signal"]
    assert signal.getsignal(number) is before


@pytest.mark.parametrize(("console", "kind"), [(PROGRAM, Cancelled), (SCRIPT, KeyboardInterrupt)])
def test_the_second_one_does_not_wait_for_a_check(console: Console, kind: type[BaseException]) -> None:
    reached: list[str] = []
    with pytest.raises(kind, match="all is well"):
        _stubborn_work(console, reached)
    assert reached == ["signal"]


def test_a_script_leaves_the_signal_of_a_cluster_alone() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with SCRIPT.attend(str):
        assert signal.getsignal(signal.SIGTERM) is before
