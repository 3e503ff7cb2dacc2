"""Readers of other packages: which one reads a file, and what is at fault where one does not work."""

from pathlib import Path

import numpy as np
import pytest

from core.dataset.bdv import ramp, write_movie
from core.dataset.helpers import make
from core.packages import install
from elephant.dataset import Dataset, DatasetSource, check_dataset, find_movie
from elephant.dataset.readers import BIGDATAVIEWER, installed_readers, reader_of_movie
from elephant.errors import DatasetError, InvalidInputError, PluginError
from elephant.plugins import installed

READER = """
from contextlib import contextmanager, nullcontext
import numpy as np
from elephant.dataset.readers.base import Reader
from elephant.dataset.readers.base import ViewSetup
from elephant.errors import InvalidInputError

class Counting(Reader):
    suffixes = (".count",)

    @classmethod
    def open(cls, path, setup, *, fill_gaps, cancel):
        return cls(path=path, shape=(2, 3, 4), dtype="uint8", n_timepoints=3, blank_timepoints=(1,))

    @contextmanager
    def timepoint(self, t):
        yield np.full((2, 3, 4), t + 1, np.uint8)
"""
ENTRY = "[elephant.readers]\ncounting = visitor:Counting\n"


def visit(folder: Path, monkeypatch: pytest.MonkeyPatch, more: str = "", name: str = "visitor") -> Path:
    """Install a reader, changed by some lines of its class, and return a file of its format."""
    install(folder, READER + more, ENTRY.replace("visitor", name), monkeypatch, name)
    path = folder / "a.count"
    path.touch()
    return path


def test_the_reader_of_bigdataviewer_is_registered_as_others_are() -> None:
    own = {plugin: entry.load() for plugin, entry in installed("reader")}
    assert own[BIGDATAVIEWER.plugin] is BIGDATAVIEWER.kind


def test_the_one_that_claims_a_file_reads_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = visit(tmp_path, monkeypatch)
    make(path, tmp_path / "dataset")
    dataset = Dataset(tmp_path / "dataset")
    assert [int(dataset.read_image(t).max()) for t in range(3)] == [1, 0, 3]
    source = DatasetSource.read(tmp_path / "dataset")
    assert source is not None
    assert (source.reader, source.blank_timepoints) == ("counting", (1,))
    make(write_movie(tmp_path / "m.h5", ramp()), tmp_path / "other")
    assert '"reader"' not in (tmp_path / "other" / "source.json").read_text()


def test_two_that_claim_a_file_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = visit(tmp_path, monkeypatch)
    second = READER.replace("Counting", "Other")
    install(tmp_path, second, "[elephant.readers]\nother = guest:Other\n", monkeypatch, "guest")
    words = "claimed by the reader counting of the package visitor and by the reader other of the package guest"
    with pytest.raises(DatasetError, match=words):
        make(path, tmp_path / "dataset")
    assert not (tmp_path / "dataset").exists()
    make(path, tmp_path / "dataset", reader="other")
    source = DatasetSource.read(tmp_path / "dataset")
    assert source is not None
    assert source.reader == "other"


def test_one_that_claims_a_movie_of_bigdataviewer_does_not_take_it_in_silence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    visit(tmp_path, monkeypatch, "    suffixes = ('.h5',)\n")
    movie = write_movie(tmp_path / "m.h5", ramp())
    with pytest.raises(DatasetError, match="bigdataviewer of the package elephant-core"):
        reader_of_movie(movie)
    assert reader_of_movie(movie, "bigdataviewer") == BIGDATAVIEWER
    (tmp_path / "other.h5").touch()
    assert reader_of_movie(tmp_path / "other.h5").plugin.name == "counting"


def test_one_that_cannot_be_loaded_is_named_and_leaves_others_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = visit(tmp_path, monkeypatch, "raise SystemExit('no licence')\n")
    with pytest.raises(PluginError, match=r"counting of the package visitor cannot be loaded \(SystemExit: no lic"):
        make(path, tmp_path / "dataset")
    folder = tmp_path / "folder"
    folder.mkdir()
    assert find_movie(folder) is None
    (folder / "a.count").touch()
    with pytest.raises(PluginError, match="cannot be loaded"):
        find_movie(folder)
    movie = write_movie(folder / "m.h5", ramp())
    assert find_movie(folder) == movie
    make(movie, folder)
    assert "visitor cannot be loaded" in caplog.text


