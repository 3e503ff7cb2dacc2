"""The BigDataViewer files: what h5py and an XML parser find in them is what was put in."""

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import h5py
import numpy as np
import pytest
from pydantic import ValidationError

from elephant.errors import InvalidInputError, NotFoundError
from elephant.simulation import (
    BigDataViewerWriter,
    SimulationParameters,
    preset,
    read_truth,
    simulate,
    write_movie,
)
from elephant.simulation.bigdataviewer import block_mean, choose_levels

SMALL = SimulationParameters(shape=(16, 160, 96), nuclei=12, timepoints=2, cycle=4, seed=1)


def test_a_movie_is_written_as_simulated(tmp_path: Path) -> None:
    paths = write_movie(SMALL, tmp_path / "out" / "movie.h5")
    with h5py.File(paths.h5) as file:
        assert sorted(file) == ["s00", "t00000", "t00001"]
        np.testing.assert_array_equal(file["s00/resolutions"][()], [[1, 1, 1], [2, 2, 1], [4, 4, 1]])
        np.testing.assert_array_equal(file["s00/subdivisions"][()], [[32, 32, 4], [32, 32, 4], [24, 32, 4]])
        for frame in simulate(SMALL):
            cells = file[f"t{frame.t:05d}/s00/0/cells"]
            assert (cells.dtype, cells.compression, cells.chunks) == (np.int16, "gzip", (4, 32, 32))
            np.testing.assert_array_equal(cells[()].view(np.uint16), frame.image)
    assert sorted(path.name for path in paths.h5.parent.iterdir()) == [
        "movie.h5",
        "movie.truth.json",
        "movie.xml",
    ]


