"""What is said where the server of one process cannot start."""

import io
import os
import sys
import threading
from pathlib import Path

import psutil
import pytest

from elephant_server.deploy.credentials import with_secrets
from elephant_server.deploy.folders import hold
from elephant_server.deploy.foreground import say
from elephant_server.embedded import server
from elephant_server.embedded.__main__ import serve
from elephant_server.errors import StackError
from elephant_server.settings import Settings
from stack.running import free_ports


def test_an_option_that_cannot_be_used_is_explained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert serve(None, tmp_path / "workspace", "first") == 1
    said = capsys.readouterr().err
    assert said.startswith("Cannot serve: ELEPHANT_GPU: expected `all`, an index (0)")
    assert 'got "first"' in said
    assert not (tmp_path / "workspace").exists()
    assert not any("elephant_server.embedded.worker" in child.cmdline() for child in psutil.Process().children())


def test_only_the_lock_is_told_of_as_what_cannot_be_written(tmp_path: Path) -> None:
    for _ in range(2):  # it is given back each time
        with pytest.raises(PermissionError, match="elsewhere"), hold(tmp_path, "ELEPHANT_WORKSPACE"):
            raise PermissionError(13, "Permission denied", "elsewhere")


def test_a_token_that_is_not_there_is_told_of_where_users_have_no_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "geteuid")
    with pytest.raises(StackError, match=r"ELEPHANT_TOKEN_FILE: .* cannot be read \(No such file or directory\)"):
        with_secrets(Settings(workspace=tmp_path, token_file=tmp_path / "none"))


def test_a_broker_that_is_not_started_may_have_any_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[Settings] = []
    monkeypatch.setattr(server, "_run", lambda settings, *_: started.append(settings))
    (port,) = free_ports(1)
    everywhere = "0.0.0.0"  # noqa: S104 - nothing listens there
    server.serve(Settings(workspace=tmp_path, bind_address=everywhere, http_port=port, rabbitmq_password="user"))
    assert [settings.rabbitmq_password for settings in started] == ["user"]
    assert not (tmp_path / ".run" / "rabbitmq.password").exists()
    assert (tmp_path / ".run" / "token").exists()


def test_a_path_of_another_language_is_said_somehow(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="cp1252"))
    say("    workspace  C:\\象\\données")
    assert written.getvalue().decode("cp1252").strip() == "workspace  C:\\\\u8c61\\données"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_server_that_takes_no_requests_any_more_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Failing:
        def run(self) -> None:
            raise ValueError("filedescriptor out of range")

        def close(self) -> None: ...

    monkeypatch.setattr(server, "_listen", lambda *_: Failing())
    monkeypatch.setattr(server, "set_up_logging", lambda *_: None)
    stop = threading.Event()
    too_long = threading.Timer(30, stop.set)
    too_long.start()
    with pytest.raises(StackError, match="stopped accepting requests"):
        server._run(Settings(workspace=tmp_path, gpu="", pretrained_url=""), stop)
    too_long.cancel()
