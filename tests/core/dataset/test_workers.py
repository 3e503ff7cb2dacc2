"""Running a task on timepoints in several processes, some of which the system kills."""

import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest

from elephant.dataset import workers
from elephant.progress import CancelToken, NeverCancelled

COUNT = 4
N_THREADS = 8
LONG_S = 100


@dataclass(frozen=True)
class KilledWhileItLooks:
    """Does its work here; a helper process is killed while its threads ask whether to go on, and do nothing else."""

    here: int = field(default_factory=os.getpid)

    def __call__(self, t: int, cancel: CancelToken) -> int:
        if os.getpid() != self.here:
            sys.setswitchinterval(1e-6)  # the kill comes at any moment, also within a look
            threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGKILL)).start()
            with ThreadPoolExecutor(N_THREADS) as threads:
                list(threads.map(_look_for_ever, [cancel] * N_THREADS))
        return t


def _look_for_ever(cancel: CancelToken) -> None:
    while True:
        cancel.check()


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="processes are not killed by signals")
def test_helpers_that_are_killed_while_they_look_are_made_up_for() -> None:
    # In a process of its own: where a lock stays locked, not even the tests would end.
    done = subprocess.run([sys.executable, __file__], capture_output=True, text=True, timeout=LONG_S, check=True)
    assert done.stdout.strip() == str(list(range(COUNT)))


if __name__ == "__main__":
    workers.n_cores = lambda: COUNT
    print(list(workers.run(KilledWhileItLooks(), COUNT, NeverCancelled(), parallel=True)))
