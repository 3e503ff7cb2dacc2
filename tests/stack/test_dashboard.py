"""The dashboard of a running server in a real browser, as a person sees it."""

import json
import re
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
from elephant.models.provenance import HeldOutScore, ProvenanceEntry
from elephant.models.unet import DetectionNet
from stack.browsing import PATIENCE_S, Visit, barriers, browser, needs_chromium, visited
from stack.player import Player, blobs, predict_body, spot, train_body, update_body
from stack.running import RunningServer, settings_of, wait_until

__all__ = ["browser", "visited"]

pytestmark = [pytest.mark.stack, needs_chromium]

NAME, SHAPE = "looked/at", (8, 40, 48)
LARGEST_PAGE = 100_000  # all its files, compressed; what it then shows is as long as the server's log and lists are


@pytest.fixture(scope="module")
def player(server: RunningServer) -> Player:
    """Return a client whose dataset has labels at 0, and kept probabilities of one nucleus at 1."""
    client = Player(server)
    frames = np.stack([blobs(SHAPE, 6, seed=t)[0] for t in range(3)])
    assert client.make_dataset(NAME, frames).status_code == 200
    labels = update_body(NAME, [spot(0, np.array([8, 20, 24]))], scales=[1, 1, 2])
    assert client.post("seg/update", labels).json() == {"completed": True}
    model, path = Ensemble([DetectionNet(3, 0)]), server.workspace / "models" / "looked.pth"
    model.save(path, ProvenanceEntry(what="pretrained", source="versatile3d.pth"))
    entry = ProvenanceEntry(
        what="training", dataset=NAME, timepoints=(0, 3), annotated="spots", n_annotations=152, lr=5e-5
    )
    model.save(path, entry.model_copy(update={"epochs": 20, "steps": 400, "loss": 0.031}))
    probabilities = np.zeros((*SHAPE, 3), dtype=np.float16)
    probabilities[3:6, 17:24, 20:29, 2] = 0.9
    folder = server.workspace / "datasets" / NAME
    Dataset(folder).write_probabilities(1, probabilities)
    (folder / "truth.csv").write_text("t,x,y,z,radius\n0,8,20,24,3\n")
    return client


@pytest.fixture
def visit(browser: Any, visited: Any, server: RunningServer, player: Player) -> Iterator[Visit]:
    made = Visit(browser, server, context=visited)
    yield made
    made.end()


@pytest.fixture
def first_visit(browser: Any, server: RunningServer, player: Player) -> Iterator[Visit]:
    """Give that of a browser that knows nothing of the page yet."""
    made = Visit(browser, server)
    yield made
    made.end()


def see_the_dataset(visit: Visit) -> None:
    visit.page.click(f"#datasets button:text-is('{NAME}')")
    visit.wait("Number(document.querySelector('.plane.xy canvas').dataset.labelled) > 0")


def test_the_page_is_small_and_whole_and_comes_from_the_server_alone(first_visit: Visit, server: RunningServer) -> None:
    visit = first_visit.open()
    visit.page.wait_for_selector(f"#datasets button:text-is('{NAME}')")
    visit.wait("document.querySelector('#log').children.length > 0")
    visit.page.wait_for_timeout(500)
    assert visit.complaints == []
    files = {address: n_bytes for address, n_bytes in visit.bytes_of.items() if "/dashboard/api/" not in address}
    assert 5_000 < sum(files.values()) < LARGEST_PAGE, files
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
    visit.wait("document.querySelector('#models details[open] small') !== null")
    assert "400 steps · learning rate 5e-05 · previous version: 1" in visit.text("#models")
    assert visit.text("#models").count("started from the pretrained model versatile3d.pth") == 2
    visit.page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")  # the list is made anew
    visit.page.wait_for_timeout(1000)
    assert visit.page.evaluate("document.activeElement === document.querySelector('#models details[open] summary')")
    assert visit.complaints == []


