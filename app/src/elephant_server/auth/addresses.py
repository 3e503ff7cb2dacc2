"""The address of a request: the token in its path, the host name used for the server, the origin."""

import re
from collections.abc import Collection
from typing import Any
from urllib.parse import urlsplit

from elephant_server.settings import Settings, is_loopback

TOKEN_PATH = re.compile(r"/t/(?P<token>[^/]+)(?P<rest>/.*)?", re.DOTALL)
_BEARER = re.compile(r"bearer +(?P<token>\S+) *", re.IGNORECASE)
_HOST = re.compile(r"(?P<host>\[[^\]]*\]|[^:]*)(:\d+)?")
_CHANGES_NOTHING = ("GET", "HEAD", "OPTIONS")


def take_token(environ: dict[str, Any]) -> str:
    """Return the token that a request carries, ``""`` without one, and leave no trace of it but ``SCRIPT_NAME``.

    The path from here on is what follows the token, so that handlers and logs know nothing of tokens; links made from
    ``SCRIPT_NAME`` contain it.
    """
    bearer = _BEARER.fullmatch(environ.get("HTTP_AUTHORIZATION", ""))
    if bearer:
        del environ["HTTP_AUTHORIZATION"]
    path = TOKEN_PATH.fullmatch(environ.get("PATH_INFO", ""))
    if not path:
        return bearer["token"] if bearer else ""
    environ["SCRIPT_NAME"] = f"{environ.get('SCRIPT_NAME', '')}/t/{path['token']}"
    environ["PATH_INFO"] = path["rest"] or "/"
    for name in ("REQUEST_URI", "RAW_URI", "HTTP_REFERER"):
        environ.pop(name, None)
    return path["token"]


def local_hosts(settings: Settings) -> frozenset[str]:
    """Return the host names to which a server with these settings answers."""
    return frozenset({"localhost", settings.bind_address}) | settings.allowed_host_names


def is_known_host(environ: dict[str, Any], known: Collection[str]) -> bool:
    """Return whether a request uses a host name that nobody else can have pointed to this machine.

    Every browser sends the host.
    """
    given = environ.get("HTTP_HOST", "")
    match = _HOST.fullmatch(given)
    host = match["host"].strip("[]").lower() if match else given
    return not given or host in known or f"[{host}]" in known or is_loopback(host)


def is_from_elsewhere(environ: dict[str, Any]) -> bool:
    """Return whether a page of another site made a browser send a request that changes something.

    Browsers say where such a request comes from; programs such as the client do not.
    """
    if environ.get("REQUEST_METHOD") in _CHANGES_NOTHING:
        return False
    origin = environ.get("HTTP_ORIGIN")
    if origin is not None and _netloc(origin) != environ.get("HTTP_HOST", "").lower():
        return True
    return environ.get("HTTP_SEC_FETCH_SITE", "none") not in ("none", "same-origin")


def _netloc(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc.lower() or None
    except ValueError:
        return None
