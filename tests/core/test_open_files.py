"""Where an open file can be neither removed nor renamed, as on Windows."""

import hashlib
import io
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.test_download import CONTENT, FREE, send, served
from elephant.export import MaskArchive, archive
from elephant.io import atomic
from elephant.models import pretrained
from elephant.models.pretrained import Pretrained
from elephant.progress import NeverCancelled

pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="what is open is seen on Linux alone")


def open_files() -> Iterator[str]:
    for handle in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # the listing's own
            yield str(handle.readlink())


@pytest.fixture(autouse=True)
def _refusing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refusing(act: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(path: Path, *others: Any, **settings: Any) -> Any:
            if str(path.absolute()) in set(open_files()):
                raise PermissionError(13, "The process cannot access the file", str(path))
            return act(path, *others, **settings)

        return wrapper

    for name in ("unlink", "replace", "rename"):
        monkeypatch.setattr(Path, name, refusing(getattr(Path, name)))
    for module in (atomic, archive, pretrained):
        monkeypatch.setattr(module, "IS_POSIX", False)


def test_a_mask_is_written_and_nothing_stays(tmp_path: Path) -> None:
    file = io.BytesIO()
    with MaskArchive(file, tmp_path) as masks:
        masks.add("mask000.tif", np.ones((2, 3, 4), np.uint16), NeverCancelled())
    assert zipfile.ZipFile(file).namelist() == ["mask000.tif"]
    assert not list(tmp_path.iterdir())


def test_a_pretrained_model_gets_into_its_place(tmp_path: Path) -> None:
    checksums = {"versatile3d.pth": hashlib.sha256(CONTENT).hexdigest()}
    with served(send()) as address:
        found = Pretrained(tmp_path, address, checksums, FREE).get("versatile3d.pth")
    assert found.read_bytes() == CONTENT
    assert list(tmp_path.iterdir()) == [found]
