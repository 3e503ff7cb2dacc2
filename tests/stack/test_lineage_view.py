"""The lineages of a dataset in the dashboard, as a person sees and corrects them."""

import json
import re
import shutil
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import requests

from stack.browsing import Visit, barriers, browser, needs_chromium, visited
from stack.player import Player, predict_body
from stack.running import RunningServer

__all__ = ["browser", "visited"]

pytestmark = [pytest.mark.stack, needs_chromium]

NAME, SHAPE, VOXEL = "grown/movie", (10, 60, 60), (2.0, 1.0, 1.0)
N_TIMEPOINTS, DIVIDES_AT = 10, 5
MOTHER, FIRST, SECOND = 100, 200, 300  # ids are these and the timepoint
TREE = "#lineage .tree"


def nuclei(t: int) -> dict[int, tuple[float, float, float]]:
    """Return the ids of a timepoint's nuclei and where they are, X, Y, Z: three that go along and one that divides."""
    found = {1000 * (k + 1) + t: (12.0 + 17 * k, 12.0 + t, 10.0) for k in range(3)}
    if t <= DIVIDES_AT:
        return found | {MOTHER + t: (20.0, 44.0, 10.0)}
    apart = 3.0 + (t - DIVIDES_AT)
    return found | {FIRST + t: (20 - apart, 44.0, 10.0), SECOND + t: (20 + apart, 44.0, 10.0)}


def draw(t: int) -> np.ndarray:
    """Return the image of a timepoint."""
    grid = np.meshgrid(*(edge * np.arange(n) for n, edge in zip(SHAPE, VOXEL, strict=True)), indexing="ij")
    image = np.full(SHAPE, 20.0)
    for place in nuclei(t).values():
        image += 150 * np.exp(-sum((axis - at) ** 2 for axis, at in zip(grid, place[::-1], strict=True)) / 8)
    return image.astype(np.uint16)


@pytest.fixture(scope="module")
def movie(server: RunningServer) -> Player:
    """Return a client whose dataset has images of nuclei, and no lineages yet."""
    client = Player(server)
    assert client.make_dataset(NAME, np.stack([draw(t) for t in range(N_TIMEPOINTS)])).status_code == 200
    return client


def track(player: Player, beside: dict[int, tuple[float, float, float]] | None = None) -> dict[str, Any]:
    """Track the nuclei anew, with the division confirmed, and spots `beside` them; return the last line."""
    shutil.rmtree(
        player.server.workspace / "datasets" / NAME / ".lineages", ignore_errors=True
    )  # corrections would stay
    places = [(t, name, pos) for t in range(N_TIMEPOINTS) for name, pos in nuclei(t).items()]
    places += [(t, 5000 + t, pos) for t, pos in (beside or {}).items()]
    spots = [{"t": t, "id": name, "pos": pos, "radius": 3.0} for t, name, pos in places]
    links = [[MOTHER + DIVIDES_AT, daughter + DIVIDES_AT + 1] for daughter in (FIRST, SECOND)]
    about = {"dataset_name": NAME, "scales": list(VOXEL[::-1]), "is_3d": True, "max_distance": 6}
    answer = player.post("movie/track", about | {"spots": spots, "links": links})
    end: dict[str, Any] = json.loads(answer.text.strip().splitlines()[-1])
    assert end.get("completed"), end
    return end


@pytest.fixture
def tracked(movie: Player) -> Player:
    """Track the nuclei: five tracks and their mother."""
    end = track(movie)
    assert (end["n_tracks"], end["n_divisions"]) == (6, 1)
    return movie


@pytest.fixture
def visit(browser: Any, visited: Any, server: RunningServer, movie: Player) -> Iterator[Visit]:
    made = Visit(browser, server, context=visited)
    yield made
    made.end()


def lineage(player: Player, dataset: str = NAME) -> dict[str, Any]:
    found: dict[str, Any] = requests.get(
        f"{player.server.base_url}movie/lineage", {"dataset_name": dataset}, timeout=60
    ).json()
    return found


def spots_at(player: Player, t: int, dataset: str = NAME) -> list[dict[str, Any]]:
    query = {"dataset_name": dataset, "timepoint": t}
    found: list[dict[str, Any]] = requests.get(
        f"{player.server.base_url}movie/lineage/spots", query, timeout=60
    ).json()["spots"]
    return found


