"""What predictions found before is answered again, to the byte, and only while nothing that decides it has changed."""

import dataclasses
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from elephant.config import (
    ConversionParams,
    DetectionParams,
    DisplacementParams,
    FlowParams,
    Params,
    PredictionParams,
    SpotParams,
)
from elephant.dataset import Dataset, add, convert
from elephant.device import choose_precision, cpu_has_bfloat16
from elephant.errors import Cancelled
from elephant.keywords import leaves, nest
from elephant.methods import known, predict_detection
from elephant.methods.detection import DETECTION
from elephant.methods.flow import FLOW
from elephant.methods.known import Detected, KnownPredictions, Newest
from elephant.methods.predict_detection import detect_all
from elephant.methods.work import ModelWork
from elephant.models.ensemble import Ensemble, ModelCache
from elephant.models.unet import DetectionNet, FlowNet
from elephant.prediction import tiling
from elephant.progress import NeverCancelled, NoReporter
from elephant.quality.calibration import keep_judged
from elephant.types import Box, DetectedSpot, Spot, VoxelSize

VOXEL = VoxelSize(2.0, 1.0, 1.0)
SHAPE = (6, 32, 36)
LIMIT = 64 << 20
SPOTS = [Spot(1, np.array([6.0, 10.5, y]), np.eye(3) * 9.0, id=int(y)) for y in (9.0, 20.25, 28.0)]


def write_movie(folder: Path, seed: int = 0, n_timepoints: int = 4) -> Path:
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    with h5py.File(folder / "movie.h5", "w") as file:
        file["s00/resolutions"], file["s00/subdivisions"] = np.ones((1, 3)), np.full((1, 3), 16)
        for t in range(n_timepoints):
            file[f"t{t:05d}/s00/0/cells"] = rng.integers(0, 250, SHAPE, dtype=np.int16)
    return folder / "movie.h5"


def make_dataset(folder: Path, seed: int = 0, *, in_place: bool = False) -> Dataset:
    movie = write_movie(folder, seed)
    if in_place:
        add(movie, folder, ConversionParams(), NeverCancelled())
    else:
        convert(movie, folder, ConversionParams(), NoReporter(), NeverCancelled())
    return Dataset(folder)


def make_model(path: Path, network: type[DetectionNet] | type[FlowNet] = DetectionNet, seed: int = 0) -> Path:
    torch.manual_seed(seed)
    Ensemble([network(3, 0)]).save(path)
    return path


def detection(**changes: Any) -> DetectionParams:
    return DetectionParams(
        prediction=PredictionParams(**changes), spots=SpotParams(voxel_size=VOXEL, p_thresh=0.34, r_min=0.5)
    )


def flow(**changes: Any) -> FlowParams:
    return FlowParams(
        displacement=DisplacementParams(voxel_size=VOXEL, max_displacement=20), prediction=PredictionParams(**changes)
    )


@pytest.fixture
def work(tmp_path: Path) -> ModelWork:
    dataset, model = make_dataset(tmp_path / "datasets" / "d"), make_model(tmp_path / "models" / "m.pth")
    cache = ModelCache(torch.device("cpu"))
    store = KnownPredictions(tmp_path / ".predictions", LIMIT)
    return ModelWork(dataset, model, cache, NoReporter(), NeverCancelled(), known=store)


@pytest.fixture
def flow_work(work: ModelWork) -> ModelWork:
    make_model(work.model_path, FlowNet)
    return work


def found(spots: list[DetectedSpot]) -> bytes:
    return Detected(spots, 0.0).pack()


def answers(work: ModelWork, t: int = 0, params: DetectionParams | None = None) -> tuple[bytes, int]:
    """Return what is answered, and how many answers were known meanwhile."""
    assert work.known is not None
    before = work.known.n_answered
    spots = DETECTION.predict(work, t, params or detection())
    assert spots
    return found(spots), work.known.n_answered - before


