"""Whole pieces of work on small datasets that the tests make themselves."""

from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
import zarr

from core.shipping import uninstall
from core.workflows.methods import detect, ensure_model, reset_model, train, update_labels
from elephant.config import (
    AugmentationParams,
    ConversionParams,
    DetectionParams,
    DetectionTrainingParams,
    ImageParams,
    LabelParams,
    LoopParams,
    PredictionParams,
    SpotParams,
    StartParams,
)
from elephant.dataset import Dataset, convert
from elephant.errors import Cancelled, InvalidInputError, ModelFileError, NotFoundError
from elephant.images import normalise
from elephant.methods import predict_detection
from elephant.methods.predict_detection import detect_all
from elephant.methods.work import ModelWork
from elephant.models.ensemble import Ensemble, ModelCache
from elephant.models.pretrained import ModelSource, Pretrained
from elephant.models.unet import DetectionNet
from elephant.progress import NeverCancelled, NoReporter
from elephant.training.control import FixedControl, LiveSettings
from elephant.types import Box, Spot, Tag

VOXEL = (2.0, 1.0, 1.0)
STEP = 1 / 64  # probabilities are kept as near as this


class CancelAfter:
    """Ends work at its n-th check."""

    def __init__(self, checks: int) -> None:
        self.left = checks

    def check(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise Cancelled

    def settings(self) -> LiveSettings:
        return LiveSettings(1e-3, 2)


class Steps:
    """Keeps what is reported, and changes the settings after the first epoch."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, int, dict[str, float]]] = []

    def progress(self, stage: str, done: int, total: int, **values: float) -> None:
        if stage == "step":
            self.seen.append((done, total, values))


def make_dataset(folder: Path, shape: tuple[int, ...], n_timepoints: int = 2) -> tuple[Dataset, list[Spot]]:
    rng = np.random.default_rng(3)
    n = len(shape)
    voxel = np.array(VOXEL[-n:])
    centres = np.stack([rng.uniform(4, s * v - 4, 8) for s, v in zip(shape, voxel, strict=True)], axis=1)
    grid = np.stack(np.meshgrid(*(np.arange(s) * v for s, v in zip(shape, voxel, strict=True)), indexing="ij"), axis=-1)
    image = rng.normal(10, 2, shape)
    for centre in centres:
        image += 200 * np.exp(-((grid - centre) ** 2).sum(-1) / (2 * 2.5**2))
    cells = np.clip(image, 0, 255).astype(np.uint16).reshape((1,) * (3 - n) + shape).view(np.int16)
    folder.mkdir(parents=True)
    with h5py.File(folder / "movie.h5", "w") as file:
        file["s00/resolutions"], file["s00/subdivisions"] = np.ones((1, 3)), np.full((1, 3), 16)
        for t in range(n_timepoints):
            file[f"t{t:05d}/s00/0/cells"] = cells
    convert(folder / "movie.h5", folder, ConversionParams(is_2d=n == 2), NoReporter(), NeverCancelled())
    spots = [
        Spot(0, np.concatenate([np.zeros(3 - n), centre]), np.eye(3) * 4.0**2, Tag.TP, i)
        for i, centre in enumerate(centres)
    ]
    return Dataset(folder), spots


@pytest.fixture(params=[(12, 40, 44), (40, 44)], ids=["3D", "2D"])
def made(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[ModelWork, list[Spot]]:
    dataset, spots = make_dataset(tmp_path / "datasets" / "d", request.param)
    model_cache = ModelCache(torch.device("cpu"))
    return ModelWork(dataset, tmp_path / "models" / "m.pth", model_cache, NoReporter(), NeverCancelled()), spots


def start_params(work: ModelWork, **changes: object) -> StartParams:
    crop = (8, 32, 32)[-work.dataset.n_dims :]
    return StartParams(**{"n_dims": len(crop), "crop_size": crop, "n_crops": 2, "seed": 0, **changes})


def training_params(work: ModelWork, **loop: object) -> DetectionTrainingParams:
    return DetectionTrainingParams(
        labels=LabelParams(voxel_size=VOXEL),
        loop=LoopParams(**{"lr": 5e-3, "n_crops": 4, "n_epochs": 2, "seed": 0, **loop}),
        augmentation=AugmentationParams(aug_rotation_angle=90, aug_scale_factor_base=0.2, aug_contrast=0.5),
        crop_size=(8, 32, 32)[-work.dataset.n_dims :],
    )


def detection_params(n_dims: int, **changes: object) -> DetectionParams:
    spots = SpotParams(voxel_size=VOXEL, r_min=1, r_max=20)
    return DetectionParams(prediction=PredictionParams(**changes), spots=spots, output_prediction=True)


def weights(path: Path) -> torch.Tensor:
    return torch.cat([v.flatten() for v in torch.load(path, weights_only=True).values()])


def pretrained_of(work: ModelWork) -> Pretrained:
    return Pretrained(work.model_path.parent / "pretrained")


def reset(work: ModelWork, source: ModelSource | None = None, **changes: object) -> None:
    reset_model(work, pretrained_of(work), source or ModelSource(), start_params(work, **changes))


def start(work: ModelWork) -> None:
    """Begin with a network as it is made, for tests of which the start is no part."""
    torch.manual_seed(0)
    Ensemble([DetectionNet(work.dataset.n_dims, 0)]).save(work.model_path)


def replaced(work: ModelWork, **changes: object) -> ModelWork:
    values = {name: getattr(work, name) for name in ("dataset", "model_path", "model_cache", "reporter", "cancel")}
    return ModelWork(**{**values, **changes})


def test_a_model_that_outputs_nan_is_reported_as_ruined(made: tuple[ModelWork, list[Spot]]) -> None:
    work, _ = made
    network = DetectionNet(work.dataset.n_dims, 0)
    with torch.no_grad():
        network.out_conv.weight *= 1e38  # each is a number, but not what they add up to
    Ensemble([network]).save(work.model_path)
    with pytest.raises(ModelFileError, match=r"m\.pth produces NaN or infinite values"):
        detect(work, 0, detection_params(work.dataset.n_dims))
    assert not work.dataset.read_probabilities(0).any()


def test_a_model_learns_the_nuclei_and_finds_them(made: tuple[ModelWork, list[Spot]]) -> None:
    work, spots = made
    steps = Steps()
    work = replaced(work, reporter=steps)
    reset(work)
    saved = []
    params = training_params(work, n_epochs=8)
    train(work, spots, params, FixedControl(5e-3, 4), lambda: saved.append(weights(work.model_path)))
    assert len(saved) == 8
    losses = [values["loss"] for done, total, values in steps.seen if total == 32]
    assert len(losses) == 32
    assert np.mean(losses[-8:]) < 0.7 * np.mean(losses[:8])
    found = detect(work, 1, detection_params(work.dataset.n_dims))
    n = work.dataset.n_dims
    truth = np.array([spot.pos[3 - n :] for spot in spots])
    positions = np.array([spot.pos[3 - n :] for spot in found]).reshape(-1, n)
    distances = np.linalg.norm(truth[:, None] - positions[None], axis=-1).min(axis=1)
    assert (distances < 3).mean() >= 0.75
    kept = work.dataset.read_probabilities(1).astype(np.float32)
    np.testing.assert_allclose(kept.sum(-1).mean(), 1, atol=0.05)


def test_an_ellipsoid_is_decomposed_once_for_a_training(
    made: tuple[ModelWork, list[Spot]], monkeypatch: pytest.MonkeyPatch
) -> None:
    work, spots = made
    start(work)
    seen: list[int] = []
    decompose = np.linalg.eigh

    def counting(matrices: np.ndarray) -> object:
        seen.append(len(matrices))
        return decompose(matrices)

    monkeypatch.setattr(np.linalg, "eigh", counting)
    train(work, spots, training_params(work, n_epochs=1), FixedControl(5e-3, 1), lambda: None)
    assert sum(seen) == len(spots)


def test_the_same_seed_gives_the_same_model(made: tuple[ModelWork, list[Spot]]) -> None:
    work, spots = made
    results = []
    for _ in range(2):
        reset(work)
        train(work, spots, training_params(work, n_epochs=1), FixedControl(5e-3, 2), lambda: None)
        results.append(weights(work.model_path))
    assert torch.allclose(*results, atol=1e-3)
    reset(work, seed=1)
    assert not torch.allclose(results[0], weights(work.model_path), atol=1e-3)


def test_a_start_from_intensities_distinguishes_bright_from_dark(made: tuple[ModelWork, list[Spot]]) -> None:
    work, _ = made
    reset(work, n_crops=6)
    detect(work, 0, detection_params(work.dataset.n_dims))
    centre = work.dataset.read_probabilities(0)[..., 2].astype(np.float64)
    image = normalise(work.dataset.read_image(0))
    assert centre[image > 0.6].mean() > centre[image < 0.2].mean() + 0.2


def test_a_start_without_crops_stays_random(
    made: tuple[ModelWork, list[Spot]], caplog: pytest.LogCaptureFixture
) -> None:
    work, _ = made
    reset(work, n_crops=0)
    torch.manual_seed(0)
    fresh = DetectionNet(work.dataset.n_dims, 0)
    assert torch.equal(weights(work.model_path), torch.cat([v.flatten() for v in fresh.state_dict().values()]))
    assert any(r.levelname == "WARNING" and "random weights" in r.getMessage() for r in caplog.records)
    reset(work, ModelSource(file=work.model_path), n_crops=0)
    assert torch.equal(weights(work.model_path), torch.cat([v.flatten() for v in fresh.state_dict().values()]))


def test_no_epochs_write_the_labels_and_leave_the_model(made: tuple[ModelWork, list[Spot]]) -> None:
    work, spots = made
    start(work)
    before = work.model_path.read_bytes()
    control = FixedControl(5e-3, 4)
    train(work, spots, training_params(work, n_epochs=0), control, lambda: pytest.fail("saved"))
    assert work.dataset.read_labels(0).any()
    assert work.model_path.read_bytes() == before


def test_a_cancelled_training_keeps_the_last_finished_epoch(made: tuple[ModelWork, list[Spot]]) -> None:
    work, spots = made
    start(work)
    saved = []
    control = CancelAfter(150)
    with pytest.raises(Cancelled):
        train(work, spots, training_params(work, n_epochs=100), control, lambda: saved.append(weights(work.model_path)))
    assert saved
    assert torch.equal(weights(work.model_path), saved[-1])
    model = work.model_cache.get(work.model_path, DetectionNet, work.dataset.n_dims, 0)
    assert torch.equal(torch.cat([v.flatten() for v in model.state_dicts()[0].values()]), saved[-1])


def test_changed_settings_take_effect_during_the_training(made: tuple[ModelWork, list[Spot]]) -> None:
    work, spots = made
    start(work)
    steps = Steps()

    class Changing(NeverCancelled):
        def settings(self) -> LiveSettings:
            return LiveSettings(0.0, 3 if steps.seen else 2)

    params = training_params(work, n_epochs=2)
    before = weights(work.model_path)
    train(replaced(work, reporter=steps), spots, params, Changing(), lambda: None)
    assert [values["epoch"] for _, _, values in steps.seen] == [1, 1, 2, 2, 2]
    assert torch.equal(weights(work.model_path), before)


@pytest.mark.parametrize("checks", [0, 5])
def test_a_cancelled_reset_leaves_the_model(made: tuple[ModelWork, list[Spot]], checks: int) -> None:
    work, _ = made
    start(work)
    before = work.model_path.read_bytes()
    with pytest.raises(Cancelled):
        reset(replaced(work, cancel=CancelAfter(checks)), seed=5)
    assert work.model_path.read_bytes() == before


def test_an_implicit_start_falls_back_with_a_warning(
    made: tuple[ModelWork, list[Spot]], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    work, _ = made
    uninstall(monkeypatch)
    with pytest.raises(NotFoundError):
        reset(work, ModelSource("Versatile"))
    assert not work.model_path.exists()
    ensure_model(work, pretrained_of(work), start_params(work))
    assert work.model_path.is_file()
    assert any(r.levelname == "WARNING" and "intensities" in r.getMessage() for r in caplog.records)
    before = work.model_path.read_bytes()
    ensure_model(work, pretrained_of(work), start_params(work))
    assert work.model_path.read_bytes() == before


def test_an_implicit_start_is_reported_with_a_model_of_a_similar_name(
    made: tuple[ModelWork, list[Spot]], caplog: pytest.LogCaptureFixture
) -> None:
    work, _ = made
    n = work.dataset.n_dims
    Ensemble([DetectionNet(n, 0)]).save(work.model_path.parent / "pretrained" / f"versatile{n}d.pth")
    ensure_model(work, pretrained_of(work), start_params(work))
    started = f"{work.model_path.name} did not exist: started anew from the pretrained model versatile{n}d.pth"
    assert [r.getMessage() for r in caplog.records if r.levelname == "WARNING"] == [started]
    caplog.clear()
    ensure_model(work, pretrained_of(work), start_params(work))
    assert not caplog.records
    nuclei = work.model_path.with_name("nuclei.pth")
    work.model_path.rename(nuclei)
    ensure_model(replaced(work, model_path=nuclei.with_name("nucleii.pth")), pretrained_of(work), start_params(work))
    (words,) = (r.getMessage() for r in caplog.records if r.levelname == "WARNING")
    assert words.startswith("nucleii.pth did not exist: ")
    assert "nuclei.pth: if you meant" in words


def test_a_model_that_somebody_else_has_started_meanwhile_stays(
    made: tuple[ModelWork, list[Spot]], monkeypatch: pytest.MonkeyPatch
) -> None:
    work, _ = made
    uninstall(monkeypatch)  # the start from intensities takes a while
    theirs = Ensemble([DetectionNet(work.dataset.n_dims, 0)])

    class Meanwhile(NoReporter):
        def progress(self, stage: str, done: int, total: int, **values: float) -> None:
            if not work.model_path.exists():
                theirs.save(work.model_path)

    busy = replaced(work, reporter=Meanwhile())
    ensure_model(busy, pretrained_of(work), start_params(work))
    assert torch.equal(weights(work.model_path), torch.cat([v.flatten() for v in theirs.state_dicts()[0].values()]))


def test_an_implicit_start_takes_the_pretrained_model(made: tuple[ModelWork, list[Spot]]) -> None:
    work, _ = made
    n = work.dataset.n_dims
    pretrained = work.model_path.parent / "pretrained" / f"versatile{n}d.pth"
    Ensemble([DetectionNet(n, 0), DetectionNet(n, 0)]).save(pretrained)
    ensure_model(work, pretrained_of(work), start_params(work))
    assert len(torch.load(work.model_path, weights_only=True)) == 2


@pytest.mark.usefixtures("float32")
def test_a_box_agrees_with_the_whole(made: tuple[ModelWork, list[Spot]]) -> None:
    work, _ = made
    start(work)
    n = work.dataset.n_dims
    box = Box((0, 8, 4)[-n:], (12, 32, 32)[-n:])
    detect(work, 0, detection_params(n, crop_box=box))
    part = work.dataset.read_probabilities(0).astype(np.float32)
    outside = np.ones(work.dataset.shape, bool)
    outside[box.slices] = False
    assert not part[outside].any()
    image = normalise(work.dataset.read_image(0))[box.slices]
    model = work.model_cache.get(work.model_path, DetectionNet, n, 0)
    with torch.no_grad():
        expected = model(torch.from_numpy(np.ascontiguousarray(image))[None, None]).exp()[0].numpy()
    np.testing.assert_allclose(np.moveaxis(part[box.slices], -1, 0), expected, atol=2e-3 + STEP)


@pytest.fixture(params=[(1, 1), (2, 4)], ids=["as on a CPU", "as on a GPU"])
def _beside(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read and extract as many timepoints beside the network as is done on a CPU and on a GPU."""
    monkeypatch.setattr(predict_detection, "_beside", lambda _: request.param)


@pytest.mark.usefixtures("_beside")
def test_timepoints_together_give_what_each_gives_alone(made: tuple[ModelWork, list[Spot]]) -> None:
    work, spots = made
    start(work)
    train(work, spots, training_params(work, n_epochs=2), FixedControl(5e-3, 4), lambda: None)
    params = detection_params(work.dataset.n_dims)
    alone = {t: detect(work, t, params) for t in (1, 0)}
    kept = {t: work.dataset.read_probabilities(t) for t in alone}
    for t in alone:
        work.dataset.write_probabilities(t, np.zeros_like(kept[t]))
    for t, found in detect_all(work, [1, 0], params):
        expected = alone.pop(t)
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(one.pos, other.pos, atol=1e-3)
    assert not alone
    for t, values in kept.items():
        np.testing.assert_allclose(work.dataset.read_probabilities(t), values, atol=2 * STEP)
    assert list(detect_all(work, [], params)) == []


def test_where_nothing_is_found_the_log_says_how_high_probabilities_are(
    made: tuple[ModelWork, list[Spot]], caplog: pytest.LogCaptureFixture
) -> None:
    work, _ = made
    start(work)
    params = detection_params(work.dataset.n_dims)
    unreachable = params.model_copy(update={"spots": params.spots.model_copy(update={"p_thresh": 1.0})})
    assert detect(work, 1, unreachable) == []
    (said,) = (record for record in caplog.records if "No nuclei found at timepoint 1" in record.message)
    assert said.levelname == "WARNING"
    assert "the highest centre probability is " in said.message


def test_a_blank_image_has_no_nuclei_whatever_the_network_says(
    made: tuple[ModelWork, list[Spot]], caplog: pytest.LogCaptureFixture
) -> None:
    work, _ = made
    start(work)
    params = detection_params(work.dataset.n_dims)
    certain = params.model_copy(update={"spots": params.spots.model_copy(update={"p_thresh": 0.0, "r_min": 0.0})})
    assert detect(work, 1, certain)
    zarr.open_array(work.dataset.folder / "imgs.zarr", mode="r+")[1] = 7
    assert detect(work, 1, certain) == []
    assert "No nuclei found at timepoint 1: the image is blank there" in caplog.messages


@pytest.mark.usefixtures("_beside")
def test_of_timepoints_together_those_before_a_failure_are_given(made: tuple[ModelWork, list[Spot]]) -> None:
    work, _ = made
    start(work)
    found = detect_all(work, [0, 1, 7], detection_params(work.dataset.n_dims))
    assert [next(found)[0], next(found)[0]] == [0, 1]
    with pytest.raises(InvalidInputError, match=r"2 timepoints.*got 7"):
        next(found)
    ended = replaced(work, cancel=CancelAfter(1))
    with pytest.raises(Cancelled):
        list(detect_all(ended, [0, 1], detection_params(work.dataset.n_dims)))


def test_a_box_outside_is_refused(made: tuple[ModelWork, list[Spot]]) -> None:
    work, _ = made
    n = work.dataset.n_dims
    with pytest.raises(InvalidInputError, match="crop box"):
        detect(work, 0, detection_params(n, crop_box=Box((0,) * n, (100,) * n)))
    with pytest.raises(InvalidInputError, match="timepoint"):
        detect(work, 2, detection_params(n))


def test_a_rescaled_image_is_kept_at_the_stored_size(made: tuple[ModelWork, list[Spot]]) -> None:
    work, _ = made
    start(work)
    n = work.dataset.n_dims
    size = (6, 20, 22)[-n:]
    found = detect(work, 0, detection_params(n, image=ImageParams(input_size=size)))
    assert work.dataset.read_probabilities(0).shape == (*work.dataset.shape, 3)
    limit = np.array(work.dataset.shape) * VOXEL[-n:]
    assert all((spot.pos[3 - n :] >= 0).all() and (spot.pos[3 - n :] < limit).all() for spot in found)


def test_a_2d_model_works_on_the_slices_of_a_volume(tmp_path: Path) -> None:
    dataset, _ = make_dataset(tmp_path / "d", (4, 40, 44))
    model_cache = ModelCache(torch.device("cpu"))
    work = ModelWork(dataset, tmp_path / "m.pth", model_cache, NoReporter(), NeverCancelled())
    start = StartParams(n_dims=2, crop_size=(16, 32, 32), n_crops=2, seed=0)
    ensure_model(work, pretrained_of(work), start)
    detect(work, 0, detection_params(3, use_2d=True, batch_size=2))
    np.testing.assert_allclose(dataset.read_probabilities(0).astype(np.float32).sum(-1).mean(), 1, atol=0.05)


def test_training_at_another_size(made: tuple[ModelWork, list[Spot]]) -> None:
    work, spots = made
    start(work)
    n = work.dataset.n_dims
    params = training_params(work, n_epochs=1).model_copy(update={"image": ImageParams(input_size=(6, 20, 22)[-n:])})
    saved = []
    train(work, spots, params, FixedControl(1e-3, 2), lambda: saved.append(True))
    assert saved == [True]


def test_labels_of_spots_that_cannot_be_leave_the_old_ones(made: tuple[ModelWork, list[Spot]]) -> None:
    work, spots = made
    params = LabelParams(voxel_size=VOXEL)
    update_labels(work.dataset, spots[:2], params, NoReporter(), NeverCancelled())
    before = work.dataset.read_labels(0)
    wrong = Spot(0, spots[0].pos, np.diag([1.0, -1.0, 1.0]), Tag.TP)
    outside = Spot(9, spots[0].pos, np.eye(3), Tag.TP)
    for bad in (wrong, outside):
        with pytest.raises(InvalidInputError):
            update_labels(work.dataset, [*spots, bad], params, NoReporter(), NeverCancelled())
        np.testing.assert_array_equal(work.dataset.read_labels(0), before)


def test_an_update_of_one_timepoint_can_be_ended_between_its_spots(made: tuple[ModelWork, list[Spot]]) -> None:
    work, spots = made
    many = [Spot(0, spots[0].pos, np.eye(3) * 1e4, Tag.TP)] * 50  # each over the whole image
    with pytest.raises(Cancelled):
        update_labels(work.dataset, many, LabelParams(voxel_size=VOXEL), NoReporter(), CancelAfter(20))
    assert not work.dataset.read_labels(0).any()


def test_labels_of_other_timepoints_stay(made: tuple[ModelWork, list[Spot]]) -> None:
    work, spots = made
    params = LabelParams(voxel_size=VOXEL, auto_bg_thresh=0.1)
    update_labels(work.dataset, spots[:1], params, NoReporter(), NeverCancelled())
    before = work.dataset.read_labels(0)
    later = [Spot(1, spot.pos, spot.covariance, Tag.FN) for spot in spots]
    assert update_labels(work.dataset, later, params, NoReporter(), NeverCancelled()) == [1]
    np.testing.assert_array_equal(work.dataset.read_labels(0), before)
    assert {1, 5, 6} <= set(np.unique(work.dataset.read_labels(1)))


def test_nothing_to_train_is_reported(made: tuple[ModelWork, list[Spot]]) -> None:
    work, spots = made
    start(work)
    unlabeled = [Spot(0, spots[0].pos, spots[0].covariance, Tag.UNLABELED)]
    with pytest.raises(InvalidInputError, match="nothing to train"):
        train(work, unlabeled, training_params(work), FixedControl(1e-3, 2), lambda: None)


@pytest.mark.usefixtures("float32")
def test_all_members_of_an_ensemble_are_kept_trained_and_averaged(made: tuple[ModelWork, list[Spot]]) -> None:
    work, spots = made
    n = work.dataset.n_dims
    torch.manual_seed(0)
    members = Ensemble([DetectionNet(n, 0), DetectionNet(n, 0)])
    before = [torch.cat([v.flatten() for v in state.values()]) for state in members.state_dicts()]
    sent = work.model_path.parent / "sent.pth"
    members.save(sent)
    reset(work, ModelSource(file=sent))
    # Nothing is held out: else the members stay as they were where one epoch makes them no better.
    params = training_params(work, n_epochs=1).model_copy(update={"held_out": 0.0})
    train(work, spots, params, FixedControl(5e-3, 2), lambda: None)
    states = torch.load(work.model_path, weights_only=True)
    after = [torch.cat([v.flatten() for v in state.values()]) for state in states]
    assert len(after) == 2
    assert all(not torch.equal(old, new) for old, new in zip(before, after, strict=True))
    detect(work, 0, detection_params(n))
    kept = torch.from_numpy(np.moveaxis(work.dataset.read_probabilities(0).astype(np.float32), -1, 0))
    image = torch.from_numpy(normalise(work.dataset.read_image(0)))[None, None]
    single = [DetectionNet(n, 0).eval() for _ in states]
    for network, state in zip(single, states, strict=True):
        network.load_state_dict(state)
    with torch.no_grad():
        expected = ((single[0](image) + single[1](image)) / 2).exp()[0]
    torch.testing.assert_close(kept, expected, atol=2e-3 + STEP, rtol=0)