def parent_of(player: Player, t: int, name: int, dataset: str = NAME) -> int | None:
    (parent,) = [spot["parent"] for spot in spots_at(player, t, dataset) if spot["id"] == name]
    return int(parent) if parent is not None else None


def open_lineages(visit: Visit, dataset: str = NAME, n_tracks: int = 6) -> None:
    visit.open()
    visit.page.click(f"#datasets [data-later=lineage][data-name='{dataset}']")
    if n_tracks:
        visit.wait(f"Number(document.querySelector('{TREE}')?.dataset.drawn) === {n_tracks}")
    else:
        visit.wait("/Nothing was tracked yet/.test(document.querySelector('#lineage')?.textContent)")


LANE = """async ([tracks, id]) => {
  const style = [...document.querySelectorAll('link')].find((link) => link.href.endsWith('later/lineage.css')).href;
  const { layOut } = await import(style.replace('lineage.css', 'layout.js'));
  const { lane, nLanes, places } = layOut(tracks);
  return lane[places.get(id)] / nLanes;
}"""


def go_to(
    visit: Visit, player: Player, first: int, t: int, dataset: str = NAME, last: int = N_TIMEPOINTS - 1
) -> dict[str, Any]:
    """Point in the tree at a timepoint of the track that begins with a spot; return what is known of the track."""
    page, tracks = visit.page, lineage(player, dataset)["tracks"]
    (track,) = [one for one in tracks if one["spot"] == first]
    page.click("#lineage button:text-is('Fit')")
    page.focus(TREE)
    box = page.query_selector(TREE).bounding_box()
    part, left, top, bottom = page.evaluate(LANE, [tracks, track["id"]]), 44, 12, 14
    y = top + t / last * (box["height"] - top - bottom)
    page.mouse.click(box["x"] + left + part * (box["width"] - left), box["y"] + y)
    visit.wait(f"document.querySelector('#lineage-facts').textContent.startsWith('Timepoint {t}')")
    visit.wait(f"/Track {track['id']},/.test(document.querySelector('#lineage-facts').textContent)")
    return dict(track)


def done(visit: Visit, words: str) -> None:
    visit.wait(f"/{words}.*solved again/.test(document.querySelector('#lineage .note').textContent)")


def test_the_tree_and_the_place_beside_it_are_seen(visit: Visit, tracked: Player) -> None:
    open_lineages(visit)
    page = visit.page
    visit.wait("Number(document.querySelector('#lineage .plane.xy canvas').dataset.cuts) > 0")
    assert "44 spots in 6 tracks" in visit.text("#lineage")
    assert page.evaluate(f"document.activeElement === document.querySelector('{TREE}')")
    mother = go_to(visit, tracked, MOTHER, DIVIDES_AT)
    assert re.search(rf"Track {mother['id']}, timepoints 0.5", visit.text("#lineage-facts"))
    visit.wait("document.querySelector('#lineage .plane.xy figcaption').textContent === 'XY, Z 5'")
    visit.wait("document.querySelector('#lineage .plane.yz figcaption').textContent === 'YZ, X 20'")
    page.keyboard.press("ArrowDown")  # into a daughter
    visit.wait(f"/from track {mother['id']}/.test(document.querySelector('#lineage-facts').textContent)")
    page.keyboard.press("ArrowUp")
    visit.wait(f"/Track {mother['id']},/.test(document.querySelector('#lineage-facts').textContent)")
    page.keyboard.press("ArrowLeft")
    visit.wait("/Track [123],/.test(document.querySelector('#lineage-facts').textContent)")
    page.keyboard.press("ArrowRight")
    visit.wait(f"/Track {mother['id']},/.test(document.querySelector('#lineage-facts').textContent)")
    page.select_option("#lineage-colours", "probability")
    assert page.is_visible("#lineage .key:has-text('< 50%')")
    assert visit.complaints == []


