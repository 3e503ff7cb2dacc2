"""The real stack for tests that drive it as the client would."""

import gc
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from xdist.scheduler import LoadScopeScheduling

from elephant.device import choose_precision
from stack.running import ENDING_WITH_THEIR_SET, RunningServer, settings_of

# Nothing goes of what is loaded before the first test: to look for it would take a sixth of the time, then and later.
gc.disable()

# Threads of networks as small as those of the tests wait more than they compute, the more so where others run beside.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# The same examples every time, and so many that all properties together take seconds.
settings.register_profile("checked", derandomize=True, deadline=None, max_examples=40, database=None)
settings.load_profile("checked")


# What tests start need not compile the packages anew each time, even where a container's variables say so.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


# In this order, so that no process is left alone with a long file at the end; what is not named is short. Files that
# start servers or build the docs take minutes, most of it waiting.
LONG = ("client", "stack", "docs", "faults", "bench", "embedded", "core/workflows", "core/test_pipeline", "core/models")
# Files that play on the server that runs until the tests end: a start of it costs more than most of them. Those of a
# set share one, in one process; all in one would be at it when everything else is done.
ON_A_STACK = (
    ("story", "endurance", "dashboard", "data_story", "flow_story", "live_story", "lineage_view", "description"),
    ("auth", "launcher", "tls", "users"),
)
SETS = {f"stack/test_{name}.py": number for number, names in enumerate(ON_A_STACK) for name in names}
SETS["faults/test_short.py"] = 1
# What starts programs, which other processes of the tests slow down: where it is asked for, a test of them that fails
# gets one more try. What needed it is listed at the end: it is a race, in the test or in what it tests, to be mended.
WITH_PROGRAMS = ("app/jobs", "bench", "client", "docs", "embedded", "examples", "faults", "stack")
TRIES_AGAIN = os.environ.get("ELEPHANT_TEST_AGAIN") == "1"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes long, and with those that share a server."""
    root = Path(__file__).parent
    names = {item.path: item.path.relative_to(root).as_posix() for item in items}

    def place(item: pytest.Item) -> tuple[int, int]:
        name = names[item.path]
        order = next((place for place, long in enumerate(LONG) if name.startswith(long)), len(LONG))
        return order, SETS.get(name, len(ON_A_STACK))

    items.sort(key=place)
    if TRIES_AGAIN:
        for item in items:
            if names[item.path].startswith(WITH_PROGRAMS):
                item.add_marker(pytest.mark.flaky(reruns=1))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show why a test needed a second try: pytest shows it for those alone that fail in the end."""
    for report in terminalreporter.stats.get("rerun", []):
        terminalreporter.section(f"second try of {report.nodeid}")
        terminalreporter.line(report.longreprtext)


def set_of(nodeid: str) -> str:
    """Return the name of the set of files that share servers; a file that is in none is one by itself."""
    name = nodeid.partition("::")[0].removeprefix("tests/")
    return "client" if name.startswith("client/") else f"stack {SETS[name]}" if name in SETS else name


class ByServer(LoadScopeScheduling):
    """Gives each file to one of several processes, and files that share a server to the same one."""

    def _split_scope(self, nodeid: str) -> str:
        return set_of(nodeid)


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """End the servers of a set, and what stands on them, with its last test: an idle one takes some % of a core."""
    if nextitem is None or set_of(nextitem.nodeid) != set_of(item.nodeid):
        while ENDING_WITH_THEIR_SET:
            request = ENDING_WITH_THEIR_SET.pop()
            request._fixturedef.finish(request)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByServer | None:
    return ByServer(config, log) if config.getoption("dist") == "loadfile" else None


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop() -> None:
    gc.freeze()
    gc.enable()


@pytest.fixture
def float32() -> Iterator[None]:
    """Compute in float32 on each processor: what is compared is the same up to its rounding."""
    choose_precision("float32")
    yield
    choose_precision("auto")


@pytest.fixture(scope="session")
def stack(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """Give a server that runs until the tests of a set end; leave it running and idle."""
    ENDING_WITH_THEIR_SET.append(request)
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
