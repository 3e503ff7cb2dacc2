"""Whole pieces of flow work on small movies that the tests make themselves."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from core.shipping import uninstall
from core.workflows.methods import displace, ensure_flow_model, reset_flow_model, train_flow, update_flow_labels
from elephant.config import (
    AugmentationParams,
    ConversionParams,
    DisplacementParams,
    FlowParams,
    FlowTrainingParams,
    ImageParams,
    LoopParams,
    PredictionParams,
    StartParams,
)
from elephant.crops.cut import in_crop
from elephant.dataset import Dataset, convert
from elephant.errors import Cancelled, InvalidInputError, ModelFileError, NotFoundError
from elephant.geometry import Ellipsoid, Raster, rasterise
from elephant.images import normalise
from elephant.methods import flow as predict_flow
from elephant.methods.flow import FLOW, regions_around
from elephant.methods.work import ModelWork
from elephant.models.ensemble import Ensemble, ModelCache
from elephant.models.pretrained import ModelSource, Pretrained
from elephant.models.unet import FlowNet
from elephant.progress import NeverCancelled, NoReporter
from elephant.training import networks
from elephant.training.control import FixedControl, LiveSettings
from elephant.types import Box, Link, Spot

VOXEL = (2.0, 1.0, 1.0)
STEP = np.array([0.0, 2.0, -3.0])  # what every nucleus moves from timepoint to timepoint, physical
KEEP = 1
LARGEST = 8.0


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


class Values:
    """Keeps what each step of a training reports."""

    def __init__(self, seen: list[dict[str, float]]) -> None:
        self.seen = seen

    def progress(self, stage: str, done: int, total: int, **values: float) -> None:
        if stage == "step":
            self.seen.append(values)


class Losses:
    def __init__(self) -> None:
        self.seen: list[float] = []

    def progress(self, stage: str, done: int, total: int, **values: float) -> None:
        if stage == "step":
            self.seen.append(values["instance"])


def make_dataset(folder: Path, shape: tuple[int, ...], n_timepoints: int = 3) -> tuple[Dataset, list[Spot]]:
    """Return a movie of nuclei that all move by `STEP`, and the spots of its timepoint 1."""
    rng = np.random.default_rng(3)
    n = len(shape)
    voxel, step = np.array(VOXEL[-n:]), STEP[-n:]
    centres = np.stack([rng.uniform(6, s * v - 6, 6) for s, v in zip(shape, voxel, strict=True)], axis=1)
    grid = np.stack(np.meshgrid(*(np.arange(s) * v for s, v in zip(shape, voxel, strict=True)), indexing="ij"), axis=-1)
    folder.mkdir(parents=True)
    with h5py.File(folder / "movie.h5", "w") as file:
        file["s00/resolutions"], file["s00/subdivisions"] = np.ones((1, 3)), np.full((1, 3), 16)
        for t in range(n_timepoints):
            image = np.full(shape, 10.0)
            for centre in centres:
                image += 200 * np.exp(-((grid - centre - (t - 1) * step) ** 2).sum(-1) / (2 * 2.5**2))
            cells = np.clip(image, 0, 255).astype(np.uint16).reshape((1,) * (3 - n) + shape).view(np.int16)
            file[f"t{t:05d}/s00/0/cells"] = cells
    convert(folder / "movie.h5", folder, ConversionParams(is_2d=n == 2), NoReporter(), NeverCancelled())
    spots = [
        Spot(1, np.concatenate([np.full(3 - n, 7.0), centre]), np.eye(3) * 4.0**2, id=i)
        for i, centre in enumerate(centres)
    ]
    return Dataset(folder), spots


@pytest.fixture(params=[(12, 40, 44), (40, 44)], ids=["3D", "2D"])
def made(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[ModelWork, list[Spot]]:
    dataset, spots = make_dataset(tmp_path / "datasets" / "d", request.param)
    model_cache = ModelCache(torch.device("cpu"))
    return ModelWork(dataset, tmp_path / "models" / "m.pth", model_cache, NoReporter(), NeverCancelled()), spots


def links_of(spots: list[Spot], t: int = 0) -> list[Link]:
    return [Link(t, spot.pos, spot.covariance, -STEP) for spot in spots]


def displacement_params() -> DisplacementParams:
    return DisplacementParams(voxel_size=VOXEL, max_displacement=LARGEST, n_keep_axials=KEEP)


def training_params(work: ModelWork, **loop: object) -> FlowTrainingParams:
    return FlowTrainingParams(
        displacement=displacement_params(),
        loop=LoopParams(**{"n_crops": 4, "n_epochs": 2, "seed": 0, **loop}),
        augmentation=AugmentationParams(flip=False),
        crop_size=(8, 32, 32)[-work.dataset.n_dims :],
    )


def flow_params(keep: bool = False, **prediction: object) -> FlowParams:
    return FlowParams(
        displacement=displacement_params(),
        prediction=PredictionParams(n_keep_axials=KEEP, **prediction),
        output_prediction=keep,
    )


def start_of(work: ModelWork, seed: int = 0) -> StartParams:
    return StartParams(n_dims=work.dataset.n_dims, n_keep_axials=KEEP, seed=seed)


def reset(work: ModelWork, source: ModelSource | None = None, seed: int = 0) -> None:
    models = work.model_path.parent
    reset_flow_model(
        work.model_path,
        work.model_cache,
        Pretrained(models / "pretrained"),
        source or ModelSource(),
        start_of(work, seed),
        work.cancel,
    )


def constant_model(work: ModelWork, *value: float) -> None:
    """A model that answers the same everywhere, X, Y(, Z)."""
    network = FlowNet(work.dataset.n_dims, KEEP)
    torch.nn.init.zeros_(network.out_conv.weight)
    with torch.no_grad():
        network.out_conv.bias.copy_(torch.atanh(torch.tensor(value[: work.dataset.n_dims])))
    Ensemble([network]).save(work.model_path)


def replaced(work: ModelWork, **changes: object) -> ModelWork:
    values = {name: getattr(work, name) for name in ("dataset", "model_path", "model_cache", "reporter", "cancel")}
    return ModelWork(**{**values, **changes})


def weights(path: Path) -> torch.Tensor:
    return torch.cat([v.flatten() for v in torch.load(path, weights_only=True).values()])


def test_a_model_learns_where_nuclei_were(made: tuple[ModelWork, list[Spot]]) -> None:
    work, spots = made
    losses = Losses()
    reset(work)
    saved: list[bool] = []
    params = training_params(work, n_epochs=10)
    train_flow(
        replaced(work, reporter=losses), links_of(spots), params, FixedControl(1e-3, 4), lambda: saved.append(True)
    )
    assert len(saved) == 10
    assert len(losses.seen) == 40
    assert np.mean(losses.seen[-8:]) < 0.5 * np.mean(losses.seen[:8])
    later = [Spot(2, s.pos + STEP, s.covariance, id=s.id) for s in spots]
    found = displace(work, 2, later, flow_params())
    off = [np.linalg.norm(f.pos - s.pos) for f, s in zip(found, spots, strict=True)]
    assert np.mean(off) < 0.5 * np.linalg.norm(STEP)


def test_every_spot_is_answered_in_the_order_given(made: tuple[ModelWork, list[Spot]]) -> None:
    work, spots = made
    constant_model(work, 0.5, -0.25, 0.75)
    outside = Spot(1, np.array([7.0, 900.0, 5.0]), np.eye(3), id=99)
    asked = [spots[3], outside, *spots[:3]]
    found = displace(work, 1, asked, flow_params())
    # X: 0.5 of 8 voxels of 1; Y: -0.25 of 8; Z: 0.75 of 4 voxels of 2
    expected = np.array([6.0 if work.dataset.is_3d else 0.0, -2.0, 4.0])
    assert [f.id for f in found] == [3, 99, 0, 1, 2]
    for spot, answer in zip(asked, found, strict=True):
        moved = np.zeros(3) if spot is outside else expected
        np.testing.assert_allclose(answer.pos, spot.pos + moved, atol=1e-4)
        assert answer.sqdisp == pytest.approx(float((moved**2).sum()), abs=1e-3)


def test_nothing_was_before_the_first_timepoint_and_no_spots_are_fine(made: tuple[ModelWork, list[Spot]]) -> None:
    work, spots = made
    constant_model(work, 0.5, 0.5, 0.5)
    found = displace(work, 0, spots, flow_params(keep=True))
    assert [(f.id, f.sqdisp) for f in found] == [(s.id, 0.0) for s in spots]
    assert all(np.array_equal(f.pos, s.pos) for f, s in zip(found, spots, strict=True))
    assert displace(work, 1, [], flow_params()) == []
    assert not work.dataset.read_flow(0).any()


def test_a_spot_outside_the_box_is_predicted_where_it_is(
    made: tuple[ModelWork, list[Spot]], monkeypatch: pytest.MonkeyPatch
) -> None:
    work, _ = made
    n = work.dataset.n_dims
    constant_model(work, 0.5, -0.25, 0.75)
    monkeypatch.setattr(predict_flow, "LEAST_REGION", (12, 8, 8))
    box = Box((0, 4, 4)[-n:], (12, 16, 16)[-n:])
    places = [(12.0, 12.0, 10.0), (12.0, 34.0, 36.0), (12.0, 12.0, 20.0)]
    asked = [Spot(1, np.array(pos), np.eye(3) * 2.0**2, id=i) for i, pos in enumerate(places)]
    found = displace(work, 1, asked, flow_params(keep=True, crop_box=box))
    assert all(f.sqdisp == pytest.approx(found[0].sqdisp) and f.sqdisp > 1 for f in found)
    kept = work.dataset.read_flow(0)
    np.testing.assert_allclose(kept[0][box.slices], 0.5, atol=1e-3)
    outside = np.ones(work.dataset.shape, bool)
    outside[box.slices] = False
    assert not kept[:, outside].any()


def test_a_box_gives_what_the_whole_gives_to_a_spot_in_its_middle(tmp_path: Path) -> None:
    dataset, _ = make_dataset(tmp_path / "d", (208, 240))
    model_cache = ModelCache(torch.device("cpu"))
    work = ModelWork(dataset, tmp_path / "m.pth", model_cache, NoReporter(), NeverCancelled())
    reset(work)
    spot = Spot(1, np.array([0.0, 104.0, 112.0]), np.eye(3) * 9.0, id=1)
    (whole,) = displace(work, 1, [spot], flow_params())
    (part,) = displace(work, 1, [spot], flow_params(crop_box=Box((16, 32), (176, 160))))
    assert whole.sqdisp > 0
    np.testing.assert_allclose(part.pos, whole.pos, atol=0.02)


@pytest.mark.usefixtures("float32")
def test_the_flow_is_kept_as_the_network_gives_it_to_a_quarter_of_a_voxel(made: tuple[ModelWork, list[Spot]]) -> None:
    work, spots = made
    reset(work)
    displace(work, 2, spots, flow_params(keep=True))
    images = np.stack([normalise(work.dataset.read_image(t)) for t in (1, 2)])
    model = work.model_cache.get(work.model_path, FlowNet, work.dataset.n_dims, KEEP)
    with torch.no_grad():
        expected = model(torch.from_numpy(images)[None])[0].numpy()
    kept = work.dataset.read_flow(1).astype(np.float32)
    norm = flow_params().displacement.norm(work.dataset.n_dims)
    voxels = np.array(norm).reshape(-1, *[1] * work.dataset.n_dims)
    np.testing.assert_allclose(kept * voxels, expected * voxels, atol=0.25)
    assert np.abs(kept - expected).max() > 0
    assert not work.dataset.read_flow(0).any()


def test_in_a_rescaled_image_displacements_are_in_stored_voxels(made: tuple[ModelWork, list[Spot]]) -> None:
    work, spots = made
    constant_model(work, 0.25, 0.25, 0.25)
    n = work.dataset.n_dims
    size = (6, 20, 88)[-n:]
    found = displace(work, 1, spots[:1], flow_params(keep=True, image=ImageParams(input_size=size)))
    # 0.25 of 8 stored voxels of 1 along Y and X, and of 4 stored voxels of 2 along Z, whatever the size.
    expected = np.array([2.0 if n == 3 else 0, 2.0, 2.0])
    np.testing.assert_allclose(found[0].pos - spots[0].pos, expected, atol=1e-4)
    np.testing.assert_allclose(work.dataset.read_flow(0), 0.25, atol=1e-3)


def test_training_at_another_size_teaches_displacements_in_stored_voxels(
    made: tuple[ModelWork, list[Spot]], monkeypatch: pytest.MonkeyPatch
) -> None:
    work, spots = made
    reset(work)
    n = work.dataset.n_dims
    crops = []

    def keeping(*args: object) -> object:
        crops.append(original(*args))
        return crops[-1]

    original = networks.cut_crop
    monkeypatch.setattr(networks, "cut_crop", keeping)
    size = (6, 20, 88)[-n:]
    params = training_params(work, n_epochs=1).model_copy(update={"image": ImageParams(input_size=size)})
    train_flow(work, links_of(spots), params, FixedControl(1e-3, 2), lambda: None)
    labels = crops[0].labels.numpy()
    inside = labels[:-1][:, labels[-1] > 0]
    # X: 3 voxels over 8, though the image is seen twice as long; Y: -2 over 8, though it is seen half as long.
    np.testing.assert_allclose(inside.max(axis=1)[:2], [3 / 8, -2 / 8], atol=1e-6)


def test_at_another_size_only_the_warp_converts(made: tuple[ModelWork, list[Spot]]) -> None:
    """A model that knows the true displacements makes no error, and its warp brings one image onto the other."""
    work, spots = made
    n = work.dataset.n_dims

    def losses(*value: float, size: tuple[int, ...] | None) -> tuple[float, float]:
        constant_model(work, *value)
        seen: list[dict[str, float]] = []
        params = training_params(work, n_epochs=1, n_crops=1, lr=0.0).model_copy(
            update={"image": ImageParams(input_size=size), "crop_size": (99, 99, 99)[:n]}
        )
        train_flow(replaced(work, reporter=Values(seen)), links_of(spots), params, FixedControl(0.0, 1), lambda: None)
        return seen[0]["instance"], seen[0]["ssim"]

    for size in (None, (12, 20, 88)[-n:], (12, 80, 22)[-n:]):
        instance, ssim = losses(3 / 8, -2 / 8, 0.0, size=size)
        still = losses(0.0, 0.0, 0.0, size=size)
        assert instance < 1e-6
        assert ssim < 0.1 * still[1]


def test_crops_of_a_rescaled_image_rotate_displacements_in_its_voxels(made: tuple[ModelWork, list[Spot]]) -> None:
    work, spots = made
    n = work.dataset.n_dims
    update_flow_labels(work.dataset, links_of(spots), displacement_params(), NoReporter(), NeverCancelled())
    params = training_params(work).model_copy(update={"image": ImageParams(input_size=(6, 20, 88)[-n:])})
    links = links_of(spots)
    images = FLOW.images(work.dataset, 0, params)
    pair = FLOW.sample(work.dataset, 0, FLOW.positions(links), images, params)
    assert pair.norm == (16, 4, 2)[:n]
    # 3 and -2 stored voxels along X and Y are 6 and -1 seen ones. After a quarter turn they are 1 and 6: a half, and
    # twelve, stored ones.
    quarter = np.array([[0.0, -1.0], [1.0, 0.0]])
    np.testing.assert_allclose(in_crop(quarter, pair.norm[:2]) @ [3 / 8, -2 / 8], [0.5 / 8, 12 / 8], atol=1e-12)


def test_labels_of_links_that_cannot_be_leave_the_old_ones(made: tuple[ModelWork, list[Spot]]) -> None:
    work, spots = made
    params = displacement_params()
    assert update_flow_labels(work.dataset, links_of(spots[:2]), params, NoReporter(), NeverCancelled()) == [0]
    before = work.dataset.read_flow_labels(0)
    assert before[-1].any()
    pos, covariance = spots[0].pos, spots[0].covariance
    ill = Link(1, pos, np.diag([1.0, -1.0, 1.0]), STEP)
    for bad in (ill, Link(2, pos, covariance, STEP), Link(9, pos, covariance, STEP)):
        with pytest.raises(InvalidInputError):
            update_flow_labels(work.dataset, [*links_of(spots), bad], params, NoReporter(), NeverCancelled())
        np.testing.assert_array_equal(work.dataset.read_flow_labels(0), before)
    assert update_flow_labels(work.dataset, links_of(spots, 1), params, NoReporter(), NeverCancelled()) == [1]
    np.testing.assert_array_equal(work.dataset.read_flow_labels(0), before)


def test_a_cancelled_training_keeps_the_last_finished_epoch(made: tuple[ModelWork, list[Spot]]) -> None:
    work, spots = made
    reset(work)
    saved: list[torch.Tensor] = []
    params = training_params(work, n_epochs=100)
    with pytest.raises(Cancelled):
        train_flow(work, links_of(spots), params, CancelAfter(150), lambda: saved.append(weights(work.model_path)))
    assert saved
    assert torch.equal(weights(work.model_path), saved[-1])
    with pytest.raises(Cancelled):
        displace(replaced(work, cancel=CancelAfter(1)), 1, spots, flow_params(keep=True))
    assert not work.dataset.read_flow(0).any()


def test_axes_that_all_weigh_0_count_equally(made: tuple[ModelWork, list[Spot]]) -> None:
    work, spots = made
    losses = []
    for weights in ((0.0, 0.0, 0.0 if work.dataset.is_3d else 1.0), (1.0, 1.0, 1.0)):
        reset(work)
        steps = Losses()
        params = training_params(work, n_epochs=1).model_copy(update={"dim_weights": weights})
        train_flow(replaced(work, reporter=steps), links_of(spots), params, FixedControl(1e-3, 4), lambda: None)
        losses.append(steps.seen)
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


def test_no_epochs_write_the_labels_and_leave_the_model(made: tuple[ModelWork, list[Spot]]) -> None:
    work, spots = made
    reset(work)
    before = work.model_path.read_bytes()
    params = training_params(work, n_epochs=0)
    train_flow(work, links_of(spots), params, FixedControl(1e-3, 4), lambda: pytest.fail("saved"))
    assert work.dataset.read_flow_labels(0)[-1].any()
    assert work.model_path.read_bytes() == before


def test_many_spots_of_one_timepoint_can_be_ended_between_them(
    made: tuple[ModelWork, list[Spot]], monkeypatch: pytest.MonkeyPatch
) -> None:
    work, spots = made
    many = [Spot(1, spots[0].pos, np.eye(3) * 1e4)] * 50  # each over the whole image
    with pytest.raises(Cancelled):
        update_flow_labels(work.dataset, links_of(many), displacement_params(), NoReporter(), CancelAfter(20))
    assert not work.dataset.read_flow_labels(0).any()
    constant_model(work, 0, 0, 0)
    painted = []

    def painting(*arguments: Any, **more: Any) -> Raster:
        painted.append(1)
        if len(painted) == 20:
            monkeypatch.setattr(work.cancel, "check", CancelAfter(0).check)
        return rasterise(*arguments, **more)

    monkeypatch.setattr(predict_flow, "rasterise", painting)
    with pytest.raises(Cancelled):
        displace(work, 1, many, flow_params())
    assert len(painted) == 20


def test_links_without_a_voxel_are_nothing_to_train(made: tuple[ModelWork, list[Spot]]) -> None:
    work, _ = made
    reset(work)
    outside = Link(0, np.array([5.0, 900.0, 900.0]), np.eye(3), STEP)
    with pytest.raises(InvalidInputError, match="nothing to train"):
        train_flow(work, [outside], training_params(work), FixedControl(1e-3, 2), lambda: None)


def test_spots_outside_of_the_movie_are_refused(made: tuple[ModelWork, list[Spot]]) -> None:
    work, spots = made
    reset(work)
    n = work.dataset.n_dims
    with pytest.raises(InvalidInputError, match="crop box"):
        displace(work, 1, spots, flow_params(crop_box=Box((0,) * n, (100,) * n)))
    with pytest.raises(InvalidInputError, match="timepoint"):
        displace(work, 3, spots, flow_params())


def test_a_ruined_model_is_reported_as_ruined(made: tuple[ModelWork, list[Spot]]) -> None:
    work, spots = made
    constant_model(work, 0, 0, 0)
    # Our own saving refuses such weights; those of others come as they are.
    ruined = torch.load(work.model_path, weights_only=True)
    ruined["out_conv.bias"][0] = float("nan")
    torch.save(ruined, work.model_path)
    with pytest.raises(ModelFileError, match=r"m\.pth"):
        displace(work, 1, spots, flow_params())


def test_a_start_without_pretrained_weights(
    made: tuple[ModelWork, list[Spot]], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    work, _ = made
    uninstall(monkeypatch)
    models = work.model_path.parent
    versatile = ModelSource("Versatile")
    if work.dataset.is_3d:
        with pytest.raises(NotFoundError, match=r"Fluo-N3DH-CE_flow\.pth"):
            reset(work, versatile)
        assert not work.model_path.exists()
    else:
        reset(work, versatile)
        assert any(r.levelname == "WARNING" and "random weights" in r.getMessage() for r in caplog.records)
        work.model_path.unlink()
    caplog.clear()
    ensure_flow_model(work.model_path, Pretrained(models / "pretrained"), start_of(work))
    assert any(r.levelname == "WARNING" and "random weights" in r.getMessage() for r in caplog.records)
    assert any(r.getMessage() == "m.pth did not exist: started anew from random weights" for r in caplog.records)
    before = work.model_path.read_bytes()
    ensure_flow_model(work.model_path, Pretrained(models / "pretrained"), start_of(work, seed=1))
    assert work.model_path.read_bytes() == before


def test_pretrained_weights_are_used_if_available(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pretrained = tmp_path / "pretrained" / "Fluo-N3DH-CE_flow.pth"
    Ensemble([FlowNet(3, 0)]).save(pretrained)
    start = StartParams(n_dims=3, seed=5)
    ensure_flow_model(tmp_path / "a.pth", Pretrained(tmp_path / "pretrained"), start)
    words = "a.pth did not exist: started anew from the pretrained model Fluo-N3DH-CE_flow.pth"
    assert [r.getMessage() for r in caplog.records if r.levelname == "WARNING"] == [words]
    model_cache = ModelCache(torch.device("cpu"))
    reset_flow_model(
        tmp_path / "b.pth",
        model_cache,
        Pretrained(tmp_path / "pretrained"),
        ModelSource("Versatile"),
        start,
        NeverCancelled(),
    )
    reset_flow_model(
        tmp_path / "c.pth", model_cache, Pretrained(tmp_path / "pretrained"), ModelSource(), start, NeverCancelled()
    )
    found = [torch.equal(weights(tmp_path / f"{name}.pth"), weights(pretrained)) for name in "abc"]
    assert found == [True, True, False]


def test_regions_cover_their_spots_and_end_in_the_whole() -> None:
    shape = (10, 200, 200)
    spots = [Spot(0, np.array(p, dtype=float), np.eye(3) * 9) for p in ((5, 20, 20), (5, 25, 30), (5, 180, 190))]
    rasters = [rasterise(Ellipsoid.from_spot(spot, 3), (1, 1, 1), shape) for spot in spots]
    boxes = regions_around(rasters, (4, 60, 60), shape)
    assert [box.size[1:] for box in boxes] == [(60, 60), (60, 60)]
    assert all(box.fits(shape) for box in boxes)
    for raster, box in zip(rasters, (boxes[0], boxes[0], boxes[1]), strict=True):
        covered = np.zeros(shape, bool)
        covered[box.slices] = True
        assert covered[tuple(raster.indices().T)].all()
    assert regions_around(rasters, (10, 150, 150), shape) == [Box.whole(shape)]
    assert regions_around([], (4, 60, 60), shape) == []
