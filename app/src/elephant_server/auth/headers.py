"""Headers that restrict what a browser does with an answer."""

from collections.abc import Callable
from typing import Any

# A page takes scripts, pictures and data from this server alone, and stands in no frame.
_POLICY = (
    "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; object-src 'none'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": _POLICY,
    "Cross-Origin-Resource-Policy": "same-origin",
    # The token is in the path: no other site hears of it, and no cache keeps what was under it.
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


def with_headers(start_response: Callable[..., Any]) -> Callable[..., Any]:
    """Return a ``start_response`` that adds these headers unless an answer sets its own."""

    def start(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
        present = {name.lower() for name, _ in headers}
        missing = [(name, value) for name, value in HEADERS.items() if name.lower() not in present]
        return start_response(status, [*headers, *missing], *rest)

    return start
