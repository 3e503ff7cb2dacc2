"""The dashboard as a browser shows it, while the demonstration runs and afterwards."""

import contextlib
import io
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image

from _pictures.drawing import IMAGES

ROOT = Path(__file__).parents[2]
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
ARGUMENTS = ("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking")
PATIENCE_S = 600.0
HALF_WAY = "/step (4[5-9]|[5-9]\\d) of 100/.test(document.querySelector('#jobs').textContent)"
DRAWN = "Number(document.querySelector('.plane.xy canvas').dataset.cuts) > 0"


def take(folder: Path) -> None:
    """Start a server in `folder`, play the demonstration, and take pictures of the dashboard."""
    shutil.rmtree(folder / "seen", ignore_errors=True)  # or the curves would begin with those of the last time
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    values = {"ELEPHANT_HTTP_PORT": str(port), "ELEPHANT_WORKSPACE": str(folder / "seen")}
    environment = os.environ | values | {"ELEPHANT_PRETRAINED_URL": ""}
    with _running([sys.executable, "-m", "elephant_server.embedded"], folder, environment):
        url = f"http://localhost:{port}/"
        _wait_for(url)
        with _page(url) as page:
            demo = [sys.executable, str(ROOT / "script" / "demo.py"), "--output", str(folder / "demo")]
            with _running(demo, folder, environment) as playing:
                _wait(page, HALF_WAY)
                _picture(page, "tutorial-dashboard.webp", page.query_selector("main"), height=432)
                playing.wait(PATIENCE_S)
            _look_at_the_dataset(page)
            _picture(page, "tutorial-viewer.webp", page.query_selector(".viewer"), height=945)
    drawn = Image.open(next((folder / "demo").glob("*.png"))).convert("RGB")
    drawn.quantize(128).save(IMAGES / "demo.png", optimize=True)


def _look_at_the_dataset(page: Any) -> None:
    """Open the dataset and go to the timepoint that was predicted."""
    page.click("#datasets button:text-is('demo')")
    page.focus("#time")
    page.keyboard.press("ArrowRight")
    _wait(page, DRAWN)
    page.wait_for_timeout(1500)


@contextlib.contextmanager
def _page(url: str) -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        page = browser.new_page(viewport={"width": 1280, "height": 900}, color_scheme="dark")
        page.goto(url)
        yield page
        browser.close()


def _picture(page: Any, name: str, element: Any, height: int | None = None) -> None:
    taken = Image.open(io.BytesIO(element.screenshot())).convert("RGB")
    if height is not None:
        taken = taken.crop((0, 0, taken.width, min(height, taken.height)))
    taken.save(IMAGES / name, quality=80, method=6)
    print(f"{name}: {(IMAGES / name).stat().st_size / 1024:.0f} KiB")
    page.wait_for_timeout(1)


@contextlib.contextmanager
def _running(command: list[str], folder: Path, environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(command, cwd=folder, env=environment)  # noqa: S603 - one of ours
    try:
        yield process
    finally:
        process.terminate()
        process.wait(60)


def _wait(page: Any, condition: str) -> None:
    """Return when JavaScript is true, asked from outside: the page's policy lets nothing in it do so."""
    end = time.monotonic() + PATIENCE_S
    while not page.evaluate(condition):
        if time.monotonic() > end:
            raise TimeoutError(f"waited {PATIENCE_S:.0f} s for {condition}")
        page.wait_for_timeout(200)


def _wait_for(url: str) -> None:
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        with contextlib.suppress(OSError), urllib.request.urlopen(url + "state/gpus", timeout=5):  # noqa: S310
            return
        time.sleep(0.5)
    raise TimeoutError(f"no server answers at {url}")
