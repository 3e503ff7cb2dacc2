import numpy as np
import pytest

from core import golden_files
from elephant.config import DisplacementParams
from elephant.errors import InvalidInputError
from elephant.labels import flow_labels
from elephant.types import Link


def link(pos: tuple[float, ...], displacement: tuple[float, ...], radius: float = 2.0) -> Link:
    return Link(0, np.array(pos), np.eye(3) * radius**2, np.array(displacement))


@pytest.mark.parametrize("name", golden_files.names("labels_*"))
def test_flow_labels_match_the_golden_ones(name: str) -> None:
    meta, arrays = golden_files.load(name)
    largest, _, largest_z = meta["flow_norm_xyz"]
    params = DisplacementParams(
        voxel_size=golden_files.voxel_size(meta["scales_zyx"]),
        max_displacement=largest,
        n_keep_axials=int(np.log2(largest / largest_z)),
    )
    links = [
        Link(0, spot.pos, spot.covariance, np.array(entry["displacement"][::-1]))
        for entry in meta["spots"]
        for spot in [golden_files.spot(entry)]
    ]
    found = flow_labels(arrays["image"].shape, links, params)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, arrays["flow"], rtol=0, atol=1e-6)


def test_later_links_lie_over_earlier_ones() -> None:
    params = DisplacementParams(voxel_size=(2, 1, 0.5), max_displacement=8, n_keep_axials=1)
    links = [link((8, 6, 4), (1, 2, 3)), link((8, 8, 4), (-1, -2, -3)), link((800, 8, 4), (1, 1, 1))]
    labels = flow_labels((9, 14, 17), links, params)
    # X: 3 / 0.5 / 8, Y: 2 / 1 / 8, Z: 1 / 2 / 4
    np.testing.assert_allclose(labels[:, 4, 5, 8], [0.75, 0.25, 0.125, 1])
    np.testing.assert_allclose(labels[:, 4, 7, 8], [-0.75, -0.25, -0.125, 1])
    assert set(np.unique(labels[3])) == {0, 1}
    assert not labels[:, labels[3] == 0].any()


@pytest.mark.parametrize(("n_keep_axials", "z"), [(-1, 0.0625), (5, 4.0)])
def test_the_norm_of_z_is_not_clamped(n_keep_axials: int, z: float) -> None:
    params = DisplacementParams(voxel_size=(2, 1, 1), max_displacement=8, n_keep_axials=n_keep_axials)
    labels = flow_labels((9, 14, 17), [link((8, 6, 4), (2, 4, 2))], params)
    # Z moves by 1 voxel: over 16 for -1, over 1/4 for 5.
    np.testing.assert_allclose(labels[:, 4, 6, 4], [0.25, 0.5, z, 1])


def test_in_2d_only_x_and_y_count() -> None:
    params = DisplacementParams(voxel_size=(7, 1, 0.5), max_displacement=8, n_keep_axials=4)
    labels = flow_labels((14, 17), [link((99, 6, 4), (55, 2, 3))], params)
    np.testing.assert_allclose(labels[:, 6, 8], [0.75, 0.25, 1])


def test_a_link_needs_a_covariance_that_is_one() -> None:
    params = DisplacementParams(voxel_size=(1, 1, 1), max_displacement=8)
    wrong = Link(0, np.zeros(3), np.diag([1.0, -1.0, 1.0]), np.zeros(3))
    with pytest.raises(InvalidInputError, match="positive definite"):
        flow_labels((5, 5, 5), [wrong], params)


@pytest.mark.parametrize(
    "values",
    [
        {"displacement": np.array([1.0, np.nan, 0])},
        {"displacement": np.zeros(2)},
        {"pos": np.array([np.inf, 0, 0])},
        {"covariance": np.arange(9.0).reshape(3, 3)},
    ],
)
def test_a_link_is_checked_when_it_is_made(values: dict[str, np.ndarray]) -> None:
    right = {"pos": np.zeros(3), "covariance": np.eye(3), "displacement": np.zeros(3)}
    with pytest.raises(InvalidInputError, match="link from timepoint 4"):
        Link(4, **{**right, **values})
