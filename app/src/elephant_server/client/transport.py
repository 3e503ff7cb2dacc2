"""Requests over HTTP and their answers; everything that goes wrong is a typed error."""

import gzip
import json
import ssl
import uuid
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection, IncompleteRead
from pathlib import Path
from typing import IO, Any, TypeVar
from urllib.parse import urlencode, urlsplit

from pydantic import TypeAdapter, ValidationError

from elephant.errors import ElephantError, InvalidInputError
from elephant.io.atomic import explained_storage, replacing

SILENCE_S = 120.0  # without a byte from a server that sends white space every 15 s
_BLOCK = 1 << 20
_JSON = {"Content-Type": "application/json"}
A = TypeVar("A")


class UnreachableError(ElephantError):
    """No server answers, or the connection broke. A training that was running goes on."""


class ServerError(ElephantError):
    """The server refused a request, or failed.

    Attributes
    ----------
    path
        What was asked, such as ``seg/train``.
    status
        The HTTP status. It is 200 where work failed after the answer had begun.
    message
        What the server says: what was expected, what it got, what to do.
    """

    def __init__(self, path: str, status: int, message: str) -> None:
        super().__init__(path, status, message)
        self.path, self.status, self.message = path, status, message

    def __str__(self) -> str:
        return f"{self.path} failed{'' if self.status == 200 else f' ({self.status})'}: {self.message}"

    @property
    def remedy(self) -> str:
        """The part of the message after its last colon, which says what to do; empty if there is none."""
        return self.message.rpartition(": ")[2] if ": " in self.message else ""


class AbortedError(ServerError):
    """The work was aborted, here or by somebody else; a training has kept its last finished epoch."""

    def __init__(self, path: str) -> None:
        super().__init__(path, 200, "it was aborted, with all other work of the server: ask again")


