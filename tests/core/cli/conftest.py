import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.cli.shell import Shell


@pytest.fixture(autouse=True)
def logger_as_it_was() -> Iterator[None]:
    """A command sets up the logging of its process, which here goes on afterwards."""
    logger = logging.getLogger("elephant")
    before = (list(logger.handlers), logger.propagate, logger.level)
    yield
    logger.handlers, logger.propagate = before[0], before[1]
    logger.setLevel(before[2])


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ELEPHANT_WORKSPACE", raising=False)
    return Shell(tmp_path, capsys)
