"""The movies that the page offers, what it says and shows of them, and the datasets that it makes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from flask.testing import FlaskClient

from core.dataset.bdv import ramp, write_movie, write_partitioned
from core.dataset.test_ome_zarr import values
from core.dataset.test_ome_zarr import write as write_zarr
from elephant_server.main import create_app
from elephant_server.settings import Settings

SHAPE = (5, 20, 30)


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    folder = tmp_path / "lab"
    (folder / "deep").mkdir(parents=True)
    return folder


@pytest.fixture
def page(settings: Settings, lab: Path) -> FlaskClient:
    return create_app(settings.model_copy(update={"movies": str(lab)})).test_client()


def listed(page: FlaskClient) -> list[tuple[str, str]]:
    answer = page.get("/dashboard/api/movies")
    assert answer.status_code == 200, answer.text
    assert answer.json is not None
    assert answer.json["is_complete"]
    return [(found["folder"], found["movie"]) for found in answer.json["movies"]]


def movie(page: FlaskClient, **query: Any) -> dict[str, Any]:
    answer = page.get("/dashboard/api/movie", query_string=query)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json  # type: ignore[assignment]
    return found


def preview(page: FlaskClient, **query: Any) -> np.ndarray:
    answer = page.get("/dashboard/api/preview", query_string=query)
    assert answer.status_code == 200, answer.text
    assert answer.headers["X-Plane-Type"] == "uint8"
    return np.frombuffer(answer.data, np.uint8).reshape(*map(int, answer.headers["X-Plane-Shape"].split(",")))


def test_movies_of_datasets_and_of_the_folders_of_the_settings_are_listed(
    page: FlaskClient, lab: Path, tmp_path: Path
) -> None:
    own = tmp_path / "datasets" / "user" / "embryo"
    own.mkdir(parents=True)
    write_movie(own / "embryo.h5", ramp())
    (own / "imgs.zarr").mkdir()
    (own / "notes.txt").write_text("no movie")
    write_zarr(lab / "two.ome.zarr", values())
    (lab / "deep" / "split").mkdir()
    write_partitioned(lab / "deep" / "split", "parts", ramp())
    (lab / "series").mkdir()
    for t in range(3):
        tifffile.imwrite(lab / "series" / f"cells_{t:02d}.tif", ramp()[t], metadata={"axes": "ZYX"})
    (lab / ".hidden").mkdir()
    write_movie(lab / ".hidden" / "h.h5", ramp())
    places = listed(page)
    assert places[:3] == [("", "user/embryo/embryo.h5"), (str(lab), "two.ome.zarr"), (str(lab), "deep/split/parts.h5")]
    ((folder, series),) = places[3:]
    assert (folder, Path(series).parent) == (str(lab), Path("series"))
    assert movie(page, folder=folder, movie=series)["n_timepoints"] == 3


def test_nothing_is_listed_or_read_outside_of_them(page: FlaskClient, lab: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    write_movie(secret / "m.h5", ramp())
    (lab / "link.h5").symlink_to(secret / "m.h5")
    (lab / "folder").symlink_to(secret)
    (lab / "round").symlink_to(lab)
    assert listed(page) == []
    wrong = [
        (str(secret), "m.h5"),
        (str(lab), "../secret/m.h5"),
        (str(lab), "link.h5"),
        (str(lab), "folder/m.h5"),
        (str(lab), str(secret / "m.h5")),
        ("/", str(secret / "m.h5")[1:]),
        ("", "../secret/m.h5"),
    ]
    for folder, name in wrong:
        for view in ("movie", "preview"):
            answer = page.get(f"/dashboard/api/{view}", query_string={"folder": folder, "movie": name})
            assert answer.status_code == 400, (folder, name)
        body = {"dataset_name": "stolen", "folder": folder, "movie": name}
        assert page.post("/dashboard/api/make", json=body).status_code == 400, (folder, name)


def test_links_within_a_movie_may_not_lead_out_either(page: FlaskClient, lab: Path, tmp_path: Path) -> None:
    zarr = write_zarr(tmp_path / "z.ome.zarr", values())
    (lab / "z.ome.zarr").mkdir()
    for inner in zarr.iterdir():
        (lab / "z.ome.zarr" / inner.name).symlink_to(inner)
    tifffile.imwrite(tmp_path / "t1.tif", ramp()[0], metadata={"axes": "ZYX"})
    tifffile.imwrite(lab / "t0.tif", ramp()[0], metadata={"axes": "ZYX"})
    (lab / "t1.tif").symlink_to(tmp_path / "t1.tif")
    for name in ("z.ome.zarr", "t*.tif"):
        answer = page.get("/dashboard/api/movie", query_string={"folder": str(lab), "movie": name})
        assert answer.status_code == 400, name
        assert "leads out" in answer.json["error"]  # type: ignore[index]


def test_other_sites_cannot_make_datasets(page: FlaskClient, lab: Path) -> None:
    write_movie(lab / "m.h5", ramp())
    body = {"dataset_name": "made", "folder": str(lab), "movie": "m.h5"}
    answer = page.post("/dashboard/api/make", json=body, headers={"Origin": "https://elsewhere.example"})
    assert answer.status_code == 403


def test_a_movie_is_described_source_by_source(page: FlaskClient, lab: Path) -> None:
    write_zarr(lab / "two.ome.zarr", values())
    query = {"folder": str(lab), "movie": "two.ome.zarr"}
    found = movie(page, **query)
    assert len(found["sources"]) > 1
    second = movie(page, **query, source=found["sources"][1]["id"])
    assert second["source"] == found["sources"][1]["id"] != found["source"]
    assert second["can_be_in_place"]
    assert not (preview(page, **query, source=0) == preview(page, **query, source=1)).all()


def test_the_preview_is_the_middle_plane_thinned_out(page: FlaskClient, lab: Path) -> None:
    images = ramp(2, (5, 90, 200), largest=4000)
    write_movie(lab / "m.h5", images, chunks=(2, 32, 32))
    query = {"folder": str(lab), "movie": "m.h5"}
    found = preview(page, **query, most=50)
    expected = images[0, 2, ::4, ::4].astype(np.float32)
    dark, bright = np.percentile(expected, (1, 99.7))
    assert found.shape == expected.shape
    assert (found == (np.clip((expected - dark) / (bright - dark), 0, 1) * 255).astype(np.uint8)).all()
    flat = np.zeros((1, 3, 20, 20), dtype=np.uint16)
    write_movie(lab / "flat.h5", flat)
    assert not preview(page, folder=str(lab), movie="flat.h5").any()


def test_what_takes_too_long_says_so(page: FlaskClient, lab: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_movie(lab / "m.h5", ramp())
    monkeypatch.setattr("elephant_server.dashboard.movies.LOOKING_S", -1.0)
    answer = page.get("/dashboard/api/preview", query_string={"folder": str(lab), "movie": "m.h5"})
    assert answer.status_code == 400
    assert "takes longer" in answer.json["error"]  # type: ignore[index]
    monkeypatch.setattr("elephant_server.dashboard.movies.LISTING_S", -1.0)
    assert page.get("/dashboard/api/movies").json["is_complete"] is False  # type: ignore[index]


def test_a_damaged_movie_is_explained(page: FlaskClient, lab: Path) -> None:
    (lab / "m.ome.zarr").mkdir()
    (lab / "m.tif").write_bytes(b"II*\0" + bytes(20))
    for name in ("m.ome.zarr", "m.tif", "gone.h5"):
        answer = page.get("/dashboard/api/movie", query_string={"folder": str(lab), "movie": name})
        assert answer.status_code in (400, 404)
        assert len(answer.json["error"]) > 20  # type: ignore[index]
