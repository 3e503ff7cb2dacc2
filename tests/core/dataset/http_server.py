"""A web server on this machine that serves a folder, as well or as badly as a test asks for."""

import hashlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


@dataclass
class Site:
    """What a server serves, and what it was asked for.

    Attributes
    ----------
    folder
        Its files.
    asked
        The path, and the status of the answer, of every request.
    misbehave
        Answers a request in place of the server and returns True, or False to let it answer.
    ranges
        Whether parts can be asked for.
    versions
        Whether it gives an ETag.
    """

    folder: Path
    url: str = ""
    asked: list[tuple[str, int]] = field(default_factory=list)
    misbehave: Callable[["Handler"], bool] = lambda _: False
    ranges: bool = True
    versions: bool = True
    headers: dict[str, str] = field(default_factory=dict)
    ended: threading.Event = field(default_factory=threading.Event)

    def paths(self, status: int = 200) -> list[str]:
        """Return the paths that were asked for and answered with a status."""
        return [path for path, answered in self.asked if answered == status]


class Handler(BaseHTTPRequestHandler):
    """Answers a request."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    site: Site

    def do_GET(self) -> None:
        """Answer with a file, a part of it, 304 or 404."""
        if self.site.misbehave(self):
            return
        path = self.site.folder / self.path.lstrip("/")
        if not path.is_file():
            self.answer(404, b"no such file")
            return
        content = path.read_bytes()
        version = f'"{hashlib.sha1(content + str(path.stat().st_mtime_ns).encode()).hexdigest()}"'  # noqa: S324
        headers = {"ETag": version} if self.site.versions else {}
        if self.site.versions and self.headers.get("If-None-Match") == version:
            self.answer(304, b"", headers)
        elif (part := self.headers.get("Range")) and self.site.ranges:
            self.part(content, part, headers)
        else:
            self.answer(200, content, headers)

    def part(self, content: bytes, wanted: str, headers: dict[str, str]) -> None:
        """Answer with a part of a file."""
        first, last = wanted.removeprefix("bytes=").split("-")
        start = int(first) if first else max(len(content) - int(last), 0)
        end = min(int(last) + 1, len(content)) if first and last else len(content)
        stated = {"Content-Range": f"bytes {start}-{end - 1}/{len(content)}"}
        self.answer(206, content[start:end], headers | stated)

    def answer(self, status: int, content: bytes, headers: dict[str, str] | None = None) -> None:
        """Send an answer."""
        self.site.asked.append((self.path, status))
        self.send_response(status)
        for name, value in ((headers or {}) | self.site.headers).items():
            self.send_header(name, value)
        if status != 304:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def wait(self, seconds: float) -> None:
        """Wait, but not longer than the test lasts."""
        self.site.ended.wait(seconds)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of the library
        """Print nothing."""


@contextmanager
def serving(folder: Path) -> Iterator[Site]:
    """Serve a folder on a free port."""
    site = Site(folder)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("OfSite", (Handler,), {"site": site}))
    server.daemon_threads = True
    site.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield site
    finally:
        site.ended.set()
        server.shutdown()
        server.server_close()
        thread.join()
