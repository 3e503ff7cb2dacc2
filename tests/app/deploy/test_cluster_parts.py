"""Roles, worker pairs and passwords of a server with several machines, before anything of it is started."""

import configparser
import re
import ssl
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from elephant_server.deploy import folders, health, preflight, rendering, workers
from elephant_server.deploy.credentials import with_passwords, with_secrets
from elephant_server.deploy.health import ask_redis
from elephant_server.deploy.preflight import redis_addresses
from elephant_server.deploy.rendering import redis_configuration
from elephant_server.errors import StackError
from elephant_server.settings import Settings, SettingsError, checkout_root, load_settings

ANYWHERE = "0.0.0.0"  # noqa: S104


def member(**values: Any) -> Settings:
    return Settings(**{"home": checkout_root(), **values})


@pytest.mark.parametrize(
    ("values", "redis", "broker", "web", "workers"),
    [
        ({}, True, True, True, True),
        ({"redis_host": "192.0.2.7"}, False, True, True, True),
        ({"roles": " Workers "}, False, False, False, True),
        ({"roles": "web,redis", "redis_host": "head.example.org"}, True, False, True, False),
        ({"roles": "redis,broker,web,workers", "rabbitmq_host": "192.0.2.7"}, True, True, True, True),
    ],
)
def test_what_runs_on_a_machine(values: dict[str, str], redis: bool, broker: bool, web: bool, workers: bool) -> None:
    found = member(**values)
    started = (found.starts_redis, found.starts_rabbitmq, found.starts_web, found.starts_workers)
    assert started == (redis, broker, web, workers)


def test_only_one_of_several_machines_has_what_machines_share(tmp_path: Path) -> None:
    alone = member(workspace=tmp_path)
    part = member(workspace=tmp_path, roles="workers", machine="gpu7")
    head = member(workspace=tmp_path, cluster_address="127.0.0.2", machine="head")
    assert (alone.runtime_dir, alone.is_cluster, alone.password_path) == (tmp_path / ".run", False, None)
    assert (part.runtime_dir, head.runtime_dir) == (tmp_path / ".run" / "gpu7", tmp_path / ".run" / "head")
    assert part.redis_password_path == head.redis_password_path == tmp_path / ".run" / "redis.password"
    assert part.password_path == head.password_path == tmp_path / ".run" / "rabbitmq.password"
    assert not member(roles="redis,broker,web,workers").is_cluster


def test_how_the_server_reaches_its_services() -> None:
    secret = "0123456789abcde/"
    part = member(roles="workers", redis_host="head", rabbitmq_host="head", redis_password=secret)
    assert part.redis_url == "redis://:0123456789abcde%2F@head:6379/0"
    assert part.rabbitmq_url == "amqp://user:user@head:5673/%2F"
    assert member(rabbitmq_host="other").rabbitmq_url == "amqp://user:user@other:5672/%2F"
    assert secret not in repr(part)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("ROLES", "web,database", "some of redis, broker, web, workers"),
        ("MACHINE", "gpu 7", "letters, digits"),
        ("CLUSTER_ADDRESS", "head", "an IP address"),
        ("WORKER_PAIRS", "0", "greater than or equal to 1"),
        ("REDIS_PASSWORD", "short", "at least 16"),
    ],
)
def test_a_wrong_value_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str, expected: str) -> None:
    monkeypatch.setenv(f"ELEPHANT_{name}", value)
    with pytest.raises(SettingsError, match=rf"ELEPHANT_{name}: expected .*{expected}"):
        load_settings()


