"""What tests of the stack share."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from stack.certificates import make_certificate
from stack.ordinary import GID, UID, python, python_of_user, readable
from stack.running import ENDING_WITH_THEIR_SET, RunningServer, settings_of

__all__ = ["certificate", "own_server", "python", "python_of_user", "readable", "tls_server"]

TOKEN = "lab-7~token_that.nobody-guesses"


@pytest.fixture(scope="session")
def own_server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """Give a server that is open to the network, with two pairs of workers, to be asked by strangers and killed.

    A ``.env`` file where it is started holds its settings.
    """
    ENDING_WITH_THEIR_SET.append(request)
    folder = tmp_path_factory.mktemp("own server")
    lines = [f"{name}={value}" for name, value in settings_of(folder).items()]
    lines += ["ELEPHANT_WORKSPACE='./work space'", "ELEPHANT_NEVER_HEARD_OF=1", "ELEPHANT_WORKER_PAIRS=2"]
    lines += ["ELEPHANT_BIND_ADDRESS=0.0.0.0"]
    (folder / ".env").write_text("\n".join(lines))
    values = dict(line.split("=") for line in lines) | {"ELEPHANT_WORKSPACE": str(folder / "work space")}
    running = RunningServer.start(folder, values, variables={})
    try:
        yield running.wait_until_serving()
    finally:
        running.stop()


@pytest.fixture(scope="session")
def certificate(readable: Path) -> tuple[Path, Path]:
    folder = readable / "tls"
    folder.mkdir()
    made = make_certificate(folder)
    if os.geteuid() == 0:
        os.chown(made[1], UID, GID)
    return made


@pytest.fixture(scope="session")
def tls_server(
    request: pytest.FixtureRequest, readable: Path, certificate: tuple[Path, Path], python_of_user: str | None
) -> Iterator[RunningServer]:
    """Give a server that is open to the network, and encrypted, with a token that its owner has chosen.

    Where the tests run as root, it is for another user, in a workspace with files of root's.
    """
    ENDING_WITH_THEIR_SET.append(request)
    folder = readable / "server"
    tls = {"ELEPHANT_TLS_CERT": str(certificate[0]), "ELEPHANT_TLS_KEY": str(certificate[1])}
    values = settings_of(folder) | tls | {"ELEPHANT_BIND_ADDRESS": "0.0.0.0", "ELEPHANT_TOKEN": TOKEN}  # noqa: S104
    if os.geteuid() == 0 and python_of_user is not None:
        leave_files_of_root(folder)
        user = {"LOCAL_UID": str(UID), "LOCAL_GID": str(GID)}
        running = RunningServer.start(folder, values, variables=values | user, python=python_of_user)
    else:
        running = RunningServer.start(folder, values)
    try:
        yield running.wait_until_serving()
    finally:
        running.stop()


def leave_files_of_root(folder: Path) -> None:
    """Make a workspace that root has used, with links that lead out of it."""
    left = folder / "workspace" / "datasets" / "old" / "imgs.zarr"
    left.mkdir(parents=True)
    (left / "zarr.json").write_text("{}")
    (folder / "secret").write_text("root's")
    (left / "link").symlink_to(folder / "secret")
    os.link(folder / "secret", left / "other name")
