"""Downloads from addresses that others chose."""

import ipaddress
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from elephant.errors import Cancelled, InvalidInputError, NotFoundError
from elephant.io.download import DownloadRules, fetch, is_public
from elephant.models.pretrained import ModelSource, Pretrained
from elephant.models.provenance_text import summary

FREE = DownloadRules(allow_private=True, longest_s=20)
CONTENT = bytes(range(256)) * 100

Answer = Callable[[BaseHTTPRequestHandler], None]


@contextmanager
def served(answer: Answer, host: str = "127.0.0.1") -> Iterator[str]:
    """Serve what a function answers."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            seen.append(dict(self.headers))
            try:
                answer(self)
            except OSError:  # it was hung up on
                self.close_connection = True

        def log_message(self, *arguments: object) -> None:
            pass

    seen: list[dict[str, str]] = []
    server = ThreadingHTTPServer((host, 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://{host}:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()
        for headers in seen:
            assert not {name.lower() for name in headers} & {"authorization", "cookie", "proxy-authorization"}


def send(content: bytes = CONTENT, length: int | None = None) -> Answer:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(content) if length is None else length))
        handler.end_headers()
        handler.wfile.write(content)
        handler.close_connection = True

    return answer


def redirect(place: Callable[[str], str], status: int = 302) -> Answer:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        if handler.path == "/file":
            send()(handler)
            return
        handler.send_response(status)
        handler.send_header("Location", place(handler.headers["Host"]))
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return answer


def got(url: str, rules: DownloadRules = FREE) -> bytes:
    pieces: list[bytes] = []
    fetch(url, pieces.append, rules)
    return b"".join(pieces)


@pytest.mark.parametrize(
    "text",
    [
        "127.0.0.1", "127.9.9.9", "0.0.0.0",  # noqa: S104 - what may not be reached
         "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
        "224.0.0.1", "255.255.255.255", "240.0.0.1", "192.0.2.1", "198.18.0.1", "::", "::1", "fe80::1", "fc00::1",
        "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "2002:7f00:1::", "2002:c0a8:101::1",
        "64:ff9b::7f00:1", "64:ff9b::a00:1", "::127.0.0.1", "::a00:1", "fec0::1", "2001:db8::1",
        "2001:0:7f00:1:0:0:80ff:fffe",
    ],
)  # fmt: skip
def test_what_is_not_of_the_internet(text: str) -> None:
    assert not is_public(ipaddress.ip_address(text))


@pytest.mark.parametrize(
    "text", ["8.8.8.8", "140.82.121.3", "2606:50c0:8000::153", "::ffff:8.8.8.8", "64:ff9b::808:808"]
)
def test_what_is_of_the_internet(text: str) -> None:
    assert is_public(ipaddress.ip_address(text))


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "127.1", "0", "[::1]", "[::ffff:127.0.0.1]"]
)
def test_this_machine_is_not_reached_under_any_of_its_names(host: str) -> None:
    asked: list[str] = []
    with served(lambda handler: asked.append(handler.path)) as url:
        port = url.rsplit(":", 1)[1]
        with pytest.raises((InvalidInputError, NotFoundError), match=r"to this machine|could not be fetched"):
            got(f"http://{host}:{port}x", DownloadRules())
    assert asked == []


def test_the_error_names_the_setting() -> None:
    with served(send()) as url, pytest.raises(InvalidInputError, match="ELEPHANT_ALLOW_PRIVATE_ADDRESSES"):
        got(url, DownloadRules())


def test_private_addresses_where_they_are_allowed() -> None:
    with served(send()) as url:
        assert got(url) == CONTENT
        assert got(url, DownloadRules(trusted_host="127.0.0.1")) == CONTENT


def test_a_name_is_looked_up_once_and_what_was_judged_is_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that stands for a public address when it is judged, and for this machine when it is connected to."""
    looked_up: list[str] = []
    real = socket.getaddrinfo

    def rebinding(host: str, *arguments: object, **options: object) -> object:
        if host == "127.0.0.1":  # threads of other tests look for their services
            return real(host, *arguments, **options)
        looked_up.append(host)
        port = arguments[0]
        return real("127.0.0.1", port, type=socket.SOCK_STREAM) if len(looked_up) == 1 else real("8.8.8.8", port)

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    with served(send()) as url:
        assert got(url.replace("127.0.0.1", "models.example")) == CONTENT
    assert looked_up == ["models.example"]