def test_links_are_cut_confirmed_joined_and_taken_back(visit: Visit, tracked: Player) -> None:
    open_lineages(visit)
    go_to(visit, tracked, 1000, 4)
    visit.page.keyboard.press("x")
    done(visit, "Cut")
    assert parent_of(tracked, 4, 1004) is None
    visit.wait(f"Number(document.querySelector('{TREE}').dataset.drawn) === 7")
    visit.page.keyboard.press("z")
    done(visit, "Taken back")
    assert parent_of(tracked, 4, 1004) == 1003
    visit.page.keyboard.press("y")
    done(visit, "Confirmed")
    visit.page.keyboard.press("x")
    done(visit, "Cut")
    assert parent_of(tracked, 4, 1004) is None
    visit.page.keyboard.press("j")
    visit.wait("/choose the other track/.test(document.querySelector('#lineage .correct p').textContent)")
    go_to(visit, tracked, 1000, 1)
    visit.page.keyboard.press("j")
    done(visit, "Joined")
    assert parent_of(tracked, 4, 1004) == 1003
    visit.page.keyboard.press("w")
    done(visit, "it is no nucleus")
    assert parent_of(tracked, 1, 1001) is None
    go_to(visit, tracked, 2000, 7)
    visit.page.keyboard.press("d")
    hint = "document.querySelector('#lineage .correct p').textContent"
    visit.wait(f"{hint} === 'It does not divide here.'")
    visit.page.keyboard.press("z")  # and look at what was taken back
    done(visit, "Taken back")
    visit.wait("document.querySelector('#lineage-facts').textContent.startsWith('Timepoint 1, link from')")
    assert visit.page.evaluate(hint) == ""
    assert visit.complaints == []


def test_doubtful_places_are_stepped_through_and_confirmed(visit: Visit, movie: Player) -> None:
    track(movie, {t: (14.0, 14.0 + t, 10.0) for t in range(4, 8)})  # which of the two goes on is not clear
    doubts = lineage(movie)["doubtful"]
    assert len(doubts) > 3
    visit.open()
    visit.page.click(f"#datasets [data-later=lineage][data-name='{NAME}']")
    visit.wait(f"document.querySelectorAll('#lineage .doubts button').length === {len(doubts)}")
    visit.page.focus(TREE)
    for place in (0, 1, 0):
        visit.page.keyboard.press("p" if place < 1 else "n")
        words = f"at {doubts[place]['t']}, track {doubts[place]['track']}:"
        visit.wait(f"/{words}/.test(document.querySelector('#lineage-facts').textContent)")
        current = f"#lineage .doubts li:nth-child({place + 1}) button"
        assert visit.page.get_attribute(current, "aria-current") == "true"
    visit.page.keyboard.press("y")
    done(visit, "(Confirmed|Joined)")
    left = lineage(movie)["doubtful"]
    assert doubts[0]["spots"] not in [doubt["spots"] for doubt in left]
    visit.wait(f"document.querySelectorAll('#lineage .doubts button').length === {max(1, len(left))}")
    assert visit.complaints == []


def test_who_comes_second_is_told_and_sees_what_the_first_has_done(visit: Visit, tracked: Player) -> None:
    open_lineages(visit)
    go_to(visit, tracked, 1000, 3)
    asked = {"dataset_name": NAME, "version": lineage(tracked)["version"], "cut": [[2004, 2005]]}
    assert tracked.post("movie/lineage/corrections", asked).status_code == 200
    visit.page.keyboard.press("x")
    visit.wait("/Somebody else has corrected/.test(document.querySelector('#lineage .problem').textContent)")
    visit.wait(f"Number(document.querySelector('{TREE}').dataset.drawn) === 7")
    assert parent_of(tracked, 3, 1003) == 1002
    visit.complaints.clear()  # the refusal is one
    visit.page.keyboard.press("x")
    done(visit, "Cut")
    assert visit.text("#lineage .problem") == ""
    assert parent_of(tracked, 3, 1003) is None
    assert visit.complaints == []


def test_what_was_never_tracked_says_so_and_why_it_cannot_be(visit: Visit, movie: Player) -> None:
    assert movie.make_dataset("grown/nothing", draw(0)[None]).status_code == 200
    open_lineages(visit, "grown/nothing", n_tracks=0)
    assert visit.page.is_hidden(TREE)
    visit.page.click("text=Track the newest predictions")
    visit.wait("document.querySelector('#lineage .problem').textContent !== ''")
    assert visit.page.is_enabled("text=Track the newest predictions")