def test_a_training_is_seen_held_and_aborted(visit: Visit, player: Player) -> None:
    visit.open()
    spots = [spot(0, np.array([8.0, 20, 24]))]
    body = train_body(NAME, spots, n_epochs=500, n_crops=4, model_name="looked.pth", scales=[1, 1, 2])
    body |= {"crop_size": [16, 16, 8], "log_dir": None}
    training = player.later("seg/train", body)
    visit.wait("document.querySelector('#state').textContent === 'Running'")
    visit.wait("/epoch \\d+.*step \\d+ of 2000/.test(document.querySelector('#jobs').textContent)")
    visit.wait("/Training: epoch/.test(document.querySelector('#log').textContent)")
    visit.wait("document.querySelectorAll('#curves canvas').length >= 2")
    visit.wait("/looked.pth, no log folder/.test(document.querySelector('#run').selectedOptions[0].textContent)")
    assert "Training the detection model" in visit.text("#jobs")
    visit.wait("/left/.test(document.querySelector('#jobs').textContent)")
    visit.page.click("#hold")
    visit.wait("document.querySelector('#state').textContent === 'Paused'")
    assert player.state() == 2
    visit.page.click("#hold")
    visit.wait("document.querySelector('#state').textContent === 'Running'")
    visit.page.click("#abort")
    visit.page.click("dialog button:text-is('Keep running')")
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
    assert visit.text("#voxel-note") == ""
    tall = page.evaluate("['xy', 'xz'].map((n) => document.querySelector(`.plane.${n} canvas`).clientHeight)")
    assert tall[1] / tall[0] == pytest.approx(8 * 2 / 40, rel=0.05)
    before = visit.xy("labelled")
    page.focus("#slice-z")
    page.keyboard.press("ArrowLeft")
    assert page.input_value("#slice-z") == "3"
    page.keyboard.press("]")
    assert page.input_value("#slice-z") == "4"
    assert page.input_value("#show-labels") == "outlines"
    page.keyboard.press("l")
    page.keyboard.press("l")
    visit.wait("document.querySelector('.plane.xy canvas').dataset.labelled === '0'")
    page.keyboard.press("l")
    visit.wait(f"Number(document.querySelector('.plane.xy canvas').dataset.labelled) === {before}")
    page.keyboard.press(".")
    visit.wait("document.querySelector('.plane.xy canvas').dataset.cuts === '1'")
    assert "1 nucleus found" in visit.text("#viewer-note")
    page.keyboard.press("p")
    page.fill("#p-thresh", "0.95")
    visit.wait("document.querySelector('.plane.xy canvas').dataset.cuts === '0'")
    assert visit.complaints == []


def test_keys_work_wherever_the_focus_is_but_not_while_typing_and_can_be_turned_off(visit: Visit) -> None:
    visit.open()
    see_the_dataset(visit)
    page = visit.page
    for place in ("#log", "#models", "button:text-is('Auto contrast')", "#content"):
        before = page.input_value("#slice-z")
        page.focus(place)
        page.keyboard.press("]")
        assert int(page.input_value("#slice-z")) == int(before) + 1, place
        page.keyboard.press("[")
    for place in ("#voxel-z", "#viewer-dataset"):
        page.focus(place)
        page.keyboard.press("]")
        assert page.input_value("#slice-z") == before, place
    page.click(".help summary")
    page.uncheck("#keys")
    page.focus("#log")
    page.keyboard.press("]")
    assert page.input_value("#slice-z") == before
    page.reload()
    page.wait_for_selector(".help", timeout=60_000)
    assert not page.is_checked("#keys")


