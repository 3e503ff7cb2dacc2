import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient

from app.dashboard.ground import SHAPE, make_dataset
from core.dataset.bdv import ramp, write_movie
from elephant.config import ConversionParams
from elephant.dataset import Dataset, DatasetSource, add
from elephant.progress import NeverCancelled
from elephant.types import VoxelSize

NAME = "user/movie"


def plane(page: FlaskClient, **query: Any) -> tuple[np.ndarray, Any]:
    answer = page.get("/dashboard/api/plane", query_string={"dataset": NAME, "t": 1, **query})
    assert answer.status_code == 200, answer.text
    shape = tuple(map(int, answer.headers["X-Plane-Shape"].split(",")))
    return np.frombuffer(answer.data, answer.headers["X-Plane-Type"]).reshape(shape), answer


def test_a_dataset_is_listed_with_what_it_holds(page: FlaskClient, dataset: Dataset) -> None:
    dataset.write_labels(1, np.ones(SHAPE, dtype=np.uint8))
    dataset.write_probabilities(2, np.ones((*SHAPE, 3), dtype=np.float16))
    (dataset.folder / "movie.h5").write_bytes(bytes(1000))
    DatasetSource(movie="movie.h5", voxel_size=VoxelSize(2, 0.6, 0.5), unit="um").write(dataset.folder)
    assert page.get("/dashboard/api/datasets").json == {"names": [NAME]}
    found = page.get("/dashboard/api/dataset", query_string={"dataset": NAME}).json
    assert found is not None
    assert (found["n_timepoints"], found["shape"], found["dtype"]) == (3, list(SHAPE), "uint16")
    assert (found["labelled"], found["predicted"]) == ([1], [2])
    assert (found["flow_labelled"], found["flow_predicted"]) == ([], [])
    assert (found["voxel_size"], found["unit"], found["made_from"]) == ([2.0, 0.6, 0.5], "um", "movie.h5")
    assert found["other_bytes"] >= 1000
    files = [path for path in dataset.folder.glob("*.zarr/**/*") if path.is_file() and "flow_hashes" not in str(path)]
    assert found["array_bytes"] == sum(path.stat().st_size for path in files)


def test_which_source_of_its_movie_a_dataset_holds_and_what_is_blank(page: FlaskClient, dataset: Dataset) -> None:
    def origin() -> list[Any]:
        found = page.get("/dashboard/api/dataset", query_string={"dataset": NAME}).json
        assert found is not None
        return [found[name] for name in ("made_from", "blank_timepoints")]

    assert origin() == ["", []]
    DatasetSource(movie="m.h5", setup=1, setup_name="GFP", n_setups=2, blank_timepoints=(0, 2)).write(dataset.folder)
    assert origin() == ["m.h5, source 1 (GFP) of 2", [0, 2]]
    found = page.get("/dashboard/api/dataset", query_string={"dataset": NAME}).json
    assert found is not None
    assert (found["movie"], found["setup"]) == ({"folder": "", "movie": f"{NAME}/m.h5"}, 1)


def test_without_datasets_the_list_is_empty(page: FlaskClient) -> None:
    assert page.get("/dashboard/api/datasets").json == {"names": []}
    assert page.get("/dashboard/api/dataset", query_string={"dataset": "none"}).status_code == 404


def test_a_dataset_that_is_read_in_place_is_shown(page: FlaskClient, dataset: Dataset, tmp_path: Path) -> None:
    movie = write_movie(tmp_path / "m.h5", ramp(3, SHAPE, largest=4000))
    add(movie, dataset.folder, ConversionParams(), NeverCancelled())
    assert (plane(page, axis="xz", index=7)[0] == ramp(3, SHAPE, largest=4000)[1][:, 7]).all()
    movie.unlink()
    found = page.get("/dashboard/api/dataset", query_string={"dataset": NAME}).json
    assert found is not None
    assert (found["n_timepoints"], found["dtype"], found["made_from"]) == (3, "uint16", "m.h5")
    assert found["notice"].startswith(f"the movie {movie} is gone")
    assert (found["in_place"], found["movie"]) == (True, None), "it is in no folder that the page may read"
    assert page.post("/dataset/check", json={"dataset_name": NAME}).json == {"message": found["notice"]}
    answer = page.get("/dashboard/api/plane", query_string={"dataset": NAME, "t": 1, "axis": "xy", "index": 0})
    assert answer.status_code == 400


def test_planes_are_those_of_the_volume(page: FlaskClient, dataset: Dataset) -> None:
    volume = dataset.read_image(1)
    assert (plane(page, axis="xy", index=4)[0] == volume[4]).all()
    assert (plane(page, axis="xz", index=7)[0] == volume[:, 7]).all()
    assert (plane(page, axis="yz", index=29)[0] == volume[:, :, 29].T).all()


def test_labels_and_probabilities_are_small_integers(page: FlaskClient, dataset: Dataset) -> None:
    labels = np.zeros(SHAPE, dtype=np.uint8)
    labels[2, 3, 4] = 3
    dataset.write_labels(1, labels)
    dataset.write_probabilities(1, np.full((*SHAPE, 3), [0.25, 0.5, 1.0], dtype=np.float16))
    assert (plane(page, layer="labels", index=2)[0] == labels[2]).all()
    found = plane(page, layer="probabilities", index=2)[0]
    assert found.shape == (*SHAPE[1:], 2)
    assert (found[0, 0] == [127, 255]).all()


