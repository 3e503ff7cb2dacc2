"""The WSGI middleware for access control, around any application: the token, the host name, the origin, the headers."""

import json
import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

from elephant_server.api.endpoint import PERSON
from elephant_server.api.errors import reason_phrase
from elephant_server.api.limits import count_body, drain_body
from elephant_server.auth.login_page import entrance, is_for_person
from elephant_server.auth.tokens import Tokens, holder_of, tokens_of
from elephant_server.settings import Settings, is_loopback

# A page loads scripts, pictures and data from this server only, and is shown in no frame.
_POLICY = (
    "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; object-src 'none'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": _POLICY,
    "Cross-Origin-Resource-Policy": "same-origin",
    # The token is in the path: no other site may see the path, and no cache may keep the answer.
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
TOKEN_PATH = re.compile(r"/t/(?P<token>[^/]+)(?P<rest>/.*)?", re.DOTALL)
_BEARER = re.compile(r"bearer +(?P<token>\S+) *", re.IGNORECASE)
_HOST = re.compile(r"(?P<host>\[[^\]]*\]|[^:]*)(:\d+)?")
_CHANGES_NOTHING = ("GET", "HEAD", "OPTIONS")
Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
# Set by NGINX, which asks before it accepts a large body; no header can set it.
AUTH_ONLY = "ELEPHANT_AUTH_ONLY"
NOTHING_GIVEN = (
    "this server requires a token: use http://HOST:PORT/t/TOKEN/ as its address, or the header "
    "Authorization: Bearer TOKEN; ask the person who started the server for the token"
)
WRONG_ONE_GIVEN = "the token is wrong or was changed: ask the person who started the server for the current one"
WRONG_HOST = (
    "this server does not answer to the name {host}: use localhost, or ask the person who started it to add the name "
    "to ELEPHANT_ALLOWED_HOSTS"
)
WRONG_ORIGIN = "a page of another site ({origin}) may not change anything here: open the page from this server"


def with_headers(start_response: Callable[..., Any]) -> Callable[..., Any]:
    """Return a ``start_response`` that adds these headers unless an answer sets its own."""

    def start(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
        present = {name.lower() for name, _ in headers}
        missing = [(name, value) for name, value in HEADERS.items() if name.lower() not in present]
        return start_response(status, [*headers, *missing], *rest)

    return start


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


@dataclass(frozen=True, slots=True)
class _Refusal:
    status: int
    message: str


class AuthMiddleware:
    """Admits requests with a valid token, and none from pages of other sites.

    If no token is required, a host name that is not this machine's own is refused, since another site could have made
    its name point here. With a token, any host name is accepted, unless ``ELEPHANT_ALLOWED_HOSTS`` lists some.
    """

    def __init__(self, application: Application, tokens: Tokens | None, settings: Settings) -> None:
        self._application = application
        self._tokens = tokens
        self._hosts = local_hosts(settings)
        self._asks_for_host = tokens is None or bool(settings.allowed_hosts)

    @classmethod
    def of(cls, application: Application, settings: Settings) -> "AuthMiddleware":
        """Return the access control for these settings."""
        return cls(application, tokens_of(settings), settings)

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Refuse a request, or pass it to the application."""
        start = with_headers(start_response)
        count_body(environ)
        asked = environ.get("PATH_INFO", "")
        refusal = self._refusal(environ, take_token(environ))
        if refusal is not None:
            drain_body(environ)
            if refusal.status == 401 and is_for_person(environ, asked):
                return _ask(refusal, asked, start)
            return _refuse(refusal, start)
        if environ.get(AUTH_ONLY):
            start("204 No Content", [])
            return []
        if _is_page_without_slash(asked, environ):
            start("308 Permanent Redirect", [("Location", quote(environ["SCRIPT_NAME"].encode("latin-1")) + "/")])
            return []
        return self._application(environ, start)

    def _refusal(self, environ: dict[str, Any], token: str) -> _Refusal | None:
        if self._tokens is not None:
            holder = holder_of(token, self._tokens.current())
            if holder is None:
                return _Refusal(401, WRONG_ONE_GIVEN if token else NOTHING_GIVEN)
            environ[PERSON] = holder.name
        if self._asks_for_host and not is_known_host(environ, self._hosts):
            return _Refusal(403, WRONG_HOST.format(host=environ.get("HTTP_HOST")))
        if is_from_elsewhere(environ):
            return _Refusal(403, WRONG_ORIGIN.format(origin=environ.get("HTTP_ORIGIN", "unknown")))
        return None


def _is_page_without_slash(asked: str, environ: dict[str, Any]) -> bool:
    """Return whether the slash after the token is missing: links on the page would then lose the token."""
    return (
        asked.startswith("/t/") and environ["PATH_INFO"] == "/" != asked[-1] and environ.get("REQUEST_METHOD") == "GET"
    )


def _ask(refusal: _Refusal, asked: str, start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answer a browser with the login page."""
    body, headers = entrance(
        asked, "" if refusal.message is NOTHING_GIVEN else "This token is wrong, or has been changed."
    )
    start_response(_status(refusal), [*headers, ("WWW-Authenticate", "Bearer")])
    return [body]


def _status(refusal: _Refusal) -> str:
    return f"{refusal.status} {reason_phrase(refusal.message)}"


def _refuse(refusal: _Refusal, start_response: Callable[..., Any]) -> Iterable[bytes]:
    body = json.dumps({"error": refusal.message}).encode()
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
    if refusal.status == 401:
        headers.append(("WWW-Authenticate", "Bearer"))
    start_response(_status(refusal), headers)
    return [body]
