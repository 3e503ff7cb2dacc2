"""Files that are sent while a job writes them; the jobs are played by threads."""

import threading
import uuid
from pathlib import Path
from typing import Any

import pytest
from flask import Response

from elephant.errors import NotFoundError
from elephant_server.errors import StorageError
from elephant_server.jobs import streaming
from elephant_server.jobs.records import JobKind, Outcome
from elephant_server.jobs.store import JobStore
from elephant_server.jobs.store_redis import RedisStore
from elephant_server.jobs.streaming import (
    RESERVE,
    Follower,
    GrowingFile,
    TransferBroken,
    breakable,
    can_break,
    growing_file,
)
from elephant_server.jobs.submit import Job

JOB = Job("a", JobKind.INTERACTIVE, "elephant.ctc_export")


@pytest.fixture
def job_store(redis_url: str) -> JobStore:
    job_store = JobStore(RedisStore(redis_url, prefix=f"test-{uuid.uuid4().hex}:"))
    job_store.open("a", JobKind.INTERACTIVE)
    job_store.take("answering")
    return job_store


@pytest.fixture
def file(tmp_path: Path) -> GrowingFile:
    return GrowingFile(tmp_path / "exports")


def write(file: GrowingFile, job_store: JobStore, *pieces: bytes, more: bytes = b"") -> None:
    """Write pieces and announce them, then more that is not announced."""
    with file.path.open("r+b", buffering=0) as opened:
        for piece in pieces:
            opened.write(piece)
            job_store.announce("a", {"size": opened.tell()})
        opened.write(more)


def follow(job_store: JobStore, file: GrowingFile, first_byte_after_s: float = 0.0) -> Response:
    return Follower(job_store, next_byte_after_s=0.05).respond(JOB, file, "application/zip", first_byte_after_s)


def test_what_is_done_in_time_is_sent_whole_with_its_length(job_store: JobStore, file: GrowingFile) -> None:
    write(file, job_store, b"one", b"two", more=b"end")
    job_store.finish("a", Outcome(result={"size": 9}))
    response = follow(job_store, file, 60)
    assert response.content_length == 9
    assert response.get_data() == b"onetwoend"
    response.close()
    assert not file.path.exists()


def test_no_status_goes_out_before_the_time_is_over(job_store: JobStore, file: GrowingFile) -> None:
    """Though there is something to send."""
    write(file, job_store, b"one")
    job_store.finish("a", Outcome(error="NotFoundError", message="gone"))
    with pytest.raises(NotFoundError, match="gone"):
        follow(job_store, file, 60)
    file.close()


def test_after_that_what_is_there_is_sent_and_the_rest_as_it_comes(job_store: JobStore, file: GrowingFile) -> None:
    first, second = bytes(RESERVE), b"x" * RESERVE
    write(file, job_store, first, second, more=b"end")
    response = follow(job_store, file, 0.3)
    assert response.content_length is None
    assert not file.path.exists()
    pieces = response.iter_encoded()
    assert next(pieces) == first
    job_store.finish("a", Outcome(result={"size": 2 * RESERVE + 3}))
    # Some single bytes of the reserve may come before the end is heard of.
    assert b"".join(pieces) == second + b"end"
    response.close()


def test_while_nothing_comes_a_byte_is_sent_from_time_to_time(job_store: JobStore, tmp_path: Path) -> None:
    """Also before the job has begun: what its file begins with is known."""
    beginning = b"ab" + bytes(RESERVE)
    with growing_file(tmp_path, beginning) as file:
        pieces = (response := follow(job_store, file)).iter_encoded()
        assert [next(pieces) for _ in range(3)] == [b"ab", b"\0", b"\0"]
        with file.path.open("r+b") as opened:  # by its name: it is there until the job has begun
            opened.write(beginning + b"end")
    job_store.finish("a", Outcome(result={"size": len(beginning) + 3}))
    assert b"".join(pieces) == beginning[4:] + b"end"
    response.close()