def test_a_class_that_is_not_a_reader_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, "Counting = 3\n", ENTRY, monkeypatch)
    assert "should be a subclass of" in str(installed_readers()[1][0])
    with pytest.raises(
        InvalidInputError, match=r"one \(bigdataviewer, .*ome-zarr.*\), got counting; the reader counting of"
    ):
        reader_of_movie(tmp_path / "a.count", "counting")


def test_two_of_one_name_are_not_mixed_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    visit(tmp_path, monkeypatch)
    path = visit(tmp_path, monkeypatch, name="guest")
    with pytest.raises(DatasetError, match="visitor have the same name"):
        reader_of_movie(path, "counting")


def test_a_movie_is_not_called_the_same_without_its_reader(tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        path = visit(tmp_path, patch)
        make(path, tmp_path / "m")
    assert check_dataset(tmp_path / "m") == "ready"
    path.write_bytes(b"1")
    assert "cannot be read now (expected `reader` to be an installed one" in check_dataset(tmp_path / "m")


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("    claims = None\n", "failed \\(TypeError"),
        ("    open = classmethod(lambda cls, *args, **more: 1 / 0)\n", "failed \\(ZeroDivisionError: "),
        ("    open = classmethod(lambda cls, *args, **more: 3)\n", "expected open\\(\\) to return a Counting"),
        ("    timepoint = None\n", "failed \\(TypeError"),
        ("    def timepoint(self, t):\n        return open(self.path / 'none')\n", "NotADirectoryError"),
        ("    def timepoint(self, t):\n        return nullcontext(np.zeros((2, 3, 4)))\n", "got .* and float64"),
        ("    def timepoint(self, t):\n        return nullcontext(np.zeros((9, 9), 'u1'))\n", "failed \\(IndexError"),
        ("    def files(self):\n        return ()\n", "returned no existing file"),
        ("    def __getstate__(self):\n        raise TypeError('cannot pickle a lock')\n", "cannot pickle a lock"),
        ("    def pieces(self, region):\n        raise SystemExit(3)\n", "failed \\(SystemExit: 3\\)"),
    ],
)
def test_whatever_fails_names_the_package(
    more: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = visit(tmp_path, monkeypatch, more)
    with pytest.raises(PluginError, match=f"the reader counting of the package visitor .*{words}"):
        make(path, tmp_path / "dataset")
    assert not (tmp_path / "dataset").exists()


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ("shape=(2, 3)", "expected a shape"),
        ("shape=(2, 3, 0)", "expected a shape"),
        ("n_timepoints=0", "0"),
        ("n_timepoints=10**9", "at most 100000 timepoints"),
        ("blank_timepoints=(0, 1, 2)", "not all of them"),
        ("blank_timepoints=(7,)", "some of the timepoints"),
        ("setup=3", "to be a ViewSetup"),
    ],
)
def test_what_makes_no_sense_is_the_fault_of_the_package(
    facts: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = "dict(path=args[0], shape=(2, 3, 4), dtype='uint8', n_timepoints=3)"
    more = f"    open = classmethod(lambda cls, *args, **more: cls(**({given} | dict({facts}))))\n"
    path = visit(tmp_path, monkeypatch, more)
    with pytest.raises(PluginError, match=f"visitor failed .*{words}"):
        make(path, tmp_path / "dataset")


def test_errors_that_a_reader_raises_for_users_are_unchanged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    more = "    open = classmethod(lambda cls, *a, **k: (_ for _ in ()).throw(InvalidInputError('no such channel')))\n"
    path = visit(tmp_path, monkeypatch, more)
    with pytest.raises(InvalidInputError, match=r"no such channel \(the reader counting of the package visitor says"):
        make(path, tmp_path / "dataset")


def test_a_source_that_a_reader_does_not_take_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = visit(tmp_path, monkeypatch)
    with pytest.raises(InvalidInputError, match=r"expected `setup` to be a source of a\.count, got 2: it has 0"):
        make(path, tmp_path / "dataset", setup=2)
    make(path, tmp_path / "dataset", setup=0)
    assert np.asarray(Dataset(tmp_path / "dataset").read_image(2)).max() == 3
