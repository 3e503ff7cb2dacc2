"""As whom everything runs."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from elephant_server.settings import checkout_root
from stack.ordinary import GID, UID
from stack.player import Player, Uploader, write_movie
from stack.running import START_SECONDS, RunningServer, settings_of

pytestmark = [
    pytest.mark.stack,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can start a server for another user"),
]


@pytest.fixture
def handed_over(
    python: str, tls_server: RunningServer, certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> RunningServer:
    """Give a server that root has started for another user, in a workspace with files of root's."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate[0]))
    return tls_server


def test_all_of_it_runs_as_the_user(handed_over: RunningServer) -> None:
    processes = handed_over.processes()
    assert {name for name in ("redis-server", "nginx", "beam.smp", "epmd") if any(p.name() == name for p in processes)}
    assert len(processes) > 8
    assert {(*process.uids(), *process.gids()) for process in processes} == {(UID,) * 3 + (GID,) * 3}
    assert "Warning: everything runs as root" not in handed_over.output()


def test_what_is_in_the_workspace_is_the_users(handed_over: RunningServer, tmp_path: Path) -> None:
    movie = tmp_path / "new.h5"
    write_movie(movie, np.ones((1, 4, 16, 16)))
    assert set(Uploader(handed_over, "new").send(movie)) == {200}
    body = {"dataset_name": "new", "is_2d": False}
    assert Player(handed_over).post("dataset/generate", body).status_code == 200
    workspace = handed_over.workspace
    roots = {path.name for path in (workspace, *workspace.rglob("*")) if path.lstat().st_uid != UID}
    # What has another name elsewhere is not given away.
    assert roots == {"other name"}
    assert (handed_over.folder / "secret").stat().st_uid == 0


def test_who_starts_it_as_root_is_warned(stack: RunningServer) -> None:
    assert "ELEPHANT_UID" in stack.output()
    assert {process.uids().real for process in stack.processes()} == {0}


def test_a_user_who_cannot_read_what_has_to_run_is_named(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    for name in ("nginx.conf", "supervisord.conf"):
        shutil.copy(checkout_root() / name, home)
    refused = RunningServer.start(
        tmp_path, settings_of(tmp_path) | {"ELEPHANT_HOME": str(home), "ELEPHANT_UID": str(UID)}
    )
    assert refused.process.wait(START_SECONDS) == 1
    assert f"User {UID} cannot read " in refused.output()
    assert refused.processes() == []