def test_one_private_address_among_public_ones_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    places = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, 80)) for ip in ("8.8.8.8", "10.0.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *arguments, **options: places)
    with pytest.raises(InvalidInputError, match=r"10\.0\.0\.1"):
        got("http://both.example/x.pth", DownloadRules())


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_followed(status: int) -> None:
    with served(redirect(lambda host: f"http://{host}/file", status)) as url:
        assert got(url) == CONTENT
    with served(redirect(lambda host: "/file", status)) as url:
        assert got(url) == CONTENT


@pytest.mark.parametrize(
    "place",
    [
        "http://127.0.0.2:80/",
        "http://[::1]/",
        "http://169.254.169.254/latest/meta-data/",
        "file:///etc/passwd",
        "ftp://127.0.0.1/x",
        "//10.0.0.1/x",
    ],
)
def test_redirects_are_judged_like_the_first_address(place: str) -> None:
    with served(redirect(lambda host: place)) as url, pytest.raises(InvalidInputError):
        got(url, DownloadRules(trusted_host="127.0.0.1"))


def test_redirects_are_limited() -> None:
    again = redirect(lambda host: f"http://{host}/again")
    with served(again) as url, pytest.raises(NotFoundError, match="redirects more than 5 times"):
        got(url)


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd", "ftp://x/y", "gopher://x", "http://", "http:///x", "https://:80/", "nonsense", "",
        "http://user:secret@8.8.8.8/x", "http://8.8.8.8:99999/", "http://8.8.8.8/\r\nX: y", "http://8.8.8.8/a b",
        "http://[::1", "http://8.8.8.8/ä", "http://\0/", "javascript:alert(1)",
    ],
)  # fmt: skip
def test_invalid_addresses(url: str) -> None:
    with pytest.raises(InvalidInputError, match="address") as raised:
        got(url, DownloadRules())
    assert "secret" not in str(raised.value)


def test_a_name_that_stands_for_nothing() -> None:
    with pytest.raises(NotFoundError, match="could not be fetched"):
        got("http://no-such-host.invalid/x.pth", DownloadRules())


@pytest.mark.parametrize("length", [None, len(CONTENT)])
def test_files_that_are_too_large(length: int | None) -> None:
    small = replace(FREE, largest_bytes=len(CONTENT) - 1)

    def unmeasured(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        handler.wfile.write(CONTENT)
        handler.close_connection = True

    with served(unmeasured if length is None else send()) as url:
        with pytest.raises(InvalidInputError, match=r"larger than \d+ "):
            got(url, small)
        assert got(url, replace(FREE, largest_bytes=len(CONTENT))) == CONTENT


def test_a_file_that_ends_too_early() -> None:
    with served(send(length=len(CONTENT) + 1)) as url, pytest.raises(NotFoundError, match="could not be fetched"):
        got(url)


def drip(part: str) -> Answer:
    """Send a byte now and then, and never come to an end: of the head or of the body."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        if part == "body":
            handler.send_response(200)
            handler.send_header("Content-Length", "100000")
            handler.end_headers()
        elif part == "head":
            handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        for _ in range(600):
            if part != "nothing":
                handler.wfile.write(b"x")
            time.sleep(0.05)

    return answer


@pytest.mark.parametrize("part", ["body", "head", "nothing"])
def test_a_slow_server_comes_to_an_end(part: str) -> None:
    with served(drip(part)) as url, pytest.raises(NotFoundError, match="longer than 1 s"):
        got(url, replace(FREE, longest_s=1))


def test_an_abort_ends_a_slow_fetch(tmp_path: Path) -> None:
    class Aborted:
        def __init__(self) -> None:
            self.asked = 0

        def check(self) -> None:
            self.asked += 1
            if self.asked > 2:
                raise Cancelled

    with served(drip("body")) as url:
        pretrained = Pretrained(tmp_path, rules=FREE)
        with pytest.raises(Cancelled), ModelSource(url).weights(pretrained, Aborted()):
            pass
    assert list(tmp_path.iterdir()) == []


def test_the_environment_has_no_effect(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1/")
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login a password b")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    with served(send()) as url:
        assert got(url) == CONTENT


def test_the_administrators_address_may_be_private_but_not_where_it_leads(tmp_path: Path) -> None:
    with served(send()) as url:
        assert Pretrained(tmp_path / "a", url).get("x.pth").read_bytes() == CONTENT
    with served(redirect(lambda host: "http://127.0.0.3/x")) as url, pytest.raises(InvalidInputError):
        Pretrained(tmp_path / "b", url).get("x.pth")
    assert list((tmp_path / "b").iterdir()) == []


def test_a_users_address_may_not_be_private(tmp_path: Path) -> None:
    with served(send()) as url:
        pretrained = Pretrained(tmp_path, url)
        with pytest.raises(InvalidInputError), ModelSource(url + "x.pth").weights(pretrained):
            pass


def test_what_may_be_secret_in_an_address_is_not_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    with served(send()) as url:
        source = ModelSource(url + "x.pth?signature=secret")
        with source.weights(Pretrained(tmp_path, rules=FREE)) as weights:
            assert weights.path.read_bytes() == CONTENT
            assert summary(weights.entry) == f"started from {url}x.pth"
    assert "SHA-256" in caplog.text
    assert "secret" not in caplog.text