def test_smaller_levels_are_means_of_blocks(tmp_path: Path) -> None:
    paths = write_movie(SMALL, tmp_path / "movie.h5")
    with h5py.File(paths.h5) as file:
        full = file["t00001/s00/0/cells"][()].view(np.uint16).astype(float)
        for level, factor in ((1, 2), (2, 4)):
            small = file[f"t00001/s00/{level}/cells"][()].view(np.uint16)
            mean = full.reshape(16, 160 // factor, factor, 96 // factor, factor).mean(axis=(2, 4))
            np.testing.assert_array_equal(small, np.rint(mean))


def test_values_above_32767_survive_the_signed_storage(tmp_path: Path) -> None:
    image = np.linspace(0, 65_535, 4 * 80 * 80).astype(np.uint16).reshape(4, 80, 80)
    with BigDataViewerWriter(tmp_path / "bright.h5", image.shape, (4, 1, 1)) as writer:
        writer.append(image)
    with h5py.File(tmp_path / "bright.h5") as file:
        stored = file["t00000/s00/0/cells"][()]
        assert stored.min() < 0
        np.testing.assert_array_equal(stored.view(np.uint16), image)
        reduced = file["t00000/s00/1/cells"][()].view(np.uint16)
    assert reduced.max() > 65_000
    assert reduced.mean() == pytest.approx(image.mean(), abs=1)


def test_the_xml_names_file_size_voxel_and_timepoints(tmp_path: Path) -> None:
    paths = write_movie(SMALL, tmp_path / "movie.h5")
    root = ET.parse(paths.xml).getroot()  # noqa: S314 - we wrote it
    assert root.findtext("SequenceDescription/ImageLoader/hdf5") == "movie.h5"
    setup = root.find("SequenceDescription/ViewSetups/ViewSetup")
    assert setup is not None
    assert setup.findtext("size") == "96 160 16"
    assert setup.findtext("voxelSize/size") == "0.5 0.5 2.0"
    assert root.findtext("SequenceDescription/Timepoints/last") == "1"
    affines = [e.text for e in root.iterfind("ViewRegistrations/ViewRegistration/ViewTransform/affine")]
    assert affines == ["0.5 0.0 0.0 0.0 0.0 0.5 0.0 0.0 0.0 0.0 2.0 0.0"] * 2


def test_the_truth_is_written_in_x_y_z_and_read_back(tmp_path: Path) -> None:
    paths = write_movie(SMALL, tmp_path / "movie.h5")
    content = json.loads(paths.truth.read_text())
    assert (content["voxel"], content["shape"]) == ([2.0, 0.5, 0.5], [16, 160, 96])
    truth = read_truth(paths.truth)
    assert not truth.is_2d
    frames = list(simulate(SMALL))
    assert [len(f) for f in content["frames"]] == [len(f.nuclei) for f in frames]
    assert any(nucleus.parent is not None for nucleus in frames[1].nuclei)
    for frame, read, raw in zip(frames, truth.frames, content["frames"], strict=True):
        for nucleus, back, item in zip(frame.nuclei, read, raw, strict=True):
            assert set(item) == {"t", "id", "parent", "pos", "covariance"}
            assert item["pos"] == nucleus.spot.pos[::-1].tolist()
            assert item["covariance"][0] == nucleus.spot.covariance[2, 2]
            assert item["covariance"][5] == nucleus.spot.covariance[1, 0]
            assert (back.parent, back.spot.id, back.spot.t) == (nucleus.parent, nucleus.spot.id, frame.t)
            np.testing.assert_array_equal(back.spot.pos, nucleus.spot.pos)
            np.testing.assert_array_equal(back.spot.covariance, nucleus.spot.covariance)


def test_a_flat_movie_keeps_one_plane_at_all_levels(tmp_path: Path) -> None:
    paths = write_movie(preset("flat", timepoints=1, nuclei=10), tmp_path / "flat.h5")
    with h5py.File(paths.h5) as file:
        assert [file[f"t00000/s00/{level}/cells"].shape for level in range(3)] == [
            (1, 256, 256),
            (1, 128, 128),
            (1, 64, 64),
        ]
    assert read_truth(paths.truth).is_2d


def test_two_writings_are_the_same_bytes(tmp_path: Path) -> None:
    first, second = (write_movie(SMALL, tmp_path / name / "movie.h5") for name in ("a", "b"))
    assert first.h5.read_bytes() == second.h5.read_bytes()
    assert first.truth.read_bytes() == second.truth.read_bytes()
    assert first.xml.read_bytes() == second.xml.read_bytes()


def test_a_failed_writing_leaves_nothing_and_an_old_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "movie.h5"
    path.write_bytes(b"old")
    writer = BigDataViewerWriter(path, (4, 8, 8), (1, 1, 1))
    with pytest.raises(InvalidInputError, match=r"expected uint16 of \(4, 8, 8\) for timepoint 0"), writer:
        writer.append(np.zeros((4, 8, 9), np.uint16))
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["movie.h5"]


@pytest.mark.parametrize(
    ("shape", "voxel", "levels"),
    [
        ((32, 256, 256), (2.0, 0.5, 0.5), [(1, 1, 1), (1, 2, 2), (1, 4, 4)]),
        ((64, 256, 256), (1.0, 0.5, 0.5), [(1, 1, 1), (1, 2, 2), (2, 4, 4)]),
        ((1, 512, 512), (1.0, 1.0, 1.0), [(1, 1, 1), (1, 2, 2), (1, 4, 4), (1, 8, 8)]),
        ((8, 32, 32), (1.0, 1.0, 1.0), [(1, 1, 1)]),
    ],
)
def test_levels_reduce_the_finest_axes_first(
    shape: tuple[int, ...], voxel: tuple[float, ...], levels: list[tuple[int, ...]]
) -> None:
    assert choose_levels(shape, voxel) == levels


def test_block_means_leave_out_what_is_left_over() -> None:
    image = np.arange(5 * 5, dtype=np.uint16).reshape(1, 5, 5)
    np.testing.assert_array_equal(block_mean(image, (1, 2, 2)), [[[3, 5], [13, 15]]])


def test_a_missing_or_broken_truth_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no truth at"):
        read_truth(tmp_path / "none.json")
    (tmp_path / "bad.json").write_text('{"voxel": [1, 1, 1]}')
    with pytest.raises(InvalidInputError, match="shape"):
        read_truth(tmp_path / "bad.json")


def test_parameters_refuse_what_makes_no_sense() -> None:
    with pytest.raises(ValidationError, match="Extra inputs"):
        SimulationParameters(nucleii=3)  # type: ignore[call-arg]
    with pytest.raises(ValidationError, match="fewer or smaller nuclei"):
        SimulationParameters(nuclei=2000)
    with pytest.raises(InvalidInputError, match="choose one of demo, embryo, flat"):
        preset("none")
