"""The login page, which a browser without a token gets instead of the requested page.

It says the same as the JSON of such an answer, and nothing else. A token is tried with the header `Authorization`, so
that a wrong one appears in no address and no browser history.
"""

import base64
import hashlib
import re
from functools import cache
from pathlib import Path
from typing import Any

_FILE = Path(__file__).parent.parent / "templates" / "token.html"
# The pages that people open; all other paths answer with JSON, whatever the request accepts.
_PAGES = re.compile(r"/t/[^/]*|(/t/[^/]*)?/(docs/?|manual(/.*)?)?", re.DOTALL)
_INLINE = re.compile(r"<(script|style)>(.*?)</\1>", re.DOTALL)


def is_for_person(environ: dict[str, Any], asked: str) -> bool:
    """Return whether a browser requests a page for a person to look at.

    Parameters
    ----------
    asked
        The requested path, with its token.
    """
    accepts = environ.get("HTTP_ACCEPT", "")
    return environ.get("REQUEST_METHOD") == "GET" and "text/html" in accepts and bool(_PAGES.fullmatch(asked))


def entrance(asked: str, problem: str) -> tuple[bytes, list[tuple[str, str]]]:
    """Return the page and its headers.

    Parameters
    ----------
    asked
        The requested path, from which the page finds the server's root.
    problem
        What was wrong with the token in the path; empty if it had none.
    """
    text, policy = _page()
    root = "../" * (asked.count("/") - 1) or "./"
    body = text.replace("{{ root }}", root).replace("{{ problem }}", problem).encode()
    headers = [
        ("Content-Type", "text/html; charset=utf-8"),
        ("Content-Length", str(len(body))),
        ("Content-Security-Policy", policy),
        ("Vary", "Accept"),
    ]
    return body, headers


@cache
def _page() -> tuple[str, str]:
    """Return the page, and the policy that allows only its own script and style."""
    text = _FILE.read_text(encoding="utf-8")
    hashes = {kind: f"'sha256-{_digest(content)}'" for kind, content in _INLINE.findall(text)}
    policy = (
        f"default-src 'none'; script-src {hashes['script']}; style-src {hashes['style']}; connect-src 'self'; "
        "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return text, policy


def _digest(content: str) -> str:
    return base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
