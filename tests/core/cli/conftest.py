from pathlib import Path

import pytest

from core.cli.shell import Shell
from core.dataset.bdv import ramp, write_movie
from elephant.cli.main import main
from elephant.hardware import ISA_VARIABLES


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ELEPHANT_WORKSPACE", raising=False)
    for name in ISA_VARIABLES:  # which a training sets: not beyond the test
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setenv("ELEPHANT_HOME", str(tmp_path))  # without the .env of a developer's checkout
    return Shell(tmp_path, capsys)


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a dataset of four timepoints of 8 x 32 x 40 voxels."""
    folder = tmp_path_factory.mktemp("small")
    write_movie(folder / "m.h5", ramp(4, (8, 32, 40)))
    assert main(["convert", str(folder / "m.h5"), str(folder / "m"), "-q"]) == 0
    return folder / "m"
