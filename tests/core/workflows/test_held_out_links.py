"""What is held out of a flow training, how the model is judged by it, and which epoch stays."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from core.workflows.methods import train_flow, update_flow_labels
from elephant.config import DisplacementParams, FlowTrainingParams, ImageParams, LoopParams
from elephant.dataset import Dataset
from elephant.dataset.opening import open_dataset
from elephant.methods.flow import FLOW
from elephant.methods.held_out_links import HeldOutLinks
from elephant.methods.lesson import Lesson
from elephant.methods.linked_pieces import linked_pieces
from elephant.methods.work import ModelWork
from elephant.models.ensemble import Ensemble, ModelCache
from elephant.models.provenance import read_provenance
from elephant.models.unet import FlowNet
from elephant.models.versions import versions
from elephant.progress import NeverCancelled, NoReporter
from elephant.training.control import FixedControl, LiveSettings
from elephant.training.scalars import JUDGEMENT
from elephant.types import Box, FloatArray, Link

SIZE, RADIUS, LARGEST = 64, 3.0, 8.0
STEP = np.array([2.0, -3.0])  # what every nucleus moves from timepoint to timepoint, voxels, Y, X
PLACES = np.stack(np.meshgrid([10.0, 24, 38, 52], [12.0, 26, 40, 54], indexing="ij"), axis=-1).reshape(-1, 2)


def links_at(t: int, places: FloatArray, step: FloatArray = STEP) -> list[Link]:
    """Return links to nuclei at `t` + 1; each moves a little more than the one before."""
    more = np.linspace(0, 0.1, len(PLACES))
    moved = [(np.array([0, *place]), np.array([0, *-(step * (1 + m))])) for place, m in zip(places, more, strict=False)]
    return [Link(t, pos, np.eye(3) * RADIUS**2, displacement) for pos, displacement in moved]


@pytest.fixture
def work(tmp_path: Path) -> ModelWork:
    grid = np.moveaxis(np.mgrid[:SIZE, :SIZE], 0, -1)
    movie = np.full((3, SIZE, SIZE), 20.0)
    for t in range(3):
        for place in PLACES:
            movie[t] += 150 * np.exp(-((grid - place - (t - 1) * STEP) ** 2).sum(-1) / RADIUS**2)
    dataset = open_dataset(np.clip(movie, 0, 255).astype(np.uint8), tmp_path / "d", axes="TYX", quiet=True)
    cache = ModelCache(torch.device("cpu"))
    made = ModelWork(dataset, tmp_path / "m.pth", cache, NoReporter(), NeverCancelled())
    constant_model(made, 0, 0)
    return made


def constant_model(work: ModelWork, *voxels: float) -> None:
    """Make a model that says the same displacement everywhere, voxels, X, Y."""
    torch.manual_seed(0)
    network = FlowNet(2, 0)
    with torch.no_grad():
        network.out_conv.weight.mul_(1e-3)
        network.out_conv.bias.copy_(torch.atanh(torch.tensor(voxels) / LARGEST))
    work.model_cache.forget(work.model_path)
    Ensemble([network]).save(work.model_path)


def params(**changes: object) -> FlowTrainingParams:
    loop = LoopParams(**{"lr": 1e-3, "n_crops": 8, "n_epochs": 2, "seed": 0, **changes.pop("loop", {})})
    displacement = DisplacementParams(voxel_size=(1, 1, 1), max_displacement=LARGEST)
    return FlowTrainingParams(**{"displacement": displacement, "loop": loop, "crop_size": (48, 48), **changes})


def write(work: ModelWork, links: Sequence[Link]) -> None:
    update_flow_labels(work.dataset, links, params().displacement, NoReporter(), NeverCancelled())


def taught(part: HeldOutLinks, places: FloatArray = PLACES) -> int:
    """Return how many links are left to learn from."""
    return len(part.teaches(0, np.pad(places, ((0, 0), (1, 0)))))


@pytest.mark.parametrize(("n", "held"), [(7, 0), (8, 2), (16, 3)])
def test_nothing_is_held_out_of_fewer_than_eight_links(work: ModelWork, n: int, held: int) -> None:
    part = HeldOutLinks(work.dataset, params())
    write(work, links_at(0, PLACES[:n]))
    part.choose([0], [])
    assert taught(part, PLACES[:n]) == n - held


def test_what_is_held_out_does_not_teach_and_its_labels_stay(work: ModelWork) -> None:
    write(work, links_at(0, PLACES))
    before = work.dataset.read_flow_labels(0)
    part = HeldOutLinks(work.dataset, params())
    part.choose([0], [])
    positions = np.pad(PLACES, ((0, 0), (1, 0)))
    sample = FLOW.sample(work.dataset, 0, positions, FLOW.images(work.dataset, 0, params()), params())
    labels = part.hide(0, sample).labels
    norm = params().displacement.norm(2)
    assert len(linked_pieces(labels, norm)) == taught(part) == len(PLACES) - 3
    assert (sample.labels == before).all()
    assert (work.dataset.read_flow_labels(0) == before).all()


def test_new_and_corrected_links_first_join_the_training(work: ModelWork) -> None:
    write(work, links_at(0, PLACES))
    part = HeldOutLinks(work.dataset, params())
    part.note([0])
    write(work, [*links_at(0, PLACES[:15]), *links_at(0, PLACES[15:], 2 * STEP)])
    part.choose([0], [])
    assert taught(part, PLACES[15:]) == 1
    part = HeldOutLinks(work.dataset, params())
    part.note([0])
    write(work, links_at(0, PLACES, 2 * STEP))
    part.choose([0], [])
    assert taught(part) == len(PLACES)
    part.choose([0], [])  # the next training: they are not new any more
    assert taught(part) < len(PLACES)


def test_nuclei_that_touch_are_told_apart_by_their_motion() -> None:
    labels = np.zeros((3, 20, 20), dtype=np.float32)
    for slices, value in (((2, 6), -0.25), ((6, 9), -0.125), ((12, 15), -0.25)):
        labels[:, slice(*slices), 2:6] = np.array([0.5, value, 1])[:, None, None]
    pieces = linked_pieces(labels, (8, 8))
    assert pieces.displacement.tolist() == [[-2, 4], [-1, 4], [-2, 4]]
    found = [pieces.voxels(labels[(slice(None), *pieces.box(i).slices)], i) for i in range(3)]
    assert [len(voxels) for voxels in found] == [16, 12, 12]
    assert found[2].min(axis=0).tolist() == [12, 2]
    assert not len(linked_pieces(np.zeros_like(labels), (8, 8)))


class Reads(Dataset):
    """Knows how many voxels of labels were read each time."""

    sizes: ClassVar[list[int]] = []

    def read_flow_labels(self, t: int, box: Box | None = None) -> NDArray[np.float32]:
        labels = super().read_flow_labels(t, box)
        self.sizes.append(labels[0].size)
        return labels


def test_what_is_judged_is_read_alone(work: ModelWork) -> None:
    """Whole timepoints, once for each link, would take far longer than an epoch."""
    write(work, links_at(0, PLACES))
    dataset = Reads(work.dataset.folder)
    lesson = Lesson(FLOW, replace(work, dataset=dataset), params(), [0])
    lesson.prepare({0: FLOW.positions(links_at(0, PLACES))})
    lesson.stay_at(0)
    Reads.sizes.clear()
    assert lesson.judge() is not None
    assert 0 < max(Reads.sizes) < SIZE * SIZE / 10


@pytest.mark.parametrize(
    ("said", "left", "size"), [((0, 0), 1, None), ((3, -2), 0.06, None), ((3, -2), 0.06, (128, 32))]
)
def test_the_figure_is_the_distance_left_over_that_without_a_flow(
    work: ModelWork, said: tuple[float, float], left: float, size: tuple[int, int] | None
) -> None:
    wanted = params(loop={"lr": 0, "n_epochs": 1, "n_crops": 1}, image=ImageParams(input_size=size))
    constant_model(work, *said)
    train_flow(work, links_at(0, PLACES), wanted, FixedControl(0, 1), lambda: None)
    entry = read_provenance(work.model_path)[-1]
    assert entry.held_out is not None
    assert entry.held_out.distance_left == pytest.approx(left, abs=0.05)
    assert (entry.curve_of, entry.held_out.figure, len(entry.curve)) == ("distance_left", "distance_left", 2)


class Curves:
    def __init__(self) -> None:
        self.seen: list[dict[str, float]] = []

    def progress(self, stage: str, done: int, total: int, **values: float) -> None:
        if stage == JUDGEMENT:
            self.seen.append(values)


def test_the_best_epoch_stays_and_the_last_is_a_version(work: ModelWork, caplog: pytest.LogCaptureFixture) -> None:
    """The last epoch has so large a learning rate that all displacements are as large as they can be."""
    caplog.set_level(logging.INFO)
    saved: list[int] = []

    class Hasty(FixedControl):
        def settings(self) -> LiveSettings:
            return LiveSettings(1e-3 if len(saved) < 3 else 5e-2, 8)

    curves = Curves()
    made = ModelWork(work.dataset, work.model_path, work.model_cache, curves, work.cancel)
    train_flow(made, links_at(0, PLACES), params(loop={"n_epochs": 4}), Hasty(1e-3, 8), lambda: saved.append(1))
    entry = read_provenance(work.model_path)[-1]
    assert entry.held_out is not None
    assert entry.held_out.distance_left == min(value for epoch, value in entry.curve if epoch)
    assert 0 < entry.epochs < 4
    assert versions(work.model_path)[0].is_last
    assert f"Epoch {entry.epochs} is kept: distance left 0." in caplog.text
    assert "held-out links" in str(entry.held_out)
    assert [value["held_out_distance_left"] for value in curves.seen] == [
        value for epoch, value in entry.curve if epoch
    ]


def test_nuclei_that_stand_still_judge_nothing(work: ModelWork) -> None:
    wanted = params(loop={"n_epochs": 1, "n_crops": 1})
    train_flow(work, links_at(0, PLACES, 0 * STEP), wanted, FixedControl(0, 1), lambda: None)
    entry = read_provenance(work.model_path)[-1]
    assert (entry.held_out, entry.curve) == (None, ())


@pytest.mark.parametrize(
    ("began_trained", "asked", "is_relative"),
    [(False, None, False), (True, None, True), (True, False, False), (False, True, True)],
)
def test_models_that_began_with_trained_weights_change_little_at_a_time(
    work: ModelWork, began_trained: bool, asked: bool | None, is_relative: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    model = Ensemble([FlowNet(2, 0)])
    model.began_trained = began_trained
    FLOW.trainer(model, lambda _: pytest.fail("no step"), params(relative_lr=asked), work.dataset)
    assert ("`relative_lr`" in caplog.text) == is_relative
