"""The scale at which a model sees a dataset: how it is chosen by nuclei, kept, and followed."""

from pathlib import Path
from threading import Thread

import numpy as np
import pytest

from elephant.config import (
    DetectionParams,
    DetectionTrainingParams,
    ImageParams,
    LabelParams,
    PredictionParams,
    SpotParams,
)
from elephant.methods.first_look import BEST_RADII, GOOD_RADII, extents
from elephant.methods.scale import LARGEST_GROWTH, at_scale, scale_for, suits
from elephant.models.provenance import (
    N_SCALES,
    ProvenanceEntry,
    SeenScale,
    TrainedWith,
    read_provenance,
    record,
    remember_scale,
)
from elephant.models.provenance_text import ModelProvenance, details
from elephant.types import Spot, VoxelSize

SHAPE = (20, 100, 100)
CUBIC, FLAT = VoxelSize(1.0, 1.0, 1.0), VoxelSize(4.0, 1.0, 1.0)
LARGER = SeenScale(rescaling=(1.0, 1.5, 1.5), n_keep_axials=1)


def prediction(**image: object) -> DetectionParams:
    seen = PredictionParams(n_keep_axials=0, image=ImageParams.model_validate(image))
    return DetectionParams(prediction=seen, spots=SpotParams(voxel_size=CUBIC))


def test_nuclei_that_suit_the_network_are_seen_as_stored() -> None:
    for radius in GOOD_RADII:
        assert scale_for(np.full(3, radius), CUBIC, SHAPE) == ((1.0, 1.0, 1.0), 0)
        assert scale_for(np.full(2, radius), CUBIC, SHAPE[1:]) == ((1.0, 1.0), 0)
        assert scale_for(np.array([radius / 4, radius, radius]), FLAT, SHAPE) == ((1.0, 1.0, 1.0), 2)


@pytest.mark.parametrize("radius", [0.5, 2.0, 4.0, 15.0, 40.0, 150.0])
@pytest.mark.parametrize("depth", [0.05, 0.2, 1.0, 5.0])
def test_others_are_brought_to_its_range_at_a_bounded_cost(radius: float, depth: float) -> None:
    radii = np.array([radius * depth, radius, radius])
    rescaling, keep = scale_for(radii, CUBIC, SHAPE)
    assert np.prod(rescaling) <= LARGEST_GROWTH * 1.02
    assert 0 <= keep <= 4
    seen = radii * rescaling
    if radius > 4.1:
        assert seen[-1] == pytest.approx(np.clip(radius, *BEST_RADII), rel=0.2)
        assert seen[0] <= 1.7 * seen[-1]


def test_nuclei_that_are_tall_in_voxels_are_seen_as_round() -> None:
    rescaling, keep = scale_for(np.array([35.0, 7.0, 7.0]), CUBIC, SHAPE)
    assert (rescaling, keep) == ((0.2, 1.0, 1.0), 0)


def test_a_scale_suits_nuclei_that_it_brings_anywhere_into_the_range() -> None:
    low, high = GOOD_RADII
    half = SeenScale(rescaling=(1.0, 0.5, 0.5))
    for radius, is_good in ((2 * low, True), (2 * high, True), (1.9 * low, False), (2.1 * high, False)):
        assert suits(np.array([radius / 2, radius, radius]), half) is is_good
    assert not suits(np.array([5 * low, 2 * low, 2 * low]), half)  # five times as tall as wide
    assert not suits(np.full(2, 2 * low), half)  # of planes
    assert suits(np.full(2, low), SeenScale(rescaling=(1.0, 1.0)))


def test_typical_radii_are_medians_in_voxels() -> None:
    spots = [Spot(0, np.zeros(3), np.diag([4.0**2, 3.0**2, r**2])) for r in (2.0, 3.0, 50.0)]
    np.testing.assert_allclose(extents(spots, (2.0, 1.0, 0.5)), [2.0, 3.0, 6.0])


