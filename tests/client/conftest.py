"""Movies on the client's disk, datasets made of them, and a client that is listening."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from client.kinds import KINDS_OF_SERVER, ONE_PROCESS, STACK, leave_to
from client.movies import KINDS, Movie
from client.pulse import Pulse
from client.released import ReleasedClient, heard_all
from elephant.progress import NoReporter
from elephant_server.client import Client
from elephant_server.schemas.state import ProcessState
from stack.player import Ears
from stack.running import RunningServer, settings_of, wait_until

QUEUES = ("update", "dataset", "log")
PLAYED_ON = {"volume": STACK, "plane": ONE_PROCESS}


@pytest.fixture(scope="session", params=KINDS_OF_SERVER)
def server(request: pytest.FixtureRequest) -> RunningServer:
    """Give a server of each kind."""
    running: RunningServer = request.getfixturevalue("stack" if request.param == STACK else "one_process")
    return running


@pytest.fixture(scope="session")
def one_process(stack: RunningServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """Give a server of one process, which speaks to the RabbitMQ of the other."""
    folder = tmp_path_factory.mktemp("one-process")
    values = {
        "ELEPHANT_RABBITMQ_HOST": "127.0.0.1",
        "ELEPHANT_RABBITMQ_NODE_PORT": str(stack.rabbitmq_port),
    }
    running = RunningServer.start(folder, settings_of(folder) | values, module="elephant_server.embedded")
    try:
        yield running.wait_until_serving()
    finally:
        running.stop()


@pytest.fixture(scope="session")
def movies(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Movie]:
    """Give the movie of a kind, simulated when it is first asked for."""
    folder, made = tmp_path_factory.mktemp("movies"), dict[str, Movie]()

    def movie(kind: str) -> Movie:
        if kind not in made:
            made[kind] = Movie.of_kind(kind, folder / f"{kind}.h5")
        return made[kind]

    return movie


@pytest.fixture
def ears(server: RunningServer) -> Iterator[Ears]:
    """Give what a client hears while the test runs; nothing of it may end its channel."""
    with Ears(server, QUEUES) as ears:
        yield ears
    heard_all(ears.heard)


@pytest.fixture
def start(server: RunningServer, movies: Callable[[str], Movie], ears: Ears) -> Iterator[Callable[..., ReleasedClient]]:
    """Give what starts a client; it looks for the server each second until the test ends, and leaves it idle."""
    with Pulse(server) as pulse:

        def client(kind: str, dataset: str, **changes: float) -> ReleasedClient:
            movie = replace(movies(kind), **changes)
            return ReleasedClient(server, movie, dataset, f"{dataset}/detection.pth", f"{dataset}/flow.pth")

        yield client
        client("volume", "any").set_state(0)
        wait_until(lambda: client("volume", "any").state() == 0, 60, "the server to be idle")
    assert pulse.beats
    assert not pulse.failures, pulse.failures


@pytest.fixture(scope="module")
def python_client(server: RunningServer) -> Iterator[Client]:
    """Give the client in Python; the server is idle afterwards."""
    client = Client(server.base_url, progress=NoReporter())
    yield client
    client.abort()
    wait_until(lambda: client.state() is ProcessState.IDLE, 60, "the server to be idle")


@pytest.fixture(params=KINDS)
def client(
    request: pytest.FixtureRequest, server: RunningServer, start: Callable[..., ReleasedClient]
) -> ReleasedClient:
    """Give a client whose dataset was uploaded and made, of a volume and of a plane."""
    leave_to(PLAYED_ON[request.param], server)
    client = start(request.param, f"stories/{request.param}")
    if client.check() != "ready":
        assert set(client.upload()) == {200}
        assert client.generate().status_code == 200
    return client
