"""The released client plays a story through a base URL that carries a token."""

from collections.abc import Callable, Iterator

import pytest
import requests

from client.movies import Movie
from client.pulse import Pulse
from client.released import ReleasedClient, heard_all
from client.wire import read
from stack.player import Ears, masks_of
from stack.running import RunningServer, settings_of

pytestmark = pytest.mark.stack
TOKEN = "lab-7~token_that.nobody-guesses"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """Give a server that asks for a token, on this machine."""
    folder = tmp_path_factory.mktemp("guarded")
    running = RunningServer.start(folder, settings_of(folder) | {"ELEPHANT_TOKEN": TOKEN})
    try:
        yield running.wait_until_serving()
    finally:
        running.stop()


@pytest.mark.parametrize("is_old", [False, True], ids=["new", "old"])
def test_a_story_through_a_token(guarded: RunningServer, movies: Callable[[str], Movie], is_old: bool) -> None:
    assert guarded.base_url.endswith(f"/t/{TOKEN}/")
    dataset = f"token/{is_old}"
    client = ReleasedClient(guarded, movies("volume"), dataset, f"{dataset}/d.pth", f"{dataset}/f.pth", is_old)
    with Ears(guarded, ("update", "dataset", "log")) as ears, Pulse(guarded) as pulse:
        assert set(client.upload()) == {200}
        assert client.generate().status_code == 200
        assert client.check() == "ready"
        ears.wait_for(lambda e: len(e.heard["dataset"]) == client.movie.n_timepoints)
        annotated = client.annotated(0, client.movie.drawn(0))
        read(client.reset_detection())
        assert client.label(annotated)
        assert client.train(annotated, n_crops=1)
        ears.wait_for(lambda e: "Model updated" in e.bodies("update"))
        assert client.detect(1, p_thresh=0.0)
        assert client.label_flow(client.movie.links(0))
        model = client.download_model(client.detection)
        assert model.content[:2] == b"PK"
        spots = [{**spot, "t": 0, "value": 1} for spot in client.movie.drawn(0)]
        assert len(masks_of(client.export(spots, 0, 1).content)) == 2
        assert client.set_state(0) == 0
    assert pulse.beats
    assert not pulse.failures, pulse.failures
    heard_all(ears.heard)
    assert TOKEN not in str(ears.heard)


def test_nothing_of_it_is_logged_or_let_in_without(guarded: RunningServer) -> None:
    logs = [*guarded.service_logs.iterdir(), guarded.folder / "output.txt", *guarded.workspace.rglob("*.json")]
    assert [path for path in logs if TOKEN.encode() in path.read_bytes()] == []
    answer = requests.get(f"http://localhost:{guarded.http_port}/state/gpus", timeout=10)
    assert answer.status_code == 401
