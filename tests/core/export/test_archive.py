"""The archive of masks, read by others."""

import io
import shutil
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pytest
import tifffile

from elephant.errors import Cancelled
from elephant.export import MaskArchive, archive, beginning_of_archive
from elephant.progress import NeverCancelled

ENTRIES = ("mask0998.tif", "mask0999.tif", "mask1000.tif")


def written(folder: Path, *masks: np.ndarray, has_reserve: bool = False) -> io.BytesIO:
    file = io.BytesIO()
    with MaskArchive(file, folder, has_reserve=has_reserve) as masks_of:
        for name, mask in zip(ENTRIES, masks, strict=False):
            masks_of.add(name, mask, NeverCancelled())
    return file


@pytest.mark.parametrize("shape", [(5, 6, 3), (1, 6, 4), (3, 4, 5), (6, 3), (3, 3)])
def test_a_mask_is_read_back_as_it_was(shape: tuple[int, ...], tmp_path: Path) -> None:
    mask = np.arange(np.prod(shape), dtype=np.uint16).reshape(shape) * 700
    with zipfile.ZipFile(written(tmp_path, mask)) as masks:
        entry = io.BytesIO(masks.read(ENTRIES[0]))
    with tifffile.TiffFile(entry) as tiff:
        assert tiff.is_imagej
        np.testing.assert_array_equal(tiff.asarray().reshape(shape), mask)
        assert len(tiff.pages) == (shape[0] if len(shape) == 3 else 1)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("has_reserve", [False, True])
@pytest.mark.parametrize("limits", [(0xFFFF, 0xFFFFFFFF), (2, 0xFFFFFFFF), (0xFFFF, 150)])
def test_others_read_it_whatever_its_size(
    has_reserve: bool, limits: tuple[int, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, limit in zip(("_LIMIT_16", "_LIMIT_32"), limits, strict=True):
        monkeypatch.setattr(archive, name, limit)
    masks = [np.random.default_rng(i).integers(0, 9, (3, 40, 30)).astype(np.uint16) for i in range(3)]
    file = written(tmp_path, *masks, has_reserve=has_reserve)
    with zipfile.ZipFile(file) as found:
        assert found.namelist() == list(ENTRIES)
        assert found.testzip() is None
        for name, mask in zip(ENTRIES, masks, strict=True):
            np.testing.assert_array_equal(tifffile.imread(io.BytesIO(found.read(name))), mask)
    if shutil.which("unzip") and limits[1] > 150:
        (tmp_path / "a.zip").write_bytes(file.getvalue())
        subprocess.run(["unzip", "-tq", tmp_path / "a.zip"], check=True, stdout=subprocess.DEVNULL)


def test_the_beginning_is_known_before_any_mask(tmp_path: Path) -> None:
    blank, full = np.zeros((2, 3, 4), np.uint16), np.full((2, 3, 4), 65535, np.uint16)
    begin = beginning_of_archive(ENTRIES[0])
    assert len(begin) > 24 * 60 * 4  # one byte every 15 s for a day
    for mask in (blank, full):
        assert written(tmp_path, mask, has_reserve=True).getvalue().startswith(begin)


def test_nothing_that_is_written_changes(tmp_path: Path) -> None:
    class Following(io.BytesIO):
        def seek(self, *_: int) -> int:
            raise AssertionError("somebody has read on already")

    file = Following()
    with MaskArchive(file, tmp_path) as masks:
        masks.add(ENTRIES[0], np.ones((3, 4), np.uint16), NeverCancelled())
        masks.add_text("res_track.txt", "1 0 0 0\n")
    with zipfile.ZipFile(io.BytesIO(file.getvalue())) as found:
        assert found.read("res_track.txt") == b"1 0 0 0\n"


def test_an_aborted_export_is_not_an_archive(tmp_path: Path) -> None:
    class Ended:
        def check(self) -> None:
            raise Cancelled

    file = io.BytesIO()

    def write() -> None:
        with MaskArchive(file, tmp_path) as masks:
            masks.add(ENTRIES[0], np.ones((3, 4), np.uint16), NeverCancelled())
            masks.add(ENTRIES[1], np.ones((3, 4), np.uint16), Ended())

    with pytest.raises(Cancelled):
        write()
    assert not zipfile.is_zipfile(file)
    assert not list(tmp_path.iterdir())
