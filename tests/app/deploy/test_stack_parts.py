"""What the launcher does before it starts anything."""

import errno
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from elephant.io import locks
from elephant_server.deploy import folders, preflight, rendering
from elephant_server.deploy.preflight import Programs
from elephant_server.deploy.supervision import GUARD, ProgramState, Watch, child_environment, last_lines
from elephant_server.errors import StackError
from elephant_server.settings import Settings, SettingsError, checkout_root


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(workspace=tmp_path / "workspace", home=checkout_root(), gpu="0,1")


def test_says_what_to_install(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    monkeypatch.setattr(preflight, "_MORE_FOLDERS", ())
    monkeypatch.setattr(preflight, "_PLAIN_RABBITMQ", Path("/nowhere/rabbitmq-server"))
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(StackError) as caught:
        preflight.find_programs(settings)
    assert "Not installed: nginx, redis-server, rabbitmq-server, epmd." in str(caught.value)
    assert "apt-get install --no-install-recommends nginx-light rabbitmq-server redis-server" in str(caught.value)


def test_needs_no_service_that_is_on_another_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    nginx = tmp_path / "nginx"
    nginx.write_text("#!/bin/sh\n")
    nginx.chmod(0o755)
    monkeypatch.setattr(preflight, "_MORE_FOLDERS", ())
    monkeypatch.setenv("PATH", str(tmp_path))
    elsewhere = Settings(redis_host="redis.example.org", rabbitmq_host="192.0.2.7")
    assert preflight.find_programs(elsewhere) == Programs(str(nginx), "", "", "")
    assert [listener.field for listener in preflight.wanted_ports(elsewhere)] == ["http_port"]


def test_refuses_one_port_for_two_services() -> None:
    wanted = preflight.wanted_ports(Settings(redis_port=8080, rabbitmq_management_port=5672))
    with pytest.raises(StackError) as caught:
        preflight.require_free(wanted)
    first, second = str(caught.value).splitlines()
    assert "ELEPHANT_REDIS_PORT and ELEPHANT_HTTP_PORT are both 8080" in first
    assert "ELEPHANT_RABBITMQ_MANAGEMENT_PORT and ELEPHANT_RABBITMQ_NODE_PORT are both 5672" in second


def test_free_ports_are_different_and_free() -> None:
    found = preflight.free_ports(3)
    assert len(set(found)) == 3
    for port in found:
        socket.create_server(("127.0.0.1", port)).close()


def test_refuses_an_address_of_another_machine() -> None:
    with pytest.raises(StackError, match=r"192\.0\.2\.7 is not an address of this machine\. Set ELEPHANT_BIND_ADDRESS"):
        preflight.require_free([preflight.Listener("http_port", "192.0.2.7", preflight.free_ports(1)[0])])


def test_only_one_server_holds_a_folder(tmp_path: Path) -> None:
    with (
        folders.hold(tmp_path, "ELEPHANT_WORKSPACE"),
        pytest.raises(StackError, match="already runs in"),
        folders.hold(tmp_path, "ELEPHANT_WORKSPACE"),
    ):
        pass
    with folders.hold(tmp_path, "ELEPHANT_WORKSPACE"):
        pass


def test_a_file_system_without_locks_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_handle: int, *, is_shared: bool = False) -> bool:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(locks, "lock", fail)
    with folders.hold(tmp_path, "ELEPHANT_WORKSPACE"):
        assert "make sure that no other server runs there" in caplog.text


def test_makes_the_folders_of_a_workspace(settings: Settings) -> None:
    folders.make_folders(settings)
    assert {folder.name for folder in settings.workspace.iterdir()} == {"datasets", "models", "logs", ".run"}


def test_refuses_paths_that_the_configuration_cannot_hold(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="ELEPHANT_WORKSPACE: expected a path without quotes"):
        folders.make_folders(Settings(workspace=tmp_path / 'a"b'))


def test_sockets_go_elsewhere_where_the_path_is_too_long(tmp_path: Path) -> None:
    deep = tmp_path / ("a" * 120)
    deep.mkdir()
    with folders.socket_folder(Settings(run_dir=deep)) as folder:
        assert folder != deep
        assert len(str(folder)) < 60
    assert not folder.exists()


def test_nginx_listens_where_it_is_told(settings: Settings) -> None:
    text = rendering.nginx_configuration(
        settings.model_copy(update={"bind_address": "::1", "http_port": 81}), Path("/s")
    )
    assert "listen [::1]:81;" in text
    assert 'uwsgi_pass "unix:/s/uwsgi.sock";' in text
    assert "${" not in text


