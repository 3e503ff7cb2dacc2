"""What the doctor finds about the server."""

import socket
from pathlib import Path

import pytest

from elephant.cli.health import Status
from elephant_server import doctor
from elephant_server.deploy import preflight
from elephant_server.doctor import check_other_machines, check_part, check_ports, check_programs, check_server
from elephant_server.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    http, redis, rabbitmq = preflight.free_ports(3)
    return Settings(workspace=tmp_path, http_port=http, redis_port=redis, rabbitmq_node_port=rabbitmq)


def test_free_ports_are_fine_and_taken_ones_are_named(settings: Settings) -> None:
    finding = check_ports(settings)
    assert finding.status is Status.OK
    assert f"{settings.http_port}, {settings.redis_port}, {settings.rabbitmq_node_port} are free" in finding.message
    with socket.create_server(("127.0.0.1", settings.redis_port)):
        finding = check_ports(settings)
    assert finding.status is Status.WARNING  # one process does without Redis
    assert f"Port {settings.redis_port} is taken" in finding.message
    assert "ELEPHANT_REDIS_PORT" in finding.remedy
    with socket.create_server(("127.0.0.1", settings.http_port)):
        finding = check_ports(settings)
    assert finding.status is Status.PROBLEM
    assert "ELEPHANT_HTTP_PORT" in finding.remedy


def test_a_server_that_lost_its_broker(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "gpu_names", lambda _: "CPU is used")
    with (
        socket.create_server(("127.0.0.1", settings.http_port)),
        socket.create_server(("127.0.0.1", settings.redis_port)),
    ):
        finding = check_ports(settings)
        assert finding.status is Status.PROBLEM
        assert f"{settings.rabbitmq_node_port} (ELEPHANT_RABBITMQ_NODE_PORT)" in finding.message
        assert str(settings.service_logs_dir) in finding.remedy
        with socket.create_server(("127.0.0.1", settings.rabbitmq_node_port)):
            assert check_ports(settings).status is Status.OK


def test_a_server_of_one_process_has_no_services(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "gpu_names", lambda _: "CPU is used")
    with socket.create_server(("127.0.0.1", settings.http_port)):
        finding = check_ports(settings)
    assert finding.status is Status.OK
    assert "single-process server" in finding.message


def test_missing_programs_come_with_what_installs_them(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "_MORE_FOLDERS", ())
    monkeypatch.setattr(preflight, "_PLAIN_RABBITMQ", Path("/nowhere/rabbitmq-server"))
    monkeypatch.setenv("PATH", "/nowhere")
    finding = check_programs(settings)
    assert finding.status is Status.WARNING
    assert finding.message.startswith("Not installed: nginx, redis-server, rabbitmq-server, epmd; only the whole stack")
    assert "sudo apt-get install --no-install-recommends nginx-light" in finding.remedy


def test_services_elsewhere_are_asked_for(settings: Settings) -> None:
    assert list(check_other_machines(settings)) == []
    away = settings.model_copy(update={"redis_host": "redis.invalid", "rabbitmq_host": "rabbitmq.invalid"})
    redis, rabbitmq = check_other_machines(away)
    assert (redis.status, rabbitmq.status) == (Status.PROBLEM, Status.PROBLEM)
    assert "redis.invalid" in redis.message
    assert "ELEPHANT_RABBITMQ_HOST" in rabbitmq.remedy


def test_a_part_of_a_server_is_looked_at_as_a_part(tmp_path: Path) -> None:
    port, amqp = preflight.free_ports(2)
    values = {"workspace": tmp_path, "machine": "gpu1", "redis_port": port, "rabbitmq_node_port": amqp}
    workers = check_part(Settings(roles="workers", **values))
    assert workers.status is Status.PROBLEM
    assert f"gpu1: workers; redis does not answer at 127.0.0.1, port {port}" in workers.message
    assert str(tmp_path / ".run" / "gpu1" / "logs") in workers.remedy
    broker = check_part(Settings(roles="broker", **values))
    assert "rabbitmq does not answer" in broker.message
    assert "redis" not in broker.message


def test_a_wrong_setting_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ELEPHANT_HTTP_PORT", "many")
    packages, finding = check_server(None)
    assert packages.status is Status.OK
    assert "Flask " in packages.message
    assert finding.status is Status.PROBLEM
    assert "ELEPHANT_HTTP_PORT" in finding.message


def test_it_is_installed_for_the_command() -> None:
    from importlib.metadata import entry_points

    (entry,) = entry_points(group="elephant.doctor", name="server")
    assert entry.load() is check_server
