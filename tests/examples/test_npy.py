"""The example reader: NumPy arrays become datasets, by the command line and over HTTP."""

import os
from collections.abc import Callable
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pytest
import requests
import tifffile

from core.cli.shell import Shell
from core.dataset.bdv import ramp, write_movie
from elephant.dataset import Dataset, DatasetSource, check_dataset, conversion, find_movie, workers
from stack.running import RunningServer, settings_of

SCRIPT = Path(__file__).parents[2] / "script" / "dataset_generator.py"
MOVIE = ramp(3, (5, 20, 17))


@pytest.fixture
def npy(installed: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(installed("elephant-npy")))


def images_of(folder: Path) -> np.ndarray:
    dataset = Dataset(folder)
    return np.stack([dataset.read_image(t) for t in range(dataset.n_timepoints)])


@pytest.mark.usefixtures("npy")
@pytest.mark.parametrize("n_helpers", [1, 2])
def test_a_movie_becomes_a_dataset(n_helpers: int, shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversion, "_PARALLEL_FROM", 0)
    monkeypatch.setattr(workers, "n_cores", lambda: n_helpers)
    np.save("m.npy", MOVIE)
    done = shell("convert", "m.npy", "m", "--voxel-size", 1, 1, 2, "--json")
    assert (done.status, done.err) == (0, "")
    assert (done.json["size"], done.json["movie"], done.json["voxel_size"]) == ([17, 20, 5], "m.npy", [1, 1, 2])
    np.testing.assert_array_equal(images_of(shell.folder / "m"), MOVIE)


@pytest.mark.usefixtures("npy")
def test_the_script_of_old_takes_it_as_well(shell: Shell) -> None:
    np.save("m.npy", MOVIE)
    spec = spec_from_file_location("dataset_generator", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    script = module_from_spec(spec)
    spec.loader.exec_module(script)
    assert script.main(["m.npy", "m"]) == 0
    np.testing.assert_array_equal(images_of(shell.folder / "m"), MOVIE)


@pytest.mark.usefixtures("npy")
def test_planes_become_a_dataset_in_2d(shell: Shell) -> None:
    np.save("m.npy", MOVIE[:, 0])
    assert shell("convert", "m.npy", "m", "--2d").status == 0
    np.testing.assert_array_equal(images_of(shell.folder / "m"), MOVIE[:, 0])


@pytest.mark.usefixtures("npy")
def test_a_movie_that_was_replaced_is_noticed(shell: Shell) -> None:
    np.save("m.npy", MOVIE)
    assert shell("convert", "m.npy", "m").status == 0
    os.utime("m.npy")
    assert check_dataset(shell.folder / "m") == "ready"
    np.save("m.npy", MOVIE[:, ::-1])
    assert check_dataset(shell.folder / "m").startswith("the movie m.npy has changed since")


def test_without_the_package_the_core_reads_arrays_of_four_axes(installed: Callable[[str], Path], shell: Shell) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(installed("elephant-npy")))
        np.save("m.npy", MOVIE)
        assert shell("convert", "m.npy", "m").status == 0
    assert check_dataset(shell.folder / "m") == "ready"
    os.utime("m.npy")
    assert check_dataset(shell.folder / "m") == "ready"
    assert shell("convert", "m.npy", "other").status == 0
    np.testing.assert_array_equal(images_of(shell.folder / "other"), MOVIE)
    np.save("flat.npy", MOVIE[:, 0])
    again = shell("convert", "flat.npy", "third")
    assert (again.status, again.err.count("\n")) == (1, 1)
    assert "give --axes ZYX for one volume" in again.err


@pytest.mark.usefixtures("npy")
def test_a_movie_that_cannot_be_read_is_explained(shell: Shell) -> None:
    np.save("flat.npy", MOVIE[0, 0])
    done = shell("convert", "flat.npy", "m")
    assert (done.status, done.err.count("\n")) == (1, 1)
    assert "got the shape (20, 17) (the reader npy of the package elephant-npy says so)" in done.err
    np.save("wide.npy", MOVIE.astype(np.int64))
    assert "got int64" in shell("convert", "wide.npy", "m").err
    Path("broken.npy").write_bytes(b"nothing")
    broken = shell("convert", "broken.npy", "m")
    assert "broken.npy is no array of numbers, or not whole" in broken.err
    assert broken.err.count("\n") == 1
    assert not (shell.folder / "m").exists()


@pytest.mark.usefixtures("npy")
def test_a_movie_of_bigdataviewer_comes_first(tmp_path: Path) -> None:
    folder = tmp_path / "m"
    folder.mkdir()
    (folder / "notes.txt").touch()
    assert find_movie(folder) is None
    np.save(folder / "a.npy", MOVIE)
    assert find_movie(folder) == folder / "a.npy"
    np.save(folder / "m.npy", MOVIE)
    assert find_movie(folder) == folder / "m.npy"
    (folder / "z.h5").write_bytes(b"no movie")
    assert find_movie(folder) == folder / "m.npy"
    write_movie(folder / "z.h5", MOVIE)
    assert find_movie(folder) == folder / "z.h5"


def test_the_server_takes_a_movie_in_the_folder_of_a_dataset(installed: Callable[[str], Path], tmp_path: Path) -> None:
    values = settings_of(tmp_path)
    folder = Path(values["ELEPHANT_WORKSPACE"]) / "datasets" / "m"
    folder.mkdir(parents=True)
    variables = values | {"PYTHONPATH": str(installed("elephant-npy"))}
    server = RunningServer.start(tmp_path, values, variables=variables, module="elephant_server.embedded")

    def generate(name: str = "m") -> requests.Response:
        return requests.post(f"{server.base_url}dataset/generate", json={"dataset_name": name}, timeout=60)

    try:
        server.wait_until_serving()
        assert generate().status_code == 204
        np.save(folder / "movie.npy", MOVIE)
        assert generate().json() == {"completed": True}
        np.testing.assert_array_equal(images_of(folder), MOVIE)
        source = DatasetSource.read(folder)
        assert source is not None
        assert (source.movie, source.reader) == ("movie.npy", "npy")
        (folder / "movie.npy").write_bytes(b"nothing")
        series = folder.with_name("series")
        series.mkdir()
        for t, image in enumerate(MOVIE):
            tifffile.imwrite(series / f"t{t}.tif", image, metadata=None, photometric="minisblack")
        assert generate("series").json() == {"completed": True}
        np.testing.assert_array_equal(images_of(series), MOVIE)
        (series / "another.tif").write_bytes((series / "t0.tif").read_bytes())
        several = generate("series")
        assert several.status_code == 400
        assert (
            "expected one movie in the folder series, got 4, such as another.tif and t0.tif" in several.json()["error"]
        )
        refused = generate()
        assert refused.status_code == 400
        assert "movie.npy is no array of numbers, or not whole" in refused.json()["error"]
    finally:
        server.stop()
