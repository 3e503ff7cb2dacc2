"""Which kind of server plays what: the whole stack, or the one process of ``make serve``.

How requests and jobs travel differs, and is played on both. What is the same behind both, as science is, is played on
one of them, and on both by ``make test-all``.
"""

import pytest

from stack.running import RunningServer, is_one_process
from thorough import PLAYS_ALL

STACK, ONE_PROCESS = KINDS_OF_SERVER = ("stack", "one process")
ELSEWHERE = "played on the other kind of server; on both with make test-all"


def played_on(kind: str) -> pytest.MarkDecorator:
    """Return the mark of a test, or of a file, that is played on one kind of server."""
    return pytest.mark.parametrize("server", KINDS_OF_SERVER if PLAYS_ALL else [kind], indirect=True, scope="session")


def leave_to(kind: str, server: RunningServer) -> None:
    """Skip what another kind of server than this one plays."""
    if not PLAYS_ALL and kind != (ONE_PROCESS if is_one_process(server) else STACK):
        pytest.skip(ELSEWHERE)
