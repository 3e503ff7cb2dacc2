"""What a record says is repeated: labels to the last bit, and trainings with the weights of then."""

from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch

from core.cli.shell import Shell
from core.shipping import ship
from core.workflows import test_flow as movement
from core.workflows.methods import reset_model, train, train_live, update_labels
from core.workflows.test_detection import make_dataset, start_params, training_params, weights
from elephant.config import DisplacementParams
from elephant.dataset import Dataset
from elephant.dataset.record import FILE, Event, TrainingEntry, read_record
from elephant.errors import Cancelled, InvalidInputError, NotFoundError
from elephant.methods.detection import DETECTION
from elephant.methods.flow import FLOW
from elephant.methods.repeating_labels import make_like, replay_labels
from elephant.methods.repeating_trainings import repeat_training
from elephant.methods.starting import start_model
from elephant.methods.training import prepare_training
from elephant.methods.work import ModelWork
from elephant.models.ensemble import ModelCache
from elephant.models.pretrained import ModelSource, Pretrained
from elephant.models.provenance import read_provenance
from elephant.models.unet import DetectionNet, FlowNet
from elephant.progress import NeverCancelled, NoReporter
from elephant.training.control import FixedControl, LiveSettings
from elephant.types import FloatArray, Link, Spot, Tag

FREE = NeverCancelled()


@pytest.fixture
def made(tmp_path: Path) -> tuple[ModelWork, list[Spot]]:
    dataset, spots = make_dataset(tmp_path / "d", (40, 44))
    work = ModelWork(dataset, tmp_path / "m.pth", ModelCache(torch.device("cpu")), NoReporter(), FREE)
    reset_model(work, Pretrained(tmp_path), ModelSource(), start_params(work))
    return work, spots


def again(work: ModelWork, tmp_path: Path) -> ModelWork:
    tmp_path.mkdir(exist_ok=True)
    return ModelWork(work.dataset, tmp_path / "again.pth", ModelCache(torch.device("cpu")), NoReporter(), FREE)


def last_training(dataset: Dataset) -> int:
    return max(entry.entry for entry in read_record(dataset.folder).entries() if isinstance(entry, TrainingEntry))


def test_labels_are_repeated_to_the_last_bit(made: tuple[ModelWork, list[Spot]], tmp_path: Path) -> None:
    work, spots = made
    dataset, labels = work.dataset, training_params(work).labels
    background = labels.model_copy(update={"auto_bg_thresh": 0.05, "c_ratio": 0.6})
    elsewhere = [Spot(1, spot.pos, spot.covariance, Tag.FN) for spot in spots[:3]]
    update_labels(dataset, spots, labels, NoReporter(), FREE)
    update_labels(dataset, [*spots[1:], *elsewhere], background, NoReporter(), FREE)
    links = [Link(0, spot.pos, spot.covariance, np.array([0, 1.5, -2.5])) for spot in spots]
    params = DisplacementParams(voxel_size=labels.voxel_size, max_displacement=20)
    FLOW.update_labels(dataset, links, params, NoReporter(), FREE)
    target = make_like(dataset, tmp_path / "new")
    done = replay_labels(dataset.folder, target, NoReporter(), FREE)
    assert (done.n_updates, done.sentences()) == (4, [])
    for t in range(2):
        np.testing.assert_array_equal(target.read_labels(t), dataset.read_labels(t))
        assert target.read_labels(t).any()
        np.testing.assert_array_equal(target.read_image(t), dataset.read_image(t))
    np.testing.assert_array_equal(target.read_flow_labels(0), dataset.read_flow_labels(0))
    with pytest.raises(InvalidInputError, match="new or empty folder"):
        make_like(dataset, tmp_path / "new")


def test_what_cannot_be_repeated_is_said(made: tuple[ModelWork, list[Spot]], tmp_path: Path) -> None:
    work, spots = made
    work.dataset.write_labels(1, np.ones(work.dataset.shape, np.uint8))
    update_labels(work.dataset, spots, training_params(work).labels, NoReporter(), FREE)
    target = make_like(work.dataset, tmp_path / "new")
    (sentence,) = replay_labels(work.dataset.folder, target, NoReporter(), FREE).sentences()
    assert "detection labels of timepoints 1 come from no recorded annotations" in sentence
    other, _ = make_dataset(tmp_path / "other", (38, 44))
    with pytest.raises(InvalidInputError, match="choose a dataset of the same movie"):
        replay_labels(work.dataset.folder, other, NoReporter(), FREE)


