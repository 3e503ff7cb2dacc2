"""The board in Redis, where all processes of a server see it."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import redis

from elephant_server.state import scripts
from elephant_server.state.board import Checkpoint, Kind, LiveParams, News, Outcome, ProcessState

LEASE_S = 10.0
KEEP_OUTCOME_S = 3600.0
CONNECT_TIMEOUT_S = 3.0
MOST_UPDATES_AT_ONCE = 1000
_LIVE = ("OPEN_LIVE", "TELL_LIVE")


class RedisBoard:
    """A :class:`~elephant_server.state.board.Board` over Redis.

    Making one connects to nothing; every method may raise :class:`redis.exceptions.RedisError`.

    Parameters
    ----------
    url
        The database.
    lease_s
        Seconds after which a job that nobody renews is gone.
    prefix
        What all keys start with.
    """

    def __init__(self, url: str, lease_s: float = LEASE_S, prefix: str = "elephant:") -> None:
        self._redis = redis.Redis.from_url(
            url, decode_responses=True, socket_connect_timeout=CONNECT_TIMEOUT_S, health_check_interval=30
        )
        self._prefix = prefix
        self._lease_ms = int(lease_s * 1000)
        self._scripts = {
            name: self._redis.register_script(getattr(scripts, name))
            for name in ("OPEN", "TAKE", "RENEW", "FINISH", "CANCEL", "HOLD", "STATE", "LOOK", "ANNOUNCE", *_LIVE)
        }

    def open(self, job_id: str, kind: Kind) -> bool:
        """See :meth:`Board.open`."""
        return bool(self._run("OPEN", job_id, kind.value, self._lease_ms))

    def take(self, job_id: str) -> bool:
        """See :meth:`Board.take`."""
        return bool(self._run("TAKE", job_id, self._lease_ms))

    def renew(self, job_id: str, queued: bool) -> bool:
        """See :meth:`Board.renew`."""
        return bool(self._run("RENEW", job_id, self._lease_ms, "queued" if queued else "running"))

    def finish(self, job_id: str, outcome: Outcome) -> None:
        """See :meth:`Board.finish`."""
        self._run("FINISH", job_id, json.dumps(asdict(outcome), allow_nan=False), int(KEEP_OUTCOME_S * 1000))

    def wait_for_outcome(self, job_id: str, timeout_s: float) -> Outcome | None:
        """See :meth:`Board.wait_for_outcome`."""
        found: Any = self._redis.blpop([f"{self._prefix}outcome:{job_id}"], timeout=timeout_s)
        return None if found is None else Outcome(**json.loads(found[1]))

    def announce(self, job_id: str, news: News) -> None:
        """See :meth:`Board.announce`."""
        self._run("ANNOUNCE", job_id, json.dumps(news, allow_nan=False), int(KEEP_OUTCOME_S * 1000))

    def wait_for_news(self, job_id: str, timeout_s: float) -> News | Outcome | None:
        """See :meth:`Board.wait_for_news`."""
        # Of several lists that hold something the first one is taken from.
        keys = [f"{self._prefix}news:{job_id}", f"{self._prefix}outcome:{job_id}"]
        found: Any = self._redis.blpop(keys, timeout=timeout_s)
        if found is None:
            return None
        content: News = json.loads(found[1])
        return content if found[0] == keys[0] else Outcome(**content)

    def open_live(self, job_id: str) -> None:
        """See :meth:`Board.open_live`."""
        self._run("OPEN_LIVE", job_id)

    def tell_live(self, update: str) -> None:
        """See :meth:`Board.tell_live`."""
        self._run("TELL_LIVE", update, int(KEEP_OUTCOME_S * 1000))

    def wait_for_live(self, job_id: str, timeout_s: float) -> list[str]:
        """See :meth:`Board.wait_for_live`."""
        key = f"{self._prefix}live:{job_id}"
        first: Any = self._redis.blpop([key], timeout=timeout_s)
        if first is None:
            return []
        more: Any = self._redis.lpop(key, MOST_UPDATES_AT_ONCE) or []
        return [first[1], *more]

    def is_alive(self, job_id: str) -> bool:
        """See :meth:`Board.is_alive`."""
        return bool(self._redis.exists(f"{self._prefix}job:{job_id}"))

    def cancel(self, job_id: str) -> None:
        """See :meth:`Board.cancel`."""
        self._cancel(job_id)

    def cancel_all(self) -> None:
        """See :meth:`Board.cancel_all`."""
        self._cancel("")

    def hold(self, held: bool) -> None:
        """See :meth:`Board.hold`."""
        self._run("HOLD", "1" if held else "0")

    def process_state(self) -> ProcessState:
        """See :meth:`Board.process_state`."""
        return ProcessState(int(self._run("STATE")))

    def look(self, job_id: str) -> Checkpoint:
        """See :meth:`Board.look`."""
        cancelled, wait, lr, n_crops = self._run("LOOK", job_id)
        return Checkpoint(bool(cancelled), bool(wait), _params(lr, n_crops))

    @contextmanager
    def watch(self) -> Iterator[Callable[[float], None]]:
        """See :meth:`Board.watch`."""
        with self._redis.pubsub() as channel:  # type: ignore[no-untyped-call]
            channel.subscribe(f"{self._prefix}changes")
            # The first message says that the subscription holds: no change is missed from here on.
            channel.get_message(timeout=CONNECT_TIMEOUT_S)

            def wait(timeout_s: float) -> None:
                channel.get_message(timeout=timeout_s)

            yield wait

    def read_params(self) -> LiveParams:
        """See :meth:`Board.read_params`."""
        found: Any = self._redis.hmget(f"{self._prefix}params", ["lr", "n_crops"])
        return _params(*found)

    def write_params(self, lr: float | None = None, n_crops: int | None = None) -> LiveParams:
        """See :meth:`Board.write_params`."""
        given = {"lr": lr, "n_crops": n_crops}
        changes: dict[Any, Any] = {name: repr(value) for name, value in given.items() if value is not None}
        if changes:
            self._redis.hset(f"{self._prefix}params", mapping=changes)
        return self.read_params()

    def _cancel(self, job_id: str) -> None:
        outcome = json.dumps(asdict(Outcome(cancelled=True)))
        self._run("CANCEL", outcome, int(KEEP_OUTCOME_S * 1000), job_id)

    def _run(self, script: str, *arguments: str | int) -> Any:
        keys = [f"{self._prefix}jobs", f"{self._prefix}params"]
        return self._scripts[script](keys=keys, args=[self._prefix, *arguments])


def _params(lr: str | None, n_crops: str | None) -> LiveParams:
    default = LiveParams()
    return LiveParams(
        default.lr if lr is None else float(lr), default.n_crops if n_crops is None else int(float(n_crops))
    )
