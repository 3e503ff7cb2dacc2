"""Downloads from addresses that users choose, without access to private hosts.

A server in a lab reaches what its users do not: itself, the machines beside it, a cloud's own services. So each name is
resolved once, the address is checked, and the connection goes to exactly that address: a name that resolves to
another address a moment later makes no difference. Redirects are checked like the first address. Proxies and
credentials of the environment are not used.
"""

import http.client
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self
from urllib.parse import SplitResult, urljoin, urlsplit

from elephant.errors import InvalidInputError, NotFoundError
from elephant.progress import CancelToken, NeverCancelled
from elephant.words import in_bytes

_MOST_REDIRECTS = 5
_SILENCE_S = 10.0
_PIECE_BYTES = 1 << 20
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_UNICAST = ipaddress.ip_network("2000::/3")  # the only part of IPv6 that is used on the internet

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True)
class DownloadRules:
    """Rules for downloads.

    Attributes
    ----------
    allow_private
        Whether addresses of this machine and its network are allowed.
    trusted_host
        The host of an address that the administrator chose, which may always be private.
    largest_bytes
        Limit for a file.
    longest_s
        Limit for the whole download, from the first look-up to the last byte.
    """

    allow_private: bool = False
    trusted_host: str | None = None
    largest_bytes: int = 1 << 30
    longest_s: float = 600.0


def fetch(url: str, write: Callable[[bytes], object], rules: DownloadRules, cancel: CancelToken | None = None) -> None:
    """Download a file.

    Parameters
    ----------
    url
        An http(s) address, which may redirect to others.
    write
        Called with the content, piece by piece.
    rules
        The rules.
    cancel
        Asked before each piece.

    Raises
    ------
    InvalidInputError
        The address, or one that it redirects to, is not allowed, or the file is too large.
    NotFoundError
        It does not answer with a file, or not in time.
    elephant.errors.Cancelled
        `cancel` asked for the end.
    """
    token, deadline = cancel or NeverCancelled(), time.monotonic() + rules.longest_s
    for _ in range(_MOST_REDIRECTS + 1):
        target = _Target.parse(url)
        try:
            with _answer(target, rules, deadline) as answer:
                if answer.status not in _REDIRECTS:
                    _read(answer, target, write, rules, token, deadline)
                    return
                following = urljoin(url, answer.headers.get("Location", ""))
        except (OSError, http.client.HTTPException, UnicodeError) as error:
            raise _failed(target, _reason(error, deadline, rules)) from error
        if target.is_secure and not following.startswith("https:"):
            raise InvalidInputError(
                f"the address {target} redirects to one without https: give the address of the file itself"
            )
        url = following
    raise _failed(target, f"it redirects more than {_MOST_REDIRECTS} times")


@dataclass(frozen=True, slots=True)
class _Target:
    """An address in its parts; as text it omits what may be secret."""

    parts: SplitResult
    host: str
    port: int

    @classmethod
    def parse(cls, url: str) -> Self:
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise InvalidInputError(f"expected a model's address, got {url!r} ({error})") from error
        if parts.scheme not in ("http", "https") or not host:
            raise InvalidInputError(f"expected a model's address that starts with http:// or https://, got {url!r}")
        if parts.username is not None or parts.password is not None:
            raise InvalidInputError(f"a model's address must not contain a user or a password, but that of {host} does")
        if not url.isascii() or any(c <= " " or c == "\x7f" for c in url):
            raise InvalidInputError(
                f"expected a model's address in ASCII without spaces, got {url!r}: quote these characters"
            )
        return cls(parts, host, port or (443 if parts.scheme == "https" else 80))

    @property
    def is_secure(self) -> bool:
        return self.parts.scheme == "https"

    @property
    def path(self) -> str:
        query = f"?{self.parts.query}" if self.parts.query else ""
        return (self.parts.path or "/") + query

    def __str__(self) -> str:
        return f"{self.parts.scheme}://{self.parts.netloc}{self.parts.path}"


def is_public(address: Address) -> bool:
    """Return whether an IP address is public: not of this machine, its network or a special purpose."""
    inner: Address | None = None
    if isinstance(address, ipaddress.IPv6Address):
        teredo = address.teredo
        inner = address.ipv4_mapped or address.sixtofour or (teredo[1] if teredo else None)
        if address in _NAT64 or (int(address) >> 32 == 0 and int(address) > 1):  # ::a.b.c.d, an old way to write it
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    if inner is not None:
        return is_public(inner)
    if isinstance(address, ipaddress.IPv6Address) and address not in _UNICAST:
        return False
    return address.is_global and not (address.is_multicast or address.is_reserved)