def test_wheel_and_drag_move_through_slices_and_zoom(visit: Visit) -> None:
    visit.open()
    see_the_dataset(visit)
    page = visit.page

    def corner() -> tuple[float, float, float, float]:
        """Return where the middle of voxel 12, 10 is, and how large the plane is; what loads above may move it."""
        page.evaluate("document.querySelector('.plane.xy').scrollIntoView()")
        box = page.query_selector(".plane.xy canvas").bounding_box()
        return (
            box["x"] + box["width"] * 12.5 / SHAPE[2],
            box["y"] + box["height"] * 10.5 / SHAPE[1],
            box["width"],
            box["height"],
        )

    def turn(by: int, condition: str) -> None:
        end = time.monotonic() + PATIENCE_S
        while not page.evaluate(condition):
            assert time.monotonic() < end, condition
            page.mouse.move(*corner()[:2])
            page.wait_for_timeout(300)  # while the page scrolls the wheel is the page's
            page.mouse.wheel(0, by)
            page.wait_for_timeout(50)

    visit.wait(
        "document.querySelectorAll('#curves canvas').length > 0 || !document.querySelector('#curves-empty').hidden"
    )
    turn(120, "Number(document.querySelector('#slice-z').value) > 5")
    turn(-120, "Number(document.querySelector('#slice-z').value) < 4")
    x, y, width, height = corner()
    page.mouse.move(x, y)
    page.mouse.down()
    assert (page.input_value("#slice-x"), page.input_value("#slice-y")) == ("12", "10")
    page.mouse.move(x + width / 2, y + height / 2)
    page.mouse.up()
    assert (page.input_value("#slice-x"), page.input_value("#slice-y")) == ("36", "30")
    page.keyboard.down("Control")
    turn(-120, "parseInt(document.querySelector('.zoom output').textContent) > 300")
    page.keyboard.up("Control")
    # The voxel under the pointer has stayed there.
    page.mouse.click(x, y)
    assert (page.input_value("#slice-x"), page.input_value("#slice-y")) == ("12", "10")
    # A zoomed image follows the pointer.
    page.keyboard.down("Shift")
    page.mouse.down()
    page.mouse.move(x + width / 10, y)
    page.mouse.up()
    page.keyboard.up("Shift")
    page.mouse.click(x + width / 10, y)
    assert (page.input_value("#slice-x"), page.input_value("#slice-y")) == ("12", "10")
    page.click("button:text-is('Fit')")
    assert visit.text(".zoom output") == "100%"
    assert visit.complaints == []


def test_a_reload_shows_the_same_and_an_address_that_is_out_of_date_says_so(visit: Visit) -> None:
    visit.open()
    see_the_dataset(visit)
    page = visit.page
    page.focus("#log")
    for key in (".", "]", "]"):
        page.keyboard.press(key)
    visit.wait("location.hash.includes('t=1') && location.hash.includes('z=6')")
    visit.complaints.clear()
    page.reload()
    visit.wait("document.querySelector('#time').value === '1' && document.querySelector('#slice-z').value === '6'")
    assert page.input_value("#viewer-dataset") == NAME
    page.focus(".skip")
    page.keyboard.press("Enter")
    assert "z=6" in page.evaluate("location.hash")
    page.evaluate("location.hash = '#dataset=looked%2Fat&t=99&z=2'")
    visit.wait("/leads outside/.test(document.querySelector('#viewer-note').textContent)")
    assert (page.input_value("#time"), page.input_value("#slice-z")) == ("2", "2")
    page.evaluate("location.hash = '#dataset=gone&t=1'")
    visit.wait("/There is no dataset gone/.test(document.querySelector('#viewer-note').textContent)")
    assert visit.complaints == []