def test_planes_of_two_dimensions(page: FlaskClient, tmp_path: Path) -> None:
    flat = make_dataset(tmp_path / "datasets" / "flat", (20, 30), "uint8")
    query = {"dataset": "flat", "t": 0}
    assert page.get("/dashboard/api/plane", query_string=query).data == flat.read_image(0).tobytes()
    refused = page.get("/dashboard/api/plane", query_string={**query, "axis": "xz"})
    assert (refused.status_code, "2D" in refused.json["error"]) == (400, True)  # type: ignore[index]


def test_large_planes_are_thinned_out(page: FlaskClient, tmp_path: Path) -> None:
    make_dataset(tmp_path / "datasets" / "large", (2, 100, 333))
    found, answer = plane(page, dataset="large", most=100)
    assert found.shape == (25, 84)
    assert answer.headers["X-Plane-Step"] == "4"


def test_a_plane_that_is_known_is_not_sent_again(page: FlaskClient, dataset: Dataset) -> None:
    tag = plane(page, layer="labels")[1].headers["ETag"]
    query = {"dataset": NAME, "t": 1, "layer": "labels"}
    ask = {"query_string": query, "headers": {"If-None-Match": tag}}
    assert page.get("/dashboard/api/plane", **ask).status_code == 304  # type: ignore[arg-type]
    dataset.write_labels(1, np.ones(SHAPE, dtype=np.uint8))
    assert page.get("/dashboard/api/plane", **ask).status_code == 200  # type: ignore[arg-type]


def test_planes_are_compressed_for_who_can_read_that(page: FlaskClient, dataset: Dataset) -> None:
    raw, _ = plane(page, axis="xy", index=0)
    query = {"dataset": NAME, "t": 1, "axis": "xy", "index": 0}
    packed = page.get("/dashboard/api/plane", query_string=query, headers={"Accept-Encoding": "gzip"})
    assert packed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed.data) == raw.tobytes()


@pytest.mark.parametrize(
    "query",
    [
        {"t": 3},
        {"t": -1},
        {"t": "x"},
        {"axis": "zz"},
        {"index": 6},
        {"axis": "yz", "index": 30},
        {"layer": "flow"},
        {"most": 1},
        {"dataset": "../secret"},
        {"dataset": ""},
    ],
    ids=str,
)
def test_what_makes_no_sense_is_refused_in_words(page: FlaskClient, dataset: Dataset, query: dict[str, Any]) -> None:
    answer = page.get("/dashboard/api/plane", query_string={"dataset": NAME, "t": 0, **query})
    assert answer.status_code == 400
    assert answer.json["error"]  # type: ignore[index]


def nuclei(*centres: tuple[int, int, int]) -> np.ndarray:
    probabilities = np.zeros((*SHAPE, 3), dtype=np.float16)
    for z, y, x in centres:
        probabilities[z - 1 : z + 2, y - 2 : y + 3, x - 2 : x + 3, 2] = 0.9
    return probabilities


def test_spots_are_found_in_kept_probabilities(page: FlaskClient, dataset: Dataset) -> None:
    dataset.write_probabilities(1, nuclei((2, 5, 6), (3, 14, 22)))
    query = {"dataset": NAME, "t": 1, "voxel_size": "0.5,0.5,2", "c_ratio": 0.5}
    found = page.get("/dashboard/api/spots", query_string=query).json
    assert found is not None
    assert sorted(spot["pos"] for spot in found["spots"]) == [[2, 5, 6], [3, 14, 22]]
    assert found["is_whole"]
    assert [spot["quality"] for spot in found["spots"]] == pytest.approx([0.9, 0.9], abs=1 / 64)  # as it is kept
    sigma = np.array(found["spots"][0]["covariance"]).reshape(3, 3)
    assert sigma[1, 1] == pytest.approx(sigma[2, 2], rel=0.01)
    assert (np.linalg.eigvalsh(sigma) > 0).all()
    none = page.get("/dashboard/api/spots", query_string={**query, "p_thresh": 0.95}).json
    assert none is not None
    assert none["spots"] == []


def test_of_large_volumes_only_the_surroundings_are_searched(
    page: FlaskClient, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("elephant_server.dashboard.spots.MOST_VOXELS", 3 * 20 * 30)
    dataset.write_probabilities(1, nuclei((2, 5, 6)))
    query = {"dataset": NAME, "t": 1, "index": 5}
    found = page.get("/dashboard/api/spots", query_string=query).json
    assert found is not None
    assert (found["first"], found["end"], found["is_whole"]) == (3, 6, False)


@pytest.mark.parametrize("size", ["1,1", "a,b,c", "0,1,1", "nan,1,1", "1,1,1,1"])
def test_a_voxel_size_is_three_positive_numbers(page: FlaskClient, dataset: Dataset, size: str) -> None:
    query = {"dataset": NAME, "t": 1, "voxel_size": size}
    assert page.get("/dashboard/api/spots", query_string=query).status_code == 400
