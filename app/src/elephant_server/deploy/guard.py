"""Become another program that ends when its parent does; run as a file, before packages can be imported.

``python -I -S guard.py [--signal KILL] [--clear FOLDER] [--wait-for HOST:PORT] -- PROGRAM ARGUMENTS``
"""

import argparse
import ctypes
import os
import resource
import shutil
import signal
import socket
import sys
import time
from collections.abc import Sequence

_PR_SET_PDEATHSIG = 1
# The process whose child a guard must be: a parent that died early cannot be recognised otherwise.
_PARENT = "GUARD_PARENT"
# Some container services allow a billion, and Erlang's name server reserves memory for each.
_MOST_FILES = 65536


def die_with_parent(death_signal: int) -> None:
    """Have the kernel send ``death_signal`` to this process when its parent ends; it outlives ``exec``."""
    parent = int(os.environ.get(_PARENT) or os.getppid())
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, death_signal, 0, 0, 0)
    if os.getppid() != parent:  # it died before the kernel was asked
        sys.exit(1)


def wait_for(address: str) -> None:
    """Return when something listens at ``HOST:PORT``."""
    host, _, port = address.rpartition(":")
    while True:
        try:
            socket.create_connection((host, int(port)), timeout=5).close()
        except OSError:
            time.sleep(0.05)
        else:
            return


def limit_files() -> None:
    """Raise the limit of open files and connections, up to a sensible number."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    soft = _MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_FILES)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def main(arguments: Sequence[str]) -> None:
    """Prepare as the options say, then become the program."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--signal", default="KILL", help="signal to send when the parent exits")
    parser.add_argument("--clear", help="folder to delete first")
    parser.add_argument("--wait-for", help="HOST:PORT to wait for")
    parser.add_argument("command", nargs="+")
    options = parser.parse_args(arguments)
    die_with_parent(signal.Signals[f"SIG{options.signal}"])
    limit_files()
    if options.clear:
        shutil.rmtree(options.clear, ignore_errors=True)
    if options.wait_for:
        wait_for(options.wait_for)
    os.environ[_PARENT] = str(os.getpid())
    os.execvp(options.command[0], options.command)  # noqa: S606 - the command is ours, from supervisord.conf


if __name__ == "__main__":
    main(sys.argv[1:])
