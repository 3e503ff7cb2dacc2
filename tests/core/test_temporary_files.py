"""Files that are there for a while, and what is left of them when their process is killed."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from elephant.io.atomic import remove_orphans, replacing, temporary_file

KILLED = """
import os, signal, sys
from pathlib import Path
from elephant.io.atomic import temporary_file, replacing
folder = Path(sys.argv[1])
handle, _ = temporary_file(folder, ".download")
with replacing(folder / "detection.pth") as file:
    file.write(b"half of it")
    file.flush()
    print("writing", flush=True)
    sys.stdin.read()
"""


def hidden(folder: Path) -> list[str]:
    return sorted(path.suffix for path in folder.rglob(".*"))


def test_a_file_being_written_is_left_alone_and_one_of_a_killed_process_is_removed(tmp_path: Path) -> None:
    folder = tmp_path / "user" / "deep"
    folder.mkdir(parents=True)
    (folder / "detection.pth").write_bytes(b"the model")
    command = [sys.executable, "-c", KILLED, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"writing\n"
        remove_orphans(tmp_path)
        assert hidden(folder) == [".download", ".tmp"]
        writer.send_signal(signal.SIGKILL)
    remove_orphans(tmp_path)
    assert hidden(folder) == []
    assert (folder / "detection.pth").read_bytes() == b"the model"


def test_what_a_person_put_there_is_never_removed(tmp_path: Path) -> None:
    for name in ("a.tmp", ".mine.tmp", ".abcdefgh.pth", "model.pth", ".abcdefgh.tmp.bak", ".abcd-fgh.tmp"):
        (tmp_path / name).write_text("precious")
    (tmp_path / ".abcdefgh.tmp").mkdir()
    (tmp_path / ".ijklmnop.tmp").symlink_to(tmp_path / "model.pth")
    os.mkfifo(tmp_path / ".qrstuvwx.tmp")
    before = sorted(tmp_path.iterdir())
    remove_orphans(tmp_path)
    assert sorted(tmp_path.iterdir()) == before
    remove_orphans(tmp_path / "not there")


def test_a_file_that_is_removed_before_it_is_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import fcntl

    lock, made = fcntl.flock, []

    def late(handle: int, how: int) -> None:
        if how == fcntl.LOCK_EX | fcntl.LOCK_NB and not made:
            made.append(handle)
            remove_orphans(tmp_path)
        lock(handle, how)

    monkeypatch.setattr(fcntl, "flock", late)
    handle, path = temporary_file(tmp_path, ".tmp")
    os.close(handle)
    assert made
    assert list(tmp_path.iterdir()) == [path]


def test_a_failure_leaves_the_old_content_alone(tmp_path: Path) -> None:
    place = tmp_path / "x"
    place.write_text("old")

    def fail() -> None:
        with replacing(place) as file:
            file.write(b"new")
            raise ValueError("halfway")

    with pytest.raises(ValueError, match="halfway"):
        fail()
    assert place.read_text() == "old"
    assert list(tmp_path.iterdir()) == [place]


def test_a_new_file_is_as_open_to_others_as_any(tmp_path: Path) -> None:
    (tmp_path / "usual").touch()
    with replacing(tmp_path / "x") as file:
        file.write(b"new")
    assert (tmp_path / "x").stat().st_mode == (tmp_path / "usual").stat().st_mode
