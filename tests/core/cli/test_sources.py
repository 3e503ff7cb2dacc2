"""What ``elephant convert`` says of the sources and the gaps of a movie."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from core.cli.shell import Shell
from core.dataset.helpers import images_of
from core.dataset.test_script import run

VIEWS = {(0, 0): 1, (0, 1): 10, (1, 1): 11, (2, 0): 3, (2, 1): 12}


@pytest.fixture
def movie(tmp_path: Path) -> Path:
    """Give a movie of two sources, of which the first has no image at timepoint 1."""
    with h5py.File(tmp_path / "m.h5", "w") as file:
        for (t, setup), value in VIEWS.items():
            file[f"t{t:05d}/s{setup:02d}/0/cells"] = np.full((1, 4, 4), value, np.int16)
    (tmp_path / "m.xml").write_text(
        "<SpimData><SequenceDescription><ImageLoader><hdf5>m.h5</hdf5></ImageLoader><ViewSetups>"
        "<ViewSetup><id>0</id><name>GFP</name></ViewSetup><ViewSetup><id>1</id><name>RFP</name></ViewSetup>"
        '</ViewSetups><MissingViews><MissingView timepoint="1" setup="0"/></MissingViews>'
        "</SequenceDescription></SpimData>"
    )
    return tmp_path / "m.h5"


def test_the_source_and_the_gaps_are_reported(shell: Shell, movie: Path) -> None:
    done = shell("convert", movie, movie.parent / "d")
    assert done.status == 0
    assert "source      0 (GFP), one of 2\n" in done.out
    assert "blank at    1: the movie has no image at these timepoints" in done.out
    assert "warning: m.h5 has 2 sources, and source 0 (GFP) is used: choose the other one with --setup 1" in done.err
    assert "blank at    1" in shell("check", movie.parent / "d").out
    told = {"movie": "m.h5", "setup": 0, "setup_name": "GFP", "n_setups": 2, "blank_timepoints": [1]}
    for args in (["check", movie.parent / "d"], ["convert", movie, movie.parent / "d", "--overwrite"]):
        found = shell(*args, "--json").json
        assert {name: found[name] for name in told} == told


def test_another_source_is_chosen(shell: Shell, movie: Path) -> None:
    done = shell("convert", movie.with_suffix(".xml"), movie.parent / "d", "--setup", 1)
    assert (done.status, done.err) == (0, "")
    assert "source      1 (RFP), one of 2" in done.out
    assert images_of(movie.parent / "d")[:, 0, 0, 0].tolist() == [10, 11, 12]
    refused = shell("convert", movie, movie.parent / "e", "--setup", 2)
    assert refused.status == 1
    assert "expected --setup to be a source of m.h5, got 2: it has 0 (GFP), 1 (RFP)" in refused.err


def test_a_movie_that_was_cut_off_is_to_be_copied_again(shell: Shell, movie: Path) -> None:
    movie.write_bytes(movie.read_bytes()[:-1])
    refused = shell("convert", movie, movie.parent / "d").err
    assert refused.endswith(f"but it is truncated: it has {movie.stat().st_size} bytes. Copy it again\n")


def test_gaps_are_filled_on_request(shell: Shell, movie: Path) -> None:
    movie.with_suffix(".xml").unlink()
    refused = shell("convert", movie, movie.parent / "d")
    assert refused.status == 1
    assert "none at timepoint 1 (t00001/s00/0/cells)" in refused.err
    assert "fill the gaps with blank images (--fill-gaps), or choose another source with --setup: 1\n" in refused.err
    assert shell("convert", movie, movie.parent / "d", "--fill-gaps").status == 0
    assert images_of(movie.parent / "d")[:, 0, 0, 0].tolist() == [1, 0, 3]


def test_the_old_script_takes_the_same_options(movie: Path) -> None:
    done = run(movie, movie.parent / "d", "--setup", 1)
    assert (done.returncode, done.stderr) == (0, "")
    assert "source      1 (RFP), one of 2" in done.stdout
    assert images_of(movie.parent / "d")[:, 0, 0, 0].tolist() == [10, 11, 12]


@pytest.mark.parametrize(
    ("name", "expected", "words"),
    [
        ("m.png", "an HDF5 file of BigDataViewer", "a PNG"),
        ("m.ims", "an Imaris file", "an Imaris file (.ims)"),
        ("m.ome.zarr", "an HDF5 file of BigDataViewer", "a Zarr folder"),
        ("m.n5", "an N5 folder of BigDataViewer", "an N5 folder"),
    ],
)
def test_other_formats_are_named(shell: Shell, tmp_path: Path, name: str, expected: str, words: str) -> None:
    path = tmp_path / name
    if name == "m.ims":
        with h5py.File(path, "w") as file:
            file.create_group("DataSet")
            file.create_group("DataSetInfo")
    elif name == "m.png":
        path.write_bytes(b"\x89PNG" + bytes(99))
    else:
        path.mkdir()
    done = shell("convert", path, "d")
    assert done.status == 1
    assert done.err.count("\n") == 1
    assert f"expected {name} to be {expected}" in done.err
    assert f"got {words}" in done.err


def test_a_folder_of_other_things_is_not_a_dataset(shell: Shell, movie: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = movie.parent / "notempty"
    folder.mkdir()
    (folder / "notes.txt").write_text("precious")
    monkeypatch.chdir(folder)
    for name in (folder, "../notempty", ".", "../x/../notempty", "../x/../../" + movie.parent.name + "/notempty"):
        done = shell("convert", movie, name)
        assert (done.status, done.err.count("\n")) == (1, 1)
        assert "which contains notes.txt: give another name" in done.err
        assert [path.name for path in folder.iterdir()] == ["notes.txt"]
        assert not (movie.parent / "x").exists()
    assert shell("convert", movie, folder, "--overwrite").status == 0
    assert (folder / "notes.txt").read_text() == "precious"


def test_a_folder_of_movies_becomes_a_dataset(shell: Shell, movie: Path) -> None:
    folder = movie.parent / "d"
    folder.mkdir()
    for path in (movie, movie.with_suffix(".xml")):
        path.rename(folder / path.name)
    assert shell("convert", folder / "m.h5", folder).status == 0
