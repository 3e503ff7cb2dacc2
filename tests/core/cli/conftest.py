from pathlib import Path

import pytest

from core.cli.shell import Shell


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ELEPHANT_WORKSPACE", raising=False)
    return Shell(tmp_path, capsys)
