"""A real browser that visits the dashboard of a running server."""

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stack.running import RunningServer

playwright = pytest.importorskip("playwright.sync_api", reason="the browser tests need playwright: make setup-dev")
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
needs_chromium = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium: apt-get install chromium, or name one in CHROMIUM"
)
ARGUMENTS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
)
PATIENCE_S = 60


class Visit:
    """A page that is open, with what the browser had to complain about.

    It is in a `context` of others, of which the browser knows the files of the page, or in one of its own.
    """

    def __init__(
        self, browser: Any, server: RunningServer, width: int = 1280, scheme: str = "light", *, context: Any = None
    ) -> None:
        self._is_guest = context is not None
        self.context = context or browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        self.page = self.context.new_page()
        self.page.set_default_timeout(1000 * PATIENCE_S)
        self.complaints: list[str] = []
        self.addresses: list[str] = []
        self.bytes_of: dict[str, int] = {}
        self._address_of: dict[str, str] = {}
        self.page.on("console", lambda m: m.type in ("error", "warning") and self.complaints.append(m.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.addresses.append(request.url))
        wire = self.context.new_cdp_session(self.page)
        wire.send("Network.enable")
        wire.on("Network.requestWillBeSent", lambda e: self._address_of.update({e["requestId"]: e["request"]["url"]}))
        wire.on("Network.loadingFinished", self._count)
        self._server = server

    def _count(self, event: dict[str, Any]) -> None:
        self.bytes_of[self._address_of[event["requestId"]]] = int(event["encodedDataLength"])

    def open(self) -> "Visit":
        self.page.goto(self._server.base_url)
        self.wait("document.querySelector('#connection').dataset.is === 'live'")
        return self

    def end(self) -> None:
        """Close the page, and forget what it kept in the browser."""
        if not self._is_guest:
            self.context.close()
            return
        if self.page.url.startswith("http"):
            self.page.evaluate("localStorage.clear()")
        self.page.close()

    def wait(self, condition: str) -> None:
        """Return when JavaScript is true; asked from outside, because the page's policy lets nothing in it do so."""
        end = time.monotonic() + PATIENCE_S
        while not self._holds(condition):
            assert time.monotonic() < end, f"waited {PATIENCE_S} s for {condition}; the page: {self.text('body')}"
            self.page.wait_for_timeout(100)

    def _holds(self, condition: str) -> bool:
        try:
            return bool(self.page.evaluate(condition))
        except playwright.Error as error:
            # Asked just as one page gives way to the next.
            if "context was destroyed" not in str(error):
                raise
            return False

    def text(self, selector: str) -> str:
        return str(self.page.inner_text(selector))

    def xy(self, name: str) -> int:
        return int(self.page.get_attribute(".plane.xy canvas", f"data-{name}") or -1)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        found = driver.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        yield found
        found.close()


@pytest.fixture(scope="module")
def visited(browser: Any) -> Iterator[Any]:
    """Give a context for one visit after the other: to open the page in a new one takes three times as long."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, color_scheme="light")
    yield context
    context.close()


def barriers(page: Any, selector: str | None = None) -> list[tuple[str, list[str]]]:
    """Return what of a page, or of a part of it, keeps somebody from using it: the rule, and where it is broken."""
    axe = pytest.importorskip("axe_playwright_python.base")
    page.evaluate(Path(axe.AXE_FILE_PATH).read_text())
    asked = "document" if selector is None else f"{selector!r}"
    found = page.evaluate(f"axe.run({asked}, {{ resultTypes: ['violations'] }})")["violations"]
    return [(v["id"], [node["html"] for node in v["nodes"]]) for v in found if v["impact"] in ("serious", "critical")]