def test_what_was_taught_before_a_dataset_was_made_again_is_passed_over(tmp_path: Path) -> None:
    before, after = tmp_path / "before", tmp_path / "after"
    for folder, shape in ((before, (38, 44)), (after, (40, 44))):
        dataset, spots = make_dataset(folder, shape)
        work = ModelWork(dataset, tmp_path / "m.pth", ModelCache(torch.device("cpu")), NoReporter(), FREE)
        if folder == after:
            (before / FILE).rename(after / FILE)
            dataset.record_event(Event("cleared"))
        update_labels(dataset, spots, training_params(work).labels, NoReporter(), FREE)
    target = make_like(dataset, tmp_path / "new")
    done = replay_labels(after, target, NoReporter(), FREE)
    assert (done.n_updates, done.sentences()) == (1, [])
    np.testing.assert_array_equal(target.read_labels(0), dataset.read_labels(0))


class Changing(FixedControl):
    """Another learning rate from the fourth step on."""

    def __init__(self) -> None:
        super().__init__(5e-3, 4)
        self.asked = 0

    def settings(self) -> LiveSettings:
        self.asked += 1
        return LiveSettings(5e-3 if self.asked < 4 else 1e-4, 4)


def test_a_training_without_a_seed_is_repeated(made: tuple[ModelWork, list[Spot]], tmp_path: Path) -> None:
    work, spots = made
    params = training_params(work, seed=None, n_epochs=2)
    update_labels(work.dataset, spots[:2], params.labels, NoReporter(), FREE)
    train(work, spots, params, Changing(), lambda: None)
    (entry,) = [one for one in read_provenance(work.model_path) if one.what == "training"]
    assert entry.record is not None
    assert entry.record.entry == last_training(work.dataset)
    update_labels(work.dataset, spots[:1], params.labels, NoReporter(), FREE)
    before = work.dataset.read_labels(0)
    done = repeat_training(work.dataset, entry.record.entry, again(work, tmp_path), [work.model_path])
    assert (done.n_trainings, done.n_epochs, done.is_same) == (1, 2, True)
    assert torch.equal(weights(tmp_path / "again.pth"), weights(work.model_path))
    np.testing.assert_array_equal(work.dataset.read_labels(0), before)


class Script:
    """Updates of a live session."""

    def __init__(self, work: ModelWork, updates: list[list[Spot]]) -> None:
        self.work, self.updates = work, updates

    def wait(self) -> dict[int, FloatArray]:
        if not self.updates:
            raise Cancelled
        spots = self.updates.pop(0)
        update_labels(self.work.dataset, spots, training_params(self.work).labels, NoReporter(), FREE)
        return {spots[0].t: np.array([spot.pos for spot in spots])}


def test_a_live_session_is_repeated(made: tuple[ModelWork, list[Spot]], tmp_path: Path) -> None:
    work, spots = made
    moved = [Spot(1, spot.pos, spot.covariance, spot.tag) for spot in spots]
    script = Script(work, [moved, spots[2:], moved[:4]])
    with pytest.raises(Cancelled):
        train_live(work, spots, training_params(work), FixedControl(1e-3, 2), script, lambda: None)
    done = repeat_training(work.dataset, last_training(work.dataset), again(work, tmp_path), [work.model_path])
    assert (done.n_epochs, done.is_same) == (4, True)
    assert torch.equal(weights(tmp_path / "again.pth"), weights(work.model_path))


def test_trainings_before_are_repeated_where_their_weights_are_gone(
    made: tuple[ModelWork, list[Spot]], tmp_path: Path
) -> None:
    work, spots = made
    for n in (8, 5):
        train(work, spots[:n], training_params(work, n_epochs=1), FixedControl(5e-3, 4), lambda: None)
    number = last_training(work.dataset)
    start = tmp_path / ".generations" / "m.pth" / "000001.pth"
    done = repeat_training(work.dataset, number, again(work, tmp_path), [start])
    assert (done.n_trainings, done.is_same) == (2, True)
    with pytest.raises(NotFoundError, match="is no training"):
        repeat_training(work.dataset, number - 1, again(work, tmp_path), [])


class Ended(FixedControl):
    """Ends a training within an epoch."""

    def __init__(self, n_settings: int) -> None:
        super().__init__(1e-3, 1)
        self.left = n_settings

    def settings(self) -> LiveSettings:
        self.left -= 1
        if self.left < 0:
            raise Cancelled
        return super().settings()