def test_a_wrong_setting_is_said_beside_it_and_the_last_right_one_counts(visit: Visit) -> None:
    visit.open()
    see_the_dataset(visit)
    page = visit.page
    page.keyboard.press(".")
    visit.wait("document.querySelector('.plane.xy canvas').dataset.cuts === '1'")
    for field, value, words in (
        ("p-thresh", "1.5", "Expected from 0 to 1. Still using 0.5."),
        ("c-ratio", "0", "Expected above 0, up to 1. Still using 0.4."),
        ("r-min", "", "Enter a number. Still using 0."),
        ("voxel-z", "-1", "Expected above 0. Still using 2."),
    ):
        page.fill(f"#{field}", value)
        assert visit.text(f"#{field}-problem") == words
        assert page.get_attribute(f"#{field}", "aria-invalid") == "true"
        page.fill(f"#{field}", words.split("using ")[1].rstrip("."))
        assert visit.text(f"#{field}-problem") == ""
    page.fill("#p-thresh", "0.33")
    assert visit.text("#p-thresh-problem") == ""
    page.fill("#r-max", "3")
    page.fill("#r-min", "4")
    assert visit.text("#r-max-problem") == "Smaller than the smallest radius."
    assert visit.complaints == []


def test_what_a_prediction_found_can_be_looked_at_though_nothing_is_kept(visit: Visit, player: Player) -> None:
    visit.open()
    visit.wait("document.querySelectorAll('#datasets button').length > 0")
    body = predict_body(NAME, timepoint=2, model_name="looked.pth", p_thresh=0, scales=[1, 1, 2])
    found = player.post("seg/predict", body).json()["spots"]
    n = len(found)
    words = f"{n} nucleus found" if n == 1 else f"{n} nuclei found"
    visit.wait(f"document.querySelector('#results button')?.textContent === '{NAME}, timepoint 2'")
    assert f"{words.removesuffix(' found')}" in visit.text("#results")
    with visit.page.expect_download() as download:
        visit.page.click("#results a >> text=JSON")
    sent = json.loads(Path(download.value.path()).read_text())["spots"]
    assert len([spot for spot in sent if spot["t"] == 2]) == n
    visit.page.click("#results button >> nth=0")
    visit.wait(f"document.querySelector('#viewer-note').textContent.includes('Timepoint 2: no labels, {words}')")
    assert "looked.pth" in visit.page.inner_text("#found-from option:checked")
    assert visit.page.is_disabled("#p-thresh")
    assert visit.complaints == []


def test_missed_and_wrong_nuclei_are_marked(visit: Visit, player: Player, server: RunningServer) -> None:
    """One nucleus of the truth is where one was found, the other one is where nothing was."""
    body = predict_body(NAME, timepoint=2, model_name="looked.pth", p_thresh=0, scales=[1, 1, 2])
    found = player.post("seg/predict", body).json()["spots"]
    far = {"pos": [24, 20, 8], "radius": 0.4}
    if any(np.linalg.norm(np.subtract(far["pos"], each["pos"])) < 1 for each in found):
        far["pos"] = [6, 6, 2]
    first = found[0]
    truth = [{"t": 2, "pos": first["pos"], "covariance": first["covariance"]}, far | {"t": 2}, far | {"t": 2}]
    path = server.workspace / "datasets" / NAME / "checked.json"
    path.write_text(json.dumps({"spots": truth[:2]}))
    visit.open()
    visit.wait(f"document.querySelector('#results button')?.textContent === '{NAME}, timepoint 2'")
    visit.page.click("#results button >> nth=0")
    visit.page.select_option("#truth", "checked.json")
    visit.wait("document.querySelector('#truth-scores').textContent.startsWith('F1')")
    words = visit.text("#truth-scores")
    assert f"recall 0.500: 1 missed, {len(found) - 1} wrong" in words
    z = far["pos"][2]
    visit.page.evaluate(f"document.querySelector('#slice-z').value = {round(z / 2)}")
    visit.page.dispatch_event("#slice-z", "input")
    visit.wait("Number(document.querySelector('.plane.xy canvas').dataset.missed) === 1")
    assert "1 missed" in str(visit.page.get_attribute(".plane.xy canvas", "aria-label"))
    visit.page.select_option("#truth", "")
    visit.wait("Number(document.querySelector('.plane.xy canvas').dataset.missed) === 0")
    assert visit.text("#truth-scores") == ""
    assert visit.complaints == []