@pytest.mark.parametrize(
    ("values", "environment", "n_gpus", "expected"),
    [
        ({}, {}, 0, [{}]),
        ({}, {}, 1, [{}]),
        ({}, {}, 2, ["0", "1"]),
        ({"gpu": "2,0"}, {}, 4, ["2", "0"]),
        ({"gpu": ""}, {}, 4, [{}]),
        ({"worker_pairs": 1}, {}, 4, [{}]),
        ({"worker_pairs": 3}, {}, 2, ["0", "1", "0"]),
        ({}, {"CUDA_VISIBLE_DEVICES": "5,6"}, 8, ["5", "6"]),
        ({"gpu": "1"}, {"CUDA_VISIBLE_DEVICES": "5,6"}, 8, [{}]),
    ],
)
def test_a_pair_for_each_gpu(
    monkeypatch: pytest.MonkeyPatch,
    values: dict[str, Any],
    environment: dict[str, str],
    n_gpus: int,
    expected: list[Any],
) -> None:
    monkeypatch.setattr(workers, "n_gpus", lambda: n_gpus)
    found = workers.workers_of(member(**values), environment | {"OMP_NUM_THREADS": "4"})
    told_apart = [{"CUDA_VISIBLE_DEVICES": e, "ELEPHANT_GPU": e} if isinstance(e, str) else e for e in expected]
    limit = {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE_BF16"}  # of the one that trains
    assert [worker.environment for worker in found] == [each | own for each in told_apart for own in (limit, {})]
    assert [worker.name for worker in found[:4]] == ["training", "answering", "training-2", "answering-2"][: len(found)]


def test_pairs_without_a_gpu_share_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "n_gpus", lambda: 0)
    monkeypatch.setattr(workers, "n_cores", lambda: 8)
    assert {w.environment["OMP_NUM_THREADS"] for w in workers.workers_of(member(worker_pairs=3), {})} == {"2"}
    assert workers.workers_of(member(roles="web"), {}) == []
    chosen = workers.workers_of(member(), {"DNNL_MAX_CPU_ISA": "AVX2"})
    assert not any("ONEDNN_MAX_CPU_ISA" in each.environment for each in chosen)


def test_every_worker_has_a_program() -> None:
    programs = [
        workers.Worker("training", "training", {}),
        workers.Worker("answering-2", "answering", {"A": "0", "B": "1"}),
    ]
    found = configparser.RawConfigParser(strict=True, inline_comment_prefixes=(" ;",))
    found.read_string(rendering.supervisord_configuration(member(), programs))
    assert found["group:server"]["programs"] == "training,answering-2,uwsgi,nginx"
    assert found["program:answering-2"]["environment"] == 'A="0",B="1"'
    assert "-Q answering -n answering-2@" in found["program:answering-2"]["command"]
    assert "${" not in rendering.supervisord_configuration(member(), [])


def test_a_machine_of_workers_needs_and_opens_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "_find", lambda _: "")
    part = member(roles="workers", redis_host="head")
    assert preflight.find_programs(part) == preflight.Programs("", "", "", "")
    assert preflight.wanted_ports(part) == []


@pytest.mark.parametrize(
    ("values", "addresses"),
    [
        ({}, ["127.0.0.1"]),
        ({"redis_host": "::1"}, ["::1"]),
        ({"cluster_address": "192.0.2.7"}, ["127.0.0.1", "192.0.2.7"]),
        ({"cluster_address": ANYWHERE}, [ANYWHERE]),
        ({"cluster_address": "::"}, [ANYWHERE, "::"]),
    ],
)
def test_redis_listens_beyond_this_machine_only_where_it_is_told(values: dict[str, Any], addresses: list[str]) -> None:
    assert redis_addresses(member(**values)) == addresses


def test_redis_is_never_open_without_a_password() -> None:
    for settings in (member(cluster_address="192.0.2.7"), member()):
        with pytest.raises(StackError, match="without a password"):
            redis_configuration(settings)
    text = redis_configuration(member(cluster_address="192.0.2.7", redis_password='0123456789abcd"\n'))
    assert "bind 127.0.0.1 192.0.2.7\n" in text
    assert r"requirepass " + '"' + r"\x30\x31\x32\x33\x34\x35\x36\x37\x38\x39\x61\x62\x63\x64\x22\x0a" + '"\n' in text


def test_a_password_that_everybody_knows_is_refused(tmp_path: Path) -> None:
    values = {"workspace": tmp_path, "cluster_address": "192.0.2.7", "rabbitmq_password": "user"}
    folders.make_folders(member(**values))
    with pytest.raises(StackError, match=r"RabbitMQ listens on 192\.0\.2\.7; got a well-known one"):
        with_secrets(member(**values))


def test_rabbitmq_has_a_port_for_machines_beside_the_one_for_clients(tmp_path: Path) -> None:
    plain = rendering.rabbitmq_configuration(member(cluster_address="192.0.2.7"), 1)
    assert '{tcp_listeners, [{"127.0.0.1", 5672}, {"192.0.2.7", 5673}]}' in plain
    certificate = {"tls_cert": tmp_path / "c", "tls_key": tmp_path / "k"}
    encrypted = rendering.rabbitmq_configuration(member(cluster_address="192.0.2.7", **certificate), 1)
    assert '{tcp_listeners, [{"127.0.0.1", 1}, {"192.0.2.7", 5673}]}' in encrypted
    assert '{ssl_listeners, [{"127.0.0.1", 5672}]}' in encrypted


