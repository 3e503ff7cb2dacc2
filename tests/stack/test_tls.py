"""A server with a certificate: HTTP and AMQP are encrypted, and nothing else is to be had from another machine."""

import socket
import ssl
import time
import warnings
from pathlib import Path

import numpy as np
import pika
import pika.exceptions
import pytest
import requests

from elephant_server.auth.tokens import trust_only
from elephant_server.client import Client, ServerError
from stack.player import Uploader, write_movie
from stack.running import RunningServer

pytestmark = pytest.mark.stack


@pytest.fixture
def trusted(certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the library for requests trust the certificate."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate[0]))


def test_http_is_encrypted(tls_server: RunningServer, certificate: tuple[Path, Path]) -> None:
    url = tls_server.base_url + "state/gpus"
    assert url.startswith("https://localhost:")
    assert requests.get(url, verify=certificate[0], timeout=60).json()
    with pytest.raises(requests.exceptions.SSLError):
        requests.get(url, timeout=60)


def test_http_without_encryption_is_told_so(tls_server: RunningServer) -> None:
    answer = requests.get(tls_server.base_url.replace("https:", "http:") + "state/gpus", timeout=60)
    assert answer.status_code == 400
    assert "https://" in answer.json()["error"]


def test_no_old_version_of_tls_is_spoken(tls_server: RunningServer, certificate: tuple[Path, Path]) -> None:
    for port in (tls_server.http_port, tls_server.rabbitmq_port):
        context = ssl.create_default_context(cafile=certificate[0])
        assert _greet(context, port) == "TLSv1.3"
        with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
            context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
        context.set_ciphers("ALL:@SECLEVEL=0")
        with pytest.raises(OSError, match=r"(?i)version|alert|reset|EOF"):
            _greet(context, port)


@pytest.mark.parametrize(
    ("cipher", "is_spoken"),
    [
        ("ECDHE-ECDSA-AES128-GCM-SHA256", True),
        ("ECDHE-ECDSA-CHACHA20-POLY1305", True),
        ("ECDHE-ECDSA-AES128-SHA", False),
        ("ECDHE-ECDSA-AES256-SHA384", False),
    ],
)
def test_no_suite_with_cbc_is_spoken(
    tls_server: RunningServer, certificate: tuple[Path, Path], cipher: str, is_spoken: bool
) -> None:
    context = ssl.create_default_context(cafile=certificate[0])
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(f"{cipher}:@SECLEVEL=0")
    for port in (tls_server.http_port, tls_server.rabbitmq_port):
        if is_spoken:
            assert _greet(context, port) == "TLSv1.2"
        else:
            with pytest.raises(OSError, match=r"(?i)handshake|alert|reset|EOF|insufficient"):
                _greet(context, port)


@pytest.mark.usefixtures("trusted")
def test_messages_come_encrypted(tls_server: RunningServer, certificate: tuple[Path, Path], tmp_path: Path) -> None:
    write_movie(tmp_path / "d.h5", np.ones((2, 4, 16, 16)))
    assert set(Uploader(tls_server, "d").send(tmp_path / "d.h5")) == {200}
    options = pika.SSLOptions(ssl.create_default_context(cafile=certificate[0]), "localhost")
    connection = pika.BlockingConnection(_parameters(tls_server, options))
    channel = connection.channel()
    channel.queue_declare("log", durable=False, exclusive=False, auto_delete=False)
    heard: list[bytes] = []
    channel.basic_consume("log", lambda *message: heard.append(message[3]), auto_ack=True)
    url, body = tls_server.base_url + "dataset/generate", {"dataset_name": "d", "is_2d": False}
    assert requests.post(url, json=body, timeout=60).status_code == 200
    end = time.monotonic() + 20
    while not heard and time.monotonic() < end:
        connection.process_data_events(0.2)
    connection.close()
    assert heard


def test_amqp_without_encryption_is_refused(tls_server: RunningServer) -> None:
    with pytest.raises(pika.exceptions.AMQPConnectionError):
        pika.BlockingConnection(_parameters(tls_server, None))
    beyond = {port for ip, port in tls_server.listening() if ip not in ("127.0.0.1", "::1")}
    assert beyond == {tls_server.http_port, tls_server.rabbitmq_port}


def test_the_client_in_python_gets_in(tls_server: RunningServer, certificate: tuple[Path, Path]) -> None:
    trust = trust_only(certificate[0])
    url = f"https://localhost:{tls_server.http_port}/"
    assert Client(url, tls_server.token, trust=trust).devices()
    with pytest.raises(ServerError) as caught:
        Client(url, trust=trust).devices()
    assert caught.value.status == 401


def test_a_person_and_a_health_check_are_told(tls_server: RunningServer) -> None:
    assert "amqps" in tls_server.ask("--access")
    assert "answers (" in tls_server.ask("--health")


def test_a_token_of_ones_own_is_asked_for_and_in_no_log(
    tls_server: RunningServer, certificate: tuple[Path, Path]
) -> None:
    token = tls_server.values["ELEPHANT_TOKEN"]
    assert tls_server.base_url.endswith(f"/t/{token}/")
    answer = requests.get(f"https://localhost:{tls_server.http_port}/state/gpus", verify=certificate[0], timeout=60)
    assert answer.status_code == 401
    logs = [*tls_server.service_logs.iterdir(), tls_server.folder / "output.txt", *tls_server.workspace.rglob("*.json")]
    assert [path for path in logs if token.encode() in path.read_bytes()] == []


def _greet(context: ssl.SSLContext, port: int) -> str | None:
    """Return the version that is spoken at a port."""
    with (
        socket.create_connection(("localhost", port), 10) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as connection,
    ):
        return connection.version()


def _parameters(server: RunningServer, options: pika.SSLOptions | None) -> pika.ConnectionParameters:
    credentials = pika.PlainCredentials("user", server.rabbitmq_password)
    return pika.ConnectionParameters("localhost", server.rabbitmq_port, "/", credentials, ssl_options=options)
