"""Signals set a flag at any moment, also in the middle of another signal's handler."""

import subprocess
import sys
import threading
import time

from elephant_server.stop_flag import StopFlag

# A signal at each line of what waits, and of the handlers that come meanwhile.
_SIGNALS_EVERYWHERE = """
import signal, sys
from elephant_server.deploy.foreground import stop_on_signals

def signal_at_line(frame, event, argument):
    if event == "line":
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)
    return signal_at_line

with stop_on_signals() as stop:
    sys.settrace(signal_at_line)
    stop.wait(60)
    stop.set()
    sys.settrace(None)
    print("stopped", stop.is_set())
"""


def test_signals_at_every_moment_stop_it() -> None:
    run = [sys.executable, "-c", _SIGNALS_EVERYWHERE]
    assert subprocess.run(run, capture_output=True, text=True, timeout=60, check=True).stdout == "stopped True\n"


def test_a_flag_that_nobody_sets_is_waited_for_no_longer_than_asked() -> None:
    flag = StopFlag()
    before = time.monotonic()
    assert not flag.wait(0.05)
    assert not flag.wait(-1)
    assert time.monotonic() - before >= 0.05
    assert not flag.is_set()


def test_all_that_wait_are_woken() -> None:
    flag, woken = StopFlag(), []
    threads = [threading.Thread(target=lambda: woken.append(flag.wait(60))) for _ in range(4)]
    for thread in threads:
        thread.start()
    flag.set()
    for thread in threads:
        thread.join(30)
    assert woken == [True] * 4
    assert flag.wait(60)
