"""What a start ends with: secrets are shown to a person at a terminal, and nowhere else."""

from pathlib import Path
from typing import Any

import pytest

from elephant_server.deploy.credentials import with_secrets
from elephant_server.deploy.launcher import access, announcement
from elephant_server.settings import Settings

EVERYWHERE = "0.0.0.0"  # noqa: S104


def settings_of(folder: Path, **values: Any) -> Settings:
    settings = Settings(workspace=folder, http_port=81, uid=0, **values)
    settings.runtime_dir.mkdir()
    return with_secrets(settings)


def test_without_a_token_there_is_nothing_to_show(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    for shown in (True, False):
        first, *others = announcement(settings, "CPU", with_secrets=shown)
        assert first == "Serving on http://localhost:81/ - press Ctrl-C to stop"
        assert [line.split()[0] for line in others] == ["device", "workspace", "logs"]
    assert [path.name for path in settings.runtime_dir.iterdir()] == ["redis.password"]


def test_a_terminal_shows_what_the_client_needs(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, bind_address=EVERYWHERE)
    token = (settings.runtime_dir / "token").read_text().strip()
    text = "\n".join(announcement(settings, "CPU", with_secrets=True))
    assert f"Serving on http://localhost:81/t/{token}/ - press Ctrl-C to stop" in text
    assert f":81/t/{token}/" in text.split("For the client:")[1]
    assert settings.rabbitmq_password in text
    assert len(settings.rabbitmq_password) >= 43


@pytest.mark.parametrize(
    ("values", "shown"),
    [({}, False), ({"listen_address": EVERYWHERE}, True), ({"token": "x" * 16}, False)],
    ids=["no terminal", "a container, whose output is kept", "a token of a variable"],
)
def test_what_may_be_logged_has_no_secrets(tmp_path: Path, values: dict[str, Any], shown: bool) -> None:
    settings = settings_of(tmp_path, bind_address=EVERYWHERE, **values)
    text = "\n".join(announcement(settings, "CPU", with_secrets=shown))
    assert "token      required" in text
    assert "/t/" not in text
    assert settings.rabbitmq_password not in text


def test_a_container_that_guards_nothing_itself_says_so(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, listen_address=EVERYWHERE)
    assert "without a token" in announcement(settings, "CPU", with_secrets=False)[0]


def test_secrets_stay_for_the_next_start(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, bind_address=EVERYWHERE)
    again = with_secrets(Settings(workspace=tmp_path, http_port=81, uid=0, bind_address=EVERYWHERE))
    assert access(again) == access(settings)
    assert {path.stat().st_mode & 0o777 for path in settings.runtime_dir.iterdir()} == {0o600}
