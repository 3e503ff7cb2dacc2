"""What reveals a change of an object on another machine."""

import hashlib
import time
from dataclasses import dataclass

from elephant.errors import RemoteError
from elephant.io.addresses import RemoteRules, allowed_rules, url_of
from elephant.io.connections import check_installed, waited_for
from elephant.io.http_objects import LARGEST_METADATA_BYTES, fetch_object
from elephant.progress import current_token

_STAMP_S = 10.0
_MOST_SEEN = 256
_seen: dict[tuple[str, RemoteRules], tuple[float, "Seen | RemoteError | None"]] = {}


@dataclass(frozen=True, slots=True)
class Seen:
    """What reveals a change of an object.

    Attributes
    ----------
    size
        In bytes.
    version
        A number made from the server's version of it, or, if it gives none, from the content.
    """

    size: int
    version: int


def seen_object(address: str) -> Seen | None:
    """Return how a small object was seen in the last seconds, by the rules of this process; None if it is missing.

    Parameters
    ----------
    address
        Its address, from :func:`elephant.io.addresses.address_of`.

    Raises
    ------
    RemoteError, InvalidInputError
        It cannot be read, or must not.
    """
    now, key = time.monotonic(), (address, allowed_rules(address))
    before = _seen.get(key)
    if before is None or now - before[0] > _STAMP_S:
        before = (now, _look_at(*key))
        if len(_seen) >= _MOST_SEEN:
            _seen.clear()
        _seen[key] = before
    if isinstance(before[1], RemoteError):  # what waits for a server that is away need not wait for it twice
        raise before[1]
    return before[1]


def _look_at(address: str, rules: RemoteRules) -> "Seen | RemoteError | None":
    check_installed()
    url = url_of(address, rules.s3_endpoint)
    try:
        answer = waited_for(fetch_object(url, rules, most_bytes=LARGEST_METADATA_BYTES), current_token())
    except RemoteError as error:
        return error
    if answer.content is None:
        return None
    version = hashlib.blake2b(answer.version.encode() or answer.content, digest_size=6).digest()
    return Seen(len(answer.content), int.from_bytes(version))
