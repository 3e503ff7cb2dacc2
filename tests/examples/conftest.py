"""The example packages, installed as a person installs them, each into a folder of its own."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from core.cli.shell import Shell

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Give what installs an example and returns the folder that has to be on the path."""
    folders: dict[str, Path] = {}

    def install(name: str) -> Path:
        if name not in folders:
            folder = tmp_path_factory.mktemp(name)
            source = shutil.copytree(EXAMPLES / name, folder / "source")  # pip builds within what it is given
            offline = ["--no-index", "--no-deps", "--no-build-isolation", "--disable-pip-version-check", "--quiet"]
            command = [sys.executable, "-m", "pip", "install", *offline, "--target", str(folder / "site"), str(source)]
            subprocess.run(command, check=True)
            folders[name] = folder / "site"
        return folders[name]

    return install


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Shell]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ELEPHANT_WORKSPACE", raising=False)
    monkeypatch.setenv("ELEPHANT_HOME", str(tmp_path))
    yield Shell(tmp_path, capsys)
    for name in ("elephant_npy", "elephant_csv_tracks", "elephant_dog"):
        sys.modules.pop(name, None)