def test_every_suite_encrypts_with_authentication_and_keys_of_its_own(tmp_path: Path) -> None:
    settings = member(tls_cert=tmp_path / "c", tls_key=tmp_path / "k")
    (of_nginx,) = re.findall(r"ssl_ciphers ([^;]+);", rendering.nginx_configuration(settings, tmp_path))
    (of_rabbitmq,) = re.findall(r"\{ciphers, \[([^]]+)\]\}", rendering.rabbitmq_configuration(settings, 1))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    for names in (of_nginx, of_rabbitmq.replace('"', "").replace(", ", ":")):
        context.set_ciphers(names)
        suites = [suite for suite in context.get_ciphers() if suite["protocol"] == "TLSv1.2"]
        assert len(suites) == 6
        assert all(suite["aead"] and suite["kea"] == "kx-ecdhe" for suite in suites)


def test_passwords_are_made_where_the_services_run_and_found_elsewhere(tmp_path: Path, redis_url: str) -> None:
    head, part = (member(workspace=tmp_path, roles=roles) for roles in ("redis,broker,web", "workers"))
    for settings in (head, part):
        folders.make_folders(settings)
    assert with_secrets(part).redis_password is None
    made, found = with_secrets(head), with_secrets(part)
    assert made.redis_password == found.redis_password
    assert made.rabbitmq_password == found.rabbitmq_password != "user"
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / ".run").glob("*.password")} == {0o600}


def test_redis_has_a_password_on_one_machine_too(tmp_path: Path) -> None:
    """Other users of this machine reach it, and could put work before the workers."""
    settings = member(workspace=tmp_path)
    folders.make_folders(settings)
    made = with_secrets(settings)
    assert made.redis_password
    assert f":{made.redis_password}@" in made.redis_broker_url
    assert with_passwords(settings).redis_password == made.redis_password
    assert settings.redis_password_path is not None
    assert settings.redis_password_path.stat().st_mode & 0o777 == 0o600
    assert with_secrets(member(workspace=tmp_path, redis_password="y" * 20)).redis_password == "y" * 20


def test_a_redis_of_somebody_else_keeps_its_password(tmp_path: Path) -> None:
    for values in (
        {"redis_host": "redis.example.org"},
        {"redis_host": "redis.example.org", "redis_password": "z" * 20},
    ):
        settings = member(workspace=tmp_path, **values)
        folders.make_folders(settings)
        assert settings.redis_password_path is None
        assert with_secrets(settings).redis_password == values.get("redis_password")


def test_waits_for_the_other_machines_and_says_what_is_missing(tmp_path: Path, redis_url: str) -> None:
    port = int(redis_url.rsplit(":", 1)[1].partition("/")[0])
    part = member(workspace=tmp_path, roles="workers", redis_port=port, rabbitmq_password="x" * 20)
    folders.make_folders(part)
    assert health.join(part, threading.Event(), 0) == part
    for missing, words in (({"redis_port": preflight.free_ports(1)[0]}, "Redis at "), ({}, "RabbitMQ's password")):
        changed = {"workspace": tmp_path, "roles": "workers", "redis_port": port, **missing}
        changed |= {"rabbitmq_password": "x" * 20} if missing else {}
        with pytest.raises(StackError, match=f"not running after 0 s: {words}"):
            health.join(member(**changed), threading.Event(), 0)
    stopped = threading.Event()
    stopped.set()
    assert health.join(member(roles="workers", redis_port=1), stopped, 60)
    assert health.join(member(redis_port=1), threading.Event(), 0), "a server of one machine waits for nothing"


def test_asks_redis(redis_url: str) -> None:
    port = int(redis_url.rsplit(":", 1)[1].partition("/")[0])
    assert ask_redis(member(redis_port=port), "127.0.0.1") == ""
    assert "refused" in ask_redis(member(redis_port=preflight.free_ports(1)[0]), "127.0.0.1")


def test_launchers_of_a_machine_take_different_gpus(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(workers, "devices_of", lambda _: ["0", "1", "2"])
    part = member(workspace=tmp_path, roles="workers", worker_pairs=1)
    folders.make_folders(part)
    with ExitStack() as first, ExitStack() as second, ExitStack() as third:
        taken = [workers.with_own_gpus(part, stack).gpu for stack in (first, second, third)]
        assert taken == ["0", "1", "2"]
        assert workers.with_own_gpus(part, first).gpu == "0", "all are taken: one is shared"
        second.close()
        assert workers.with_own_gpus(part, second).gpu == "1"
    assert workers.with_own_gpus(member(workspace=tmp_path, worker_pairs=1), ExitStack()).gpu == "all"
    assert workers.with_own_gpus(member(workspace=tmp_path, roles="workers"), ExitStack()).gpu == "all"
