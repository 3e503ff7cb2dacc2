"""Answers of jobs that take their time, with a job store whose outcomes the tests say."""

import json
from typing import Any

import pytest
from flask import Flask
from redis.exceptions import ConnectionError as RedisConnectionError

from elephant.errors import InvalidInputError, NotFoundError
from elephant_server.errors import UnavailableError, UnexpectedError, WorkerLostError
from elephant_server.jobs import responses
from elephant_server.jobs.records import JobKind, Outcome
from elephant_server.jobs.responses import LongPollResponder, raise_failure
from elephant_server.jobs.submit import Job

JOB = Job("id", JobKind.INTERACTIVE, "elephant.seg_predict")
DONE = Outcome(result={})


class ToldBoard:
    """Gives one outcome after the other; an exception is raised."""

    def __init__(self, *outcomes: Outcome | Exception | None, alive: bool = True) -> None:
        self.left = list(outcomes)
        self.alive = alive
        self.cancelled: list[str] = []

    def wait_for_outcome(self, job_id: str, timeout_s: float) -> Outcome | None:
        outcome = self.left.pop(0) if self.left else None
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def is_alive(self, job_id: str) -> bool:
        return self.alive

    def cancel(self, job_id: str) -> None:
        self.cancelled.append(job_id)


def respond(job_store: ToldBoard, first_byte_after_s: float = 30, **options: Any) -> Any:
    with Flask(__name__).test_request_context():
        responder = LongPollResponder(job_store, next_byte_after_s=0.01)  # type: ignore[arg-type]
        return responder.respond(JOB, lambda o: {"completed": not o.cancelled}, first_byte_after_s, **options)


def streamed(*outcomes: Outcome | Exception | None) -> dict[str, Any]:
    body = b"".join(respond(ToldBoard(*outcomes), first_byte_after_s=0).response)
    assert body.startswith(b" ")
    found: dict[str, Any] = json.loads(body)
    return found


def test_a_quick_outcome_is_a_plain_answer() -> None:
    assert respond(ToldBoard(None, DONE)).json == {"completed": True}
    assert respond(ToldBoard(Outcome(cancelled=True))).json == {"completed": False}


def test_a_quick_failure_is_raised() -> None:
    with pytest.raises(NotFoundError, match="gone"):
        respond(ToldBoard(Outcome(error="NotFoundError", message="gone")))


@pytest.fixture(autouse=True)
def _little_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(responses.RedisRetry.__init__, "__defaults__", (0.5, 0.5))


def test_a_job_that_stays_missing_is_said_to_be_lost() -> None:
    with pytest.raises(WorkerLostError, match="seg_predict"):
        respond(ToldBoard(alive=False))


def test_a_job_that_comes_back_is_waited_for() -> None:
    job_store = ToldBoard(None, None, DONE, alive=False)
    assert respond(job_store).json == {"completed": True}


def test_a_long_answer_begins_with_white_space() -> None:
    assert streamed(DONE) == {"completed": True}
    assert streamed(None, None, None, Outcome(cancelled=True)) == {"completed": False}


def test_a_late_failure_is_part_of_the_answer(caplog: pytest.LogCaptureFixture) -> None:
    assert streamed(None, Outcome(error="InvalidInputError", message="no")) == {"completed": False, "error": "no"}
    assert any(r.levelname == "ERROR" and r.getMessage() == "no" for r in caplog.records)


def test_a_short_absence_of_redis_is_waited_for() -> None:
    assert respond(ToldBoard(RedisConnectionError("refused"), DONE)).json == {"completed": True}


def test_a_redis_that_stays_away_is_said_to_be() -> None:
    with pytest.raises(UnavailableError, match="Redis is down"):
        respond(ToldBoard(*[RedisConnectionError("refused")] * 5))


def test_a_state_that_is_lost_on_the_way_ends_the_answer_whole() -> None:
    found = streamed(None, *[RedisConnectionError("refused")] * 500)
    assert found["completed"] is False
    assert "Redis" in found["error"]


@pytest.mark.parametrize(("drop", "cancelled"), [(True, ["id"]), (False, [])])
def test_a_client_that_went_away_ends_what_is_of_no_use_to_others(drop: bool, cancelled: list[str]) -> None:
    job_store = ToldBoard()
    stream = respond(job_store, first_byte_after_s=0, drop_if_alone=drop).response
    assert next(stream) == b" "
    stream.close()
    assert job_store.cancelled == cancelled


def test_errors_come_back_as_what_they_were() -> None:
    assert raise_failure(DONE) is DONE
    with pytest.raises(InvalidInputError):
        raise_failure(Outcome(error="InvalidInputError", message="x"))
    for unknown in ("SystemExit", "NoSuchError", "annotations"):
        with pytest.raises(UnexpectedError, match="x"):
            raise_failure(Outcome(error=unknown, message="x"))
