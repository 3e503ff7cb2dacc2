"""The WSGI middleware for access control, around any application."""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from elephant_server.api.errors import reason_phrase
from elephant_server.auth.addresses import is_from_elsewhere, is_known_host, local_hosts, take_token
from elephant_server.auth.headers import with_headers
from elephant_server.auth.limits import count_body, drain_body
from elephant_server.auth.login_page import entrance, is_for_person
from elephant_server.auth.tokens import Tokens, is_good, tokens_of
from elephant_server.settings import Settings

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

# Set by NGINX, which asks before it takes a large body; no header of a request is called so.
GATE_ONLY = "ELEPHANT_GATE_ONLY"
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
        if environ.get(GATE_ONLY):
            start("204 No Content", [])
            return []
        if _is_page_without_slash(asked, environ):
            start("308 Permanent Redirect", [("Location", quote(environ["SCRIPT_NAME"].encode("latin-1")) + "/")])
            return []
        return self._application(environ, start)

    def _refusal(self, environ: dict[str, Any], token: str) -> _Refusal | None:
        if self._tokens is not None and not is_good(token, self._tokens.current()):
            return _Refusal(401, WRONG_ONE_GIVEN if token else NOTHING_GIVEN)
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
