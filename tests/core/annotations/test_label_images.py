"""Label images: a nucleus a label."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr

from elephant.annotations import MovieFacts, SpotRecord, read_annotations
from elephant.annotations.ellipsoids import Peculiarities, nuclei_of_labels
from elephant.config import AnnotationParams
from elephant.errors import InvalidInputError
from elephant.geometry import Ellipsoid, rasterise
from elephant.types import FloatArray, VoxelSize

SHAPE = (10, 40, 50)
MOVIE = MovieFacts(SHAPE, 5, VoxelSize(2.0, 1.0, 1.0))
FLAT = MovieFacts(SHAPE[1:], 5, VoxelSize(1.0, 1.0, 1.0))


def read(path: Path, movie: MovieFacts = MOVIE, **said: object) -> list[SpotRecord]:
    return read_annotations(path, AnnotationParams.model_validate(said), movie)


def two_nuclei(shape: tuple[int, ...] = SHAPE, dtype: str = "uint16") -> np.ndarray:
    labels = np.zeros(shape, dtype=dtype)
    labels[..., 10:15, 20:27] = 7
    labels[..., 25:28, 10:14] = 300 if np.dtype(dtype).itemsize > 1 else 200
    return labels


def axes_of(n: int) -> FloatArray:
    return np.linalg.qr(np.random.default_rng(n).normal(size=(n, n)))[0].T


@pytest.mark.parametrize("scale", [(1.0, 1.0, 1.0), (4.0, 1.0, 1.0), (1.0, 0.5), (3.0, 3.0)])
def test_a_painted_ellipsoid_comes_back(scale: tuple[float, ...]) -> None:
    n = len(scale)
    voxel = VoxelSize(*(1.0,) * (3 - n), *scale)
    radii = np.array([14.0, 20.0, 30.0][-n:])
    centre = np.array([50.0, 60.3, 45.7][-n:])
    truth = Ellipsoid(centre, radii, axes_of(n))
    shape = tuple(int(110 / edge) for edge in scale)
    raster = rasterise(truth, scale, shape, 9)
    image = np.zeros(shape, dtype=np.uint16)
    image[raster.slices][raster.mask] = 5
    nuclei = nuclei_of_labels(image, voxel, Peculiarities())
    assert nuclei.labels.tolist() == [5]
    np.testing.assert_allclose(nuclei.positions[0], centre, atol=0.2 * max(scale))
    np.testing.assert_allclose(np.sqrt(np.linalg.eigvalsh(nuclei.covariances[0])), radii, rtol=0.02)
    covariance = truth.axes.T @ np.diag(radii**2) @ truth.axes
    np.testing.assert_allclose(nuclei.covariances[0], covariance, atol=0.03 * radii.max() ** 2)
    volume = raster.mask.sum() * np.prod(scale)
    unit = 4 / 3 * np.pi if n == 3 else np.pi
    assert unit * np.sqrt(np.linalg.det(nuclei.covariances[0])) == pytest.approx(volume, rel=0.01)


def test_what_is_peculiar_is_read_by_a_rule_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    labels = np.zeros(SHAPE, dtype=np.uint16)
    labels[4:7, 10:15, 20:27] = 1
    labels[9, 39, 49] = 1  # a stray voxel of it
    labels[0:3, 20:25, 30:35] = 2
    labels[5, 30, 30] = 3
    tifffile.imwrite(tmp_path / "l.tif", labels, imagej=True, metadata={"axes": "ZYX"})
    one, two, three = read(tmp_path / "l.tif")
    assert (one.pos, two.pos, three.pos) == ((23, 12, 10), (32, 22, 2), (30, 30, 10))
    assert three.covariance[::4] == pytest.approx((0.25, 0.25, 1))  # half a voxel
    assert "1 label with several pieces that do not touch: the largest piece is the nucleus" in caplog.text
    assert "1 label at the edge of the image" in caplog.text
    assert "1 label of a single voxel" in caplog.text


WRITERS: dict[str, Callable[[Path, np.ndarray], Path]] = {}


def writer(function: Callable[[Path, np.ndarray], None]) -> Callable[[Path, np.ndarray], None]:
    name = function.__name__.rstrip("_")
    ending = {"ome_zarr": "l.zarr", "ome_zarr_2": "l.zarr", "labels_of_an_image": "i.zarr", "folder": "labels"}

    def write(folder: Path, labels: np.ndarray) -> Path:
        path = folder / ending.get(name, "l.tif")
        function(path, labels)
        return path

    WRITERS[name] = write
    return function


@writer
def imagej(path: Path, labels: np.ndarray) -> None:
    tifffile.imwrite(path, labels.astype(np.uint16), imagej=True, metadata={"axes": "TZYX"})


@writer
def imagej_channels(path: Path, labels: np.ndarray) -> None:
    tifffile.imwrite(path, labels, imagej=True)  # which is then said to be Z, C


@writer
def plain(path: Path, labels: np.ndarray) -> None:
    tifffile.imwrite(path, labels, compression="zlib")


@writer
def plain_32(path: Path, labels: np.ndarray) -> None:
    tifffile.imwrite(path, labels.astype(np.uint32))


@writer
def ome(path: Path, labels: np.ndarray) -> None:
    tifffile.imwrite(path, labels.astype(np.float32), ome=True, metadata={"axes": "TZYX"})


@writer
def folder(path: Path, labels: np.ndarray) -> None:
    path.mkdir()
    for t, each in enumerate(labels):
        tifffile.imwrite(path / f"stack2_t{t:02d}_cp_masks.tif", each)


@writer
def ome_zarr(path: Path, labels: np.ndarray, zarr_format: Any = 3) -> None:
    group = zarr.create_group(path, zarr_format=zarr_format)
    group.create_array("0", data=labels, chunks=(1, 5, 40, 50))
    axes = [{"name": "t", "type": "time"}, *({"name": name, "type": "space"} for name in "zyx")]
    levels = [{"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [1, 1, 1, 1]}]}]
    about = {"multiscales": [{"axes": axes, "datasets": levels}], "image-label": {}}
    group.attrs.update({"ome": about | {"version": "0.5"}} if zarr_format == 3 else about)


@writer
def ome_zarr_2(path: Path, labels: np.ndarray) -> None:
    ome_zarr(path, labels.astype(np.int32), 2)


@writer
def labels_of_an_image(path: Path, labels: np.ndarray) -> None:
    ome_zarr(path, np.ones_like(labels))
    ome_zarr(path / "labels" / "nuclei", labels.astype(np.uint32))
    zarr.open_group(path / "labels", mode="a").attrs["ome"] = {"labels": ["nuclei"]}


@pytest.mark.parametrize("name", WRITERS)
def test_labels_are_nuclei_however_they_are_stored(name: str, tmp_path: Path) -> None:
    labels = two_nuclei((3, *SHAPE))
    labels[1] = 0
    found = read(WRITERS[name](tmp_path, labels))
    assert [(s.t, s.id, s.pos, s.track, s.parent) for s in found] == [
        (0, 0, (23, 12, 9), None, None),
        (0, 1, (11.5, 26, 9), None, None),
        (2, 2, (23, 12, 9), None, None),
        (2, 3, (11.5, 26, 9), None, None),
    ]


def test_flat_label_images_belong_to_flat_movies(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "one.tif", two_nuclei(SHAPE[1:]))
    tifffile.imwrite(tmp_path / "many.tif", two_nuclei((4, *SHAPE[1:])), photometric="minisblack")
    tifffile.imwrite(tmp_path / "called.tif", two_nuclei((4, *SHAPE[1:])), imagej=True, metadata={"axes": "ZYX"})
    assert [(s.t, s.pos) for s in read(tmp_path / "one.tif", FLAT)] == [(0, (23, 12, 0)), (0, (11.5, 26, 0))]
    assert [s.t for s in read(tmp_path / "many.tif", FLAT)] == [0, 0, 1, 1, 2, 2, 3, 3]
    assert [s.t for s in read(tmp_path / "called.tif", FLAT)] == [0, 0, 1, 1, 2, 2, 3, 3]
    covariance = np.reshape(read(tmp_path / "one.tif", FLAT)[0].covariance, (3, 3))
    np.testing.assert_allclose(covariance, np.diag([16, 8, 1]))  # (side^2 - 1) / 12 * 4


def test_numbers_in_the_names_of_files_are_timepoints(tmp_path: Path) -> None:
    for number in (1, 2, 10):
        tifffile.imwrite(tmp_path / f"labels{number}.tif", two_nuclei())
    movie = MovieFacts(SHAPE, 10, MOVIE.voxel_size)
    assert [s.t for s in read(tmp_path, movie, first_frame=1)] == [0, 0, 1, 1, 9, 9]


def save(name: str, labels: np.ndarray) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        tifffile.imwrite(folder / name, labels)
        return folder / name

    return make


def two_files(one: str, other: str, shape: tuple[int, ...] = SHAPE) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        save(one, two_nuclei())(folder)
        save(other, two_nuclei(shape))(folder)
        return folder

    return make


def cut(folder: Path) -> Path:
    path = save("l.tif", two_nuclei())(folder)
    path.write_bytes(path.read_bytes()[:3000])
    return path


def no_tiff(folder: Path) -> Path:
    (folder / "l.tif").write_text("hello")
    return folder / "l.tif"


def two_labels(folder: Path) -> Path:
    path = WRITERS["labels_of_an_image"](folder, two_nuclei((2, *SHAPE)))
    shutil.copytree(path / "labels" / "nuclei", path / "labels" / "cells")
    zarr.open_group(path / "labels", mode="a").attrs["ome"] = {"labels": ["nuclei", "cells"]}
    return path


def leading_out(folder: Path) -> Path:
    path = WRITERS["labels_of_an_image"](folder, two_nuclei((2, *SHAPE)))
    zarr.open_group(path / "labels", mode="a").attrs["ome"] = {"labels": ["../../secret"]}
    return path


def bomb(folder: Path) -> Path:
    path = WRITERS["ome_zarr_2"](folder, two_nuclei((1, *SHAPE)))
    described = json.loads((path / "0/.zarray").read_text())
    (path / "0/.zarray").write_text(json.dumps(described | {"shape": [1, 10**5, 10**5, 10**5]}))
    return path


NOISE = np.random.default_rng(0).integers(0, 4000, SHAPE, dtype=np.uint16)
SPECKLED = np.zeros(SHAPE, dtype=np.uint8)
SPECKLED[4, ::6, ::6] = 255
BROKEN: dict[str, tuple[Callable[[Path], Path], str]] = {
    "size": (save("l.tif", two_nuclei((10, 40, 49))), "to have 10 x 40 x 50 voxels .* the movie has, got 10 x 40 x 49"),
    "rgb": (save("l.tif", np.zeros((40, 50, 3), np.uint8)), "voxels|channel"),
    "probabilities": (save("l.tif", np.full(SHAPE, 0.5, np.float32)), "whole numbers of 0 to 4294967295, got 0.5"),
    "negative": (save("l.tif", np.full(SHAPE, -1, np.int16)), "whole numbers of 0 to 4294967295, got -1"),
    "not a number": (save("l.tif", np.full(SHAPE, np.nan, np.float32)), "whole numbers of 0 to 4294967295, got nan"),
    "binary": (save("l.tif", SPECKLED), "l.tif to have a label for each nucleus, got 63 pieces of the value 255 and"),
    "movie": (save("l.tif", NOISE), "l.tif to have a label for each nucleus, got values that change at nearly every"),
    "one number": (two_files("a_1.tif", "b_1.tif"), "in one number, that of the timepoint, got a_1.tif and b_1.tif"),
    "no number": (two_files("a.tif", "b_1.tif"), "in one number, that of the timepoint, got a.tif and b_1.tif"),
    "sizes": (two_files("a1.tif", "a2.tif", (10, 40, 51)), "as the movie has, got 10 x 40 x 51"),
    "stacks": (two_files("a1.tif", "a2.tif", (2, *SHAPE)), "a2.tif in .* to be one timepoint, got 2"),
    "truncated": (cut, "l.tif .*truncated|damaged"),
    "text": (no_tiff, "l.tif"),
    "two images": (two_labels, r"holds 2 label images: choose one of them \(i.zarr/labels/nuclei, i.zarr/labels/cells"),
    "outside": (leading_out, "expected the labels of i.zarr to be in it, got '../../secret'"),
    "bomb": (bomb, "GiB|voxels"),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_broken_label_images_get_a_sentence(name: str, tmp_path: Path) -> None:
    make, words = BROKEN[name]
    path = make(tmp_path)
    with pytest.raises(InvalidInputError, match=words):
        read(path)


def test_without_a_voxel_size_labels_have_no_size(tmp_path: Path) -> None:
    path = save("l.tif", two_nuclei())(tmp_path)
    with pytest.raises(
        InvalidInputError, match="measured in voxels: expected the voxel size, got none: give `voxel_size`"
    ):
        read(path, MovieFacts(SHAPE, 5))
