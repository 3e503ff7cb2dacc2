import numpy as np
import pytest

from core import golden_files
from elephant.config import LabelParams
from elephant.dataset import labels_as_rgb
from elephant.labels import detection_labels
from elephant.types import Spot, Tag


@pytest.mark.parametrize("name", golden_files.names("labels_*"))
def test_labels_and_their_colours_match_the_golden_ones(name: str) -> None:
    meta, arrays = golden_files.load(name)
    image = arrays["image"]
    params = LabelParams(
        voxel_size=golden_files.voxel_size(meta["scales_zyx"]),
        c_ratio=meta["c_ratio"],
        auto_bg_thresh=meta["auto_bg_thresh"],
    )
    labels = detection_labels(image.shape, [golden_files.spot(s) for s in meta["spots"]], params, image)
    np.testing.assert_array_equal(labels, arrays["seg"])
    np.testing.assert_array_equal(labels_as_rgb(labels), arrays["vis"])


def test_unlabeled_spots_and_spots_outside_leave_no_trace() -> None:
    params = LabelParams(voxel_size=(1, 1, 1))
    spots = [
        Spot(0, np.array([5.0, 5.0, 5.0]), np.eye(3) * 4, Tag.UNLABELED),
        Spot(0, np.array([500.0, 5.0, 5.0]), np.eye(3) * 4, Tag.TP),
    ]
    assert not detection_labels((11, 11, 11), spots, params).any()


def test_an_automatic_background_needs_an_image() -> None:
    with pytest.raises(ValueError, match="expected an image"):
        detection_labels((3, 3, 3), [], LabelParams(voxel_size=(1, 1, 1), auto_bg_thresh=0.1))
