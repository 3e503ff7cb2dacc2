import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from elephant_server.settings import Settings, SettingsError, is_this_machine, load_settings, variable


@pytest.fixture(autouse=True)
def _empty_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Be in a folder, and have a checkout, without a ``.env``, and no variables of a server."""
    for field in Settings.model_fields:
        monkeypatch.delenv(variable(field), raising=False)
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("ELEPHANT_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)


def test_defaults_are_those_that_users_know(tmp_path: Path) -> None:
    settings = load_settings()
    assert settings.http_port == 8080
    assert settings.bind_address == "127.0.0.1"
    assert settings.redis_port == 6379
    assert (settings.rabbitmq_host, settings.rabbitmq_node_port) == ("localhost", 5672)
    assert settings.rabbitmq_management_port is None
    assert (settings.rabbitmq_virtual_host, settings.rabbitmq_user, settings.rabbitmq_password) == ("/", "user", "user")
    assert settings.gpu == "all"
    assert settings.workspace == tmp_path / "workspace"
    assert settings.datasets_dir == tmp_path / "workspace" / "datasets"
    assert settings.models_dir == tmp_path / "workspace" / "models"
    assert settings.logs_dir == tmp_path / "workspace" / "logs"
    assert settings.runtime_dir == tmp_path / "workspace" / ".run"
    assert settings.http_url == "http://localhost:8080/"


def test_every_setting_is_described() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


def test_the_environment_wins_over_the_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "home" / ".env").write_text("ELEPHANT_HTTP_PORT=1001\nELEPHANT_REDIS_PORT=1002\nELEPHANT_GPU=1\n")
    (tmp_path / ".env").write_text('export ELEPHANT_HTTP_PORT=2001\nELEPHANT_REDIS_PORT="2002"\nELEPHANT_NO_SUCH=1\n')
    monkeypatch.setenv("ELEPHANT_HTTP_PORT", "3001")
    settings = load_settings()
    assert (settings.http_port, settings.redis_port, settings.gpu) == (3001, 2002, "1")


def test_an_empty_value_means_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ELEPHANT_RABBITMQ_MANAGEMENT_PORT", "")
    monkeypatch.setenv("ELEPHANT_HTTP_PORT", "")
    monkeypatch.setenv("ELEPHANT_WORKSPACE", "")
    settings = load_settings()
    assert (settings.rabbitmq_management_port, settings.http_port) == (None, 8080)
    assert settings.workspace.name == "workspace"


@pytest.mark.parametrize(
    ("gpu", "visible"),
    [("all", None), ("ALL", None), ("", ""), ("none", ""), ("0", "0"), ("0, 2", "0,2"), ("GPU-1a2b-3c", "GPU-1a2b-3c")],
)
def test_gpus(monkeypatch: pytest.MonkeyPatch, gpu: str, visible: str | None) -> None:
    monkeypatch.setenv("ELEPHANT_GPU", gpu)
    assert load_settings().cuda_visible_devices == visible


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("HTTP_PORT", "eighty", "a valid integer"),
        ("HTTP_PORT", "0", "greater than or equal to 1"),
        ("REDIS_PORT", "70000", "less than or equal to 65535"),
        ("GPU", "first", "an index"),
        ("LOG_LEVEL", "LOUD", "'DEBUG'"),
        ("BIND_ADDRESS", "here", "an IP address"),
        ("HTTP_THREADS", "1", "greater than or equal to 2"),
    ],
)
def test_a_wrong_value_is_named_with_what_was_expected(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, expected: str
) -> None:
    monkeypatch.setenv(f"ELEPHANT_{name}", value)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    [line] = str(caught.value).splitlines()
    assert line.startswith(f"ELEPHANT_{name}: expected ")
    assert expected in line
    assert line.endswith(f'got "{value}".')


def test_every_wrong_value_has_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ELEPHANT_HTTP_PORT", "a")
    monkeypatch.setenv("ELEPHANT_GPU", "b")
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert len(str(caught.value).splitlines()) == 2


def test_addresses_of_the_services() -> None:
    settings = Settings(
        redis_port=1234, rabbitmq_user="a@b", rabbitmq_password="c/d:e", rabbitmq_host="::1", rabbitmq_virtual_host="/x"
    )
    assert settings.redis_url == "redis://127.0.0.1:1234/0"
    assert settings.redis_url != settings.redis_broker_url
    assert settings.rabbitmq_url == "amqp://a%40b:c%2Fd%3Ae@[::1]:5672/%2Fx"
    assert "c/d:e" not in repr(settings)


@pytest.mark.parametrize(
    ("address", "url"),
    [
        ("127.0.0.1", "http://localhost:8080/"),
        ("localhost", "http://localhost:8080/"),
        ("0.0.0.0", "http://localhost:8080/"),  # noqa: S104
        ("192.0.2.7", "http://192.0.2.7:8080/"),
        ("::1", "http://[::1]:8080/"),
    ],
)
def test_the_address_to_give_to_a_client(address: str, url: str) -> None:
    assert Settings(bind_address=address).http_url == url


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", True),
        ("127.0.0.1", True),
        ("127.0.1.1", True),
        ("::1", True),
        ("[::1]", True),
        ("0.0.0.0", True),  # noqa: S104
        ("rabbitmq.example.org", False),
        ("192.0.2.7", False),
    ],
)
def test_which_services_are_on_this_machine(host: str, expected: bool) -> None:
    assert is_this_machine(host) is expected


def test_another_process_reads_the_same_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    settings = Settings(http_port=1, gpu="", workspace=Path("some where"), rabbitmq_password="p%$#", log_level="DEBUG")
    monkeypatch.chdir(tmp_path / "home")
    for name, value in settings.as_environment().items():
        monkeypatch.setenv(name, value)
    assert load_settings() == settings


def test_settings_are_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Settings().http_port = 1


def test_reading_settings_imports_nothing_heavy() -> None:
    code = "import sys, elephant_server.settings; print({'torch', 'flask', 'celery', 'numpy'} & set(sys.modules))"
    answer = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert answer.stdout == "set()\n"


def test_checksums_of_pretrained_models_are_read_and_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    checksum = "ab" * 32
    found = Settings(pretrained_checksums=f"versatile3d.pth={checksum}, b.pth={checksum}")
    assert found.pretrained_checksums_by_name == {"versatile3d.pth": checksum, "b.pth": checksum}
    assert Settings(pretrained_url="").pretrained_url == ""
    assert Settings(pretrained_url="https://a.b/c").pretrained_url == "https://a.b/c/"
    for wrong in ("versatile3d.pth", "a=12", f"../a={checksum}"):
        with pytest.raises(ValidationError, match="64 hexadecimal"):
            Settings(pretrained_checksums=wrong)
    with pytest.raises(ValidationError, match="http"):
        Settings(pretrained_url="file:///models/")


def test_secrets_are_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ELEPHANT_TOKEN", "a secret!")
    with pytest.raises(SettingsError, match="ELEPHANT_TOKEN: expected 16 to 256") as caught:
        load_settings()
    assert "a secret!" not in str(caught.value)
    assert "0123456789abcdef" not in repr(Settings(token="0123456789abcdef"))


@pytest.mark.parametrize(
    ("values", "requires", "where"),
    [
        ({}, False, None),
        ({"bind_address": "127.0.0.2"}, False, None),
        ({"bind_address": "::1"}, False, None),
        ({"bind_address": "::"}, True, "/w/.run/token"),
        ({"bind_address": "192.0.2.7"}, True, "/w/.run/token"),
        ({"bind_address": "0.0.0.0", "token": "x" * 16}, True, None),  # noqa: S104
        ({"token": "x" * 16}, True, None),
        ({"token_file": Path("/f")}, True, "/f"),
        ({"token_file": Path("/f"), "token": "x" * 16}, True, "/f"),
    ],
)
def test_when_a_token_is_required(values: dict[str, object], requires: bool, where: str | None) -> None:
    settings = Settings(workspace=Path("/w"), **values)  # type: ignore[arg-type]
    assert settings.requires_token is requires
    assert (str(settings.token_path) if settings.token_path else None) == where


@pytest.mark.parametrize(
    ("variables", "uid", "gid"),
    [
        ({}, None, None),
        ({"SUDO_UID": "1000", "SUDO_GID": "1001"}, 1000, 1001),
        ({"SUDO_UID": "0", "SUDO_GID": "0"}, None, None),
        ({"SUDO_UID": "1000", "LOCAL_UID": "2000"}, 2000, None),
        ({"LOCAL_UID": "2000", "ELEPHANT_UID": "3000", "ELEPHANT_GID": "4000"}, 3000, 4000),
        ({"LOCAL_UID": "2000", "ELEPHANT_UID": "0"}, 0, None),
    ],
)
def test_as_whom_root_runs_it(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], uid: int | None, gid: int | None
) -> None:
    for name in ("LOCAL_UID", "LOCAL_GID", "SUDO_UID", "SUDO_GID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    settings = load_settings()
    assert (settings.uid, settings.gid) == (uid, gid)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "[::]"])  # noqa: S104
def test_redis_never_listens_beyond_this_machine(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.setenv("ELEPHANT_REDIS_HOST", host)
    with pytest.raises(SettingsError, match=r"ELEPHANT_REDIS_HOST: expected 127\.0\.0\.1"):
        load_settings()


def test_names_of_hosts(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings(allowed_hosts="A.b, [::2],c").allowed_host_names == {"a.b", "[::2]", "c"}
    monkeypatch.setenv("ELEPHANT_ALLOWED_HOSTS", "http://a.b")
    with pytest.raises(SettingsError, match="expected names without a port"):
        load_settings()


def test_movies_on_other_machines_are_read_only_if_that_is_allowed(tmp_path: Path) -> None:
    rules = Settings(workspace=tmp_path).remote_rules
    assert (rules.is_allowed, rules.allow_private, rules.trusts_named_hosts) == (False, False, False)
    assert (rules.cache, rules.cache_bytes) == (tmp_path / ".cache" / "remote", 10 << 30)
    given = Settings(workspace=tmp_path, allow_remote_sources=True, allow_private_addresses=True, remote_cache_gib=0.5)
    rules = given.remote_rules
    assert (rules.is_allowed, rules.allow_private, rules.trusts_named_hosts) == (True, True, False)
    assert rules.cache_bytes == 1 << 29