class Transport:
    """Asks one server.

    Parameters
    ----------
    url
        Address of the server; it may carry a token, as ``http://server:8080/t/TOKEN/``.
    token
        Sent with every request, where the server requires one.
    trust
        Which certificates to trust; by default those that the system trusts.

    Raises
    ------
    InvalidInputError
        The address does not start with ``http://`` or ``https://``.
    """

    def __init__(self, url: str, token: str | None = None, trust: ssl.SSLContext | None = None) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise InvalidInputError(f"url: expected the address of a server, such as http://server:8080/, got {url!r}")
        self._host, self._port = parts.hostname, parts.port
        self._is_encrypted, self._trust = parts.scheme == "https", trust
        self._base = parts.path.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        at = f"{self._host}:{parts.port}" if parts.port else self._host
        self.address = f"{parts.scheme}://{at}/"  # for messages: without a token

    def get(self, path: str, **query: Any) -> Any:
        """Return the JSON at a path."""
        where = f"{path}?{urlencode(query)}" if query else path
        with self._answer("GET", where, headers={"Accept-Encoding": "gzip"}) as response:
            return self._content(path, response)

    def read(self, path: str, model: type[A], **query: Any) -> A:
        """Return what is at a path as `model`."""
        return self.parsed(path, self.get(path, **query), model)

    def parsed(self, path: str, content: Any, model: type[A]) -> A:
        """Return an answer as `model`.

        Raises
        ------
        ServerError
            It is something else.
        """
        try:
            return TypeAdapter(model).validate_python(content)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(map(str, first["loc"]))
            raise ServerError(
                path, 200, f"expected another answer ({where}: {first['msg']}): is {self.address} this version's?"
            ) from error

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """Send JSON and return that of the answer; None where there is none (204).

        Raises
        ------
        ServerError
            The server refuses or fails, also after it began to answer; :class:`AbortedError` where work was aborted.
        UnreachableError
            No server answers, or the connection broke.
        """
        with self._answer("POST", path, json.dumps(body).encode(), _JSON) as response:
            return self._completed(path, response)

    def lines(self, path: str, body: Mapping[str, Any]) -> Iterator[Any]:
        """Send JSON and yield each line of the answer as soon as it is there; the last one says whether all is done.

        Raises
        ------
        ServerError, UnreachableError
            As for :meth:`post`, also after some lines.
        """
        with self._answer("POST", path, json.dumps(body).encode(), _JSON) as response:
            line: Any = None
            for text in filter(bytes.strip, response):
                line = self._checked(path, response.status, self._json(path, response.status, text))
                yield line
            if not (isinstance(line, dict) and line.get("completed")):
                raise self._interrupted(path, IncompleteRead(b""))

    def send_form(self, path: str, fields: Mapping[str, str]) -> Any:
        """Send a form and return the JSON of the answer; errors as of :meth:`post`."""
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        with self._answer("POST", path, urlencode(fields).encode(), headers) as response:
            return self._completed(path, response)

    def send_file(self, path: str, fields: Mapping[str, str], file: IO[bytes], n_bytes: int) -> Any:
        """Send a form with the next `n_bytes` of a file as the part ``file``; otherwise as :meth:`send_form`."""
        headers, content = _multipart(fields, file, n_bytes)
        with self._answer("POST", path, content, headers) as response:
            return self._completed(path, response)

    def download(self, path: str, body: Mapping[str, Any], target: Path) -> bool:
        """Write an answer into a file, all of it or nothing; return False where there is none (204).

        Raises
        ------
        ServerError, UnreachableError
            As for :meth:`post`; a transfer that breaks off leaves no file.
        elephant.errors.StorageError
            The file cannot be written.
        """
        with self._answer("POST", path, json.dumps(body).encode(), _JSON) as response:
            if response.status == 204:
                return False
            with explained_storage(target.name, target.parent, response.length or 0), replacing(target) as file:
                while block := self._read(path, response, _BLOCK):
                    file.write(block)
        return True

    @contextmanager
    def _answer(
        self,
        method: str,
        path: str,
        body: bytes | Iterable[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Iterator[HTTPResponse]:
        connection = self._connection()
        try:
            connection.request(method, f"{self._base}/{path}", body, {**self._headers, **(headers or {})})
            response = connection.getresponse()
            if response.status not in (200, 204):
                raise ServerError(path, response.status, _error_in(response))
            yield response
        except ConnectionRefusedError as error:
            raise UnreachableError(f"no server answers at {self.address}: start it, or check its address") from error
        except (OSError, HTTPException) as error:
            raise self._interrupted(path, error) from error
        finally:
            connection.close()

    def _read(self, path: str, response: HTTPResponse, n_bytes: int) -> bytes:
        """Return the next bytes of an answer, none at its end."""
        try:
            block = response.read(n_bytes)
            if not block and response.length:
                raise IncompleteRead(block, response.length)  # the library says so only where all is read at once
        except (OSError, HTTPException) as error:
            raise self._interrupted(path, error) from error
        return block

    def _interrupted(self, path: str, error: Exception) -> UnreachableError:
        return UnreachableError(
            f"{path} at {self.address} was interrupted ({error!r}): ask again; the server's log may say more"
        )

    def _connection(self) -> HTTPConnection:
        if self._is_encrypted:
            return HTTPSConnection(self._host, self._port, timeout=SILENCE_S, context=self._trust)
        return HTTPConnection(self._host, self._port, timeout=SILENCE_S)

    def _completed(self, path: str, response: HTTPResponse) -> Any:
        """Return the JSON of an answer that may say that the work failed after the answer had begun."""
        return self._checked(path, response.status, self._content(path, response))

    def _checked(self, path: str, status: int, content: Any) -> Any:
        """Return JSON that does not say that the work failed, or was aborted."""
        if isinstance(content, dict) and content.get("error"):
            raise ServerError(path, status, str(content["error"]))
        if isinstance(content, dict) and content.get("completed") is False:
            raise AbortedError(path)
        return content

    def _content(self, path: str, response: HTTPResponse) -> Any:
        """Return the JSON of an answer; leading white space kept the connection alive and means nothing."""
        if response.status == 204:
            return None
        content = response.read()
        if response.headers.get("Content-Encoding") == "gzip":
            try:
                content = gzip.decompress(content)
            except (OSError, EOFError, zlib.error) as error:
                raise self._interrupted(path, error) from error
        return self._json(path, response.status, content)

    def _json(self, path: str, status: int, text: bytes) -> Any:
        try:
            return json.loads(text)
        except ValueError as error:
            raise ServerError(
                path, status, f"expected JSON, got something else: is {self.address} an ELEPHANT server?"
            ) from error


def _error_in(response: HTTPResponse) -> str:
    """Return why a request failed: the text in its JSON, else the reason phrase."""
    try:
        content = json.loads(response.read())
    except ValueError:
        content = None
    return str(content.get("error") or response.reason) if isinstance(content, dict) else response.reason


def _multipart(fields: Mapping[str, str], file: IO[bytes], n_bytes: int) -> tuple[dict[str, str], Iterator[bytes]]:
    """Return the headers and the body of a form whose file is read while it is sent."""
    boundary = uuid.uuid4().hex
    texts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in fields.items()
    ]
    opening = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="file"\r\n\r\n'
    head, tail = ("".join(texts) + opening).encode(), f"\r\n--{boundary}--\r\n".encode()

    def body() -> Iterator[bytes]:
        yield head
        left = n_bytes
        while left and (block := file.read(min(left, _BLOCK))):
            left -= len(block)
            yield block
        yield tail

    length = str(len(head) + n_bytes + len(tail))
    return {"Content-Type": f"multipart/form-data; boundary={boundary}", "Content-Length": length}, body()
