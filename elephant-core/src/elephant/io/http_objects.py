"""Reading objects (files, or parts of them) from other machines over http(s), many at a time.

Each connection is judged, also after a redirect. An object is missing only where the server says so (404); whatever
else goes wrong is an error, after a few tries.
"""

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

from elephant.errors import ForbiddenError, InvalidInputError, RemoteError
from elephant.io.addresses import AWS, RemoteRules
from elephant.io.connections import connections, refused_addresses
from elephant.words import in_bytes

if TYPE_CHECKING:
    import aiohttp

LARGEST_METADATA_BYTES = 64 << 20
LARGEST_OBJECT_BYTES = (1 << 30) + (64 << 20)
_MOST_REDIRECTS = 5
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_PAUSES_S = (0.2, 0.6, 1.5)  # before each further try
_TO_CONNECT_S = 5.0
_LONGEST_S = 30.0  # for an answer to begin and a small object to arrive
_SLOWEST = 64 << 10  # bytes a second after that
_WHOLE, _PART, _SAME, _MISSING = 200, 206, 304, 404
_FORBIDDEN = (401, 403)
_BUSY = frozenset({408, 429, 500, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class Span:
    """A part of an object: bytes from `start` to before `end`; a negative start counts from the object's end."""

    start: int
    end: int | None = None

    @property
    def header(self) -> str:
        """The value of the header Range."""
        return f"bytes={self.start if self.start < 0 else f'{self.start}-'}{'' if self.end is None else self.end - 1}"

    def of(self, content: bytes) -> bytes:
        """Return the part of a whole object."""
        return content[self.start : self.end]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server said of an object.

    Attributes
    ----------
    content
        The bytes asked for; None if there is no such object, or it has not changed.
    version
        Its ETag, or else the time of its last change; empty if the server gives neither.
    is_same
        Whether it is still of the version that was known.
    is_whole
        Whether `content` is all of it, although a part was asked for.
    """

    content: bytes | None
    version: str
    is_same: bool = False
    is_whole: bool = True


class _TryAgainError(Exception):
    """A request failed in a way that may pass."""


async def fetch_object(
    url: str, rules: RemoteRules, span: Span | None = None, known: str = "", most_bytes: int = LARGEST_OBJECT_BYTES
) -> Answer:
    """Read an object.

    Parameters
    ----------
    url
        Its http(s) address.
    rules
        Which addresses are allowed.
    span
        Which part of it; None for all.
    known
        The version that is known already: of that one nothing is read.
    most_bytes
        Limit for its size.

    Raises
    ------
    RemoteError
        It cannot be read.
    InvalidInputError
        The address, or one that it redirects to, is not allowed, or a package is missing.
    """
    headers = {"Accept-Encoding": "identity"}
    if span is not None:
        headers["Range"] = span.header
    if known:
        headers["If-None-Match" if known.startswith(('"', "W/")) else "If-Modified-Since"] = known
    for pause in (*_PAUSES_S, None):
        try:
            return await _followed(_Request(url, rules, headers, span, most_bytes))
        except _TryAgainError as error:
            if pause is None:
                raise RemoteError(
                    f"{url} cannot be read ({error}, {len(_PAUSES_S) + 1} times): check the connection and the "
                    "address, and try again later"
                ) from error
            await asyncio.sleep(pause)
    raise AssertionError


@dataclass(frozen=True, slots=True)
class _Request:
    url: str
    rules: RemoteRules
    headers: dict[str, str]
    span: Span | None
    most_bytes: int

    def is_free(self, place: str) -> bool:
        """Return whether an address may be one of this machine or its network."""
        rules = self.rules
        if rules.allow_private or (rules.trusts_named_hosts and place == self.url):
            return True
        if rules.s3_endpoint != AWS and place.startswith(f"{rules.s3_endpoint.rstrip('/')}/"):
            return True  # the administrator chose it
        return rules.trusts_named_hosts and urlsplit(place).hostname == urlsplit(self.url).hostname


async def _followed(request: _Request) -> Answer:
    """Make a request, and follow redirects, each of which is judged."""
    place = request.url
    for _ in range(_MOST_REDIRECTS + 1):
        found = await _answer_of(request, place)
        if isinstance(found, Answer):
            return found
        if urlsplit(place).scheme == "https" and not found.startswith("https:"):
            raise InvalidInputError(
                f"the address {request.url} redirects to one without https: ask its owner for another one"
            )
        if not found.startswith(("http:", "https:")):
            raise InvalidInputError(f"the address {request.url} redirects to one that is neither http nor https")
        place = found
    raise RemoteError(f"{request.url} cannot be read: it redirects more than {_MOST_REDIRECTS} times")


async def _answer_of(request: _Request, place: str) -> Answer | str:
    """Return the answer of an address, or the address that it redirects to."""
    import aiohttp  # noqa: PLC0415
    from yarl import URL  # noqa: PLC0415

    silence = request.rules.silence_s
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=min(silence, _TO_CONNECT_S), sock_read=silence)
    session = connections().session(is_free=request.is_free(place))
    refused: list[str] = []
    token = refused_addresses.set(refused)
    try:
        async with asyncio.timeout(_LONGEST_S) as limit:
            async with session.get(
                URL(place, encoded=True), headers=request.headers, timeout=timeout, allow_redirects=False
            ) as answer:
                following = _following(answer, place)
                return await _read(answer, request, limit) if following is None else following
    except TimeoutError as error:
        raise _TryAgainError("it does not answer in time") from error
    except (aiohttp.ClientError, OSError) as error:
        if refused:
            raise InvalidInputError(
                f"the address {request.url} leads to {refused[0]}, which belongs to this machine or its network: give "
                "a public address, or copy the movie (the person who runs the server can allow it with "
                "ELEPHANT_ALLOW_PRIVATE_ADDRESSES)"
            ) from error
        raise _TryAgainError(_reason(error)) from error
    finally:
        refused_addresses.reset(token)


def _following(answer: "aiohttp.ClientResponse", place: str) -> str | None:
    """Return where an answer redirects to; None if it does not."""
    if answer.status not in _REDIRECTS:
        return None
    location, region = answer.headers.get("Location"), answer.headers.get("x-amz-bucket-region")
    if location is None and region is not None and region.replace("-", "").isalnum():
        parts = urlsplit(place)
        return f"https://{parts.netloc.replace('s3.amazonaws.com', f's3.{region}.amazonaws.com')}{parts.path}"
    return None if location is None else urljoin(place, location)


async def _read(answer: "aiohttp.ClientResponse", request: _Request, limit: asyncio.Timeout) -> Answer:
    version = answer.headers.get("ETag") or answer.headers.get("Last-Modified") or ""
    if answer.status == _SAME:
        return Answer(None, version, is_same=True)
    if answer.status == _MISSING:
        return Answer(None, "")
    if answer.status not in (_WHOLE, _PART):
        raise _error_of(answer.status, request.url)
    coding = answer.headers.get("Content-Encoding", "identity")
    if coding != "identity":
        raise RemoteError(
            f"expected {request.url} as it was stored, got it packed by {coding}: ask its owner to serve it plain"
        )
    length = answer.content_length
    if length is not None and length > request.most_bytes:
        raise _too_large(request, length)
    now = asyncio.get_running_loop().time()
    limit.reschedule(now + _LONGEST_S + (request.most_bytes if length is None else length) / _SLOWEST)
    content = await (answer.read() if length is not None else _bounded(answer, request))
    if answer.status == _WHOLE or request.span is None:
        return Answer(content, version)
    stated = answer.headers.get("Content-Range", "")
    return Answer(_checked(content, stated, request.span, request.url), version, is_whole=False)


async def _bounded(answer: "aiohttp.ClientResponse", request: _Request) -> bytes:
    """Return the body of an answer that does not say how long it is."""
    parts, n_bytes = [], 0
    async for part in answer.content.iter_any():
        parts.append(part)
        n_bytes += len(part)
        if n_bytes > request.most_bytes:
            raise _too_large(request, n_bytes)
    return b"".join(parts)


def _checked(content: bytes, stated: str, span: Span, url: str) -> bytes:
    """Return the content of a part, if it is the one that was asked for."""
    with suppress(ValueError):
        unit, rest = stated.split(" ", 1)
        place, size = rest.split("/", 1)
        start, end = (int(number) for number in place.split("-", 1))
        wanted = max(int(size) + span.start, 0) if span.start < 0 else span.start
        wanted_end = int(size) if span.end is None else min(span.end, int(size))
        if unit == "bytes" and (start, end + 1) == (wanted, wanted_end) and len(content) == end + 1 - start:
            return content
    raise RemoteError(f"expected {span.header} of {url}, got {stated[:50] or 'another part'}: its server is at fault")


def _error_of(status: int, url: str) -> Exception:
    if status in _BUSY:
        return _TryAgainError(f"HTTP {status}")
    if status in _FORBIDDEN:
        return ForbiddenError(
            f"{url} may not be read (HTTP {status}): only movies that everybody may read can be opened. A server of S3 "
            "that does not let everybody list a bucket says so of files that are missing, too: ask its owner to allow "
            "that, or copy the movie"
        )
    return RemoteError(f"{url} cannot be read (HTTP {status}): check the address")


def _too_large(request: _Request, size: int) -> RemoteError:
    return RemoteError(
        f"expected at most {in_bytes(request.most_bytes)}, got {in_bytes(size)} or more from {request.url}: is this a "
        "movie?"
    )


def _reason(error: BaseException) -> str:
    return " ".join((getattr(error, "strerror", None) or str(error) or type(error).__name__).split())[:200]