def test_while_the_connection_is_lost_nothing_is_claimed(visit: Visit) -> None:
    visit.open()
    assert visit.text("#jobs").startswith("Idle, waiting for requests")
    visit.page.route("**/dashboard/api/**", lambda route: route.abort())
    # A tab that comes back opens its stream anew.
    visit.page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    visit.wait("document.querySelector('#connection').dataset.is === 'lost'")
    assert visit.text("#connection") == "Connection lost"
    assert visit.text("#state") == "Unknown"
    assert "does not answer" in visit.text("#jobs")
    assert "Idle" not in visit.text(".now")
    assert visit.text("#devices") == ""
    visit.page.unroute("**/dashboard/api/**")
    visit.wait("document.querySelector('#state').textContent === 'Idle'")


def test_a_person_enters_the_token_on_a_page(browser: Any, tmp_path: Path) -> None:
    token = "a-token-for-this-test-alone"
    values = settings_of(tmp_path) | {"ELEPHANT_TOKEN": token}
    running = RunningServer.start(tmp_path, values, module="elephant_server.embedded")
    visit = Visit(browser, running)
    try:
        running.wait_until_serving()
        page, plain = visit.page, f"http://localhost:{running.http_port}/"
        page.goto(f"{plain}#dataset=x&t=1")
        assert visit.text("h1") == "This server requires a token"
        assert page.evaluate("document.activeElement.id") == "token"
        assert barriers(page) == []
        for given, words in (("short", "16 to 256"), ("another-token-that-is-none", "is wrong")):
            page.fill("#token", given)
            page.keyboard.press("Enter")
            visit.wait(f"document.querySelector('#problem').textContent.includes('{words}')")
            assert page.url.split("#")[0] == plain
        page.fill("#token", f"  {plain}t/{token}/ ")
        page.click("button")
        visit.wait("document.querySelector('#connection')?.dataset.is === 'live'")
        assert page.url.startswith(f"{plain}t/{token}/#dataset=x")
        assert all(address.startswith(plain) for address in visit.addresses)
        assert token not in running.output()
    finally:
        visit.end()
        running.stop()


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
    assert "The voxel size is unknown" in visit.text("#voxel-note")
    assert visit.complaints == []


def test_a_model_shows_how_it_learnt_and_a_dataset_no_figure_that_it_lacks(
    visit: Visit, server: RunningServer, player: Player
) -> None:
    grew = "#datasets [data-later=growth][data-name='looked/at']"
    visit.open()
    visit.page.click(grew)
    visit.wait("document.querySelector('dialog.later .legend') !== null")
    assert visit.text("dialog.later .legend") == "annotated nuclei (left)"
    assert "No nuclei were held out of a training yet" in visit.text("dialog.later")
    visit.page.keyboard.press("Escape")
    visit.page.click("#models summary")
    visit.wait(
        "/Nothing was held out of the last training/.test(document.querySelector('#models .learning')?.textContent)"
    )
    assert visit.page.query_selector("#models svg") is None
    best, last = (HeldOutScore(n_nuclei=12, f1=f1, precision=f1, recall=f1) for f1 in (0.94, 0.875))
    entry = ProvenanceEntry(what="training", dataset=NAME, annotated="spots", n_annotations=52, epochs=2, held_out=best)
    curve = {"curve": ((0, 0.6), (1, 0.8), (2, 0.94), (3, 0.875)), "said": ("no better: annotate elsewhere",)}
    undone = {"last": 1, "last_epochs": 3, "last_held_out": last}
    path = server.workspace / "models" / "learnt.pth"
    Ensemble([DetectionNet(3, 0)]).save(path, entry.model_copy(update=curve | undone))
    visit.page.reload()
    visit.page.click("#models details[data-model='learnt.pth'] summary")
    visit.wait("document.querySelector('#models .learning svg') !== null")
    told = visit.text("#models .learning")
    assert "F1 on 12 held-out nuclei of looked/at" in told
    assert "The best epoch, 2, was kept: F1 0.94 (precision 0.94, recall 0.94)" in told
    assert "The last epoch, 3, is version 1: F1 0.875" in told
    assert "no better: annotate elsewhere" in told
    drawn = visit.page.eval_on_selector_all("#models .learning svg text", "found => found.map((e) => e.textContent)")
    assert {"F1", "epoch", "best 0.94", "last 0.875"} <= set(drawn)
    assert "the best is 0.94 at epoch 2" in str(visit.page.get_attribute("#models .learning svg", "aria-label"))
    visit.page.click("#models .learning details summary")
    assert visit.text("#models .learning tbody").split() == ["before", "0.6", "1", "0.8", "2", "0.94", "3", "0.875"]
    visit.page.click(grew)
    visit.wait("document.querySelectorAll('dialog.later .legend > span').length === 2")
    assert visit.complaints == []


