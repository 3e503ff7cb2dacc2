"""OME-Zarr movies, of each version and form that programs write."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from numpy.typing import NDArray

import elephant
from core.dataset.helpers import images_of, make
from elephant.dataset import Dataset, DatasetSource, find_movie
from elephant.dataset.readers import reader_of_movie
from elephant.dataset.readers.base import Level
from elephant.dataset.readers.ome_zarr import OmeZarrReader
from elephant.errors import DatasetError, InvalidInputError, NotFoundError
from elephant.progress import NeverCancelled
from elephant.types import VoxelSize

SIZES = {"t": 3, "c": 2, "z": 4, "y": 20, "x": 30}
TYPES = {"t": "time", "c": "channel"}


def values(axes: str = "tczyx", dtype: str = "uint16", seed: int = 0) -> NDArray[Any]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 200, [SIZES[axis] for axis in axes]).astype(dtype)


def axes_of(names: str, unit: str = "micrometer") -> list[dict[str, str]]:
    return [{"name": n, "type": TYPES.get(n, "space"), **({} if n in "tc" else {"unit": unit})} for n in names]


def write(
    folder: Path,
    image: NDArray[Any],
    axes: str = "tczyx",
    *,
    version: int = 3,
    multiscale: dict[str, Any] | None = None,
    more: dict[str, Any] | None = None,
    **array: Any,
) -> Path:
    """Write an image and half of it as OME-Zarr 0.4 (Zarr format 2) or 0.5 (3)."""
    scale = [{"t": 60.0, "c": 1.0, "z": 2.0, "y": 0.5, "x": 0.4}[axis] for axis in axes]
    described = {
        "axes": axes_of(axes),
        "datasets": [
            {"path": "0", "coordinateTransformations": [{"type": "scale", "scale": scale}]},
            {"path": "1", "coordinateTransformations": [{"type": "scale", "scale": scale}]},
        ],
    } | (multiscale or {})
    attributes = {"multiscales": [described], **(more or {})}
    attributes = {"ome": {"version": "0.5", **attributes}} if version == 3 else attributes
    group = zarr.open_group(folder, mode="w", zarr_format=version, attributes=attributes)  # type: ignore[arg-type]
    chunks = tuple(min(7, size) for size in image.shape)
    for name, level in (("0", image), ("1", image[..., ::2])):
        stored = group.create_array(name, shape=level.shape, dtype=level.dtype, **{"chunks": chunks, **array})
        stored[...] = level
    return folder


def read(path: Path, setup: int | None = None) -> NDArray[Any]:
    """Return T, Z, Y, X, read by pieces that no block begins with."""
    movie = OmeZarrReader.open(path, setup)
    out = np.zeros((movie.n_timepoints, *movie.shape), movie.dtype)
    middle = movie.shape[2] // 2 + 1
    for t in range(movie.n_timepoints):
        with movie.timepoint(t) as voxels:
            for part in (slice(0, middle), slice(middle, movie.shape[2])):
                region = (slice(0, movie.shape[0]), slice(0, movie.shape[1]), part)
                out[(t, *region)] = voxels[region]
    return out


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("axes", ["tczyx", "tzyx", "zyx", "yx", "tcyx", "cxyz", "xyzct"])
def test_any_order_of_axes(tmp_path: Path, axes: str, version: int) -> None:
    image = values(axes)
    path = write(tmp_path / "m.ome.zarr", image, axes, version=version)
    expected = image
    for missing in (name for name in "tczyx" if name not in axes):
        expected, axes = expected[None], missing + axes
    expected = expected.transpose([axes.index(name) for name in "tczyx"])
    for channel in range(expected.shape[1]):
        np.testing.assert_array_equal(read(path, channel), expected[:, channel])
    movie = OmeZarrReader.open(path)
    assert movie.setup.voxel_size == VoxelSize(2.0 if "z" in axes and expected.shape[2] > 1 else 1.0, 0.5, 0.4)
    assert movie.setup.unit == "micrometer"


@pytest.mark.parametrize("dtype", ["uint8", "uint16", ">u2", "float32", ">f4", "float64", "int16", "int8", "uint32"])
@pytest.mark.parametrize("version", [2, 3])
def test_any_type(tmp_path: Path, dtype: str, version: int) -> None:
    image = values(dtype=dtype)
    if image.dtype.kind == "i":
        image -= 100
    path = write(tmp_path / "m.zarr", image, version=version)
    np.testing.assert_array_equal(read(path), image[:, 0].astype(np.float64))


def test_sharded_compressed_and_missing_blocks(tmp_path: Path) -> None:
    image = values()
    path = write(
        tmp_path / "m.zarr",
        image,
        chunks=(1, 1, 2, 10, 10),
        shards=(1, 2, 4, 20, 30),
        compressors=[zarr.codecs.ZstdCodec()],
    )
    np.testing.assert_array_equal(read(path, 1), image[:, 1])
    assert OmeZarrReader.open(path).chunks == (4, 20, 30), "a shard is read at once"
    path = write(tmp_path / "sparse.zarr", image, fill_value=9, chunks=(1, 2, 4, 20, 30))
    shutil.rmtree(path / "0" / "c" / "1")
    image[1] = 9
    np.testing.assert_array_equal(read(path), image[:, 0])


def test_a_dataset_is_made_of_a_channel(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    image = values()
    channels = {"omero": {"channels": [{"label": "membranes"}, {"label": "nuclei"}]}}
    path = write(tmp_path / "m.ome.zarr", image, more=channels)
    make(path, tmp_path / "dataset", setup=1)
    dataset = Dataset(tmp_path / "dataset")
    np.testing.assert_array_equal([dataset.read_image(t) for t in range(3)], image[:, 1])
    source = DatasetSource.read(tmp_path / "dataset")
    assert source is not None
    assert (source.reader, source.setup_name, source.n_setups) == ("ome-zarr", "nuclei", 2)
    assert source.voxel_size == VoxelSize(2.0, 0.5, 0.4)
    make(path, tmp_path / "first")
    assert (
        "has 2 sources, and source 0 (membranes) is used: choose the other one with `setup` 1 (nuclei)" in caplog.text
    )
    with pytest.raises(InvalidInputError, match=r"it has 0 \(membranes\), 1 \(nuclei\)"):
        OmeZarrReader.open(path, 2)


def test_python_opens_it_as_a_movie_and_a_dataset_as_such(tmp_path: Path) -> None:
    image = values()
    path = write(tmp_path / "m.ome.zarr", image)
    opened = elephant.open_dataset(path, tmp_path / "dataset", setup=1, quiet=True)
    np.testing.assert_array_equal(opened.read_image(2), image[2, 1])
    again = elephant.open_dataset(tmp_path / "dataset", quiet=True)
    assert again.folder == opened.folder


def test_a_level_of_the_pyramid_is_taken(tmp_path: Path) -> None:
    image = values()
    levels = [
        {"path": str(n), "coordinateTransformations": [{"type": "scale", "scale": [60, 1, 2, 0.5, 0.4 * (n + 1)]}]}
        for n in range(2)
    ]
    path = write(tmp_path / "m.ome.zarr", image, multiscale={"datasets": levels}, chunks=(1, 1, 4, 10, 10))
    make(path, tmp_path / "dataset", setup=1, level=1)
    np.testing.assert_array_equal(images_of(tmp_path / "dataset"), image[:, 1, ..., ::2])
    source = DatasetSource.read(tmp_path / "dataset")
    assert source is not None
    assert (source.level, source.voxel_size) == (1, VoxelSize(2.0, 0.5, 0.8))
    movie = OmeZarrReader.open(path, 1)
    assert movie.levels == (Level((4, 20, 30), VoxelSize(2.0, 0.5, 0.4)), Level((4, 20, 15), VoxelSize(2.0, 0.5, 0.8)))
    assert (movie.at_level(1).chunks, movie.at_level(1).files()) == ((4, 10, 10), movie.files())
    with pytest.raises(InvalidInputError, match=r"it has 0 \(4 x 20 x 30\), 1 \(4 x 20 x 15\) voxels"):
        make(path, tmp_path / "other", level=2)


def test_the_interval_is_in_seconds(tmp_path: Path) -> None:
    path = write(tmp_path / "m.zarr", values())
    assert OmeZarrReader.open(path).interval is None, "its unit is missing"
    axes = axes_of("tczyx")
    axes[0]["unit"] = "minute"
    path = write(tmp_path / "m.zarr", values(), multiscale={"axes": axes})
    assert OmeZarrReader.open(path).interval == 3600.0


def test_what_is_not_known_of_full_resolution_is_not_known_of_a_level(tmp_path: Path) -> None:
    levels = [
        {"path": str(n), "coordinateTransformations": [{"type": "scale", "scale": [1, 1, 1, 1, n + 1]}]}
        for n in range(2)
    ]
    axes = [{"name": name, "type": TYPES.get(name, "space")} for name in "tczyx"]
    path = write(tmp_path / "m.zarr", values(), multiscale={"datasets": levels, "axes": axes})
    movie = OmeZarrReader.open(path)
    assert [level.voxel_size for level in movie.levels] == [None, None]
    assert movie.at_level(1).setup.voxel_size is None


def test_a_damaged_level_is_said_and_the_finer_ones_are_read(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    image = values()
    path = write(tmp_path / "m.zarr", image)
    described = json.loads((path / "1" / "zarr.json").read_text())
    (path / "1" / "zarr.json").write_text(json.dumps(described | {"shape": [7, 2, 4, 20, 15]}))
    assert len(OmeZarrReader.open(path).levels) == 1
    (path / "1" / "zarr.json").write_text("{")
    np.testing.assert_array_equal(read(path), image[:, 0])
    assert "m.zarr has no level 1 and above: it has other timepoints or channels" in caplog.text
    assert "m.zarr has no level 1 and above: the image 1 of m.zarr cannot be opened" in caplog.text


def test_values_below_zero_are_scaled_and_that_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write(tmp_path / "m.zarr", values("tzyx", "int16") - 50, "tzyx")
    make(path, tmp_path / "dataset")
    source = DatasetSource.read(tmp_path / "dataset")
    assert source is not None
    assert source.offset == -50
    assert "scaled" in caplog.text


def test_it_is_found_in_a_dataset_folder(tmp_path: Path) -> None:
    folder = tmp_path / "dataset"
    folder.mkdir()
    path = write(folder / "dataset.ome.zarr", values())
    assert find_movie(folder) == path
    make(path, folder)
    assert find_movie(folder) == path
    assert reader_of_movie(path).plugin.name == "ome-zarr"


def test_units_that_differ_are_converted_and_others_not_used(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    axes = axes_of("tczyx")
    axes[2]["unit"] = "nanometer"
    movie = OmeZarrReader.open(write(tmp_path / "a.zarr", values(), multiscale={"axes": axes}))
    assert movie.setup.voxel_size == VoxelSize(0.002, 0.5, 0.4)
    axes[2]["unit"] = "parsec"
    movie = OmeZarrReader.open(write(tmp_path / "b.zarr", values(), multiscale={"axes": axes}))
    assert movie.setup.voxel_size is None
    assert "The voxel size is not used: its units are parsec, micrometer, micrometer" in caplog.text


def test_both_scales_count_and_old_versions_have_neither_axes_nor_scales(tmp_path: Path) -> None:
    whole = {"coordinateTransformations": [{"type": "scale", "scale": [1, 1, 10, 10, 10]}]}
    movie = OmeZarrReader.open(write(tmp_path / "a.zarr", values(), version=2, multiscale=whole))
    assert movie.setup.voxel_size == VoxelSize(20.0, 5.0, 4.0)
    old = {"axes": [], "datasets": [{"path": "0"}]}
    movie = OmeZarrReader.open(write(tmp_path / "b.zarr", values(), version=2, multiscale=old))
    assert (movie.shape, movie.n_timepoints, movie.setup.voxel_size) == ((4, 20, 30), 3, None)
    old["axes"] = list("tczyx")
    assert OmeZarrReader.open(write(tmp_path / "c.zarr", values(), version=2, multiscale=old)).n_timepoints == 3


def test_the_only_series_of_a_converted_file_is_taken(tmp_path: Path) -> None:
    image = values()
    zarr.open_group(tmp_path / "m.zarr", mode="w", zarr_format=2, attributes={"bioformats2raw.layout": 3})
    write(tmp_path / "m.zarr" / "0", image, version=2)
    np.testing.assert_array_equal(read(tmp_path / "m.zarr"), image[:, 0])
    write(tmp_path / "m.zarr" / "1", image, version=2)
    with pytest.raises(DatasetError, match=r"holds 2 images: choose one of them \(m.zarr/0, m.zarr/1\)"):
        OmeZarrReader.open(tmp_path / "m.zarr")


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"plate": {}}, "is a plate of many wells: choose one of its images"),
        ({"multiscales": []}, "not those of an OME-Zarr image"),
        ({"multiscales": "none"}, "not those of an OME-Zarr image"),
        ({"multiscales": [{"datasets": []}]}, "not those of an OME-Zarr image"),
        ({"multiscales": [{"datasets": [{"path": "../other"}]}]}, "to be in its folder"),
        ({"multiscales": [{"datasets": [{"path": "/etc"}]}]}, "to be in its folder"),
        ({"multiscales": [{"datasets": [{"path": "7"}]}]}, "the image 7 of m.zarr cannot be opened"),
        ({"multiscales": [{"axes": axes_of("tczyq"), "datasets": [{"path": "0"}]}]}, "got t, c, z, y, q"),
        ({"multiscales": [{"axes": axes_of("tzyx"), "datasets": [{"path": "0"}]}]}, "of an array with 5"),
        ({"multiscales": [{"axes": axes_of("zyxzy"), "datasets": [{"path": "0"}]}]}, "expected the axes"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_movie_is_refused_with_the_reason(tmp_path: Path, changed: dict[str, Any], words: str) -> None:
    path = write(tmp_path / "m.zarr", values(), version=2)
    (path / ".zattrs").write_text(json.dumps(changed))
    assert OmeZarrReader.claims(path)
    with pytest.raises(DatasetError, match=words):
        make(path, tmp_path / "dataset")
    assert not (tmp_path / "dataset").exists()


def test_damage_is_reported(tmp_path: Path) -> None:
    path = write(tmp_path / "m.zarr", values(), chunks=(1, 1, 4, 20, 30))
    block = path / "0" / "c" / "1" / "0" / "0" / "0" / "0"
    block.write_bytes(block.read_bytes()[:20])
    with pytest.raises(DatasetError, match=r"timepoint 1 is damaged within Z, Y, X = 0-3, 0-19, 0-"):
        make(path, tmp_path / "dataset")
    (path / "0" / "zarr.json").write_text("{")
    with pytest.raises(DatasetError, match="cannot be opened"):
        OmeZarrReader.open(path)
    (path / "zarr.json").write_text("{")
    with pytest.raises(DatasetError, match=r"zarr.json of m.zarr cannot be read"):
        OmeZarrReader.open(path)
    assert not OmeZarrReader.claims(path)
    with pytest.raises(NotFoundError, match="does not exist"):
        OmeZarrReader.open(tmp_path / "none.zarr")


def test_a_size_that_no_machine_holds_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "m.zarr", values(), version=2)
    described = json.loads((path / "0" / ".zarray").read_text())
    (path / "0" / ".zarray").write_text(json.dumps(described | {"shape": [3, 2, 10**5, 10**5, 10**5]}))
    with pytest.raises(DatasetError, match=r"would need .* of memory"):
        reader_of_movie(path).open(path, None, NeverCancelled(), fill_gaps=False)
    (path / "0" / ".zarray").write_text(json.dumps(described | {"chunks": [3, 2, 10**4, 10**4, 10**4]}))
    with pytest.raises(DatasetError, match="in blocks of at most 1 GiB"):
        OmeZarrReader.open(path)
    tiny = {"shape": [3, 2, 100, 100, 100], "chunks": [1, 1, 1, 1, 1]}
    (path / "0" / ".zarray").write_text(json.dumps(described | tiny))
    with pytest.raises(DatasetError, match=r"got 1000000 for each timepoint, of 1 x 1 x 1 voxels \(Z, Y, X\)"):
        OmeZarrReader.open(path)


def test_a_change_is_noticed(tmp_path: Path) -> None:
    image = values()
    path = write(tmp_path / "dataset" / "m.zarr", image)
    make(path, tmp_path / "dataset")
    movie = reader_of_movie(path).open(path, 0, NeverCancelled(), fill_gaps=False)
    source = DatasetSource.read(tmp_path / "dataset")
    assert source is not None
    assert source.fingerprint is not None
    assert movie.is_same(source.fingerprint, NeverCancelled())
    write(path, values(seed=1))
    assert not movie.is_same(source.fingerprint, NeverCancelled())
