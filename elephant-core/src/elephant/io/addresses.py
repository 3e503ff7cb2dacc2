"""Addresses of movies on other machines, ``https://host/folder/movie.zarr``, and whether they may be read.

An address travels as a path, which is what a command line makes of it: ``Path("https://host/movie.zarr")`` lacks the
second slash, and so names no file, but has a name, a parent and children like any other. Where files are opened,
:func:`address_of` tells addresses and files apart.
"""

import re
import threading
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from urllib.parse import quote, urlsplit

from elephant.errors import InvalidInputError

SCHEMES = ("http", "https", "s3")
CACHE = Path(".cache", "remote")  # in the workspace
DEFAULT_CACHE_GIB = 10
AWS = "https://s3.amazonaws.com"
_STARTS = tuple(f"{scheme}:/" for scheme in SCHEMES)


@dataclass(frozen=True, slots=True)
class RemoteRules:
    """Whether and how movies on other machines are read.

    Attributes
    ----------
    is_allowed
        Whether they are at all.
    allow_private
        Whether every address may be one of this machine or its network.
    trusts_named_hosts
        Whether the host of a movie's address may be: who types the address is the user of this machine. Hosts that it
        redirects to may not.
    cache
        Folder for what was read; None keeps nothing.
    cache_bytes
        Limit for its size; 0 keeps nothing.
    s3_endpoint
        Address of the server that holds the buckets of ``s3://``; one that was chosen may be private.
    silence_s
        Seconds without an answer after which a request has failed.
    """

    is_allowed: bool = True
    allow_private: bool = False
    trusts_named_hosts: bool = True
    cache: Path | None = None
    cache_bytes: int = DEFAULT_CACHE_GIB << 30
    s3_endpoint: str = AWS
    silence_s: float = 15.0


_rules = RemoteRules()
_lock = threading.Lock()


def use_rules(rules: RemoteRules) -> None:
    """Set the rules of this process, for all movies that are opened from now on."""
    global _rules  # noqa: PLW0603 - as long as the process
    with _lock:
        _rules = rules


def allowed_rules(address: str) -> RemoteRules:
    """Return the rules of this process, if they allow movies on other machines at all.

    Raises
    ------
    InvalidInputError
        They do not.
    """
    if not _rules.is_allowed:
        raise InvalidInputError(
            f"the movie {address.rsplit('/', 1)[-1]} is on another machine, which this server may not read: copy the "
            "movie, or let the person who runs the server set ELEPHANT_ALLOW_REMOTE_SOURCES=true"
        )
    return _rules


def address_of(path: Path) -> str | None:
    """Return the address that a path holds, without a slash at its end; None if it is that of a file."""
    text = path.as_posix()
    if not text.lower().startswith(_STARTS):
        return None
    scheme, rest = text.split(":/", 1)
    return f"{scheme.lower()}://{rest.strip('/')}"


def shown(path: Path) -> str:
    """Return a path, or the address that it holds, as a person writes it."""
    return address_of(path) or str(path)


def absolute(path: Path) -> Path:
    """Return the absolute path of a file; an address stays as it is."""
    return path.absolute() if address_of(path) is None else path


@lru_cache(64)
def url_of(address: str, s3_endpoint: str) -> str:
    """Return the http(s) address of a movie, without a slash at its end.

    Parameters
    ----------
    address
        From :func:`address_of`.
    s3_endpoint
        Server of the buckets of ``s3://``, which are read without credentials.

    Raises
    ------
    InvalidInputError
        It is not the address of a folder, or has a user, a password or a query, which would end up in logs.
    """
    try:
        parts = urlsplit(address)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise InvalidInputError(f"expected the address of a movie, got {_shown(address)!r} ({error})") from error
    if not host:
        raise InvalidInputError(f"expected the address of a movie, such as https://host/movie.zarr, got {address!r}")
    if "@" in parts.netloc:
        raise InvalidInputError(
            f"a movie's address must not contain a user or a password, but that at {host} does: only movies that "
            "everybody may read can be opened"
        )
    if "?" in address or "#" in address:
        raise InvalidInputError(
            f"expected an address of a movie at {host} without ? and #, since the files of the movie have addresses of "
            "their own: give that of its folder; links with a signature cannot be used"
        )
    if not address.isascii() or any(c <= " " or c in "\\\x7f" for c in address) or ".." in parts.path.split("/"):
        raise InvalidInputError(
            f"expected an address in ASCII without spaces and .., got {address!r}: quote these characters"
        )
    return _of_bucket(host, parts.path, s3_endpoint) if parts.scheme == "s3" else address


def _of_bucket(bucket: str, path: str, endpoint: str) -> str:
    if endpoint == AWS and "." not in bucket:  # the certificate is one for bucket.s3.amazonaws.com
        return f"https://{bucket}.s3.amazonaws.com{path}"
    return f"{endpoint.rstrip('/')}/{bucket}{path}"


def in_folder(url: str, key: str) -> str:
    """Return the address of a file in a folder at an address."""
    return f"{url}/{quote(key)}"


def _shown(address: str) -> str:
    """Return an address without what may be secret."""
    return re.split("[?#]", address, maxsplit=1)[0].rsplit("@", 1)[-1]