@pytest.mark.parametrize("n_dims", [2, 3])
def test_the_newest_predictions_are_tracked_and_corrected(visit: Visit, movie: Player, n_dims: int) -> None:
    name = f"grown/found in {n_dims}D"
    frames = np.stack([draw(t) for t in range(3)])
    if n_dims == 2:
        frames = frames.max(axis=1, keepdims=True)
    assert movie.make_dataset(name, frames, is_2d=n_dims == 2).status_code == 200
    asked = predict_body(name, is_3d=n_dims == 3, scales=list(VOXEL[::-1]), r_min=1, model_name=f"{n_dims}D.pth")
    found = [movie.post("seg/predict", asked | {"timepoint": t}).json()["spots"] for t in range(3)]
    assert min(map(len, found)) >= 3
    open_lineages(visit, name, n_tracks=0)
    visit.page.click("text=Track the newest predictions")
    visit.wait(f"Number(document.querySelector('{TREE}').dataset.drawn) >= 3")
    words = visit.text("#lineage")
    assert f"{sum(map(len, found))} spots in " in words
    assert "what the newest predictions found" in words
    assert "at 3 timepoints, 0 to 2" in words
    # So it is known after a restart, too.
    assert lineage(movie, name)["scales"] == [*VOXEL[:0:-1], VOXEL[0] if n_dims == 3 else 1.0]
    visit.wait("Number(document.querySelector('#lineage .plane.xy canvas').dataset.cuts) > 0")
    assert [visit.page.is_visible(f"#lineage .plane.{axis}") for axis in ("xy", "yz", "xz")] == [True] + 2 * [
        n_dims == 3
    ]
    linked = next(spot for spot in spots_at(movie, 1, name) if spot["parent"] is not None)
    first = next(one["spot"] for one in lineage(movie, name)["tracks"] if one["id"] == linked["track"])
    go_to(visit, movie, first, 1, name, last=2)
    visit.wait("document.querySelector('#lineage .plane.xy canvas').dataset.marks === '1'")  # where it was before
    visit.page.keyboard.press("x")
    done(visit, "Cut")
    assert parent_of(movie, 1, linked["id"], name) != linked["parent"]
    visit.page.once("dialog", lambda dialog: dialog.accept())
    version = lineage(movie, name)["version"]
    visit.page.click("text=Track again")
    visit.wait(f"document.querySelector('{TREE}').dataset.version === '{version + 1}'")
    assert parent_of(movie, 1, linked["id"], name) != linked["parent"]  # it was kept
    refusal = [words for words in visit.complaints if "404" in words]  # nothing was tracked at first
    assert len(refusal) == 1
    assert visit.complaints == refusal


def test_what_is_no_division_keeps_one_daughter(visit: Visit, tracked: Player) -> None:
    open_lineages(visit)
    daughters = [daughter + DIVIDES_AT + 1 for daughter in (FIRST, SECOND)]
    go_to(visit, tracked, MOTHER, DIVIDES_AT - 1)
    assert visit.page.is_hidden("#lineage [data-do=undivided]")
    visit.page.keyboard.press("ArrowDown")  # to where it divides
    visit.wait("document.querySelector('#lineage .plane.xy canvas').dataset.marks === '2'")
    visit.page.keyboard.press("d")
    done(visit, "It does not divide")
    parents = [parent_of(tracked, DIVIDES_AT + 1, daughter) for daughter in daughters]
    assert sorted(parents, key=str) == [MOTHER + DIVIDES_AT, None]
    visit.wait(f"Number(document.querySelector('{TREE}').dataset.drawn) === 5")
    assert visit.complaints == []


JUDGED = """async () => {
  const style = [...document.querySelectorAll('link')].find((link) => link.href.endsWith('later/lineage.css')).href;
  const { judged } = await import(style.replace('lineage.css', 'doubts.js'));
  const cases = [[0.8, true], [0.3, false], [0.6, false]];
  return cases.map(([probability, is_chosen]) => judged({ probability, is_chosen }));
}"""