def test_rabbitmq_takes_any_password() -> None:
    text = rendering.rabbitmq_configuration(Settings(rabbitmq_password='"}é', rabbitmq_management_port=99), 1)
    assert "{default_pass, <<34,125,195,169>>}" in text
    assert '{tcp_listeners, [{"127.0.0.1", 5672}]}' in text
    assert '{rabbitmq_management, [{tcp_config, [{ip, "127.0.0.1"}, {port, 99}]}]}' in text


def test_services_do_not_hear_variables_that_would_reconfigure_them(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RABBITMQ_NODENAME", "UWSGI_HTTP", "CELERY_BROKER_URL", "ERL_FLAGS"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("HTTPS_PROXY", "kept")
    environment = child_environment({"RABBITMQ_OF_OURS": "y"})
    assert [name for name in environment if name.startswith(("RABBITMQ", "UWSGI", "CELERY", "ERL_"))] == [
        "RABBITMQ_OF_OURS"
    ]
    assert environment["HTTPS_PROXY"] == "kept"


def test_notices_a_program_that_was_started_again(tmp_path: Path) -> None:
    watch = Watch()
    assert watch.look([_program(tmp_path, pid=0, state="STARTING")]) == []
    assert watch.look([_program(tmp_path, pid=1)]) == []
    assert watch.look([_program(tmp_path, pid=1)]) == []
    assert watch.look([_program(tmp_path, pid=2)]) == ["training"]


def test_gives_up_on_a_program_that_ends_again_and_again(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("".join(f"line {number}\n" for number in range(100)))
    watch = Watch()
    for pid in range(1, 6):
        watch.look([_program(tmp_path, pid=pid)])
    with pytest.raises(StackError, match="training keeps failing") as caught:
        watch.look([_program(tmp_path, pid=6)])
    assert str(caught.value).endswith("line 98\n    line 99")


def test_does_not_give_up_on_a_program_of_a_server_that_has_served(tmp_path: Path) -> None:
    watch = Watch()
    watch.has_served = True
    assert [watch.look([_program(tmp_path, pid=pid)]) for pid in range(1, 8)] == [[], *[["training"]] * 6]
    watch.look([_program(tmp_path, pid=0, state="FATAL")])


def test_says_why_a_program_has_failed(tmp_path: Path) -> None:
    with pytest.raises(StackError, match=r"training keeps failing \(Exited too quickly\)"):
        Watch().look([_program(tmp_path, pid=0, state="FATAL")])
    assert last_lines(tmp_path / "log") == ["(No such file or directory)"]


def test_a_guarded_program_ends_with_its_parent() -> None:
    guarded = [sys.executable, "-I", "-S", str(GUARD), "--", "sleep", "600"]
    parent = _python(
        "import subprocess, sys, time", f"print(subprocess.Popen({guarded}).pid, flush=True)", "time.sleep(600)"
    )
    assert parent.stdout is not None
    child = psutil.Process(int(parent.stdout.readline()))
    _until(lambda: child.name() == "sleep")
    parent.kill()
    parent.communicate()
    _until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)


def test_a_guarded_program_whose_parent_was_gone_before_it_looked_does_not_start(tmp_path: Path) -> None:
    values = os.environ | {"GUARD_PARENT": "4194305"}  # above the largest number of a process
    command = [sys.executable, "-I", "-S", GUARD, "--", "touch", tmp_path / "done"]
    assert subprocess.run(command, env=values, check=False, timeout=60).returncode == 1
    assert not (tmp_path / "done").exists()


def test_a_guarded_program_waits_for_what_it_needs(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    port = preflight.free_ports(1)[0]
    options = ["--clear", str(tmp_path / "old"), "--wait-for", f"127.0.0.1:{port}"]
    guarded = subprocess.Popen([sys.executable, "-I", "-S", GUARD, *options, "--", "touch", tmp_path / "done"])
    _until(lambda: not (tmp_path / "old").exists())
    assert not (tmp_path / "done").exists()
    with socket.create_server(("127.0.0.1", port)):
        assert guarded.wait(60) == 0
    assert (tmp_path / "done").exists()


def _program(folder: Path, *, pid: int, state: str = "RUNNING") -> ProgramState:
    return ProgramState("training", state, pid, folder / "log", "Exited too quickly")


def _python(*lines: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", "\n".join(lines)], stdout=subprocess.PIPE)


def _until(condition: Callable[[], object], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