# How much of a plane the image covers, and how bright it is where no coloured line is.
SEEN = """(axis) => {
  const canvas = document.querySelector(`#review canvas.${axis}`);
  const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
  let covered = 0, brightest = 0;
  for (let i = 0; i < data.length; i += 4) {
    covered += data[i + 3] === 255;
    brightest = Math.max(brightest, Math.min(data[i], data[i + 1], data[i + 2]));
  }
  return { covered: covered / (data.length / 4), brightest, tall: canvas.clientHeight };
}"""
SAID = (
    r"1 of \d+, timepoint 0\. (F|Not f)ound by the model, but .+\. Probability of a nucleus: (under 1|over 99|\d+)%\."
)


@pytest.mark.parametrize("n_dims", [2, 3])
def test_the_planes_of_a_review_show_a_small_image_whole_and_bright(
    visit: Visit, player: Player, server: RunningServer, n_dims: int
) -> None:
    name, axes = f"tiny/{n_dims}d", ("xy", "xz", "yz") if n_dims == 3 else ("xy",)
    image, _ = blobs(SHAPE, 6)
    image[4, 20, 20] = 60000  # a hot pixel
    assert player.make_dataset(name, image[None] if n_dims == 3 else image[None, 4:5], is_2d=n_dims == 2).ok
    labels = update_body(name, [spot(0, np.array([8.0 * (n_dims == 3), 20, 24]))], scales=[1, 1, 2])
    assert player.post("seg/update", labels | {"is_3d": n_dims == 3}).json() == {"completed": True}
    Ensemble([DetectionNet(n_dims, 0)]).save(server.workspace / "models" / f"small{n_dims}.pth")
    visit.open()
    visit.wait(f"document.querySelector('#datasets').textContent.includes('{name}')")
    page = visit.page
    page.click("#look")
    visit.wait(f"document.querySelector('#review-model option[value=\"small{n_dims}.pth\"]') !== null")
    page.select_option("#review-dataset", name)
    page.select_option("#review-model", f"small{n_dims}.pth")
    page.click("#review form button")
    visit.wait("/listed/.test(document.querySelector('#review').textContent)")
    assert re.fullmatch(SAID, visit.text("#review .facts"))
    visit.wait(f"document.querySelectorAll('#review canvas[data-cuts]').length === {len(axes)}")
    seen = {axis: page.evaluate(SEEN, axis) for axis in axes}
    assert all(one["covered"] > (0.8 if axis == "xy" else 0.25) for axis, one in seen.items()), seen
    assert max(one["brightest"] for one in seen.values()) > 200, seen
    assert all(one["tall"] < 600 for one in seen.values()), seen
    assert visit.complaints == []