def again(work: ModelWork, **changes: Any) -> ModelWork:
    """Return the same work as another process would do it."""
    assert work.known is not None
    fresh = KnownPredictions(work.known._found._folder.parent, LIMIT)
    return dataclasses.replace(
        work, dataset=Dataset(work.dataset.folder), model_cache=ModelCache(torch.device("cpu")), known=fresh, **changes
    )


@pytest.mark.parametrize("in_place", [False, True], ids=["copied", "in place"])
def test_the_answer_is_the_same_to_the_byte_and_no_network_runs(
    tmp_path: Path, work: ModelWork, monkeypatch: pytest.MonkeyPatch, in_place: bool
) -> None:
    if in_place:
        work = dataclasses.replace(work, dataset=make_dataset(tmp_path / "datasets" / "there", in_place=True))
    computed = found(DETECTION.predict(dataclasses.replace(work, known=None), 1, detection()))
    assert answers(work, 1) == (computed, 0)
    monkeypatch.setattr(predict_detection, "predict_probabilities", lambda *_: pytest.fail("the network runs"))
    assert answers(work, 1) == (computed, 1)
    assert answers(again(work), 1) == (computed, 1)


def changed(value: Any, name: str) -> Any:
    """Return another value that a parameter may have."""
    others = {
        "input_size": (6, 30, 36),
        "patch": (6, 32, 32),
        "crop_box": Box((0, 0, 0), (6, 32, 32)),
        "voxel_size": VoxelSize(2.0, 1.0, 1.5),
    }
    if name in others:
        return others[name]
    if isinstance(value, bool):
        return not value
    return value + 1 if isinstance(value, int) else value * 0.75 + 0.01


def test_each_parameter_is_part_of_the_key(work: ModelWork) -> None:
    assert work.known is not None
    for params in (detection(), flow()):
        keys = {_key(work, params)}
        fields = dict(leaves(type(params)))
        values = _values(params)
        for name in fields:
            other = type(params).model_validate(nest(type(params), {**values, name: changed(values[name], name)}))
            keys.add(_key(work, other))
        assert len(keys) == 1 + len(fields), "a parameter that changes what is found must change the key"
        assert _key(work, type(params).model_validate(params.model_dump())) in keys


def _key(work: ModelWork, params: DetectionParams | FlowParams) -> str:
    assert work.known is not None
    asked = work.known.ask(work.dataset, work.model_path, work.model_cache.device, [0, 1], params)
    assert asked is not None
    return asked.key


def _values(params: Params) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in type(params).model_fields:
        value = getattr(params, name)
        found |= _values(value) if isinstance(value, Params) else {name: value}
    return found


def test_another_model_is_asked_anew_and_the_same_one_again_is_known(work: ModelWork, tmp_path: Path) -> None:
    first, _ = answers(work)
    shutil.copyfile(work.model_path, tmp_path / "before.pth")
    make_model(work.model_path, seed=1)
    second, n_known = answers(work)
    assert (second != first, n_known) == (True, 0)
    (tmp_path / "before.pth").replace(work.model_path)
    assert answers(work) == (first, 1)


def test_what_was_judged_of_the_model_changes_its_quality_and_so_the_key(work: ModelWork) -> None:
    first, _ = answers(work)
    keep_judged(work.model_path, [(2.0, False)] * 20, "d")
    second, n_known = answers(work)
    assert (second != first, n_known) == (True, 0)


@pytest.mark.parametrize("in_place", [False, True], ids=["copied", "in place"])
def test_a_dataset_that_is_made_again_is_asked_anew(tmp_path: Path, work: ModelWork, in_place: bool) -> None:
    folder = tmp_path / "datasets" / "again"
    first, _ = answers(dataclasses.replace(work, dataset=make_dataset(folder, in_place=in_place)))
    shutil.rmtree(folder)
    second, n_known = answers(dataclasses.replace(work, dataset=make_dataset(folder, 1, in_place=in_place)))
    assert (second != first, n_known) == (True, 0)


