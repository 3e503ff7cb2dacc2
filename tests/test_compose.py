"""docker-compose.yml says what the settings, the Makefile and the launcher know. There is no Docker engine here."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from elephant_server.settings import Settings, load_settings, variable
from elephant_server.settings.services import ROLES

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "docker-compose.yml").read_text()
PARTS = ("redis", "rabbitmq", "web", "workers")
# What the container is built and started with; not for the server.
OF_THE_CONTAINER = {"ELEPHANT_IMAGE_NAME", "ELEPHANT_TORCH", "ELEPHANT_BASE", "LOCAL_UID", "LOCAL_GID"}
# What the image, the file itself or the container's name says.
NOT_PASSED_ON = {"home", "workspace", "run_dir", "listen_address", "roles", "machine", "cluster_address"}
_NAME = re.compile(r"\$\{([A-Z_]+)(?:(:?[-+])([^}]*))?\}")


def filled(value: Any, variables: dict[str, str]) -> Any:
    """Return a value with its variables filled in, as Compose does."""

    def fill(match: re.Match[str]) -> str:
        name, how, other = match[1], match[2] or "", match[3] or ""
        is_there = bool(variables.get(name)) if how.startswith(":") else name in variables
        if how.endswith("+"):
            return other if is_there else ""
        return variables[name] if is_there else other

    if isinstance(value, dict):
        return {key: filled(each, variables) for key, each in value.items()}
    if isinstance(value, list):
        return [filled(each, variables) for each in value]
    return _NAME.sub(fill, value) if isinstance(value, str) else value


def services(**variables: str) -> dict[str, Any]:
    """Return the services as Compose sees them with some variables set."""
    found = filled(yaml.safe_load(TEXT), variables)["services"]
    for service in found.values():
        passed_on = {k: variables.get(k) if v is None else v for k, v in service["environment"].items()}
        service["environment"] = {k: v for k, v in passed_on.items() if v is not None}
    return dict(found)


def settings_of(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]) -> Settings:
    """Return what a server makes of a service's variables and those of the image."""
    for field in Settings.model_fields:
        monkeypatch.delenv(variable(field), raising=False)
    image = dict(re.findall(r"(ELEPHANT_\w+)=(\S+)", (ROOT / "Dockerfile").read_text()))
    assert image["ELEPHANT_LISTEN_ADDRESS"] == "0.0.0.0"  # noqa: S104
    for name, value in {**image, **environment, "ELEPHANT_HOME": "/nowhere"}.items():
        monkeypatch.setenv(name, value)
    return load_settings()


def test_every_variable_is_one_that_is_known() -> None:
    used = {match[1] for match in _NAME.finditer(TEXT)} | set(re.findall(r"^  (ELEPHANT_\w+):", TEXT, re.MULTILINE))
    known = {variable(field) for field in Settings.model_fields}
    assert used - known <= OF_THE_CONTAINER
    said = (ROOT / "script" / "container.sh").read_text()
    assert [name for name in OF_THE_CONTAINER if name not in said] == []


@pytest.mark.parametrize("name", ["server", *PARTS])
def test_every_setting_reaches_the_server(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    given = {variable(field): "" for field in Settings.model_fields if field not in NOT_PASSED_ON}
    assert set(given) <= set(services(**given)[name]["environment"])
    changed = {"ELEPHANT_HTTP_PORT": "9000", "ELEPHANT_GPU": "", "ELEPHANT_MAX_BODY_MIB": "300", "LOCAL_UID": "7"}
    settings = settings_of(monkeypatch, services(**changed)[name]["environment"])
    assert (settings.http_port, settings.gpu, settings.max_body_mib, settings.uid) == (9000, "", 300, 7)


def test_one_container_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    found = services()
    assert [name for name, service in found.items() if "profiles" not in service] == ["server"]
    settings = settings_of(monkeypatch, found["server"]["environment"])
    assert settings.role_names == set(ROLES)
    assert not settings.requires_token
    assert found["server"]["ports"] == ["127.0.0.1:8080:8080", "127.0.0.1:5672:5672"]


def test_the_parts_are_all_of_a_server(monkeypatch: pytest.MonkeyPatch) -> None:
    found = services()
    assert [name for name, service in found.items() if service.get("profiles") == ["cluster"]] == list(PARTS)
    parts = {name: settings_of(monkeypatch, found[name]["environment"]) for name in PARTS}
    assert sorted(role for settings in parts.values() for role in settings.role_names) == sorted(ROLES)
    for settings in parts.values():
        assert settings.is_cluster
        assert settings.secrets_dir == Path("/workspace/.run")
        assert not settings.runtime_dir.is_relative_to("/workspace")
    for settings in (parts["web"], parts["workers"]):
        assert settings.redis_url == "redis://redis:6379/0"
        assert settings.rabbitmq_url == "amqp://user:user@rabbitmq:5673/%2F"
    assert {name for name, settings in parts.items() if settings.is_reached_by_cluster} == {"redis", "rabbitmq"}
    assert parts["workers"].worker_pairs == 1


def test_nothing_is_published_beyond_this_machine_unasked() -> None:
    ports = [port for service in services().values() for port in service.get("ports", ())]
    assert len(ports) == 6
    assert all(port.startswith("127.0.0.1:") for port in ports)
    opened = services(ELEPHANT_CLUSTER_ADDRESS="10.0.0.1", ELEPHANT_BIND_ADDRESS="192.0.2.7")
    assert opened["redis"]["ports"] == ["10.0.0.1:6379:6379"]
    assert opened["rabbitmq"]["ports"] == ["192.0.2.7:5672:5672", "10.0.0.1:5673:5673"]
    assert "ports" not in opened["workers"]


def test_a_machine_of_workers_finds_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = {"ELEPHANT_REDIS_HOST": "10.0.0.1", "ELEPHANT_RABBITMQ_HOST": "10.0.0.1"}
    settings = settings_of(monkeypatch, services(**elsewhere)["workers"]["environment"])
    assert settings.redis_url == "redis://10.0.0.1:6379/0"
    assert (settings.rabbitmq_host, settings.inner_amqp_port) == ("10.0.0.1", 5673)


def test_files_that_settings_name_are_mounted_where_the_settings_say() -> None:
    given = {"ELEPHANT_TLS_CERT": "/a/c.pem", "ELEPHANT_TLS_KEY": "/a/k.pem", "ELEPHANT_TOKEN_FILE": "/a/token"}
    for service in services(**given).values():
        mounted = dict(volume.split(":")[:2] for volume in service["volumes"])
        assert {name: service["environment"][name] for name in given} == {n: mounted[f] for n, f in given.items()}
    plain = services()["server"]
    assert not any(plain["environment"][name] for name in given)


def test_only_what_computes_sees_gpus() -> None:
    more = yaml.safe_load((ROOT / "docker-compose.gpu.yml").read_text())["services"]
    assert set(more) == {"server", "workers"}
    [device] = more["workers"]["deploy"]["resources"]["reservations"]["devices"]
    assert device == {"driver": "nvidia", "count": "all", "capabilities": ["gpu"]}
    assert "deploy" not in TEXT
