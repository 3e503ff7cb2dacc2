from pathlib import Path

import h5py
import pytest

from core.dataset.bdv import ramp, write_movie, write_partitioned
from elephant.dataset import find_movie
from elephant.dataset.readers import movies_of_other_formats
from elephant.errors import DatasetError


def test_the_file_named_like_the_folder_comes_first(tmp_path: Path) -> None:
    write_movie(tmp_path / "a.h5", ramp())
    own = write_movie(tmp_path / f"{tmp_path.name}.h5", ramp())
    assert find_movie(tmp_path) == own


def test_else_the_first_by_name(tmp_path: Path) -> None:
    write_movie(tmp_path / "b.h5", ramp())
    first = write_movie(tmp_path / "a.h5", ramp())
    assert find_movie(tmp_path) == first


def test_partitions_are_not_mistaken_for_the_movie(tmp_path: Path) -> None:
    master = write_partitioned(tmp_path, "m", ramp())
    assert min(p.name for p in tmp_path.iterdir()) == "m-00-00.h5"
    assert find_movie(tmp_path) == master


def test_partitions_of_any_name_are_known_by_the_links_to_them(tmp_path: Path) -> None:
    part = write_movie(tmp_path / "a part.h5", ramp())
    with h5py.File(tmp_path / "b master.h5", "w") as file:
        file.create_group("s00")
        file["t00000"] = h5py.ExternalLink(part.name, "t00000")
    assert find_movie(tmp_path) == tmp_path / "b master.h5"


def test_partitions_without_their_master_are_no_movie(tmp_path: Path) -> None:
    write_partitioned(tmp_path, "m", ramp()).unlink()
    with pytest.raises(DatasetError, match=r"only partitions, such as m-00-00\.h5: put the master file"):
        find_movie(tmp_path)


def test_a_date_at_the_end_of_a_name_makes_no_partition(tmp_path: Path) -> None:
    movie = write_movie(tmp_path / "embryo-2024-05-17.h5", ramp())
    assert find_movie(tmp_path) == movie


def test_other_files_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "a.h5").write_bytes(b"not HDF5")
    (tmp_path / "b.h5").mkdir()
    with h5py.File(tmp_path / "c.h5", "w") as file:
        file["volume"] = [1]
    write_movie(tmp_path / ".d.h5", ramp())
    with pytest.raises(DatasetError, match=r"expected a\.h5 to be .*got a text file.*1 other HDF5 file beside it"):
        find_movie(tmp_path)
    (tmp_path / "a.h5").unlink()
    with pytest.raises(DatasetError, match=r"expected c\.h5 to be .*holds volume"):
        find_movie(tmp_path)
    (tmp_path / "c.h5").rename(tmp_path / "c.txt")
    assert find_movie(tmp_path) is None
    movie = write_movie(tmp_path / "e.h5", ramp())
    assert find_movie(tmp_path) == movie


def test_a_folder_without_movies(tmp_path: Path) -> None:
    assert find_movie(tmp_path) is None
    assert find_movie(tmp_path / "absent") is None


@pytest.mark.parametrize("suffix", [".hdf5", ".H5", ".HDF5"])
def test_all_names_of_hdf5_files_count(tmp_path: Path, suffix: str) -> None:
    movie = write_movie(tmp_path / f"a{suffix}", ramp())
    assert find_movie(tmp_path) == movie
    own = write_movie(tmp_path / f"{tmp_path.name}{suffix}", ramp())
    assert find_movie(tmp_path) == own
    first = write_movie(tmp_path / f"{tmp_path.name}.h5", ramp())
    assert find_movie(tmp_path) == first


def test_a_movie_that_lacks_the_description_of_its_levels_is_one(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["t00000/s00/0/cells"] = ramp(1)[0].view("int16")
    assert find_movie(tmp_path) == tmp_path / "a.h5"


def test_movies_of_other_formats_are_known_by_their_names(tmp_path: Path) -> None:
    for name in ("b.TIF", "a.ims", ".c.tif", "d.txt"):
        (tmp_path / name).touch()
    for name in ("e.ome.zarr", "imgs.zarr"):
        (tmp_path / name).mkdir()
    assert movies_of_other_formats(tmp_path) == ["a.ims", "b.TIF", "e.ome.zarr"]
    assert movies_of_other_formats(tmp_path / "absent") == []
