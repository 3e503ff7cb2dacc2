"""How a bad input is asked, and what has to hold of every answer."""

import copy
import http.client
import json
import socket
import time
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from typing import Any

import requests

from faults.cases import INPUT_LIMIT_S, Case
from faults.ground import Body, Ground

Ask = Callable[[Ground], requests.Response]
Changes = Mapping[str, Any]


class Literal:
    """A number as it is written, which no value in Python stands for."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


ABSENT = Literal("absent")
_MARK = "@literal@"


def refused(name: str, ask: Ask, *words: str, status: int = 400, is_short: bool = False) -> Case:
    """Return the case of a request that is refused in good time, says why, and changes nothing.

    Parameters
    ----------
    ask
        Sends the request.
    words
        What the error has to hold, in small or capital letters: what was expected, what came, what to do.
    """

    def play(ground: Ground) -> None:
        before, logged = ground.snapshot(), len(ground.logged())
        begin = time.monotonic()
        answer = ask(ground)
        took = time.monotonic() - begin
        explains(answer, status, words)
        assert took < INPUT_LIMIT_S, f"took {took:.1f} s"
        ground.assert_untouched(before)
        news = ground.logged()[logged:]
        assert "Traceback" not in news, news

    return Case(name, play, is_short)


def explains(answer: requests.Response, status: int, words: Iterable[str]) -> None:
    """Fail where an answer is not what a person can act on."""
    seen = f"{answer.status_code} {answer.reason}: {answer.text[:1000]}"
    assert answer.status_code == status, seen
    assert answer.headers["Content-Type"] == "application/json", seen
    assert "Content-Encoding" not in answer.headers
    error = answer.json()["error"]
    assert isinstance(error, str)
    assert len(error) < 2000, f"{len(error)} characters: {error[:300]}"
    missing = [word for word in words if word.lower() not in error.lower()]
    assert not missing, f"{missing} not in: {seen}"
    assert answer.reason, seen
    # NGINX has phrases of its own; the server's begin as the error does.
    of_nginx = {HTTPStatus(status).phrase, "Request-URI Too Large", "Request Entity Too Large"}
    assert answer.reason in of_nginx or error.startswith(answer.reason[:8]), seen


def changed(
    path: str,
    changes: Changes,
    *words: str,
    status: int = 400,
    flat: bool = False,
    name: str = "",
    is_short: bool = False,
) -> Case:
    """Return the case of a request that would succeed but for some changes.

    Parameters
    ----------
    changes
        By key, ``spots.0.pos`` for one within others; `ABSENT` where it is left out.
    flat
        Whether it is about the 2D movie.
    """

    def ask(ground: Ground) -> requests.Response:
        body = ground.bodies(ground.plane if flat else ground.volume)[path]
        return ground.send("POST", path, data=written(with_changes(body, changes)))

    said = name or ", ".join(f"{key} is {_short(value)}" for key, value in changes.items())
    return refused(f"{path}: {said}{' (2D)' if flat else ''}", ask, *words, status=status, is_short=is_short)


def taken(path: str, changes: Changes, *, is_short: bool = False) -> Case:
    """Return the case of a request that is done although something in it looks wrong."""

    def play(ground: Ground) -> None:
        answer = ground.send("POST", path, data=written(with_changes(ground.bodies()[path], changes)))
        assert answer.status_code == 200, f"{answer.status_code} {answer.reason}: {answer.text[:1000]}"
        assert answer.json()["completed"] is True, answer.text[:1000]

    said = ", ".join(f"{key} is {_short(value)}" for key, value in changes.items())
    return Case(f"{path}: {said}, which is right", play, is_short)


def with_changes(body: Body, changes: Changes) -> Body:
    """Return a body with other values at some keys."""
    found = copy.deepcopy(body)
    for key, value in changes.items():
        *outer, last = key.split(".")
        place: Any = found
        for part in outer:
            place = place[int(part) if isinstance(place, list) else part]
        if value is ABSENT:
            del place[last]
        else:
            place[int(last) if isinstance(place, list) else last] = value
    return found


def written(body: Any) -> bytes:
    """Write JSON, numbers that Python has none for included."""
    text = json.dumps(body, default=lambda literal: f"{_MARK}{literal.text}{_MARK}")
    return text.replace(f'"{_MARK}', "").replace(f'{_MARK}"', "").encode()


def raw(ground: Ground, content: bytes, timeout: float = 30) -> requests.Response:
    """Send bytes over a connection of their own and return the answer."""
    with socket.create_connection(("localhost", ground.server.http_port), timeout) as connection:
        connection.sendall(content)
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        found = requests.Response()
        found.status_code, found.reason = answer.status, answer.reason
        found.headers.update(answer.getheaders())
        found._content = answer.read()
    return found


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:40]}... ({len(text)} characters)"
