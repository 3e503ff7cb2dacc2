import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import zarr

from core.dataset.bdv import ramp, write_movie
from core.dataset.helpers import content_of, make, make_as_the_original_did
from elephant.dataset import check_dataset

SHAPE = (3, 5, 20, 17)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make(write_movie(tmp_path / "m.h5", ramp()), tmp_path / "d")
    return tmp_path / "d"


def test_ready_for_the_shape_that_the_client_sees(folder: Path) -> None:
    before = content_of(folder)
    assert check_dataset(folder, SHAPE) == "ready"
    assert check_dataset(folder, list(SHAPE)) == "ready"
    assert check_dataset(folder, None) == "ready"
    assert content_of(folder) == before


def test_ready_for_folders_of_the_original(tmp_path: Path) -> None:
    make_as_the_original_did(tmp_path / "d", ramp())
    make_as_the_original_did(tmp_path / "2d", ramp()[:, 0].astype("u1"))
    assert check_dataset(tmp_path / "d", SHAPE) == "ready"
    assert check_dataset(tmp_path / "2d", (3, 20, 17)) == "ready"


@pytest.mark.parametrize("shape", [(3, 20, 17), (2, 5, 20, 17), (3, 5, 17, 20), (3, 1, 20, 17), (), (3, 5, 20, 17, 1)])
def test_another_shape(folder: Path, shape: tuple[int, ...]) -> None:
    message = check_dataset(folder, shape)
    assert str(shape) in message
    assert str(SHAPE) in message
    assert "generate the dataset again" in message


@pytest.mark.parametrize(
    "name",
    [
        "imgs.zarr",
        "seg_outputs.zarr",
        "seg_labels.zarr",
        "seg_labels_vis.zarr",
        "flow_outputs.zarr",
        "flow_labels.zarr",
        "flow_hashes.zarr",
    ],
)
def test_a_missing_array_and_a_wrong_shape_or_type_are_reported(folder: Path, name: str) -> None:
    shape, dtype = zarr.open_array(folder / name, mode="r").shape, zarr.open_array(folder / name, mode="r").dtype
    shutil.rmtree(folder / name)
    message = check_dataset(folder, SHAPE)
    assert f"{name} is missing" in message
    assert message.endswith(": generate the dataset again from its movie")
    zarr.create_array(folder / name, shape=shape, dtype="int32")
    assert check_dataset(folder, SHAPE).startswith(f"expected {name} of ")
    zarr.create_array(folder / name, shape=(*shape, 1), dtype=dtype, zarr_format=2, overwrite=True)
    assert check_dataset(folder, SHAPE).startswith(f"expected {name} of shape")


def _no_json(path: Path) -> None:
    path.write_text("{")


def _not_text(path: Path) -> None:
    path.write_bytes(b"\xff\xfe\0")


def _another_json(path: Path) -> None:
    path.write_text("[1]")


def _empty_metadata(path: Path) -> None:
    path.write_text("{}")


def _unknown_codec(path: Path) -> None:
    metadata = json.loads(path.read_text())
    metadata["codecs"] = [{"name": "no such codec"}]
    path.write_text(json.dumps(metadata))


def _odd_shape(path: Path) -> None:
    metadata = json.loads(path.read_text())
    metadata["shape"] = "large"
    path.write_text(json.dumps(metadata))


def _folder_instead(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    "damage",
    [_no_json, _not_text, _another_json, _empty_metadata, _unknown_codec, _odd_shape, _folder_instead],
)
def test_invalid_metadata_are_reported_and_not_raised(folder: Path, damage: Callable[[Path], None]) -> None:
    damage(folder / "seg_labels.zarr" / "zarr.json")
    message = check_dataset(folder, SHAPE)
    assert message.startswith("seg_labels.zarr")
    assert "again" in message


@pytest.mark.parametrize("kind", ["absent", "empty", "a file"])
def test_folders_that_are_not_datasets(tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "d"
    if kind == "empty":
        folder.mkdir()
    if kind == "a file":
        folder.write_text("")
    message = check_dataset(folder, SHAPE)
    assert ("imgs.zarr is missing" if kind == "empty" else "does not exist") in message


def test_a_folder_with_only_the_movie_was_never_converted(tmp_path: Path) -> None:
    (tmp_path / "m.h5").write_bytes(b"")
    assert check_dataset(tmp_path, SHAPE).endswith(": generate the dataset from its movie")


def test_a_group_is_not_an_array(folder: Path) -> None:
    shutil.rmtree(folder / "imgs.zarr")
    zarr.create_group(folder / "imgs.zarr")
    assert check_dataset(folder).startswith("imgs.zarr")


def test_an_image_without_timepoints(folder: Path) -> None:
    zarr.create_array(folder / "imgs.zarr", shape=(0, 5, 20, 17), dtype="uint8", overwrite=True)
    assert check_dataset(folder).startswith("expected imgs.zarr of shape")