@pytest.mark.parametrize("outcome", [Outcome(cancelled=True), Outcome(error="StorageError", message="full")])
@pytest.mark.parametrize("server", [{}, {"uwsgi.version": b"2"}])
def test_a_job_that_ends_early_breaks_the_answer(
    job_store: JobStore, file: GrowingFile, outcome: Outcome, server: dict[str, Any]
) -> None:
    write(file, job_store, b"o" * (RESERVE + 3), more=b"end")
    response = breakable(follow(job_store, file, 0.3), server)
    pieces = response.iter_encoded()
    begin = next(pieces)
    job_store.finish("a", outcome)
    if server:
        assert begin == b"3\r\nooo\r\n"
        assert b"0\r\n\r\n" not in b"".join(pieces)
    else:
        assert begin == b"ooo"
        with pytest.raises(TransferBroken):
            list(pieces)
    response.close()


def test_chunks_behind_nginx_are_those_of_http(job_store: JobStore, file: GrowingFile) -> None:
    write(file, job_store, b"o" * (RESERVE + 3))
    response = breakable(follow(job_store, file, 0.3), {"uwsgi.version": b"2"})
    assert response.headers["Transfer-Encoding"] == "chunked"
    job_store.finish("a", Outcome(result={"size": RESERVE + 3}))
    rest, content = b"".join(response.iter_encoded()), b""
    while rest:
        size, rest = rest.split(b"\r\n", 1)
        content, rest = content + rest[: int(size, 16)], rest[int(size, 16) + 2 :]
    assert content == b"o" * (RESERVE + 3)
    response.close()


def test_a_job_that_ends_before_the_answer_began_is_answered_for(job_store: JobStore, tmp_path: Path) -> None:
    job_store.finish("a", Outcome(cancelled=True))
    with growing_file(tmp_path) as file:
        response = Follower(job_store).respond(JOB, file, "application/zip")
    assert (response.status_code, response.get_data()) == (204, b"")
    job_store.open("a", JobKind.INTERACTIVE)
    job_store.finish("a", Outcome(error="NotFoundError", message="it is not there"))
    with pytest.raises(NotFoundError, match="it is not there"), growing_file(tmp_path) as file:
        Follower(job_store).respond(JOB, file, "application/zip")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("environ", "can"),
    [
        ({"SERVER_PROTOCOL": "HTTP/1.1"}, True),
        ({"SERVER_PROTOCOL": "HTTP/1.0"}, False),
        ({"SERVER_PROTOCOL": "HTTP/1.1", "HTTP_X_CLIENT_PROTOCOL": "HTTP/1.0"}, False),
    ],
)
def test_old_http_cannot_break(environ: dict[str, str], can: bool) -> None:
    assert can_break(environ) is can


def test_a_client_that_goes_away_ends_the_job(job_store: JobStore, file: GrowingFile) -> None:
    write(file, job_store, b"one")
    response = follow(job_store, file, 0.3)
    response.close()
    assert job_store.look("a").is_cancelled
    assert not file.path.exists()


def test_where_an_open_file_keeps_its_name_it_is_removed_later(
    job_store: JobStore, file: GrowingFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    unlink = Path.unlink

    def unlink_as_on_windows(path: Path, missing_ok: bool = False) -> None:
        held = {str(entry.readlink()) for entry in Path("/proc/self/fd").iterdir() if entry.is_symlink()}
        if str(path) in held:
            raise PermissionError(13, "The process cannot access the file because it is being used", str(path))
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", unlink_as_on_windows)
    write(file, job_store, b"one")
    response = follow(job_store, file, 0.3)
    job_store.finish("a", Outcome(result={"size": 3}))
    assert response.get_data() == b"one"
    response.close()
    assert not file.path.exists()


def test_announcements_are_waited_for(job_store: JobStore, file: GrowingFile) -> None:
    threading.Timer(0.2, lambda: write(file, job_store, b"one")).start()
    threading.Timer(0.4, lambda: job_store.finish("a", Outcome(result={"size": 3}))).start()
    response = follow(job_store, file)
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
    monkeypatch.setattr(streaming, "ARRIVAL_S", 0.01)
    file.path.write_bytes(b"one")
    with pytest.raises(StorageError, match="does not show"):
        list(file.read_to(6))
    file.close()
