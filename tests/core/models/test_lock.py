"""One at a time changes a model, whatever process others run in."""

import errno
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from elephant.errors import InUseError
from elephant.io import locks
from elephant.models.lock import writing

HOLDER = """
import sys
from pathlib import Path
from elephant.models.lock import writing
with writing(Path(sys.argv[1]), "a training"):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "user" / "detection.pth"


@pytest.fixture
def holder(path: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-c", HOLDER, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        yield process
        process.kill()


def try_to_write(path: Path) -> None:
    with writing(path, "a reset"):
        pass


def test_another_process_is_refused_until_the_first_has_died(path: Path, holder: subprocess.Popen[bytes]) -> None:
    words = (
        rf"^detection\.pth is being trained by process {holder.pid} on .* since 20.*: wait until it ends, or stop it"
    )
    with pytest.raises(InUseError, match=words):
        try_to_write(path)
    (path.parent / "other").symlink_to(path.parent)
    with pytest.raises(InUseError):
        try_to_write(path.parent / "other" / "detection.pth")
    try_to_write(path.with_name("other.pth"))
    holder.send_signal(signal.SIGKILL)
    holder.wait(30)
    assert (path.parent / ".locks" / "detection.pth.lock").read_bytes()  # it is left behind, and says nothing
    try_to_write(path)


def test_a_thread_may_take_it_again_and_others_may_not(path: Path) -> None:
    refused: list[str] = []

    def other() -> None:
        try:
            try_to_write(path)
        except InUseError as error:
            refused.append(str(error))

    def ask() -> int:
        thread = threading.Thread(target=other)
        thread.start()
        thread.join(30)
        return len(refused)

    with writing(path, "a live session"):
        try_to_write(path)
        assert ask() == 1
    assert f"detection.pth is being trained live by process {os.getpid()} on " in refused[0]
    assert ask() == 1


def test_what_fails_inside_gives_it_back(path: Path) -> None:
    with pytest.raises(ValueError, match="astray"), writing(path, "a training"):
        raise ValueError("astray")
    try_to_write(path)


def test_nothing_is_left_and_one_of_many_processes_holds_it(path: Path) -> None:
    """The file is removed by each: what others have opened meanwhile must not count."""
    inside, most, n_held = threading.Semaphore(1), 8, 0

    def come_and_go() -> None:
        nonlocal n_held
        for _ in range(300):
            try:
                with writing(path, "a training"):
                    assert inside.acquire(blocking=False)
                    n_held += 1
                    inside.release()
            except InUseError:
                pass

    with ThreadPoolExecutor(most) as pool:
        for future in [pool.submit(come_and_go) for _ in range(most)]:
            future.result()
    assert n_held > 0
    assert list(path.parent.iterdir()) == []


def test_a_file_system_without_locks_is_a_warning(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_handle: int, *, is_shared: bool = False) -> bool:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(locks, "lock", fail)
    for _ in range(2):
        try_to_write(path)
    assert [r.getMessage() for r in caplog.records if "No locks available" in r.getMessage()] == [
        f"Cannot lock files in {path.parent / '.locks'} (No locks available): make sure that nobody else trains the "
        "same model meanwhile"
    ]


def test_a_folder_that_cannot_be_written_is_reported_when_saving(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path.parent.mkdir(parents=True)
    (path.parent / ".locks").write_text("a file")
    try_to_write(path)
    assert "Cannot lock files" in caplog.text
