"""What is held out of a training, how the model is judged by it, and which epoch stays."""

import logging
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from core.workflows.methods import reset_model, train, train_live, update_labels
from elephant.config import DetectionTrainingParams, LabelParams, LoopParams, StartParams
from elephant.crops.cut import Crop
from elephant.crops.sample import LabelledVolume
from elephant.dataset.opening import open_dataset
from elephant.errors import Cancelled
from elephant.methods.held_out_nuclei import HeldOutNuclei
from elephant.methods.pieces import choose, labelled_pieces
from elephant.methods.work import ModelWork
from elephant.models.ensemble import ModelCache
from elephant.models.pretrained import ModelSource, Pretrained
from elephant.models.provenance import read_provenance
from elephant.models.versions import versions
from elephant.progress import NeverCancelled, NoReporter
from elephant.training import networks
from elephant.training.control import FixedControl, LiveSettings
from elephant.training.networks import CropTrainer
from elephant.types import Label, Spot, Tag

SIZE, RADIUS, LR = 80, 4.0, 5e-3


def sampled(image: np.ndarray, labels: np.ndarray) -> LabelledVolume:
    return LabelledVolume(image.astype(np.float32), labels, np.zeros((0, 2), dtype=np.int64), (1.0, 1.0))


def nuclei(seed: int, n: int = 16) -> np.ndarray:
    """Return centres, (n, 2), at least three radii apart."""
    rng, found = np.random.default_rng(seed), []
    while len(found) < n:
        place = rng.uniform(6, SIZE - 6, 2)
        if all(np.linalg.norm(place - other) > 3 * RADIUS for other in found):
            found.append(place)
    return np.array(found)


def spots_at(t: int, centres: np.ndarray, tag: Tag = Tag.TP) -> list[Spot]:
    return [Spot(t, np.array([0, *centre]), np.eye(3) * RADIUS**2, tag) for centre in centres]


@pytest.fixture
def work(tmp_path: Path) -> ModelWork:
    rng = np.random.default_rng(0)
    grid = np.moveaxis(np.mgrid[:SIZE, :SIZE], 0, -1)
    movie = rng.normal(20, 3, (3, SIZE, SIZE))
    for t in range(3):
        for centre in nuclei(t):
            movie[t] += 150 * np.exp(-((grid - centre) ** 2).sum(-1) / RADIUS**2)
    dataset = open_dataset(np.clip(movie, 0, 255).astype(np.uint8), tmp_path / "d", axes="TYX", quiet=True)
    cache = ModelCache(torch.device("cpu"))
    made = ModelWork(dataset, tmp_path / "m.pth", cache, NoReporter(), NeverCancelled())
    start = StartParams(n_dims=2, crop_size=(32, 32), n_crops=2, seed=0)
    reset_model(made, Pretrained(tmp_path), ModelSource(), start)
    return made


def params(**changes: object) -> DetectionTrainingParams:
    loop = LoopParams(**{"lr": LR, "n_crops": 8, "n_epochs": 4, "seed": 0, **changes.pop("loop", {})})
    labels = LabelParams(voxel_size=(1, 1, 1), auto_bg_thresh=0.15)
    return DetectionTrainingParams(**{"labels": labels, "loop": loop, "crop_size": (32, 32), **changes})


def run(work: ModelWork, spots: Sequence[Spot], wanted: DetectionTrainingParams) -> list[torch.Tensor]:
    """Train, and return the weights after each epoch."""
    saved: list[torch.Tensor] = []
    control = FixedControl(wanted.loop.lr, wanted.loop.n_crops)
    train(work, spots, wanted, control, lambda: saved.append(weights(work.model_path)))
    return saved


def weights(path: Path) -> torch.Tensor:
    return torch.cat([v.flatten() for v in torch.load(path, weights_only=True).values()])


def write(work: ModelWork, spots: Sequence[Spot]) -> None:
    update_labels(work.dataset, spots, params().labels, NoReporter(), NeverCancelled())


