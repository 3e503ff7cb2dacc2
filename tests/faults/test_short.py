"""The short form of the suite, as part of all tests; ``make test-faults`` plays all of it."""

import pytest

from faults.cases import Case
from faults.ground import Ground
from faults.suite import chosen, play
from stack.running import RunningServer

pytestmark = pytest.mark.stack


@pytest.fixture(scope="module")
def ground(stack: RunningServer, tmp_path_factory: pytest.TempPathFactory) -> Ground:
    return Ground.prepared(stack, tmp_path_factory.mktemp("faults"))


@pytest.mark.parametrize("case", chosen(is_short=True), ids=lambda case: case.name)
def test_the_server_withstands(case: Case, ground: Ground) -> None:
    played = play(case, ground)
    if played.skipped:
        pytest.skip(played.skipped)
    assert not played.problem, played.details or played.problem