def volume(tmp_path: Path) -> tuple[ModelWork, list[Spot]]:
    dataset, spots = make_dataset(tmp_path / "d", (8, 32, 32))
    return ModelWork(dataset, tmp_path / "m.pth", ModelCache(torch.device("cpu")), NoReporter(), FREE), spots


def start_and_train(work: ModelWork, spots: list[Spot], control: FixedControl, **loop: object) -> None:
    params = training_params(work, batch_size=1, n_crops=1, **loop)
    run = prepare_training(DETECTION, work, spots, params)
    start_model(work, run.start())
    with suppress(Cancelled):
        run.run(control, lambda: None)


def test_trainings_in_3d_are_repeated_from_shipped_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ship(monkeypatch, tmp_path, DetectionNet, 3)
    work, spots = volume(tmp_path)
    later = [Spot(1, spot.pos, spot.covariance, spot.tag) for spot in spots]
    start_and_train(work, spots, FixedControl(1e-3, 1), n_epochs=1)
    first = last_training(work.dataset)
    start_and_train(work, later, Ended(5), n_epochs=5, replay=1.0)  # after two epochs; timepoint 0 is replayed
    number = last_training(work.dataset)
    kept = (tmp_path / ".generations" / "m.pth").iterdir()
    # What the model knew before is kept in mind, whether that is known of the weights or not.
    for files, n in (([], 2), (sorted(kept), 1)):
        done = repeat_training(work.dataset, number, again(work, tmp_path / str(n)), files)
        assert (done.n_trainings, done.n_epochs, done.is_same, done.sentences) == (n, 2, True, [])
        assert torch.equal(weights(tmp_path / str(n) / "again.pth"), weights(work.model_path))
    ship(monkeypatch, tmp_path, DetectionNet, 3, seed=1)
    other = repeat_training(work.dataset, first, again(work, tmp_path / "other"))
    assert other.is_same is False
    assert "began with other weights" in other.differences[0]


def test_a_training_of_flow_in_3d_is_repeated_from_shipped_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ship(monkeypatch, tmp_path, FlowNet, 3)
    dataset, spots = movement.make_dataset(tmp_path / "d", (8, 32, 32))
    work = ModelWork(dataset, tmp_path / "m.pth", ModelCache(torch.device("cpu")), NoReporter(), FREE)
    for t in (1, 0):  # the first one is replayed by the second
        params = movement.training_params(work, seed=None, n_crops=1, n_epochs=2 - t)
        run = prepare_training(FLOW, work, movement.links_of(spots, t), params)
        start_model(work, run.start())
        run.run(FixedControl(1e-3, 1), lambda: None)
    kept = (tmp_path / ".generations" / "m.pth").iterdir()
    for files, n in (([], 2), (sorted(kept), 1)):
        done = repeat_training(dataset, last_training(dataset), again(work, tmp_path / str(n)), files)
        assert (done.n_trainings, done.n_epochs, done.is_same, done.sentences) == (n, 2, True, [])
        assert torch.equal(weights(tmp_path / str(n) / "again.pth"), weights(work.model_path))


def test_the_command_lists_shows_and_repeats(
    made: tuple[ModelWork, list[Spot]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (work, spots), shell = made, Shell(tmp_path, capsys)
    train(work, spots, training_params(work, n_epochs=1), FixedControl(5e-3, 4), lambda: None)
    dataset, model = str(work.dataset.folder), str(work.model_path)
    lines = shell("record", "list", dataset).out.splitlines()
    assert ["labels of timepoint 0: 8 spots" in line for line in lines] == [False, True, False, False]
    shown = shell("record", "show", dataset, "1").json
    assert shown["annotations"][0]["pos"] == spots[0].pos[::-1].tolist()
    assert shell("record", "replay", dataset, str(tmp_path / "new"), "--json").json["updates"] == 1
    np.testing.assert_array_equal(Dataset(tmp_path / "new").read_labels(0), work.dataset.read_labels(0))
    found = shell("record", "train", dataset, "--model", model, "-o", str(tmp_path / "x.pth"), "--json").json
    assert (found["same"], found["epochs"]) == (True, 1)
    refused = shell("record", "show", dataset, "99")
    assert refused.status == 1
    assert "there is no entry 99" in refused.err