def held(work: ModelWork, t: int, spots: Sequence[Spot], share: float = 0.2) -> set[tuple[int, ...]]:
    """Return the voxels of what is held out of the labels of some spots."""
    write(work, spots)
    pieces = labelled_pieces(work.dataset.read_labels(t), params().labels)
    none = np.zeros(len(pieces), dtype=bool)
    return {tuple(map(int, c.round())) for c in pieces.centres[choose({t: pieces}, {t: none}, share, (1, 1))[t]]}


def test_nothing_is_held_out_of_fewer_than_eight_and_more_of_more(work: ModelWork) -> None:
    centres = nuclei(0)
    found = [held(work, 0, spots_at(0, centres[:n])) for n in (7, 8, 12, 16)]
    assert [len(one) for one in found] == [0, 2, 2, 3]
    assert held(work, 0, spots_at(0, centres)) == found[-1]  # the same again
    assert held(work, 0, spots_at(0, centres[::-1])) == found[-1]  # in whatever order
    assert held(work, 1, spots_at(1, centres)) & found[-1]  # the same places at another timepoint


def test_what_is_held_out_does_not_teach_and_its_labels_stay(work: ModelWork) -> None:
    write(work, spots_at(0, nuclei(0)))
    before = work.dataset.read_labels(0)
    part = HeldOutNuclei(work.dataset, params())
    part.choose([0], [])
    judge = part.judge(lambda t: sampled(work.dataset.read_image(t), before))
    assert judge is not None
    assert judge.n_nuclei >= 2
    taught = part.hide(0, sampled(np.zeros((SIZE, SIZE)), before)).labels
    hidden = {tuple(map(int, np.round(c[:2]))) for _, places in judge.judged() for c in places}
    assert all(taught[place] == Label.NOTHING and before[place] == Label.CENTRE for place in hidden)
    others = labelled_pieces(taught, params().labels)
    assert len(others) == len(nuclei(0)) - len(held(work, 0, spots_at(0, nuclei(0))))
    assert (work.dataset.read_labels(0) == before).all()
    assert len(part.teaches(0, np.array([spot.pos for spot in spots_at(0, nuclei(0))]))) == len(others)


def test_new_corrections_first_join_the_training(work: ModelWork) -> None:
    places = nuclei(0)
    out = held(work, 0, spots_at(0, places))
    part = HeldOutNuclei(work.dataset, params())
    part.note([0])
    apart = np.linalg.norm(places[:, None] - np.array(list(out)), axis=2).min(axis=1)
    corrected = [Tag.FN if near < RADIUS else Tag.TP for near in apart]
    write(work, [spot for tag, place in zip(corrected, places, strict=True) for spot in spots_at(0, place[None], tag)])
    part.choose([0], [])
    assert len(part.teaches(0, np.array([[0, *place] for place in out]))) == len(out)
    part.choose([0], [])  # the next training: they are not new any more
    assert len(part.teaches(0, np.array([[0, *place] for place in out]))) < len(out)


