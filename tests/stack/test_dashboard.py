"""The dashboard of a running server in a real browser, as a person sees it."""

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests

from elephant.dataset import Dataset
from elephant.models.ensemble import Ensemble
from elephant.models.history import Entry
from elephant.models.unet import DetectionNet
from stack.player import Player, blobs, spot, train_body
from stack.running import RunningServer, wait_until

playwright = pytest.importorskip("playwright.sync_api", reason="the browser tests need playwright: make setup-dev")
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [
    pytest.mark.stack,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: apt-get install chromium, or name one in CHROMIUM"),
]

ARGUMENTS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
)
NAME, SHAPE = "looked/at", (8, 40, 48)
LARGEST_PAGE = 300_000
PATIENCE_S = 60


class Visit:
    """A page that is open, with what the browser had to complain about."""

    def __init__(self, browser: Any, server: RunningServer, width: int = 1280, scheme: str = "light") -> None:
        self.context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        self.page = self.context.new_page()
        self.page.set_default_timeout(1000 * PATIENCE_S)
        self.complaints: list[str] = []
        self.addresses: list[str] = []
        self.n_bytes = 0
        self.page.on("console", lambda m: m.type in ("error", "warning") and self.complaints.append(m.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.addresses.append(request.url))
        wire = self.context.new_cdp_session(self.page)
        wire.send("Network.enable")
        wire.on("Network.loadingFinished", self._count)
        wire.on("Network.dataReceived", lambda _: None)
        self._server = server

    def _count(self, event: dict[str, Any]) -> None:
        self.n_bytes += int(event["encodedDataLength"])

    def open(self) -> "Visit":
        self.page.goto(self._server.base_url)
        self.wait("document.querySelector('#connection').dataset.is === 'live'")
        return self

    def wait(self, condition: str) -> None:
        """Return when JavaScript is true; asked from outside, because the page's policy lets nothing in it do so."""
        end = time.monotonic() + PATIENCE_S
        while not self.page.evaluate(condition):
            assert time.monotonic() < end, f"waited {PATIENCE_S} s for {condition}; the page: {self.text('body')}"
            self.page.wait_for_timeout(100)

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
def player(server: RunningServer) -> Player:
    """Return a client whose dataset has labels at 0, and kept probabilities of one nucleus at 1."""
    client = Player(server)
    frames = np.stack([blobs(SHAPE, 6, seed=t)[0] for t in range(3)])
    assert client.make_dataset(NAME, frames).status_code == 200
    body = {"dataset_name": NAME, "scales": [1, 1, 2], "spots": [spot(0, np.array([8, 20, 24]))], "is_3d": True}
    assert client.post("seg/update", {**body, "c_ratio": 0.4, "auto_bg_thresh": 0}).json() == {"completed": True}
    model, path = Ensemble([DetectionNet(3, 0)]), server.workspace / "models" / "looked.pth"
    model.save(path, Entry(what="pretrained", source="versatile3d.pth"))
    entry = Entry(what="training", dataset=NAME, timepoints=(0, 3), annotated="spots", n_annotations=152, lr=5e-5)
    model.save(path, entry.model_copy(update={"epochs": 20, "steps": 400, "loss": 0.031}))
    probabilities = np.zeros((*SHAPE, 3), dtype=np.float16)
    probabilities[3:6, 17:24, 20:29, 2] = 0.9
    Dataset(server.workspace / "datasets" / NAME).write_probabilities(1, probabilities)
    return client


@pytest.fixture
def visit(browser: Any, server: RunningServer, player: Player) -> Iterator[Visit]:
    made = Visit(browser, server)
    yield made
    made.context.close()


def see_the_dataset(visit: Visit) -> None:
    visit.page.click(f"#datasets button:text-is('{NAME}')")
    visit.wait("Number(document.querySelector('.plane.xy canvas').dataset.labelled) > 0")


def test_the_page_is_small_and_whole_and_comes_from_the_server_alone(visit: Visit, server: RunningServer) -> None:
    visit.open()
    visit.page.wait_for_selector(f"#datasets button:text-is('{NAME}')")
    visit.wait("document.querySelector('#log').children.length > 0")
    visit.page.wait_for_timeout(500)
    assert visit.complaints == []
    assert 5_000 < visit.n_bytes < LARGEST_PAGE
    assert all(address.startswith(server.base_url) for address in visit.addresses)
    assert visit.text("#state") == "Idle"
    assert visit.page.query_selector("#abort:not([hidden])") is None


def test_a_model_tells_what_it_was_trained_on_and_opens_with_the_keyboard(visit: Visit) -> None:
    visit.open()
    visit.wait("document.querySelector('#models details') !== null")
    told = visit.text("#models summary")
    text = f"trained on {NAME}: timepoints 0, 3 · 152 spots · 20 epochs · loss 0.031"
    assert told in (f"{text} · just now", f"{text} · 1 min ago", f"{text} · 2 min ago")
    assert visit.page.is_hidden("#models small")
    visit.page.focus("#models summary")
    visit.page.keyboard.press("Enter")
    visit.wait("document.querySelector('#models details').open")
    assert "400 steps · learning rate 5e-05 · before it: generation 1" in visit.text("#models")
    assert visit.text("#models").count("started from the pretrained model versatile3d.pth") == 2
    visit.page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")  # the list is made anew
    visit.page.wait_for_timeout(1000)
    assert visit.page.evaluate("document.activeElement === document.querySelector('#models details[open] summary')")
    assert visit.complaints == []


def test_a_training_is_seen_held_and_aborted(visit: Visit, player: Player) -> None:
    visit.open()
    spots = [spot(0, np.array([8.0, 20, 24]))]
    body = train_body(NAME, spots, n_epochs=500, n_crops=4, model_name="looked.pth", scales=[1, 1, 2])
    body["crop_size"] = [16, 16, 8]
    training = player.later("seg/train", body)
    visit.wait("document.querySelector('#state').textContent === 'Running'")
    visit.wait("/epoch \\d+.*step \\d+ of 2000/.test(document.querySelector('#jobs').textContent)")
    visit.wait("/Training: epoch/.test(document.querySelector('#log').textContent)")
    visit.wait("document.querySelectorAll('#curves canvas').length >= 2")
    assert "Training detection" in visit.text("#jobs")
    visit.wait("/left/.test(document.querySelector('#jobs').textContent)")
    visit.page.click("#hold")
    visit.wait("document.querySelector('#state').textContent === 'Held'")
    assert player.state() == 2
    visit.page.click("#hold")
    visit.wait("document.querySelector('#state').textContent === 'Running'")
    visit.page.click("#abort")
    visit.page.click("dialog button:text-is('Let it go on')")
    assert player.state() == 1
    visit.page.click("#abort")
    visit.page.click("dialog button:text-is('Abort')")
    visit.wait("document.querySelector('#state').textContent === 'Idle'")
    assert training.result(60).json() == {"completed": False}
    assert visit.complaints == []


def test_labels_and_found_nuclei_lie_over_the_image_and_the_keyboard_moves_it(visit: Visit, player: Player) -> None:
    visit.open()
    see_the_dataset(visit)
    page = visit.page
    assert page.input_value("#voxel-z") == "2"
    tall = page.evaluate("['xy', 'xz'].map((n) => document.querySelector(`.plane.${n} canvas`).clientHeight)")
    assert tall[1] / tall[0] == pytest.approx(8 * 2 / 40, rel=0.05)
    before = visit.xy("labelled")
    page.focus("#slice-z")
    page.keyboard.press("ArrowLeft")
    assert page.input_value("#slice-z") == "3"
    page.keyboard.press("]")
    assert page.input_value("#slice-z") == "4"
    page.keyboard.press("l")
    visit.wait("document.querySelector('.plane.xy canvas').dataset.labelled === '0'")
    page.keyboard.press("l")
    visit.wait(f"Number(document.querySelector('.plane.xy canvas').dataset.labelled) === {before}")
    page.keyboard.press(".")
    visit.wait("document.querySelector('.plane.xy canvas').dataset.cuts === '1'")
    assert "1 nuclei" in visit.text("#viewer-note")
    page.keyboard.press("p")
    page.fill("#p-thresh", "0.95")
    page.press("#p-thresh", "Tab")
    visit.wait("document.querySelector('.plane.xy canvas').dataset.cuts === '0'")
    assert visit.complaints == []


def test_a_plane_stands_alone_where_there_is_no_depth(visit: Visit, player: Player, server: RunningServer) -> None:
    frames = np.stack([blobs(SHAPE, 6, seed=t)[0][:1] for t in range(2)])
    assert player.make_dataset("flat", frames, is_2d=True).status_code == 200
    probabilities = np.zeros((*SHAPE[1:], 3), dtype=np.float16)
    probabilities[17:24, 20:29, 2] = 0.9
    Dataset(server.workspace / "datasets" / "flat").write_probabilities(0, probabilities)
    visit.open()
    visit.page.click("#datasets button:text-is('flat')")
    visit.wait("document.querySelector('.plane.xy canvas').dataset.cuts === '1'")
    assert visit.page.is_hidden(".plane.xz")
    assert visit.page.is_hidden("#slice-z")
    assert visit.complaints == []


def test_labels_that_are_written_meanwhile_appear(visit: Visit, player: Player) -> None:
    visit.open()
    see_the_dataset(visit)
    visit.page.focus("#time")
    for _ in range(2):
        visit.page.keyboard.press("ArrowRight")
    visit.wait("document.querySelector('.plane.xy canvas').dataset.labelled === '0'")
    body = {"dataset_name": NAME, "scales": [1, 1, 2], "spots": [spot(2, np.array([8, 20, 24]))], "is_3d": True}
    assert player.post("seg/update", {**body, "c_ratio": 0.4, "auto_bg_thresh": 0}).json() == {"completed": True}
    visit.wait("Number(document.querySelector('.plane.xy canvas').dataset.labelled) > 0")


def test_pages_that_are_gone_leave_their_streams_to_others(server: RunningServer) -> None:
    def opened() -> requests.Response:
        return requests.get(server.base_url + "dashboard/api/events", stream=True, timeout=60)

    streams = [opened() for _ in range(30)]
    refused = [stream for stream in streams if stream.status_code == 503]
    assert 0 < len(refused) < len(streams), "some have a stream, and not all of them"
    assert all("try again" in stream.json()["error"] for stream in refused)
    assert requests.get(server.base_url + "state/gpus", timeout=10).status_code == 200
    for stream in streams:
        stream.close()

    def is_open_again() -> bool:
        with opened() as stream:
            return stream.status_code == 200

    wait_until(is_open_again, 60, "a stream")


def test_without_a_stream_the_page_asks(visit: Visit, player: Player) -> None:
    visit.page.route("**/dashboard/api/events", lambda route: route.abort())
    visit.page.goto(player.server.base_url)
    visit.wait("document.querySelector('#connection').dataset.is === 'polling'")
    player.post("seg/update", {"dataset_name": "nowhere", "reset": True})
    visit.wait("/nowhere/.test(document.querySelector('#log').textContent)")


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (360, "dark")])
def test_everybody_can_use_it(browser: Any, server: RunningServer, player: Player, width: int, scheme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.base")
    visit = Visit(browser, server, width, scheme).open()
    try:
        see_the_dataset(visit)
        page = visit.page
        page.click("#models summary")
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        dark = page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).every((c) => c < 128)")
        assert dark == (scheme == "dark")
        page.evaluate(Path(axe.AXE_FILE_PATH).read_text())
        found = page.evaluate("axe.run({ resultTypes: ['violations'] })")["violations"]
        serious = [
            (v["id"], [node["html"] for node in v["nodes"]]) for v in found if v["impact"] in ("serious", "critical")
        ]
        assert serious == []
        page.keyboard.press("Tab")
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline != "none"
    finally:
        visit.context.close()
