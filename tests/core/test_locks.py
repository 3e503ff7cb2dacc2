"""Locks on files, between processes."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from filelock import FileLock, Timeout

from elephant.io.locks import give_back, read_note, take, write_note

HOLDER = """
import sys
from pathlib import Path
from elephant.io.locks import take, write_note
handle = take(Path(sys.argv[1]), is_shared=sys.argv[2] == "shared")
if sys.argv[2] == "alone":
    write_note(handle, "a note")
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def held(path: Path, how: str) -> Iterator[subprocess.Popen[bytes]]:
    """Have another process hold a lock inside the block."""
    command = [sys.executable, "-c", HOLDER, str(path), how]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        yield process
        process.kill()


def is_free(path: Path, *, is_shared: bool = False) -> bool:
    handle = take(path, is_shared=is_shared)
    if handle is not None:
        give_back(handle)
    return handle is not None


def test_a_lock_ends_with_the_process_that_holds_it(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with held(path, "alone") as process:
        assert not is_free(path)
        assert not is_free(path, is_shared=True)
        with pytest.raises(Timeout):
            FileLock(path).acquire(timeout=0)
        assert read_note(path) == "a note"
        process.send_signal(signal.SIGKILL)
        process.wait(30)
        assert is_free(path)


def test_readers_share_a_lock_and_keep_others_out(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with held(path, "shared"), held(path, "shared"):
        assert is_free(path, is_shared=True)
        assert not is_free(path)
    assert is_free(path)


def test_a_shorter_note_hides_a_longer_one(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    assert read_note(path) == ""
    for note in ("the first holder", "1"):
        handle = take(path)
        assert handle is not None
        write_note(handle, note)
        give_back(handle)
        assert read_note(path) == note


def test_a_link_is_not_followed_and_nothing_stays_open(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("precious")
    (tmp_path / "lock").symlink_to(tmp_path / "elsewhere")
    before = psutil.Process().num_fds()
    with pytest.raises(OSError, match="symbolic links"):
        take(tmp_path / "lock")
    assert is_free(tmp_path / "other")
    assert psutil.Process().num_fds() == before