def test_the_best_epoch_stays_and_the_last_is_a_version(
    work: ModelWork, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The last epoch learns that nuclei are background, and background nuclei."""
    cut, saved = networks.cut_crop, list[torch.Tensor]()

    def spoilt(*arguments: object) -> Crop:
        crop = cut(*arguments)
        return crop if len(saved) < 3 else Crop(crop.images, crop.labels.new_tensor([0, 3, 2, 1])[crop.labels.long()])

    monkeypatch.setattr(networks, "cut_crop", spoilt)
    caplog.set_level(logging.INFO)

    class Hasty(FixedControl):
        def settings(self) -> LiveSettings:
            return LiveSettings(LR if len(saved) < 3 else 0.03, 10)

    control = Hasty(LR, 10)
    wanted = params(crop_size=(48, 48), loop={"n_crops": 10})
    train(work, spots_at(0, nuclei(0)), wanted, control, lambda: saved.append(weights(work.model_path)))
    entry = read_provenance(work.model_path)[-1]
    assert entry.held_out is not None
    assert entry.held_out.f1 == max(f1 for epoch, f1 in entry.curve if epoch)
    assert entry.epochs == max(epoch for epoch, f1 in entry.curve if f1 == entry.held_out.f1) < 4
    assert torch.equal(weights(work.model_path), saved[entry.epochs - 1])
    last = versions(work.model_path)[0]
    assert (last.number, last.is_last) == (entry.last, True)
    assert torch.equal(weights(last.path), saved[-1])
    assert f"Epoch {entry.epochs} is kept: {entry.held_out}" in caplog.text


def test_without_held_out_the_last_epoch_stays(work: ModelWork) -> None:
    saved = run(work, spots_at(0, nuclei(0)), params(held_out=0, loop={"n_epochs": 2, "n_crops": 2}))
    assert torch.equal(weights(work.model_path), saved[-1])
    entry = read_provenance(work.model_path)[-1]
    assert (entry.held_out, entry.curve, entry.epochs) == (None, (), 2)


def test_a_model_that_wrong_annotations_spoil_is_noticed(work: ModelWork, caplog: pytest.LogCaptureFixture) -> None:
    run(work, spots_at(0, nuclei(0)), params())
    good = weights(work.model_path)
    score = read_provenance(work.model_path)[-1].held_out
    assert score is not None
    assert score.f1 == 1
    run(work, spots_at(1, nuclei(1), Tag.FP), params(loop={"replay": 0, "n_epochs": 3}))
    assert "Disagreement with earlier annotations" in caplog.text
    assert torch.equal(weights(work.model_path), good)
    entry = read_provenance(work.model_path)[-1]
    assert entry.epochs == 0
    assert [sentence for sentence in entry.said if sentence in caplog.text and "Disagreement" in sentence]


def test_timepoints_labelled_before_are_replayed(work: ModelWork, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, ...]] = []
    cut = CropTrainer._batch_loss

    def spy(trainer: CropTrainer, timepoints: Sequence[int], cancel: object) -> object:
        seen.append(tuple(timepoints))
        return cut(trainer, timepoints, cancel)

    monkeypatch.setattr(CropTrainer, "_batch_loss", spy)
    write(work, spots_at(0, nuclei(0)))
    run(work, spots_at(1, nuclei(1)), params(loop={"n_epochs": 1}))
    assert sorted(seen) == [(0,), (0,), *[(1,)] * 8]
    seen.clear()
    run(work, spots_at(1, nuclei(1)), params(loop={"n_epochs": 1, "replay": 0}))
    assert seen == [(1,)] * 8


def test_a_seed_repeats_a_training(work: ModelWork) -> None:
    before = work.model_path.read_bytes()
    found = []
    for _ in range(2):
        work.model_path.write_bytes(before)
        work.model_cache.forget(work.model_path)
        found.append(run(work, spots_at(0, nuclei(0)), params(loop={"n_epochs": 2}))[-1])
    assert torch.equal(*found)


def test_a_live_session_is_judged_as_well(work: ModelWork, caplog: pytest.LogCaptureFixture) -> None:
    class Updates:
        left = 3

        def wait(self) -> dict[int, np.ndarray]:
            self.left -= 1
            if self.left < 0:
                raise Cancelled
            return {0: np.array([spot.pos for spot in spots_at(0, nuclei(0))])}

    caplog.set_level(logging.INFO)
    with pytest.raises(Cancelled):
        train_live(work, spots_at(0, nuclei(0)), params(), FixedControl(LR, 8), Updates(), lambda: None)
    # Small boxes are costly beside small crops: not each epoch is judged.
    assert re.search(r"Epoch \d: F1 [01]\.\d+ on \d+ held-out nuclei", caplog.text)
