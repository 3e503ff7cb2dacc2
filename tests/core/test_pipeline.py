"""From an array to nuclei and tracks, as a script calls it, on simulated movies whose truth is known."""

import os
import re
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import elephant
from elephant.dataset import Dataset
from elephant.errors import DatasetError, InvalidInputError, ModelFileError, NotFoundError
from elephant.evaluation import match_by_distance
from elephant.simulation import Frame, preset, simulate
from elephant.types import DetectedSpot, Spot

RADIUS = 3.0
STILL = {"timepoints": 3, "cycle": 1000.0, "speed": 0.4, "clustering": 0.0, "haze": 0.0}
MOVIES = {
    "3D": preset(
        "demo", shape=(10, 40, 40), voxel=(2.0, 1.0, 1.0), nuclei=5, attenuation=0.2, blur=(1.0, 0.35, 0.35), **STILL
    ),
    "2D": preset("flat", shape=(1, 80, 80), voxel=(1.0, 1.0, 1.0), nuclei=7, **STILL),
}
CROPS = {"3D": (10, 40, 40), "2D": (64, 64)}
AXES = {"3D": "TZYX", "2D": "TYX"}


def voxel_of(kind: str) -> tuple[float, ...]:
    return MOVIES[kind].edges


@pytest.fixture(scope="module", params=list(MOVIES))
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def frames(kind: str) -> list[Frame]:
    return list(simulate(MOVIES[kind]))


@pytest.fixture(scope="module")
def images(kind: str, frames: list[Frame]) -> NDArray[np.uint16]:
    """Return the movie, (T, (Z), Y, X)."""
    return images_of(frames, kind)


def images_of(frames: Sequence[Frame], kind: str) -> NDArray[np.uint16]:
    return np.stack([frame.image.reshape(MOVIES[kind].plane) for frame in frames])


def rows_of(frames: Sequence[Frame], kind: str) -> NDArray[np.float64]:
    """Return a user's annotations, (N, 2 + n): t, position, radius."""
    n = MOVIES[kind].n_dims
    return np.array([[f.t, *nucleus.spot.pos[3 - n :], MOVIES[kind].radius] for f in frames for nucleus in f.nuclei])


@pytest.fixture(scope="module")
def movie(kind: str, images: NDArray[np.uint16]) -> Dataset:
    return elephant.open_dataset(images, voxel_size=voxel_of(kind), axes=AXES[kind], quiet=True)


@pytest.fixture(scope="module")
def model(kind: str, movie: Dataset, frames: list[Frame]) -> elephant.Model:
    """Return a model trained on the first timepoint."""
    rows = rows_of(frames[:1], kind)
    return elephant.train(
        movie,
        rows,
        n_epochs=6,
        n_crops=6,
        lr=5e-3,
        auto_bg_thresh=0.15,
        crop_size=CROPS[kind],
        seed=0,
        device="cpu",
        quiet=True,
    )


def errors_of(found: Sequence[DetectedSpot], frame: Frame) -> tuple[int, int]:
    """Return the numbers of missed and of false nuclei; a match is at most a radius apart."""
    counts = match_by_distance([nucleus.spot for nucleus in frame.nuclei], found, RADIUS).counts
    return counts.n_missed, counts.n_wrong


def test_the_nuclei_of_timepoints_that_were_not_annotated_are_found(
    model: elephant.Model, movie: Dataset, frames: list[Frame]
) -> None:
    found = model.predict_all(movie, r_min=1, quiet=True)
    assert list(found) == [0, 1, 2]
    assert [errors_of(found[t], frames[t]) for t in found] == [(0, 0)] * 3


