"""The command line, run in this process."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from elephant.cli.main import main


@dataclass(frozen=True)
class Done:
    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Shell:
    """Runs commands in a folder of their own."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self._capsys = capsys

    def __call__(self, *args: object) -> Done:
        self._capsys.readouterr()
        status = main([str(arg) for arg in args])
        printed = self._capsys.readouterr()
        return Done(status, printed.out, printed.err)
