"""The board in Redis, where all processes of a server see it."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from elephant_server.state import scripts
from elephant_server.state.job_store import (
    Checkpoint,
    JobEntry,
    JobKind,
    Lease,
    LiveParams,
    News,
    NotYet,
    Outcome,
    ProcessState,
)
from elephant_server.state.redis_connection import CONNECT_TIMEOUT_S, connect

KEEP_OUTCOME_S = 3600.0
LONGEST_BLOCK_S = 2.0
MOST_UPDATES_AT_ONCE = 1000
_JOBS = (
    *("OPEN", "TAKE", "RENEW_QUEUED", "RENEW", "ENTRIES", "DROP"),
    *("FINISH", "CANCEL", "HOLD", "STATE", "LOOK", "ANNOUNCE"),
)
_LIVE = ("OPEN_LIVE", "TELL_LIVE")


class RedisJobStore:
    """A :class:`~elephant_server.state.job_store.JobStore` over Redis.

    Making one connects to nothing; every method may raise :class:`redis.exceptions.RedisError`.

    Parameters
    ----------
    url
        The database.
    prefix
        What all keys start with.
    """

    def __init__(self, url: str, prefix: str = "elephant:") -> None:
        self._redis = connect(url)
        self._prefix = prefix
        self._scripts = {name: self._redis.register_script(getattr(scripts, name)) for name in (*_JOBS, *_LIVE)}

    def open(self, job_id: str, kind: JobKind, task: str = "", claim: str = "") -> bool:
        """See :meth:`JobStore.open`."""
        return bool(self._run("OPEN", job_id, kind.value, task, claim))

    def take(self, job_id: str, owner: str = "") -> Lease | None:
        """See :meth:`JobStore.take`."""
        found = self._run("TAKE", job_id, owner)
        if found == 0:
            raise NotYet
        return None if found is None else Lease(job_id, JobKind(found[0]), found[1], owner, found[2])

    def renew_queued(self, job_id: str) -> bool:
        """See :meth:`JobStore.renew_queued`."""
        return bool(self._run("RENEW_QUEUED", job_id))

    def renew(self, lease: Lease, params: LiveParams | None = None) -> bool:
        """See :meth:`JobStore.renew`."""
        settings = ("", "") if params is None else (repr(params.lr), params.n_crops)
        return bool(self._run("RENEW", lease.id, lease.kind.value, lease.task, lease.owner, *settings, lease.claim))

    def entries(self) -> list[JobEntry]:
        """See :meth:`JobStore.entries`."""
        return [
            JobEntry(job_id, JobKind(kind), phase, beat, owner, task, bool(cancelled))
            for job_id, kind, phase, beat, owner, task, cancelled in self._run("ENTRIES")
        ]

    def drop(self, entry: JobEntry, outcome: Outcome) -> bool:
        """See :meth:`JobStore.drop`."""
        text = json.dumps(asdict(outcome), allow_nan=False)
        return bool(self._run("DROP", entry.id, entry.phase, entry.beat, text, int(KEEP_OUTCOME_S * 1000)))

    def silent_owners(self) -> set[str]:
        """See :meth:`JobStore.silent_owners`."""
        found: Any = self._redis.smembers(f"{self._prefix}silent")
        return set(found)

    def forget_owner(self, owner: str) -> None:
        """See :meth:`JobStore.forget_owner`."""
        self._redis.srem(f"{self._prefix}silent", owner)

    def finish(self, job_id: str, outcome: Outcome) -> None:
        """See :meth:`JobStore.finish`."""
        self._run("FINISH", job_id, json.dumps(asdict(outcome), allow_nan=False), int(KEEP_OUTCOME_S * 1000))

    def wait_for_outcome(self, job_id: str, timeout_s: float) -> Outcome | None:
        """See :meth:`JobStore.wait_for_outcome`."""
        found = self._pop([f"{self._prefix}outcome:{job_id}"], timeout_s)
        return None if found is None else Outcome(**json.loads(found[1]))

    def announce(self, job_id: str, news: News) -> None:
        """See :meth:`JobStore.announce`."""
        self._run("ANNOUNCE", job_id, json.dumps(news, allow_nan=False), int(KEEP_OUTCOME_S * 1000))

    def wait_for_news(self, job_id: str, timeout_s: float) -> News | Outcome | None:
        """See :meth:`JobStore.wait_for_news`."""
        # Of several lists that hold something the first one is taken from.
        keys = [f"{self._prefix}news:{job_id}", f"{self._prefix}outcome:{job_id}"]
        found = self._pop(keys, timeout_s)
        if found is None:
            return None
        content: News = json.loads(found[1])
        return content if found[0] == keys[0] else Outcome(**content)

    def open_live(self, job_id: str) -> None:
        """See :meth:`JobStore.open_live`."""
        self._run("OPEN_LIVE", job_id)

    def tell_live(self, update: str) -> None:
        """See :meth:`JobStore.tell_live`."""
        self._run("TELL_LIVE", update, int(KEEP_OUTCOME_S * 1000))

    def wait_for_live(self, job_id: str, timeout_s: float) -> list[str]:
        """See :meth:`JobStore.wait_for_live`."""
        key = f"{self._prefix}live:{job_id}"
        first = self._pop([key], timeout_s)
        if first is None:
            return []
        more: Any = self._redis.lpop(key, MOST_UPDATES_AT_ONCE) or []
        return [first[1], *more]

    def is_alive(self, job_id: str) -> bool:
        """See :meth:`JobStore.is_alive`."""
        return bool(self._redis.exists(f"{self._prefix}job:{job_id}"))

    def cancel(self, job_id: str) -> None:
        """See :meth:`JobStore.cancel`."""
        self._cancel(job_id)

    def cancel_all(self) -> None:
        """See :meth:`JobStore.cancel_all`."""
        self._cancel("")

    def hold(self, held: bool) -> None:
        """See :meth:`JobStore.hold`."""
        self._run("HOLD", "1" if held else "0")

    def process_state(self) -> ProcessState:
        """See :meth:`JobStore.process_state`."""
        return ProcessState(int(self._run("STATE")))

    def look(self, job_id: str) -> Checkpoint:
        """See :meth:`JobStore.look`."""
        cancelled, wait, missing, lr, n_crops = self._run("LOOK", job_id)
        return Checkpoint(bool(cancelled), bool(wait), _params(lr, n_crops), bool(missing))

    @contextmanager
    def watch(self) -> Iterator[Callable[[float], None]]:
        """See :meth:`JobStore.watch`."""
        with self._redis.pubsub() as channel:  # type: ignore[no-untyped-call]
            channel.subscribe(f"{self._prefix}changes")
            # The first message says that the subscription holds: no change is missed from here on.
            channel.get_message(timeout=CONNECT_TIMEOUT_S)

            def wait(timeout_s: float) -> None:
                channel.get_message(timeout=timeout_s)

            yield wait

    def read_params(self) -> LiveParams:
        """See :meth:`JobStore.read_params`."""
        found: Any = self._redis.hmget(f"{self._prefix}params", ["lr", "n_crops"])
        return _params(*found)

    def write_params(self, lr: float | None = None, n_crops: int | None = None) -> LiveParams:
        """See :meth:`JobStore.write_params`."""
        given = {"lr": lr, "n_crops": n_crops}
        changes: dict[Any, Any] = {name: repr(value) for name, value in given.items() if value is not None}
        if changes:
            self._redis.hset(f"{self._prefix}params", mapping=changes)
        return self.read_params()

    def _cancel(self, job_id: str) -> None:
        outcome = json.dumps(asdict(Outcome(cancelled=True)))
        self._run("CANCEL", outcome, int(KEEP_OUTCOME_S * 1000), job_id)

    def _pop(self, keys: list[str], timeout_s: float) -> Any:
        """Take the first element of the first list that holds one; blocks until there is one, or returns None."""
        end = time.monotonic() + timeout_s
        while (left := end - time.monotonic()) > 0:
            # Never longer than the connection waits for an answer; and 0 would mean without end.
            found = self._redis.blpop(keys, timeout=max(min(left, LONGEST_BLOCK_S), 0.001))
            if found is not None:
                return found
        return None

    def _run(self, script: str, *arguments: str | int) -> Any:
        keys = [f"{self._prefix}jobs", f"{self._prefix}params"]
        return self._scripts[script](keys=keys, args=[self._prefix, *arguments])


def _params(lr: str | None, n_crops: str | None) -> LiveParams:
    default = LiveParams()
    return LiveParams(
        default.lr if lr is None else float(lr), default.n_crops if n_crops is None else int(float(n_crops))
    )
