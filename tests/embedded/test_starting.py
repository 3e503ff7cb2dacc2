"""What is said where the server of one process cannot start."""

from pathlib import Path

import pytest

from elephant_server.embedded import server
from elephant_server.embedded.command import serve


def test_an_option_that_cannot_be_used_is_explained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert serve(None, tmp_path / "workspace", "first") == 1
    said = capsys.readouterr().err
    assert said.startswith("Cannot serve: ELEPHANT_GPU: expected `all`, an index (0)")
    assert 'got "first"' in said
    assert not (tmp_path / "workspace").exists()


def test_only_the_lock_is_told_of_as_what_cannot_be_written(tmp_path: Path) -> None:
    for _ in range(2):  # it is given back each time
        with pytest.raises(PermissionError, match="elsewhere"), server._only_one(tmp_path):
            raise PermissionError(13, "Permission denied", "elsewhere")