def test_the_image_is_rescaled_and_the_poolings_follow() -> None:
    seen = at_scale(prediction(), LARGER, SHAPE).prediction
    assert (seen.image.input_size, seen.n_keep_axials) == ((20, 150, 150), 1)
    training = DetectionTrainingParams(labels=LabelParams(voxel_size=CUBIC), crop_size=(8, 8, 8))
    changed = at_scale(training, LARGER, SHAPE)
    assert (changed.image.input_size, changed.n_keep_axials) == ((20, 150, 150), 1)


def test_what_a_person_asks_for_is_respected() -> None:
    for image in ({"input_size": (20, 90, 90)}, {"auto_scale": False}):
        asked = prediction(**image)
        assert at_scale(asked, LARGER, SHAPE) == asked
    chosen = prediction().prediction.model_copy(update={"n_keep_axials": 3})
    params = prediction().model_copy(update={"prediction": chosen})
    assert at_scale(params, LARGER, SHAPE).prediction.n_keep_axials == 3
    assert at_scale(prediction(input_size=SHAPE), LARGER, SHAPE).prediction.image.input_size == (20, 150, 150)


def test_without_a_scale_nothing_changes() -> None:
    same = SeenScale(rescaling=(1.0, 1.0, 1.0))
    for scale in (None, same, SeenScale(rescaling=(1.5, 1.5))):
        assert at_scale(prediction(), scale, SHAPE) == prediction()


def test_it_stays_with_the_model(tmp_path: Path) -> None:
    path = tmp_path / "m.pth"
    path.touch()
    start = ProvenanceEntry(what="pretrained", source="versatile3d.pth", scales={"a": LARGER})
    record(path, start)
    remember_scale(path, start, "b", SeenScale(rescaling=(1.0, 0.5, 0.5), basis="spots"))
    (kept,) = read_provenance(path)
    assert sorted(kept.scales) == ["a", "b"]
    assert "a: seen 1.5 x 1.5 x 1 (X, Y, Z) times as large as stored (chosen by the image)" in details(kept)
    training = ProvenanceEntry(what="training", before=1, scales=kept.scales, trained_with=_trained((1.0, 1.5, 1.5)))
    assert ModelProvenance([kept, training], is_current=True).scales() == kept.scales


def test_it_goes_where_a_person_trains_at_another_scale() -> None:
    start = ProvenanceEntry(what="pretrained", scales={"a": LARGER})
    training = ProvenanceEntry(what="training", before=1, trained_with=_trained((1.0, 1.0, 1.0)))
    assert ModelProvenance([start, training], is_current=True).scales() == {}
    assert ModelProvenance([start], is_current=False).scales() == {}


def test_scales_that_predictions_add_during_a_training_stay(tmp_path: Path) -> None:
    path = tmp_path / "m.pth"
    path.touch()
    start = ProvenanceEntry(what="pretrained", began=1, scales={"a": LARGER})
    training = ProvenanceEntry(what="training", began=2, before=1, scales={"a": LARGER}, trained_with=_trained((1.0,)))
    record(path, start)

    def train() -> None:
        for epoch in range(1, 31):
            record(path, training.model_copy(update={"epochs": epoch}))

    def predict() -> None:
        for i in range(30):
            remember_scale(path, training, f"b{i % 3}", LARGER)

    others = [Thread(target=work) for work in (train, predict)]
    for other in others:
        other.start()
    for other in others:
        other.join()
    assert [(one.what, one.epochs) for one in read_provenance(path)] == [("pretrained", 0), ("training", 30)]
    predict()
    record(path, training.model_copy(update={"epochs": 31}))
    assert sorted(read_provenance(path)[-1].scales) == ["a", "b0", "b1", "b2"]


def test_scales_of_more_datasets_than_are_kept_displace_the_oldest(tmp_path: Path) -> None:
    path = tmp_path / "m.pth"
    path.touch()
    start = ProvenanceEntry(what="pretrained")
    record(path, start)
    for i in range(N_SCALES + 2):
        remember_scale(path, start, f"b{i}", LARGER)
    assert list(read_provenance(path)[0].scales) == [f"b{i}" for i in range(2, N_SCALES + 2)]


def _trained(rescaling: tuple[float, ...]) -> TrainedWith:
    return TrainedWith(voxel_size=(1.0, 1.0, 1.0), rescaling=rescaling, n_keep_axials=0)