@contextmanager
def _answer(target: _Target, rules: DownloadRules, deadline: float) -> Iterator[http.client.HTTPResponse]:
    """Open the answer of an address; the connection ends with the block, or at the deadline."""
    connection = http.client.HTTPConnection(target.host, target.port)
    connection.default_port = 443 if target.is_secure else 80  # omitted from the header Host
    with _connected(target, rules, deadline) as plain, _Watchdog(plain, deadline):
        used = _secured(plain, target.host) if target.is_secure else plain
        connection.sock = used
        try:
            headers = {"Accept": "*/*", "Accept-Encoding": "identity", "User-Agent": "elephant", "Connection": "close"}
            connection.request("GET", target.path, headers=headers)
            with connection.getresponse() as answer:
                yield answer
        finally:
            connection.close()
            used.close()


def _connected(target: _Target, rules: DownloadRules, deadline: float) -> socket.socket:
    """Return a connection to the address of a name, if that is allowed."""
    found = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    is_free = rules.allow_private or target.host == rules.trusted_host
    for *_, (text, *_) in found:
        address = ipaddress.ip_address(str(text).split("%")[0])
        if not is_free and not is_public(address):
            raise InvalidInputError(
                f"the address {target} leads to {address}, which belongs to this machine or its network: give a public "
                "address, or download the file and upload it (the person who runs the server can allow it with "
                "ELEPHANT_ALLOW_PRIVATE_ADDRESSES)"
            )
    failure: OSError = OSError("it has no address")
    for family, kind, protocol, _, place in found:
        connection = socket.socket(family, kind, protocol)
        try:
            connection.settimeout(max(min(_SILENCE_S, deadline - time.monotonic()), 0.001))
            connection.connect(place)
        except OSError as error:
            connection.close()
            failure = error
        else:
            connection.settimeout(_SILENCE_S)
            return connection
    raise failure


def _secured(connection: socket.socket, host: str) -> ssl.SSLSocket:
    return ssl.create_default_context().wrap_socket(connection, server_hostname=host)


class _Watchdog:
    """Closes a connection at a deadline, even if the server still sends a byte now and then."""

    def __init__(self, connection: socket.socket, deadline: float) -> None:
        self._connection = connection.dup()  # TLS takes over the other one
        self._timer = threading.Timer(max(deadline - time.monotonic(), 0), self._end)
        self._timer.daemon = True

    def __enter__(self) -> None:
        self._timer.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._timer.cancel()
        self._timer.join()
        self._connection.close()

    def _end(self) -> None:
        with suppress(OSError):  # it has ended
            self._connection.shutdown(socket.SHUT_RDWR)


def _read(
    answer: http.client.HTTPResponse,
    target: _Target,
    write: Callable[[bytes], object],
    rules: DownloadRules,
    cancel: CancelToken,
    deadline: float,
) -> None:
    if answer.status != http.client.OK:
        raise _failed(target, f"HTTP {answer.status} {answer.reason}")
    length, n_bytes = answer.length, 0
    if length is not None and length > rules.largest_bytes:
        raise _too_large(target, rules)
    while piece := answer.read1(_PIECE_BYTES):
        cancel.check()
        n_bytes += len(piece)
        if n_bytes > rules.largest_bytes:
            raise _too_large(target, rules)
        write(piece)
    if time.monotonic() >= deadline:
        raise _failed(target, f"it took longer than {rules.longest_s:.0f} s")
    if length is not None and n_bytes < length:
        raise _failed(target, f"it ended after {n_bytes} of {length} bytes")


def _too_large(target: _Target, rules: DownloadRules) -> InvalidInputError:
    return InvalidInputError(
        f"the file at {target} is larger than {in_bytes(rules.largest_bytes)}: is this a model file?"
    )


def _failed(target: _Target, reason: str) -> NotFoundError:
    return NotFoundError(
        f"the model at {target} could not be fetched ({reason}): check the address, or download the file and upload it"
    )


def _reason(error: Exception, deadline: float, rules: DownloadRules) -> str:
    if time.monotonic() >= deadline:
        return f"it took longer than {rules.longest_s:.0f} s"
    return str(error) or type(error).__name__
