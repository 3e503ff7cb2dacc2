"""Making the shipped networks: what they learn from, and that an interruption changes nothing."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from benchmarks.pretraining import PLANS, Plan, Pretraining, publish
from benchmarks.pretraining_learning import Crop, alike, cut, errors_of_flow, new_network
from benchmarks.pretraining_movies import FLATTEST, RADII, VERSION, draw
from benchmarks.pretraining_samples import MAX_DISPLACEMENT, detection_sample, flow_sample, visible_part

from elephant.models.checkpoint import fill, load_state_dicts
from elephant.models.unet import FlowNet
from elephant.types import Label, Spot, Tag, VoxelSize

PADDED = 8  # voxels, of a plane
TINY = {"sizes": ((32, 32),), "batch": 2, "steps": 2}
PAIRS = ((-2.0, 3.0), (0.5, 0.0))  # displacements along X and Y, voxels


@pytest.mark.parametrize("n_dims", [2, 3])
def test_drawn_movies_are_valid_and_of_sizes_that_are_promised(n_dims: int) -> None:
    for number in range(60):
        scene = draw(np.random.default_rng(number), n_dims)
        radius = scene.parameters.radius
        assert RADII[0] <= radius <= RADII[1]
        if n_dims == 3:
            assert radius * scene.parameters.height / scene.parameters.voxel[0] >= 0.99 * FLATTEST
        assert len(scene.margin) == n_dims


def test_all_of_a_timepoint_is_labelled_and_nothing_beyond_it() -> None:
    sample = detection_sample(draw(np.random.default_rng(1), 2))
    labels, image = sample.volume.labels, sample.volume.image
    inside = (slice(PADDED, -PADDED),) * 2
    assert set(np.unique(labels[inside]).tolist()) >= {Label.BACKGROUND, Label.BORDER, Label.CENTRE}
    assert (labels[inside] == Label.NOTHING).mean() < 0.05  # what a sliver covers
    labels[inside] = Label.NOTHING
    assert not labels.any()
    assert (image[:PADDED] == image[PADDED]).all()
    assert image.min() == 0
    assert image.max() == 1


def ball(*pos: float, radius: float = 6.0) -> Spot:
    return Spot(0, np.array(pos), np.eye(3) * radius**2, Tag.TP)


VOXEL, SHAPE = VoxelSize(2.0, 1.0, 1.0), (10, 30, 30)


def test_a_nucleus_within_the_image_stays_as_it_is() -> None:
    whole = ball(10, 10, 10)
    assert visible_part(whole, VOXEL, SHAPE) is whole
    flat = replace(ball(0, 10, 10), covariance=np.diag([1.0, 36, 36]))
    assert visible_part(flat, VOXEL, (30, 30)) is flat


def test_of_a_nucleus_that_the_edge_cuts_the_visible_part_is_labelled() -> None:
    half = visible_part(ball(10, 10, -0.5), VOXEL, SHAPE)
    assert half is not None
    assert half.tag is Tag.TP
    # The centre of mass of half a ball lies 3/8 of the radius from its flat face, its variance there is 0.0594 r^2.
    np.testing.assert_allclose(half.pos, [10, 10, 6 * 3 / 8 - 0.5], atol=0.3)
    expected = 36 * np.diag([1, 1, 5 * 0.0594])
    np.testing.assert_allclose(half.covariance, expected, atol=0.12 * 36)
    disk = visible_part(ball(0, -0.5, 10), VOXEL, (30, 30))
    assert disk is not None
    np.testing.assert_allclose(disk.pos, [0, 6 * 4 / (3 * np.pi) - 0.5, 10], atol=0.3)
    assert disk.covariance[0, 0] == 36


@pytest.mark.parametrize("pos", [(10, 10, -5.6), (10, -20, 10), (-5.5, 10, 10)], ids=["sliver", "outside", "a plane"])
def test_a_sliver_of_a_nucleus_is_none(pos: tuple[float, float, float]) -> None:
    assert visible_part(ball(*pos), VOXEL, SHAPE) is None


def test_a_pair_is_labelled_with_what_moved() -> None:
    sample = flow_sample(draw(np.random.default_rng(1), 2, timepoints=2))
    labels = sample.volume.labels
    moved = np.abs(labels[:-1, labels[-1] > 0]) * MAX_DISPLACEMENT
    assert 0 < moved.mean() < 15
    assert not labels[:, labels[-1] == 0].any()


def test_errors_of_flow_are_voxels_where_there_are_labels() -> None:
    labels = torch.zeros(2, 3, 4, 4)
    for item, (x, y) in enumerate(PAIRS):
        labels[item, :, 1:3, 1:3] = torch.tensor([x / 80, y / 40, 1])[:, None, None]
    flow = torch.zeros(2, 2, 4, 4)
    flow[:, 0] = 1 / 80  # 1 voxel along X, also where nothing is labelled
    errors, motions = errors_of_flow(flow, labels, torch.tensor([(80.0, 40.0), (80.0, 40.0)]))
    torch.testing.assert_close(motions, torch.tensor([5.0, 0.5]))
    torch.testing.assert_close(errors, torch.tensor([6.0, 0.5]))


def test_crops_are_computed_together_only_if_they_are_alike() -> None:
    shapes = [((1, 8, 8), 0), ((1, 8, 8), 1), ((1, 4, 8), 0), ((1, 8, 8), 0), ((1, 8, 8), 0)]
    crops = [Crop(torch.zeros(shape), torch.zeros(shape), keep, ()) for shape, keep in shapes]
    groups = alike(crops, 2)
    assert sorted(len(group) for group in groups) == [1, 1, 1, 2]
    assert all(len({(crop.images.shape, crop.keep_axials) for crop in group}) == 1 for group in groups)


def test_a_crop_has_the_planes_that_the_poolings_need() -> None:
    rng = np.random.default_rng(3)
    sample = replace(flow_sample(draw(rng, 3, timepoints=2)), keep_axials=0)
    assert cut(sample, ((4, 16, 16),), torch.device("cpu"), rng).images.shape == (2, 16, 16, 16)


def test_flow_in_3d_begins_with_what_flow_in_2d_knows() -> None:
    flat = new_network("flow", 2, 1).eval()
    deep = new_network("flow", 3, 2, flat.state_dict()).eval()
    deep.n_keep_axials = 4
    images = torch.rand(1, 2, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected, found = flat(images), deep(images[:, :, None])
    torch.testing.assert_close(found[:, :2, 0], expected, rtol=1e-4, atol=1e-6)
    assert found[:, 2].any()


@pytest.mark.parametrize("name", ["detection2d", "flow2d"])
def test_an_interrupted_training_goes_on_as_if_it_had_not_been(tmp_path: Path, name: str) -> None:
    plan: Plan = replace(PLANS[name], **TINY)
    whole = Pretraining(plan, 3, tmp_path / "whole.state")
    whole.run(2, lambda *_: True)
    begun = Pretraining(plan, 3, tmp_path / "begun.state", threads=2)
    begun.run(2, lambda step, _: step < 1)
    begun.save()
    resumed = Pretraining(plan, 3, tmp_path / "begun.state")
    assert resumed.step == 1
    resumed.run(2, lambda *_: True)
    for key, value in whole.average.items():
        torch.testing.assert_close(resumed.average[key], value, rtol=0, atol=0)


def test_what_is_published_is_described(tmp_path: Path) -> None:
    training = Pretraining(replace(PLANS["flow2d"], **TINY), 0, tmp_path / "a.state")
    publish(training, "flow2d", tmp_path)
    (weights,) = load_state_dicts(tmp_path / "flow2d.pth")
    fill(FlowNet(2, 0), weights, "flow2d.pth")
    assert {value.dtype for value in weights.values()} == {torch.float16}
    facts = json.loads((tmp_path / "weights.json").read_text())["flow2d"]
    assert facts["max_displacement"] == MAX_DISPLACEMENT
    assert facts["recipe"] == VERSION