def test_why_what_is_suspected_is_not_in_the_tree_is_said(visit: Visit, tracked: Player) -> None:
    open_lineages(visit)
    assert visit.page.evaluate(JUDGED) == [
        "80% probable",
        "30% probable, so it is not in the tree",
        "60% probable, but not in the tree: it excludes others that are more probable together",
    ]


# A forest of thousands of tracks that divide: what is not in sight is not drawn, and daughters lie beside each other.
FOREST = """async () => {
  const style = [...document.querySelectorAll('link')].find((link) => link.href.endsWith('later/lineage.css')).href;
  const load = (name) => import(style.replace('lineage.css', `${name}.js`));
  const [{ Tree }, { layOut }, { coloursOf }] = await Promise.all(['tree', 'layout', 'tracks'].map(load));
  const tracks = [];
  const grow = (start, parent) => {
    const id = tracks.length + 1, end = Math.min(299, start + 20 + id % 30);
    tracks.push({ id, start, end, parent, n_spots: end - start + 1, probability: (id % 100) / 100 });
    return [id, end + 1];
  };
  const divide = ([id, start]) => (start < 280 && id % 3 ? [grow(start, id), grow(start, id)] : []);
  let ends = Array.from({ length: 700 }, (_, i) => grow(i % 40, null));
  while (tracks.length < 5000) ends = ends.flatMap(divide);
  const { order, parent, lane, nLanes } = layOut(tracks);
  const daughters = order.map(() => []), colours = coloursOf(tracks);
  order.forEach((track, i) => { if (parent[i] >= 0) daughters[parent[i]].push(i); });
  const mothers = daughters.map((two, i) => [i, ...two]).filter((family) => family.length === 3);
  const tree = new Tree(() => {}, ({ id }) => colours.get(id));
  tree.canvas.style.cssText = 'position: fixed; inset: 0; width: 800px; height: 600px';
  document.querySelector('#lineage').append(tree.canvas);
  tree.show({ version: 1, tracks, timepoints: [0, 299], doubtful: [] });
  const whole = tree.drawNow();
  tree.zoomBy(100, 1);
  const near = tree.drawNow();
  tree.canvas.remove();
  const spot = (_, i) => ({ id: i + 1, start: i >> 1, end: i >> 1, parent: null });
  const alone = layOut(Array.from({ length: 600 }, spot));
  return {
    nAloneLanes: alone.nLanes,
    nAlonePlaces: new Set(alone.order.map(({ start }, i) => `${start} ${alone.lane[i]}`)).size,
    n: tracks.length, whole, near, nLanes, nMothers: mothers.length,
    leaves: daughters.filter((each) => !each.length).length,
    areApart: new Set(daughters.flatMap((two, i) => (two.length ? [] : [lane[i]]))).size,
    areBetween: mothers.filter(([mother, a, b]) => lane[a] < lane[mother] && lane[mother] < lane[b]).length,
    differ: mothers.filter((family) => new Set(family.map((i) => colours.get(order[i].id))).size === 3).length,
  };
}"""


def test_of_thousands_of_tracks_those_in_sight_are_drawn_daughters_beside_each_other(
    visit: Visit, tracked: Player
) -> None:
    open_lineages(visit)
    found = visit.page.evaluate(FOREST)
    assert found["n"] >= 5000
    assert found["whole"] == found["n"]
    assert 0 < found["near"] < found["n"] / 20
    assert found["nLanes"] == found["leaves"] == found["areApart"]
    assert (found["nAloneLanes"], found["nAlonePlaces"]) == (4, 600)  # spots joined to nothing share lanes
    assert found["nMothers"] == found["areBetween"] == found["differ"] > 1000


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (360, "dark")])
def test_everybody_can_use_it(browser: Any, server: RunningServer, tracked: Player, width: int, scheme: str) -> None:
    visit = Visit(browser, server, width, scheme)
    try:
        open_lineages(visit)
        page = visit.page
        page.click("#lineage summary")
        page.select_option("#lineage-colours", "probability")
        assert page.evaluate("document.querySelector('#lineage').scrollWidth <= window.innerWidth")
        assert barriers(page, "#lineage") == []
        page.keyboard.press("Escape")
        assert page.is_hidden("#lineage")
        focused = "document.activeElement.dataset.later"
        assert page.evaluate(focused) == "lineage"
        assert visit.complaints == []
    finally:
        visit.end()