def test_an_image_that_is_changed_in_its_array_is_asked_anew(work: ModelWork) -> None:
    import zarr

    first, _ = answers(work)
    array = zarr.open_array(work.dataset.folder / "imgs.zarr", mode="r+")
    array[0] = np.flip(np.asarray(array[0]))
    second, n_known = answers(work)
    assert (second != first, n_known) == (True, 0)
    assert answers(work, 1)[1] == 0
    assert answers(work, 1)[1] == 1


@pytest.fixture
def precision() -> Iterator[None]:
    yield
    choose_precision("auto")


def test_what_computes_is_part_of_the_key(work: ModelWork, monkeypatch: pytest.MonkeyPatch, precision: None) -> None:
    params = detection(patch=(6, 32, 32))
    keys = [_key(work, params)]
    monkeypatch.setattr("elephant.device.cpu_has_bfloat16", lambda: not cpu_has_bfloat16())
    keys.append(_key(work, params))
    monkeypatch.setattr("elephant.prediction.arithmetic.code_digest", lambda: "another version")
    keys.append(_key(work, params))
    monkeypatch.setattr("torch.get_num_threads", lambda: 7)
    keys.append(_key(work, params))
    monkeypatch.setattr(tiling, "LEAST_PARTS", 0)
    monkeypatch.setattr(tiling, "free_bytes", lambda _: 4 << 20)
    keys.append(_key(work, params))
    assert len(set(keys)) == 5
    choose_precision("float32")
    assert '"is_mixed": false' in _key(work, params)


