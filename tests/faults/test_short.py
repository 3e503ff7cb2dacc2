"""The short form of the suite, as part of all tests; ``make test-faults`` plays all of it."""

from collections.abc import Iterator

import pytest

from faults.cases import Case
from faults.ground import MODEST, Ground
from faults.suite import chosen, play
from stack.running import RunningServer, settings_of

pytestmark = pytest.mark.stack


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    """Give a server of its own: its programs are killed."""
    folder = tmp_path_factory.mktemp("faults")
    server = RunningServer.start(folder, settings_of(folder) | MODEST)
    try:
        yield Ground.prepared(server.wait_until_serving(), folder)
    finally:
        server.stop()


@pytest.mark.parametrize("case", chosen(is_short=True), ids=lambda case: case.name)
def test_the_server_withstands(case: Case, ground: Ground) -> None:
    played = play(case, ground)
    if played.skipped:
        pytest.skip(played.skipped)
    assert not played.problem, played.details or played.problem