def test_labels_that_are_written_meanwhile_appear(visit: Visit, player: Player) -> None:
    visit.open()
    see_the_dataset(visit)
    visit.page.focus("#time")
    for _ in range(2):
        visit.page.keyboard.press("ArrowRight")
    visit.wait("document.querySelector('.plane.xy canvas').dataset.labelled === '0'")
    labels = update_body(NAME, [spot(2, np.array([8, 20, 24]))], scales=[1, 1, 2])
    assert player.post("seg/update", labels).json() == {"completed": True}
    visit.wait("Number(document.querySelector('.plane.xy canvas').dataset.labelled) > 0")


def test_pages_that_are_gone_leave_their_streams_to_others(server: RunningServer) -> None:
    def opened() -> requests.Response:
        return requests.get(server.base_url + "dashboard/api/events", stream=True, timeout=60)

    streams = [opened() for _ in range(30)]
    refused = [stream for stream in streams if stream.status_code == 503]
    assert 0 < len(refused) < len(streams), "some have a stream, and not all of them"
    assert all("try again" in stream.json()["error"] for stream in refused)
    assert requests.get(server.base_url + "state/gpus", timeout=60).status_code == 200
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
    stream = f"{player.server.base_url}dashboard/api/events"
    assert stream in visit.addresses  # it tried, and nothing came
    assert stream not in visit.bytes_of
    assert visit.page.get_attribute("#connection", "data-is") == "polling"
    lines = visit.text("#log").splitlines()
    assert len([line for line in lines if "nowhere" in line]) == 1  # none came twice


def test_a_dataset_is_made_of_a_movie(visit: Visit, server: RunningServer) -> None:
    visit.open()
    page = visit.page
    visit.wait(f"document.querySelector('#datasets').textContent.includes('{NAME}')")
    page.focus("#new-dataset")
    page.keyboard.press("Enter")
    visit.wait("document.querySelector('#make .main')?.disabled === false")
    page.select_option("#make-movie", page.get_attribute(f"#make-movie option:has-text('{NAME}/')", "value"))
    visit.wait("document.querySelector('#make .main').disabled === false")
    assert page.input_value("#make-name") == f"{NAME}-2"
    visit.wait("document.querySelector('.source canvas').width === 48")
    page.fill("#make-start", "1")
    page.fill("#make-name", NAME)
    page.click("#make .main")
    visit.wait("/Replace the dataset .*, and lose its labels of/.test(document.querySelector('#make').textContent)")
    assert page.is_visible("#make"), "it is not replaced without a confirmation"
    page.fill("#make-name", "../out")
    page.click("#make .main")
    visit.wait("/holds '..'/.test(document.querySelector('#make .problem').textContent)")
    assert "was not made" in visit.text("#make-note")
    visit.complaints.clear()  # the refusal is one
    page.fill("#make-name", "looked/again")
    page.focus("#make .main")
    page.keyboard.press("Enter")
    visit.wait("document.querySelector('#make-note').textContent === 'looked/again is ready.'")
    assert page.is_hidden("#make")
    visit.wait("document.querySelector('#viewer-dataset').value === 'looked/again'")
    row = visit.text("#datasets .thing:has([data-dataset='looked/again'])")
    assert "in place" in row
    assert "timepoints 1-2" in row
    made, original = (Dataset(server.workspace / "datasets" / name) for name in ("looked/again", NAME))
    assert (made.read_image(0) == original.read_image(1)).all()
    page.click("#new-dataset")
    visit.wait("document.querySelector('#make .main').disabled === false")
    page.select_option("#make-which", "looked/again")
    visit.wait("document.querySelector('#make-title').textContent === 'Make looked/again again'")
    visit.wait("document.querySelector('#make .main').disabled === false")
    assert page.input_value("#make-name") == "looked/again"
    page.check("#make .replacing input")
    page.click("#make .main")
    row = """document.querySelector('#datasets .thing:has([data-dataset="looked/again"])')"""
    visit.wait(f"/3 timepoints/.test({row}.textContent)")
    assert page.is_hidden("#make")
    shutil.rmtree(made.folder)
    assert visit.complaints == []


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (360, "dark")])
def test_everybody_can_use_it(browser: Any, server: RunningServer, player: Player, width: int, scheme: str) -> None:
    visit = Visit(browser, server, width, scheme).open()
    try:
        see_the_dataset(visit)
        page = visit.page
        page.click("#models summary")
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        dark = page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).every((c) => c < 128)")
        assert dark == (scheme == "dark")
        assert barriers(page) == []
        page.click("#new-dataset")
        visit.wait("document.querySelector('#make .main')?.disabled === false")
        visit.wait("document.querySelectorAll('.source canvas[width=\"1\"]').length === 0")
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        assert barriers(page, "#make") == []
        page.keyboard.press("Escape")
        assert page.is_hidden("#make")
        page.keyboard.press("Tab")
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline != "none"
    finally:
        visit.end()


