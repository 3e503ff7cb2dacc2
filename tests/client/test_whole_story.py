"""A whole story of a user who has changed no setting, from the first movie to the export.

With the client's crops of 256 x 256 x 16 and 10 epochs of 5 of them it takes minutes on a few cores: that is what
``make test-client`` plays. Otherwise one of the movies is played with the settings of the other stories.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest

from client import real_movies
from client.kinds import STACK, leave_to
from client.movies import Drawn, Movie, distances
from client.real_movies import DATA
from client.released import FRESH, ReleasedClient
from client.test_stories import corrected
from client.wire import read
from stack.player import Ears, masks_of
from stack.running import RunningServer, wait_until

pytestmark = [
    pytest.mark.stack,
    pytest.mark.skipif(not DATA.is_dir(), reason=f"the folder of example movies {DATA} is not there"),
]

SLOW = [
    pytest.mark.skipif("ELEPHANT_TEST_CLIENT" not in os.environ, reason="takes minutes: make test-client"),
    pytest.mark.timeout(7200),
]
LONG_S = 3600
MOVIES: dict[str, Callable[[], Movie]] = {"embryo": real_movies.embryo, "FakeTracksBDV": real_movies.fake_tracks}
TRACKED = (4, 3, 2, 1)
Start = Callable[..., ReleasedClient]


@pytest.fixture(
    params=[
        "FakeTracksBDV, quick",
        pytest.param("FakeTracksBDV, fresh", marks=SLOW),
        pytest.param("embryo, fresh", marks=SLOW),
    ],
    ids=lambda name: name,
)
def user(request: pytest.FixtureRequest, server: RunningServer, start: Start) -> Iterator[ReleasedClient]:
    """Give the client of a user who opens one of the movies."""
    name, how = request.param.split(", ")
    if how == "quick":
        leave_to(STACK, server)
    client = start("volume", f"whole/{name}-{how}")
    client = replace(client, movie=MOVIES[name]())
    yield replace(client, settings=FRESH) if how == "fresh" else client
    client.set_state(0)


def test_annotate_train_predict_correct_train_live_link_track_back_export(user: ReleasedClient, ears: Ears) -> None:
    first_use(user, ears)
    first = annotate_and_train(user)
    correct_and_train(user, first)
    live(user, ears)
    link(user, ears)
    track_back(user)
    export(user)


def tell(words: str) -> None:
    """Print what became of a step, for the person who plays the story."""
    print(words, flush=True)


def score(found: list[Drawn], true: list[Drawn], near: float = 2.5) -> str:
    apart = distances(found, true)
    hit, right = (apart.min(axis=0, initial=np.inf) < near), (apart.min(axis=1, initial=np.inf) < near)
    return f"{len(found)} found, {right.sum()} of them right; {hit.sum()} of {len(true)} true ones found"


def first_use(user: ReleasedClient, ears: Ears) -> None:
    assert user.check() not in ("", "ready")
    assert set(user.upload()) == {200}
    assert user.generate().status_code == 200
    n = user.movie.n_timepoints
    ears.wait_for(lambda e: len(e.heard["dataset"]) == n)
    assert user.check() == "ready"


def annotate_and_train(user: ReleasedClient) -> list[Drawn]:
    """Draw the nuclei of the first timepoint and train a model that is not there yet."""
    spots = user.annotated(0, user.movie.drawn(0), "fn")
    assert user.label(spots)
    assert user.train(spots)
    return spots


def correct_and_train(user: ReleasedClient, first: list[Drawn]) -> None:
    found, true = user.detect(1), user.movie.drawn(1)
    tell(f"after the first training: {score(found, true)}")
    again = corrected(user, 1, found)
    assert user.label(again)
    assert user.train([*first, *again], timepoint=1)
    tell(f"after the second: {score(user.detect(2), user.movie.drawn(2))}")


def live(user: ReleasedClient, ears: Ears) -> None:
    session = user.later("seg/train", user.filled("seg/train live"))
    wait_until(lambda: user.state() == 1, LONG_S, "the session")
    for t in (2, 3):
        ears.heard.clear()
        spots = user.annotated(t, user.movie.drawn(t), "tp")
        assert user.completes("seg/update", user.filled("seg/update live", spots=spots))
        ears.wait_for(lambda e: "Model updated" in e.bodies("update"), LONG_S)
    assert not session.done()
    assert user.set_state(0) == 0
    assert session.result(60) is False
    tell(f"after the live session: {score(user.detect(4), user.movie.drawn(4))}")


def link(user: ReleasedClient, ears: Ears) -> None:
    links = [link for t in (0, 1) for link in user.movie.links(t)]
    assert user.label_flow(links)
    ears.heard.clear()
    assert user.train_flow(links)
    ears.wait_for(lambda e: "Model updated" in e.bodies("update"))
    spots = user.movie.drawn(3)
    earlier = {spot["id"]: spot for spot in user.movie.drawn(2)}
    where = [(was, earlier[was["id"]]) for was in user.link(3, spots) if was["id"] in earlier]
    off = [distances([was], [true])[0, 0] for was, true in where]
    stood = [distances([spot], [earlier[spot["id"]]])[0, 0] for spot in spots if spot["id"] in earlier]
    tell(f"linked: {np.median(off):.2f} off in the median, where standing still would be {np.median(stood):.2f}")


def track_back(user: ReleasedClient) -> None:
    """Follow one cell: the client asks where it was, and what is there, with the box of where it began."""
    cell = user.movie.drawn(TRACKED[0])[0]
    x, y, z = user.movie.shape[::-1]
    origin = [int(np.clip(cell["pos"][i] / user.movie.scales[i] - 32, 0, max(n - 64, 0))) for i, n in enumerate((x, y))]
    box = [*origin, 0, min(64, x), min(64, y), z]
    for t in TRACKED:
        answer = user.act("flow/predict", user.track_back_body(t, cell, box))
        was = read(answer)["spots"][0]
        cell = {**cell, "pos": was["pos"]}
        found = user.act("seg/predict", user.filled("seg/predict back track", timepoint=t - 1, crop_box=box))
        assert read(found)["completed"] is True


def export(user: ReleasedClient) -> None:
    """Export the tracks of whole cells, and the model."""
    marked = [
        {"t": t, "pos": spot["pos"], "covariance": spot["covariance"], "value": 1 + spot["id"]}
        for t in range(user.movie.n_timepoints)
        for spot in user.movie.drawn(t)
    ]
    answer = user.export(marked, 0, user.movie.n_timepoints - 1)
    assert answer.status_code == 200
    masks = list(masks_of(answer.content).values())
    assert len(masks) == user.movie.n_timepoints
    painted = [set(np.unique(mask)) - {0} for mask in masks]
    wanted = [{spot["value"] for spot in marked if spot["t"] == t} for t in range(len(masks))]
    assert painted == wanted
    assert user.download_model(user.detection).status_code == 200
    assert user.download_model(user.flow).status_code == 200
