"""Asks the server as the client does, and turns everything that goes wrong into one clear line."""

import json
import ssl
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from elephant.errors import InvalidInputError
from elephant.types import Spot
from elephant_server.demo.bodies import Body
from elephant_server.demo.errors import DemoError

SILENCE = 120.0  # seconds without a byte after which a server that sends white space every 15 s is gone


class ServerClient:
    """A server at the address `url`, which may ask for a token, and have a certificate that `trust` trusts."""

    def __init__(self, url: str, token: str = "", trust: ssl.SSLContext | None = None) -> None:
        parts = urlsplit(url)
        self._host = parts.hostname or "localhost"
        self._port = parts.port or (443 if parts.scheme == "https" else 80)
        self._is_encrypted, self._trust = parts.scheme == "https", trust
        self._base = parts.path.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self.url = url

    def gpus(self) -> list[dict[str, Any]]:
        """Return the devices that the server computes on; the cheapest way to see whether it is there."""
        answer = self._ask("GET", "state/gpus", None)
        if not isinstance(answer, list):
            raise DemoError(
                f"What answers at {self.url} is not an ELEPHANT server: set ELEPHANT_HTTP_PORT to its port."
            )
        return answer

    def jobs(self) -> list[dict[str, Any]]:
        """Return what the server works on, and how far it is.

        Raises
        ------
        DemoError
            It does not tell.
        """
        answer = self._ask("GET", "dashboard/api/status", None)
        jobs = answer.get("jobs") if isinstance(answer, dict) else None
        if not isinstance(jobs, list):
            raise DemoError(f"What answers at {self.url} does not report its state.")
        return jobs

    def post(self, path: str, body: Body) -> dict[str, Any]:
        """Return the answer to a request; ``{}`` where there is nothing to answer with (204).

        Raises
        ------
        DemoError
            The server is not there, refuses, or fails, also after it began to answer.
        """
        answer = self._ask("POST", path, body)
        if not isinstance(answer, dict):
            raise DemoError(f"{path} answered something unexpected: {str(answer)[:200]}")
        if answer.get("error"):
            raise DemoError(f"{path} failed: {answer['error']}")
        if answer.get("completed") is False:
            raise DemoError(f"{path} was aborted by someone else: start the demo again.")
        return answer

    def _ask(self, method: str, path: str, body: Body | None) -> Any:
        connection = self._connection()
        headers = self._headers | ({} if body is None else {"Content-Type": "application/json"})
        try:
            connection.request(method, f"{self._base}/{path}", None if body is None else json.dumps(body), headers)
            response = connection.getresponse()
            return _content(path, response, response.read())
        except ConnectionRefusedError as error:
            raise DemoError(
                f"No server answers at {self.url}: start it in another terminal (make serve), "
                "or set ELEPHANT_HTTP_PORT to its port."
            ) from error
        except (OSError, HTTPException) as error:
            raise DemoError(f"{path} at {self.url} was interrupted ({error!r}): see the server's logs.") from error
        finally:
            connection.close()

    def _connection(self) -> HTTPConnection:
        if self._is_encrypted:
            return HTTPSConnection(self._host, self._port, timeout=SILENCE, context=self._trust)
        return HTTPConnection(self._host, self._port, timeout=SILENCE)


def spots_of(answer: dict[str, Any]) -> list[Spot]:
    """Return the spots of an answer to ``seg/predict``, turned to Z, Y, X.

    Raises
    ------
    DemoError
        They are not as a client needs them.
    """
    try:
        return [
            Spot(
                int(item["t"]),
                np.array(item["pos"], np.float64)[::-1],
                np.array(item["covariance"], np.float64).reshape(3, 3)[::-1, ::-1],
            )
            for item in answer["spots"]
        ]
    except (KeyError, TypeError, ValueError, InvalidInputError) as error:
        raise DemoError(f"seg/predict answered spots that no client could read: {error!r}") from error


def _content(path: str, response: HTTPResponse, raw: bytes) -> Any:
    """Return the JSON of an answer; leading white space kept the connection alive and means nothing."""
    if response.status == 204:
        return {}
    try:
        content = json.loads(raw)
    except ValueError as error:
        reason = f"{response.status} {response.reason}"
        raise DemoError(f"{path} answered {reason} instead of JSON: is this an ELEPHANT server?") from error
    if response.status != 200:
        message = content.get("error") if isinstance(content, dict) else None
        raise DemoError(f"{path} failed ({response.status}): {message or response.reason}")
    return content