def test_an_array_gives_the_same_as_the_dataset_that_is_made_of_it(
    model: elephant.Model, movie: Dataset, images: NDArray[np.uint16], kind: str
) -> None:
    expected = model.predict(movie, timepoint=1, r_min=1, quiet=True)
    assert expected
    for given, timepoint in ((images[1], None), (images, 1)):
        found = model.predict(given, voxel_size=voxel_of(kind), timepoint=timepoint, r_min=1, quiet=True)
        assert [spot.pos.tolist() for spot in found] == [spot.pos.tolist() for spot in expected]
    # Without a voxel size that of the training is used.
    assert len(model.predict(images[1], r_min=1, quiet=True)) == len(expected)
    with pytest.raises(InvalidInputError, match=r"expected timepoint=, one of 0 to 2, got none"):
        model.predict(movie)


def test_a_saved_model_is_the_same_model(
    model: elephant.Model, movie: Dataset, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model.save(tmp_path / "nuclei.pth")
    loaded = elephant.load_model(tmp_path / "nuclei.pth", device="cpu")
    assert (loaded.kind, loaded.n_dims) == ("detection", movie.n_dims)
    assert loaded.trained_with == model.trained_with
    expected = [spot.pos.tolist() for spot in model.predict(movie, timepoint=2, quiet=True)]
    assert [spot.pos.tolist() for spot in loaded.predict(movie, timepoint=2, quiet=True)] == expected
    assert caplog.messages == []
    loaded.predict(movie, timepoint=2, c_ratio=0.6, quiet=True)
    assert any("was trained with c_ratio 0.4" in words for words in caplog.messages)
    with pytest.raises(InvalidInputError, match=r"expected a model's name that ends with \.pth"):
        model.save(tmp_path / "nuclei")


def test_what_was_chosen_in_a_training_is_used_in_predictions(caplog: pytest.LogCaptureFixture) -> None:
    kind, frames = "2D", [next(simulate(MOVIES["2D"]))]
    rows = rows_of(frames, kind)
    movie = elephant.open_dataset(images_of(frames, kind), voxel_size=voxel_of(kind), axes=AXES[kind], quiet=True)
    model = elephant.train(
        movie,
        rows,
        n_epochs=1,
        n_crops=1,
        c_ratio=0.7,
        use_median=True,
        crop_size=CROPS[kind],
        device="cpu",
        quiet=True,
    )
    with caplog.at_level("INFO", "elephant.methods.trained_model"):
        model.predict(movie, timepoint=0, quiet=True)
    said = [record for record in caplog.records if record.name == "elephant.methods.trained_model"]
    assert [record.getMessage() for record in said] == ["as model.pth was trained: use_median True, c_ratio 0.7"]
    assert not [record for record in caplog.records if "was trained with" in record.getMessage()]


def test_true_nuclei_are_joined_to_their_true_tracks(frames: list[Frame], movie: Dataset, tmp_path: Path) -> None:
    spots = [nucleus.spot for frame in frames for nucleus in frame.nuclei]
    tracks = elephant.link(spots, max_distance=4)
    assert [spot.id for spot in tracks.spots] == [spot.id for spot in spots]
    names = {
        number: {s.id for s, own in zip(tracks.spots, tracks.numbers, strict=True) if own == number}
        for number in tracks.numbers
    }
    assert all(len(ids) == 1 for ids in names.values())
    assert len(names) == len({spot.id for spot in spots}) == len(tracks.tracks)
    table = tracks.table()
    assert table.shape == (len(spots), 5)
    assert np.array_equal(table[:, 2:], [spot.pos for spot in spots])
    by_timepoint = [[DetectedSpot(n.spot.pos, n.spot.covariance, 1.0) for n in frame.nuclei] for frame in frames]
    assert elephant.link(by_timepoint, max_distance=4).numbers == tracks.numbers
    elephant.export_ctc(tracks, movie, tmp_path / "masks.zip", quiet=True)
    with zipfile.ZipFile(tmp_path / "masks.zip") as archive:
        lines = archive.read("res_track.txt").decode().splitlines()
        assert [name for name in archive.namelist() if name.startswith("mask")] == [f"mask00{t}.tif" for t in range(3)]
    assert [line.split()[1:] for line in sorted(lines)] == [[str(k.first), str(k.last), "0"] for k in tracks.tracks]
    with pytest.raises(InvalidInputError, match="there is an earlier export at"):
        elephant.export_ctc(tracks, movie, tmp_path / "masks.zip")
    elephant.export_ctc(tracks, movie, tmp_path / "01_RES", quiet=True)
    assert (tmp_path / "01_RES" / "res_track.txt").read_text().splitlines() == lines
    (tmp_path / "mine.zip").write_text("not of an export")
    with pytest.raises(InvalidInputError, match="which was not written by an export and would be lost"):
        elephant.export_ctc(tracks, movie, tmp_path / "mine.zip", overwrite=True)
    with pytest.raises(InvalidInputError, match=r"expected a name that ends with \.zip, or that of a folder"):
        elephant.export_ctc(tracks, movie, tmp_path / "masks.tif")


def test_a_flow_model_is_trained_and_used_for_links() -> None:
    kind, step, frame = "2D", 4, next(simulate(MOVIES["2D"]))
    image = images_of([frame], kind)[0]
    jumped = np.stack([image, np.roll(image, step, axis=-1)])
    shift = np.array([0, 0, step * voxel_of(kind)[-1]])
    inside = (image.shape[-1] - 1 - step) * voxel_of(kind)[-1]
    nuclei = [nucleus.spot for nucleus in frame.nuclei if nucleus.spot.pos[-1] < inside]
    spots = [Spot(0, s.pos, s.covariance) for s in nuclei] + [Spot(1, s.pos + shift, s.covariance) for s in nuclei]
    true = elephant.link(spots, max_distance=float(shift[-1]) + 0.1, n_children=1)
    movie = elephant.open_dataset(jumped, voxel_size=voxel_of(kind), axes=AXES[kind], quiet=True)
    flow = elephant.train_flow(
        movie,
        [link for link in true.links() if np.allclose(link.displacement, -shift)],
        n_epochs=1, n_crops=2, lr=5e-3, flip=False, max_displacement=8, crop_size=CROPS[kind], seed=0, device="cpu",
        quiet=True,
    )  # fmt: skip
    assert flow.kind == "flow"
    was = flow.displace(movie, spots, quiet=True)
    assert [w.sqdisp for w in was[: len(nuclei)]] == [0.0] * len(nuclei)
    joined = elephant.link(spots, max_distance=50.0, model=flow, images=movie, quiet=True)
    assert sorted(joined.parents) == [-1] * len(nuclei) + list(range(len(nuclei)))
    assert list(elephant.link(spots, max_distance=3.0).parents) == [-1] * len(spots)
    with pytest.raises(InvalidInputError, match="expected a detection model"):
        flow.predict(movie, timepoint=0)


# What arrays become.


def test_values_that_fit_stay_and_others_are_scaled_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    whole = np.random.default_rng(0).integers(0, 60000, (2, 4, 20, 30))
    for kind in (np.uint16, np.int32, np.uint32, np.float32):
        dataset = elephant.open_dataset(whole.astype(kind), quiet=True)
        assert dataset.dtype == np.uint16
        assert np.array_equal(dataset.read_image(1), whole[1])
    assert elephant.open_dataset((whole // 256).astype(np.uint16), quiet=True).dtype == np.uint8
    assert caplog.messages == []
    dataset = elephant.open_dataset(whole / 60000 - 0.5, quiet=True)
    assert "the values of the array (-0.5 to 0.5) are not whole numbers" in re.sub(r"0\.49\d*", "0.5", caplog.text)
    source = dataset.source
    assert source is not None
    assert source.factor is not None
    restored = dataset.read_image(1) / source.factor + (source.offset or 0.0)
    assert np.abs(restored - (whole[1] / 60000 - 0.5)).max() < 1e-5
    with pytest.raises(DatasetError, match="infinite"):
        elephant.open_dataset(np.full((4, 8, 8, 8), np.inf), quiet=True)
    with pytest.raises(InvalidInputError, match="expected an array of real numbers, got complex128"):
        elephant.open_dataset(np.zeros((4, 8, 8, 8), complex))
    caplog.clear()
    large = elephant.open_dataset(np.array([[[[0, 1 << 20], [7, 9]]]], np.uint32), quiet=True)
    assert "scaled to 16 bits" in caplog.text
    assert large.read_image(0).max() == 65535


def test_the_axes_of_an_array_are_inferred_or_asked_for() -> None:
    def shape(images: tuple[int, ...], **more: object) -> tuple[int, tuple[int, ...]]:
        dataset = elephant.open_dataset(np.ones(images, np.uint8), quiet=True, **more)  # type: ignore[arg-type]
        return dataset.n_timepoints, dataset.shape

    assert shape((5, 4, 20, 30)) == (5, (4, 20, 30))
    assert shape((20, 30)) == (1, (20, 30))
    assert shape((5, 20, 30), voxel_size=(0.5, 0.5)) == (5, (20, 30))
    assert shape((5, 20, 30), voxel_size=(2, 0.5, 0.5)) == (1, (5, 20, 30))
    assert shape((5, 20, 30), axes="TYX") == (5, (20, 30))
    with pytest.raises(InvalidInputError, match="may be a volume or a movie of planes"):
        shape((5, 20, 30))
    with pytest.raises(InvalidInputError, match=r"voxel_size: expected 2 numbers, \(Y, X\)"):
        shape((5, 20, 30), axes="TYX", voxel_size=(1, 0.5, 0.5))


def test_a_dataset_stays_where_it_was_asked_for_and_a_temporary_one_goes(tmp_path: Path) -> None:
    array = np.random.default_rng(0).integers(0, 255, (2, 4, 20, 30), np.uint8)
    kept = elephant.open_dataset(array, tmp_path / "d", voxel_size=(2, 1, 1), unit="micrometer", quiet=True)
    source = elephant.open_dataset(tmp_path / "d").source
    assert source is not None
    assert source.voxel_size == kept.source.voxel_size  # type: ignore[union-attr]
    assert source.unit == "micrometer"
    with pytest.raises(InvalidInputError, match="whose labels would be lost"):
        elephant.open_dataset(array, tmp_path / "d")
    with pytest.raises(InvalidInputError, match="is 1 x 1 x 2"):
        elephant.open_dataset(tmp_path / "d", voxel_size=(3, 1, 1))
    elephant.open_dataset(array[:1], tmp_path / "d", overwrite=True, quiet=True)
    assert elephant.open_dataset(tmp_path / "d").n_timepoints == 1
    dataset = elephant.open_dataset(array, quiet=True)
    folder = dataset.folder
    assert folder.is_dir()
    del dataset
    assert not folder.parent.exists()


# What is refused.


def test_unknown_names_and_wrong_values_are_refused_by_name(images: NDArray[np.uint16], kind: str) -> None:
    rows = np.ones((3, images.ndim + 1))
    voxel = voxel_of(kind)
    with pytest.raises(InvalidInputError, match=r"no parameter 'n_epoch': did you mean n_epochs\?"):
        elephant.train(images, rows, voxel_size=voxel, n_epoch=3)
    axes = {"axes": AXES[kind]}
    movie = elephant.open_dataset(images, voxel_size=voxel, quiet=True, **axes)  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match=r"lr: input should be greater than or equal to 0, got -1"):
        elephant.train(movie, rows, lr=-1)
    with pytest.raises(InvalidInputError, match="crop_size: expected"):
        elephant.train(movie, rows, crop_size=(1, 2, 3, 4))
    with pytest.raises(InvalidInputError, match="the dataset has timepoints 0 to 2"):
        elephant.train(movie, rows + 10, quiet=True)
    with pytest.raises(InvalidInputError, match=r"an array \(N, \d\) of t, .*, got the shape \(3, 2\)"):
        elephant.train(movie, rows[:, :2])
    with pytest.raises(InvalidInputError, match=r"radii above 0, got \[.*\] in row 1"):
        elephant.train(movie, rows * [[1.0], [-1.0], [1.0]])
    with pytest.raises(InvalidInputError, match="got 1 unlabeled ones"):
        elephant.train(movie, [Spot(0, np.ones(3), np.eye(3))])
    with pytest.raises(InvalidInputError, match="is not known: give voxel_size="):
        elephant.train(elephant.open_dataset(images, quiet=True, **axes), rows)  # type: ignore[arg-type]


def test_files_that_are_no_models_are_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        elephant.load_model(tmp_path / "none.pth")
    torch.save({"weight": torch.zeros(3)}, tmp_path / "other.pth")
    with pytest.raises(ModelFileError, match="holds other networks"):
        elephant.load_model(tmp_path / "other.pth")


# Ctrl-C, and what is loaded when.

TRAINING = """
import numpy as np, elephant
images = np.random.default_rng(0).integers(0, 255, (1, 40, 44), np.uint8)
spots = np.array([[0, 20, 20, 4.0], [0, 10, 30, 4.0]])
movie = elephant.open_dataset(images, voxel_size=(1, 1), quiet=True)
try:
    elephant.train(movie, spots, model={model}, n_epochs=100000, n_crops=1, crop_size=(32, 32), device="cpu")
except elephant.TrainingInterrupted as stop:
    print("said:", stop)
    print("found:", len(stop.model.predict(movie, quiet=True)) >= 0, stop.model.path.is_file(), flush=True)
    raise
"""


@pytest.mark.skipif(os.name != "posix", reason="Windows has no SIGINT")
@pytest.mark.parametrize("model", ["'nuclei.pth'", "None"], ids=["a file", "a new model"])
def test_ctrl_c_keeps_the_last_finished_epoch(model: str, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(TRAINING.format(model=model))
    (tmp_path / "tmp").mkdir()
    variables = os.environ | {"TMPDIR": str(tmp_path / "tmp")}
    with subprocess.Popen(
        [sys.executable, "program.py"], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=variables, start_new_session=True,
    ) as running:  # fmt: skip
        try:
            while not [*tmp_path.glob("nuclei.pth"), *tmp_path.glob("tmp/*/model.pth")]:
                assert running.poll() is None, running.communicate()
                time.sleep(0.01)
            wait_for_an_epoch(tmp_path, running)
            running.send_signal(signal.SIGINT)
            said, errors = running.communicate(timeout=120)
        finally:
            running.kill()
    assert re.search(r"said: .*\.pth holds \d+ finished epochs?\n", said), (said, errors)
    assert "found: True True" in said
    assert "TrainingInterrupted" in errors
    assert running.returncode != 0
    assert list((tmp_path / "tmp").glob("elephant-*")) == []
    if model != "None":
        assert elephant.load_model(tmp_path / "nuclei.pth").kind == "detection"


def wait_for_an_epoch(folder: Path, running: subprocess.Popen[str]) -> None:
    """Wait until the provenance of the model has a training."""
    while not any('"training"' in path.read_text() for path in provenance_files(folder)):
        assert running.poll() is None, running.communicate()
        time.sleep(0.01)


def provenance_files(folder: Path) -> Iterator[Path]:
    """Find the files of provenance; `rglob` stumbles over folders that the training moves meanwhile."""
    for place, _, names in os.walk(folder):
        if Path(place).name == ".history":
            yield from (Path(place, name) for name in names if name.endswith(".json"))


def test_importing_the_package_loads_none_of_it() -> None:
    code = (
        "import sys, elephant; names = dir(elephant);"
        "print([m for m in ('torch', 'numpy', 'elephant.pipeline') if m in sys.modules], 'train' in names);"
        "print(elephant.train.__module__, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["[] True", "elephant.pipeline True"]
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        elephant.trian  # type: ignore[attr-defined]  # noqa: B018
