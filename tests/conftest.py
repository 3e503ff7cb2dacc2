"""The real stack for tests that drive it as the client would."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from stack.running import RunningServer, settings_of

# Threads of networks as small as those of the tests wait more than they compute, the more so where others run beside.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# The same examples every time, and so many that all properties together take seconds.
settings.register_profile("checked", derandomize=True, deadline=None, max_examples=40, database=None)
settings.load_profile("checked")


# Files that start servers or build the docs take minutes, most of it waiting; those that only compute are short.
LONG = ("stack", "client", "embedded", "docs", "faults", "bench")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the long files, so that no process is left alone with one at the end."""
    root = Path(__file__).parent
    items.sort(key=lambda item: item.path.relative_to(root).parts[0] not in LONG)


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """Give a server that runs until the tests end; leave it running and idle."""
    folder = tmp_path_factory.mktemp("server")
    running = RunningServer.start(folder, settings_of(folder))
    try:
        yield running.wait_until_serving()
    finally:
        running.stop()


@pytest.fixture(scope="session")
def server(stack: RunningServer) -> RunningServer:
    """Give the same.

    Folders whose tests play on several kinds of server have a fixture of this name with parameters. Were this one made
    anew for each of them, as pytest does where a fixture with parameters hides one of its name, each would start it.
    """
    return stack
