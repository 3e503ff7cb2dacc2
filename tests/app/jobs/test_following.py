"""Files that are sent while a job writes them; the jobs are played by threads."""

import threading
import uuid
from pathlib import Path

import pytest

from elephant.errors import NotFoundError
from elephant_server.errors import StorageError
from elephant_server.jobs import following
from elephant_server.jobs.following import Follower, GrowingFile, growing_file
from elephant_server.jobs.submit import Job
from elephant_server.state import Kind, Outcome, RedisBoard

JOB = Job("a", Kind.GUEST, "elephant.ctc_export")


@pytest.fixture
def board(redis_url: str) -> RedisBoard:
    board = RedisBoard(redis_url, prefix=f"test-{uuid.uuid4().hex}:")
    board.open("a", Kind.GUEST)
    board.take("a")
    return board


@pytest.fixture
def file(tmp_path: Path) -> GrowingFile:
    return GrowingFile(tmp_path / "exports")


def write(file: GrowingFile, board: RedisBoard, *pieces: bytes, more: bytes = b"") -> None:
    """Write pieces and announce them, then more that is not announced."""
    with file.path.open("r+b", buffering=0) as opened:
        for piece in pieces:
            opened.write(piece)
            board.announce("a", {"size": opened.tell()})
        opened.write(more)


def test_what_was_announced_is_sent_and_the_rest_when_the_job_is_done(board: RedisBoard, file: GrowingFile) -> None:
    write(file, board, b"one", b"two", more=b"end")
    response = Follower(board).respond(JOB, file, "application/zip")
    assert not file.path.exists()
    pieces = response.iter_encoded()
    assert [next(pieces), next(pieces)] == [b"one", b"two"]
    board.finish("a", Outcome(result={"size": 9}))
    assert list(pieces) == [b"end"]
    response.close()


@pytest.mark.parametrize("outcome", [Outcome(cancelled=True), Outcome(error="StorageError", message="full")])
def test_a_job_that_ends_early_ends_the_answer_where_it_was(
    board: RedisBoard, file: GrowingFile, outcome: Outcome
) -> None:
    write(file, board, b"one", more=b"end")
    board.finish("a", outcome)
    response = Follower(board).respond(JOB, file, "application/zip")
    assert response.status_code == 200
    assert response.get_data() == b"one"
    response.close()


def test_a_job_that_ends_before_it_began_is_answered_for(board: RedisBoard, tmp_path: Path) -> None:
    board.finish("a", Outcome(cancelled=True))
    with growing_file(tmp_path) as file:
        response = Follower(board).respond(JOB, file, "application/zip")
    assert (response.status_code, response.get_data()) == (204, b"")
    board.open("a", Kind.GUEST)
    board.finish("a", Outcome(error="NotFoundError", message="it is not there"))
    with pytest.raises(NotFoundError, match="it is not there"), growing_file(tmp_path) as file:
        Follower(board).respond(JOB, file, "application/zip")
    assert not list(tmp_path.iterdir())


def test_a_client_that_goes_away_ends_the_job(board: RedisBoard, file: GrowingFile) -> None:
    write(file, board, b"one")
    response = Follower(board).respond(JOB, file, "application/zip")
    response.close()
    assert board.look("a").is_cancelled
    assert not file.path.exists()


def test_where_an_open_file_keeps_its_name_it_is_removed_later(
    board: RedisBoard, file: GrowingFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    unlink = Path.unlink

    def unlink_as_on_windows(path: Path, missing_ok: bool = False) -> None:
        held = {str(entry.readlink()) for entry in Path("/proc/self/fd").iterdir() if entry.is_symlink()}
        if str(path) in held:
            raise PermissionError(13, "The process cannot access the file because it is being used", str(path))
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", unlink_as_on_windows)
    write(file, board, b"one")
    response = Follower(board).respond(JOB, file, "application/zip")
    board.finish("a", Outcome(result={"size": 3}))
    assert response.get_data() == b"one"
    response.close()
    assert not file.path.exists()


def test_announcements_are_waited_for(board: RedisBoard, file: GrowingFile) -> None:
    threading.Timer(0.2, lambda: write(file, board, b"one")).start()
    threading.Timer(0.4, lambda: board.finish("a", Outcome(result={"size": 0}))).start()
    response = Follower(board).respond(JOB, file, "application/zip")
    assert response.get_data() == b"one"
    response.close()


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="Not a directory"):
        GrowingFile(tmp_path / "file" / "exports")


def test_what_a_network_file_system_shows_late_is_waited_for(file: GrowingFile) -> None:
    file.path.write_bytes(b"one")
    threading.Timer(0.3, lambda: file.path.write_bytes(b"onetwo")).start()
    assert b"".join(file.read_to(6)) == b"onetwo"
    file.close()


def test_what_never_arrives_ends_the_answer(file: GrowingFile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "ARRIVAL_S", 0.01)
    file.path.write_bytes(b"one")
    with pytest.raises(StorageError, match="does not show"):
        list(file.read_to(6))
    file.close()