def test_no_answer_of_a_review_is_lost_or_kept_with_another_dataset(
    visit: Visit, player: Player, server: RunningServer
) -> None:
    """The places are made up; the first attempts to keep answers, and to list others, fail after a while."""
    assert player.make_dataset("beside", blobs(SHAPE, 6)[0][None]).ok
    assert player.post("seg/update", update_body("beside", [spot(0, np.array([8, 20, 24]))])).ok
    page = visit.page
    place = {"look": 1, "t": 0, "covariance": [9, 0, 0, 0, 9, 0, 0, 0, 9], "kind": "missed", "probability": 0.5}
    places = [place | {"pos": [10 + 12 * i, 20, 8], "errors": 0.5, "why": "faint", "log_odds": 0} for i in range(3)]
    listed = {"places": places, "timepoints": [], "n_places": 3, "completed": True}
    page.route("**/review", lambda route: route.fulfill(json=listed), times=1)
    visit.open()
    visit.wait("document.querySelector('#datasets').textContent.includes('beside')")
    page.click("#look")
    visit.wait("document.querySelector('#review-model option[value=\"looked.pth\"]') !== null")
    page.select_option("#review-dataset", NAME)
    page.select_option("#review-model", "looked.pth")
    page.click("#review form button")
    visit.wait("/1 of 3/.test(document.querySelector('#review .facts').textContent)")
    page.keyboard.press("y")
    late = {"completed": False, "error": "the disk is full"}
    page.route("**/review/answers", lambda route: route.fulfill(json=late), times=1)
    page.click("text=Keep 1 answer")
    visit.wait("/the disk is full/.test(document.querySelector('#review .problem').textContent)")
    assert page.is_visible("text=Keep 1 answer")
    page.select_option("#review-dataset", "beside")
    page.on("dialog", lambda dialog: dialog.accept())
    page.route("**/review", lambda route: route.fulfill(json=late), times=1)
    page.click("#review form button")
    visit.wait("/the disk is full/.test(document.querySelector('#review .problem').textContent)")
    sent: list[Any] = []
    page.route("**/review/answers", lambda route: sent.append(route), times=1)  # noqa: PLW0108 (it is given attributes)
    page.click("text=Keep 1 answer")
    visit.wait("document.querySelector('#review .problem').textContent === ''")
    page.click("#review [data-do=no]")  # while the first is on its way
    visit.wait("/Keep 2 answers/.test(document.querySelector('#review').textContent)")
    sent[0].continue_()
    visit.wait("/1 answer is in the labels of looked/.test(document.querySelector('#review').textContent)")
    assert page.is_visible("text=Keep 1 answer")
    assert "2 of 2" in visit.text("#review .facts")
    page.click("text=Keep 1 answer")
    visit.wait("document.querySelectorAll('#review > .actions button:not([hidden])').length === 1")
    kept = {
        name: requests.get(f"{server.base_url}review/answers", {"dataset_name": name}, timeout=60).json()
        for name in (NAME, "beside")
    }
    assert [one["tag"] for one in kept[NAME]["spots"]] == ["fn", "tn"]
    assert kept["beside"]["spots"] == []
    assert visit.complaints == []
