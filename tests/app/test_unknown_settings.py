"""Variables that look like settings and are none are named, with the one that was perhaps meant."""

import re
from pathlib import Path

import pytest

from elephant.cli.health import Status
from elephant.cli.main import main
from elephant_server import doctor
from elephant_server.deploy import launcher
from elephant_server.embedded import server
from elephant_server.errors import StackError
from elephant_server.settings import Settings, known_names, unknown_settings

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def misspelt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ELEPHANT_HOME", str(ROOT))
    monkeypatch.setenv("ELEPHANT_WORKSPCE", "/secret")
    monkeypatch.setenv("ELEPHANT_ZZZ", "1")
    monkeypatch.setenv("elephant_gpu", "0")
    (tmp_path / ".env").write_text(
        "ELEPHANT_HTTP_PROT=9000\nELEPHANT_LOG_LEVEL=INFO\nOTHER_GPU=1\nELEPHANT_TORCH=cpu\n"
    )


EXPECTED = [
    "ELEPHANT_WORKSPCE is not a setting and has no effect: did you mean ELEPHANT_WORKSPACE?",
    "ELEPHANT_ZZZ is not a setting and has no effect: `docs/reference/settings.md` lists them.",
    "ELEPHANT_HTTP_PROT in .env is not a setting and has no effect: did you mean ELEPHANT_HTTP_PORT?",
]


def test_they_are_named_in_the_environment_and_in_files() -> None:
    assert unknown_settings() == EXPECTED


def test_both_kinds_of_server_name_them_at_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(*_: object) -> None:
        raise StackError("far enough")

    monkeypatch.setattr(server, "make_folder", stop)
    monkeypatch.setattr(launcher, "find_programs", stop)
    for serve in (server.serve, launcher.serve):
        with pytest.raises(StackError, match="far enough"):
            serve(Settings(workspace=tmp_path))
        assert capsys.readouterr().out.splitlines() == [f"Warning: {words}" for words in EXPECTED]


def test_the_doctor_names_them() -> None:
    found = list(doctor.check_names())
    assert [(finding.status, f"{finding.message}: {finding.remedy}") for finding in found] == [
        (Status.WARNING, words) for words in EXPECTED
    ]


def test_what_the_scripts_read_is_known() -> None:
    patterns = ("script/*.s*", "Makefile", "Dockerfile", "docker-compose*.yml", "*.def")
    files = [file for pattern in patterns for file in ROOT.glob(pattern)]
    found = {name for file in files for name in re.findall(r"\bELEPHANT_[A-Z_]*[A-Z]\b", file.read_text())}
    assert "ELEPHANT_TORCH" in found
    assert found <= known_names()


def test_the_other_commands_name_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "nowhere"]) == 1
    assert capsys.readouterr().err.splitlines()[:-1] == [f"warning: {words}" for words in EXPECTED]
