"""What publishes in the background begins afresh after a fork, once."""

import subprocess
import sys

# Two threads of a child publish first, while what is kept is being emptied.
_CHILD = """
import os, threading, time
from elephant_server.publishing import BackgroundPublisher

class Publisher(BackgroundPublisher):
    n_threads = 0

    def _empty(self):
        time.sleep(0.2)
        self.kept = []

    def _run(self):
        Publisher.n_threads += 1
        threading.Event().wait()

    def add(self, text):
        with self._adding():
            self.kept.append(text)

publisher = Publisher("p")
publisher.add("of the parent")
pid = os.fork()
if pid:
    os._exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
Publisher.n_threads = 0
threads = [threading.Thread(target=publisher.add, args=(text,)) for text in "ab"]
for thread in threads:
    thread.start()
    time.sleep(0.05)
for thread in threads:
    thread.join()
time.sleep(0.2)
print(sorted(publisher.kept), Publisher.n_threads, flush=True)
os._exit(0)
"""


def test_threads_that_publish_first_after_a_fork_lose_nothing() -> None:
    run = subprocess.run([sys.executable, "-c", _CHILD], capture_output=True, text=True, timeout=60, check=True)
    assert run.stdout == "['a', 'b'] 1\n"
