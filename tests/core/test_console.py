"""Ctrl-C and its like."""

import os
import signal

import pytest

from elephant.console import interruptible
from elephant.errors import Cancelled


def _work(number: signal.Signals, reached: list[str]) -> None:
    with interruptible(lambda: "all is well") as cancel:
        cancel.check()
        reached.append("first check")
        os.kill(os.getpid(), number)
        reached.append("signal")
        cancel.check()
        reached.append("second check")


def _stubborn_work(reached: list[str]) -> None:
    with interruptible(lambda: "all is well"):
        os.kill(os.getpid(), signal.SIGINT)
        reached.append("signal")
        os.kill(os.getpid(), signal.SIGINT)
        reached.append("second signal")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_ends_at_the_next_check_and_keeps_the_promise(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    reached: list[str] = []
    with pytest.raises(Cancelled, match="all is well"):
        _work(number, reached)
    assert reached == ["first check", "signal"]
    assert signal.getsignal(number) is before


def test_the_second_one_does_not_wait_for_a_check() -> None:
    reached: list[str] = []
    with pytest.raises(Cancelled, match="all is well"):
        _stubborn_work(reached)
    assert reached == ["signal"]
