import pytest

from elephant.models.provenance import ProvenanceEntry, TrainedWith
from elephant.models.provenance_text import ModelProvenance, details

VOLUME = TrainedWith(voxel_size=(2.0, 0.4, 0.4), rescaling=(1.0, 0.5, 0.5), n_keep_axials=2, c_ratio=0.3)
FLOW = TrainedWith(voxel_size=(2.0, 0.4, 0.4), rescaling=(1.0, 1.0, 1.0), n_keep_axials=6, max_displacement=80)
PLANE = TrainedWith(voxel_size=(0.4, 0.4), rescaling=(0.5, 0.5), n_keep_axials=0, c_ratio=0.3)


@pytest.mark.parametrize(
    ("trained", "changes", "expected"),
    [
        (VOLUME, {}, []),
        (VOLUME, {"voxel_size": (2.01, 0.401, 0.4)}, []),
        (
            VOLUME,
            {"voxel_size": (1.0, 0.4, 0.4)},
            [("voxel size", "0.4 x 0.4 x 2 (X, Y, Z)", "0.4 x 0.4 x 1 (X, Y, Z)")],
        ),
        (
            VOLUME,
            {"rescaling": (1.0, 1.0, 1.0)},
            [("rescaling", "0.5 x 0.5 x 1 (X, Y, Z)", "1 x 1 x 1 (X, Y, Z)")],
        ),
        (
            VOLUME,
            {"c_ratio": 0.4, "use_median": True},
            [("use_median", "false", "true"), ("c_ratio", "0.3", "0.4")],
        ),
        (VOLUME, {"n_keep_axials": 3}, [("n_keep_axials", "2", "3")]),
        (FLOW, {"n_keep_axials": 4}, [("n_keep_axials", "6", "4")]),
        (FLOW, {"max_displacement": 40}, [("max_displacement", "80", "40")]),
        (VOLUME.model_copy(update={"n_keep_axials": 6}), {"n_keep_axials": 4}, []),
        (PLANE, {"n_keep_axials": 3, "voxel_size": (2.0, 0.4, 0.4), "rescaling": (1.0, 0.5, 0.5)}, []),
    ],
)
def test_differences(trained: TrainedWith, changes: dict[str, object], expected: list[tuple[str, str, str]]) -> None:
    assert trained.differences(trained.model_copy(update=changes)) == expected


def test_an_image_is_rescaled_as_it_was() -> None:
    assert VOLUME.input_size((10, 101, 200)) == (10, 50, 100)
    assert FLOW.input_size((10, 100, 200)) is None
    assert PLANE.input_size((10, 100, 200)) is None


def test_it_is_stored_and_reported() -> None:
    entry = ProvenanceEntry(what="training", trained_with=VOLUME)
    assert ProvenanceEntry.model_validate_json(entry.model_dump_json(exclude_defaults=True)) == entry
    words = "voxel size 0.4 x 0.4 x 2 (X, Y, Z) · rescaled by 0.5 x 0.5 x 1 (X, Y, Z) · n_keep_axials 2 · c_ratio 0.3"
    assert details(entry) == words


def test_the_last_training_counts_and_a_start_ends_it() -> None:
    trained = ProvenanceEntry(what="training", trained_with=VOLUME)
    again = ProvenanceEntry(what="live session", trained_with=FLOW, before=1)
    assert ModelProvenance([trained, again], is_current=True).trained_with() == FLOW
    assert ModelProvenance([trained, again], is_current=False).trained_with() is None
    assert (
        ModelProvenance([trained, again, ProvenanceEntry(what="restored", restored=1)], is_current=True).trained_with()
        == VOLUME
    )
    assert ModelProvenance([trained, ProvenanceEntry(what="random", before=1)], is_current=True).trained_with() is None
    assert (
        ModelProvenance([trained, ProvenanceEntry(what="training", before=1)], is_current=True).trained_with() == VOLUME
    )


@pytest.mark.parametrize(
    ("trained", "changes", "was_chosen"),
    [
        (FLOW, {"n_keep_axials": 2}, False),  # Z is 5 times X
        (FLOW, {"n_keep_axials": 3}, True),
        (FLOW, {"n_keep_axials": 5, "voxel_size": (12.8, 0.4, 0.4)}, False),
        (FLOW, {"n_keep_axials": 4, "voxel_size": (12.8, 0.4, 0.4)}, True),  # the norm is not clamped
        (VOLUME, {"n_keep_axials": 1}, False),  # seen at half the size in X and Y: 2.5 times
        (VOLUME, {"n_keep_axials": 2}, True),
        (VOLUME, {"n_keep_axials": 0, "voxel_size": (0.2, 0.4, 0.4)}, False),
        (PLANE, {}, False),
    ],
)
def test_whether_the_poolings_follow_from_the_voxels(
    trained: TrainedWith, changes: dict[str, object], was_chosen: bool
) -> None:
    assert trained.model_copy(update=changes).n_keep_axials_was_chosen is was_chosen