def test_what_was_found_in_tiles_after_memory_ran_out_is_not_kept(
    work: ModelWork, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, n_tries = tiling.TiledNetwork._predict, []

    def short_of_memory(self: tiling.TiledNetwork, *args: Any) -> Any:
        n_tries.append(1)
        if len(n_tries) == 1:
            raise MemoryError("out of memory")
        return network(self, *args)

    monkeypatch.setattr(tiling.TiledNetwork, "_predict", short_of_memory)
    monkeypatch.setattr(tiling, "LEAST_PARTS", 0)
    first = answers(work)
    assert len(n_tries) == 2
    assert answers(work)[1] == 0
    assert answers(work)[1] == 1
    assert first[1] == 0


def test_a_model_that_is_replaced_during_the_prediction_is_not_mistaken(
    work: ModelWork, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, predicted = work.model_path.read_bytes(), predict_detection.predict_probabilities

    def replacing(*args: Any) -> Any:
        result = predicted(*args)
        make_model(work.model_path, seed=1)
        return result

    monkeypatch.setattr(predict_detection, "predict_probabilities", replacing)
    answers(work)
    monkeypatch.undo()
    assert answers(work)[1] == 0
    work.model_path.write_bytes(before)
    assert answers(work)[1] == 0


def test_probabilities_that_have_to_be_stored_are_computed(work: ModelWork) -> None:
    first, _ = answers(work)
    stored = detection().model_copy(update={"output_prediction": True})
    assert answers(work, 0, stored) == (first, 0)
    assert work.dataset.read_probabilities(0).any()
    assert answers(work, 0, stored) == (first, 0)


def test_no_nuclei_are_explained_each_time(work: ModelWork, caplog: pytest.LogCaptureFixture) -> None:
    none = detection().model_copy(update={"spots": SpotParams(voxel_size=VOXEL, p_thresh=1.0)})
    for _ in range(2):
        caplog.clear()
        assert DETECTION.predict(work, 0, none) == []
        assert any("No nuclei found at timepoint 0: the highest" in record.getMessage() for record in caplog.records)
    assert work.known is not None
    assert work.known.n_answered == 1


@pytest.mark.parametrize("damage", [b"", b"x" * 100, None], ids=["empty", "something else", "cut short"])
def test_a_damaged_file_is_computed_again(work: ModelWork, damage: bytes | None) -> None:
    first, _ = answers(work)
    assert work.known is not None
    (path,) = (file for file in work.known._found._folder.rglob("*") if file.is_file())
    path.write_bytes(path.read_bytes()[:-8] if damage is None else damage)
    assert answers(work) == (first, 0)
    assert answers(work) == (first, 1)


def test_a_folder_that_cannot_be_written_changes_nothing(work: ModelWork, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    blocked = dataclasses.replace(work, known=KnownPredictions(tmp_path / "file" / "folder", LIMIT))
    assert answers(blocked)[1] == 0
    assert answers(blocked)[1] == 0


def test_the_store_stays_within_its_limit(work: ModelWork, tmp_path: Path) -> None:
    small = KnownPredictions(tmp_path / "small", 1 << 20)
    asked = small.ask(work.dataset, work.model_path, work.model_cache.device, [0], detection())
    assert asked is not None
    for i in range(200):
        assert small.keep(asked.about(number=i), bytes(10_000))
        assert small.keep_flow(asked, Box((0, 0, 0), (1, 1, i + 1)), np.zeros(3 * (i + 1), np.float32))
    files = [file.stat().st_size for file in (tmp_path / "small").rglob("*") if file.is_file()]
    assert 0 < sum(files) < 1 << 20
    assert small.find(asked.about(number=199)) == bytes(10_000)
    assert small.find(asked.about(number=0)) is None


def test_many_timepoints_go_on_where_they_were(work: ModelWork, monkeypatch: pytest.MonkeyPatch) -> None:
    n_computed, predicted = [], predict_detection.predict_probabilities

    def counted(*args: Any) -> Any:
        n_computed.append(1)
        if len(n_computed) == 3:
            raise Cancelled("aborted")
        return predicted(*args)

    monkeypatch.setattr(predict_detection, "predict_probabilities", counted)
    done: dict[int, bytes] = {}

    def until_it_ends() -> None:
        for t, spots in detect_all(work, range(4), detection()):
            done[t] = found(spots)

    with pytest.raises(Cancelled):
        until_it_ends()
    assert sorted(done) == [0, 1]
    resumed = {t: found(spots) for t, spots in detect_all(again(work), range(4), detection())}
    assert len(n_computed) == 5, "of four timepoints two were known"
    computed = {t: found(s) for t, s in detect_all(dataclasses.replace(work, known=None), range(4), detection())}
    assert resumed == computed
    assert {t: resumed[t] for t in done} == done


def test_nuclei_that_were_found_ahead_are_answered_to_the_byte(
    work: ModelWork, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed = found(DETECTION.predict(dataclasses.replace(work, known=None), 2, detection()))
    assert DETECTION.predict_ahead(work, 2, detection())
    assert not DETECTION.predict_ahead(work, 2, detection())
    monkeypatch.setattr(predict_detection, "predict_probabilities", lambda *_: pytest.fail("the network runs"))
    assert answers(work, 2) == (computed, 1)
    assert not DETECTION.predict_ahead(dataclasses.replace(work, known=None), 2, detection())


def test_a_flow_that_was_computed_ahead_answers_whatever_spots(
    flow_work: ModelWork, monkeypatch: pytest.MonkeyPatch
) -> None:
    work, params = flow_work, flow(crop_box=Box((0, 0, 0), (6, 30, 34)))
    expected = FLOW.predict(dataclasses.replace(work, known=None), 1, params, SPOTS)
    other = FLOW.predict(dataclasses.replace(work, known=None), 1, params, SPOTS[:1])
    assert FLOW.predict_ahead(work, 1, params)
    assert not FLOW.predict_ahead(work, 1, params)
    monkeypatch.setattr("elephant.methods.flow.predict_flow", lambda *_: pytest.fail("the network runs"))
    for spots, wanted in ((SPOTS, expected), (SPOTS[:1], other), (SPOTS, expected)):
        got = FLOW.predict(work, 1, params, spots)
        assert [(s.id, s.pos.tobytes(), s.sqdisp) for s in got] == [(s.id, s.pos.tobytes(), s.sqdisp) for s in wanted]
    assert work.known is not None
    assert work.known.n_answered == 1, "the same spots were asked twice"


@pytest.mark.parametrize("change", ["id", "pos", "covariance", "order"])
def test_other_spots_are_another_question(flow_work: ModelWork, change: str) -> None:
    FLOW.predict(flow_work, 1, flow(), SPOTS)
    first = SPOTS[0]
    others = {
        "id": [Spot(1, first.pos, first.covariance, id=2**60 + 1), *SPOTS[1:]],
        "pos": [Spot(1, first.pos + 1e-9, first.covariance, id=first.id), *SPOTS[1:]],
        "covariance": [Spot(1, first.pos, first.covariance * 2, id=first.id), *SPOTS[1:]],
        "order": SPOTS[::-1],
    }[change]
    got = FLOW.predict(flow_work, 1, flow(), others)
    assert [spot.id for spot in got] == [spot.id for spot in others]
    assert flow_work.known is not None
    assert flow_work.known.n_answered == 0


def test_work_ahead_that_ends_leaves_nothing(work: ModelWork) -> None:
    class Now(NeverCancelled):
        def check(self) -> None:
            raise Cancelled("a request came")

    assert work.known is not None
    with pytest.raises(Cancelled):
        DETECTION.predict_ahead(dataclasses.replace(work, cancel=Now()), 0, detection())
    assert not list(work.known._found._folder.rglob("*"))


def test_work_ahead_does_not_keep_a_dataset_from_being_made_again(
    work: ModelWork, monkeypatch: pytest.MonkeyPatch
) -> None:
    predicted = predict_detection.predict_probabilities

    def remade(*args: Any) -> Any:
        result = predicted(*args)
        movie = write_movie(work.dataset.folder, 1)
        convert(movie, work.dataset.folder, ConversionParams(), NoReporter(), NeverCancelled())
        return result

    monkeypatch.setattr(predict_detection, "predict_probabilities", remade)
    assert DETECTION.predict_ahead(work, 0, detection())
    monkeypatch.undo()
    assert answers(again(work))[1] == 0


def test_the_digest_of_a_model_is_read_once(work: ModelWork, monkeypatch: pytest.MonkeyPatch) -> None:
    digests, calls = known._ModelDigests(), []
    whole = known.hashlib.file_digest
    monkeypatch.setattr(known.hashlib, "file_digest", lambda *args: calls.append(1) or whole(*args))
    assert digests.of(work.model_path) == digests.of(work.model_path)
    assert len(calls) == 1


def test_what_was_found_last_is_kept_for_the_image_as_it_is(tmp_path: Path) -> None:
    dataset, store = make_dataset(tmp_path / "movie"), KnownPredictions(tmp_path / "known", LIMIT)
    first, last = DetectedSpot.ball((1, 2, 3), 2, 0.5), DetectedSpot.ball((3, 2, 1), 4)
    one, other = VoxelSize(2, 1, 1), VoxelSize(3, 0.1, 0.1)
    assert store.newest(dataset) == Newest({}, {})
    store.keep_newest(dataset, 2, [first], one)
    store.keep_newest(dataset, 2, [last, first], other)
    store.keep_newest(dataset, 0, [], one)
    newest = KnownPredictions(tmp_path / "known", LIMIT).newest(dataset)
    assert newest.voxel_sizes == {0: one, 2: other}
    found = newest.spots
    assert list(found) == [0, 2]
    assert found[0] == []
    assert [spot.pos.tolist() for spot in found[2]] == [[3, 2, 1], [1, 2, 3]]
    assert found[2][1].quality == 0.5
    shutil.rmtree(tmp_path / "movie")
    assert store.newest(make_dataset(tmp_path / "movie", seed=1)) == Newest({}, {})
