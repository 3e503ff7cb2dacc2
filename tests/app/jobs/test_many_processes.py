"""Many processes at one job store: no transition is lost, and none happens twice."""

import json
import multiprocessing
import os
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from elephant_server.embedded.channel import Answers, Questions
from elephant_server.embedded.workers import BLOCKING
from elephant_server.jobs.records import Access, JobKind, Outcome, claim
from elephant_server.jobs.store import JobStore
from elephant_server.jobs.store_memory import MemoryStore
from elephant_server.jobs.store_redis import RedisStore
from elephant_server.jobs.store_remote import RemoteStore, StoreSteps

N_PROCESSES = 20
N_JOBS = 8  # of each process
LONGEST_S = 240


def ask(job_store: JobStore, number: int, folder: Path) -> None:
    """Enter jobs, work on whatever job is there, and wait for the outcomes of those that were entered here."""
    own = [f"{number}-{i}" for i in range(N_JOBS)]
    done: dict[str, list[str]] = {"entered": [], "taken": [], "finished": [], "trainings": []}
    for job_id in own:
        is_training = job_id.endswith("-0")
        kind = JobKind.TRAINING if is_training else JobKind.INTERACTIVE
        # One dataset a group of five processes, so that jobs clash.
        needs = "" if is_training else claim(Access.LABELS, f"movie{number % 4}")
        if job_store.open(job_id, kind, "task", needs, f"what {job_id} is"):
            done["entered"].append(job_id)
            done["trainings"] += [job_id] if is_training else []
        work(job_store, number, done)
    end = time.monotonic() + LONGEST_S
    missing = set(done["entered"])
    while missing and time.monotonic() < end:
        work(job_store, number, done)
        for job_id in sorted(missing):
            outcome = job_store.wait_for_outcome(job_id, 0.02)
            if outcome is not None:
                assert outcome.result is not None
                done.setdefault("outcomes", []).append(job_id)
                missing.discard(job_id)
    (folder / f"{number}.json").write_text(json.dumps(done))


def work(job_store: JobStore, number: int, done: dict[str, list[str]]) -> None:
    """Take the first job that can be taken, count beats, and end it."""
    lease = job_store.take("answering", f"owner{number}") or job_store.take("training", f"owner{number}")
    if lease is None:
        return
    done["taken"].append(lease.id)
    for _ in range(3):
        assert job_store.renew(lease)
        assert not job_store.look(lease.id).is_missing
    running = {job.id: job for job in job_store.entries()}
    assert (running[lease.id].beat, running[lease.id].owner) == (3, f"owner{number}")
    assert job_store.message(lease.id) == f"what {lease.id} is"
    job_store.announce(lease.id, {"size": 1})
    job_store.finish(lease.id, Outcome(result={"by": number}))
    done["finished"].append(lease.id)


def ask_redis(url: str, prefix: str, number: int, folder: Path) -> None:
    ask(JobStore(RedisStore(url, prefix)), number, folder)


def ask_pipes(pipes: Sequence[tuple[int, int, int, int]], number: int, folder: Path) -> None:
    """Ask over one of the pairs of pipes; no other process than this one holds its ends open."""
    for i, (question, ask_end, answer_end, answer) in enumerate(pipes):
        for descriptor in (question, answer) if i == number else (question, answer, ask_end, answer_end):
            os.close(descriptor)
    _, ask_end, answer_end, _ = pipes[number]
    questions = Questions(os.fdopen(answer_end, "rb"), os.fdopen(ask_end, "wb"))
    threading.Thread(target=questions.listen, args=(lambda: None,), daemon=True).start()
    ask(JobStore(RemoteStore(questions.ask)), number, folder)


def run(target: Callable[..., None], *arguments: object) -> Iterator[None]:
    """Run the processes; what they need is started after them, where this is first continued."""
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=target, args=(*arguments[:-1], n, arguments[-1])) for n in range(N_PROCESSES)]
    for process in processes:
        process.start()
    yield
    for process in processes:
        process.join(LONGEST_S + 60)
    assert [process.exitcode for process in processes] == [0] * N_PROCESSES


def test_no_transition_is_lost_or_doubled_in_redis(redis_url: str, tmp_path: Path) -> None:
    prefix = f"test-{uuid.uuid4().hex}:"
    for _ in run(ask_redis, redis_url, prefix, tmp_path):
        pass
    check(tmp_path, JobStore(RedisStore(redis_url, prefix)))


def test_no_transition_is_lost_or_doubled_over_pipes(tmp_path: Path) -> None:
    pipes = [os.pipe() + os.pipe() for _ in range(N_PROCESSES)]
    store = MemoryStore()
    for _ in run(ask_pipes, pipes, tmp_path):
        for question, ask_end, answer_end, answer in pipes:
            os.close(ask_end)
            os.close(answer_end)
            ends = os.fdopen(question, "rb"), os.fdopen(answer, "wb")
            answers = Answers(*ends, StoreSteps(store).steps(), BLOCKING)
            threading.Thread(target=serve, args=(answers,), daemon=True).start()
    check(tmp_path, JobStore(store))


def serve(answers: Answers) -> None:
    answers.serve()
    answers.close()


def check(tmp_path: Path, job_store: JobStore) -> None:
    told = [json.loads((tmp_path / f"{n}.json").read_text()) for n in range(N_PROCESSES)]
    together = {name: [job for one in told for job in one.get(name, [])] for name in (*told[0], "outcomes")}
    assert len(together["entered"]) >= N_PROCESSES * (N_JOBS - 1)
    assert together["trainings"]
    for name in ("taken", "finished", "outcomes"):
        assert Counter(together[name]) == Counter(together["entered"]), name
    assert job_store.entries() == []
    assert all(job_store.wait_for_outcome(job_id, 0) is None for job_id in together["entered"])
    assert all(job_store.wait_for_news(job_id, 0) == {"size": 1} for job_id in together["entered"])
