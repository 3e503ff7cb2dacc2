"""Checking a certificate before anything is started with it."""

import os
import ssl
from pathlib import Path

from elephant.errors import reason_of
from elephant_server.auth.local_access import trust_only
from elephant_server.deploy.errors import StackError
from elephant_server.settings import Settings, variable


def check_certificate(settings: Settings) -> None:
    """Refuse a certificate or a key that cannot be read, do not belong together, or are out of date.

    Raises
    ------
    StackError
        With the variable to change.
    """
    if settings.tls_cert is None or settings.tls_key is None:
        return
    _check_readable(variable("tls_cert"), settings.tls_cert)
    _check_readable(variable("tls_key"), settings.tls_key)
    server = _load(settings.tls_cert, settings.tls_key)
    try:
        _shake_hands(server, trust_only(settings.tls_cert))
    except ssl.SSLCertVerificationError as error:
        raise StackError(
            f"{variable('tls_cert')}: {settings.tls_cert} is not valid ({error.verify_message}). Renew it."
        ) from None


def _check_readable(name: str, path: Path) -> None:
    try:
        path.open("rb").close()
    except OSError as error:
        raise StackError(f"{name}: {path} cannot be read ({reason_of(error)}) by user {os.geteuid()}.") from None


def _load(certificate: Path, key: Path) -> ssl.SSLContext:
    def no_passphrase() -> str:
        raise StackError(f"{variable('tls_key')}: {key} has a passphrase. Remove it: openssl pkey -in KEY -out NEW.")

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(certificate, key, password=no_passphrase)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise StackError(f"{variable('tls_key')}: {key} is not the key of {certificate}.") from None
        raise StackError(
            f"{variable('tls_cert')}, {variable('tls_key')}: expected PEM files; {certificate} and {key} cannot be "
            f"used ({error.reason})."
        ) from None
    return context


def _shake_hands(server: ssl.SSLContext, client: ssl.SSLContext) -> None:
    """Perform a TLS handshake between a server and a client, in memory."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(to_client, to_server, server_side=False),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    while ends:
        for end in list(ends):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
            ends.remove(end)
