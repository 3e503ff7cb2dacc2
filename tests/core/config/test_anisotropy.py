import pytest
from pydantic import ValidationError

from elephant.config import DisplacementParams, FlowParams, PredictionParams, n_keep_axials
from elephant.types import VoxelSize


@pytest.mark.parametrize(
    ("anisotropy", "expected"),
    [
        *[(0.01, -1), (0.5, -1), (0.74, -1), (0.75, 0), (1, 0), (1.5, 0), (1.99, 0)],
        *[(2, 1), (2.5, 1), (2.99, 1), (3, 2), (4, 2), (5.9, 2), (6, 3), (10, 3), (12, 4), (23.9, 4)],
        *[(24, 5), (90, 6), (100, 7), (2.0**31, 31), (2.0**40, 31)],
    ],
)
def test_n_keep_axials_follows_from_the_anisotropy(anisotropy: float, expected: int) -> None:
    voxel_size = VoxelSize(anisotropy * 0.5, 0.5, 0.5)
    assert n_keep_axials(voxel_size, 3) == expected
    assert n_keep_axials(voxel_size, 2) == 0


@pytest.mark.parametrize(
    ("sent", "z_norm", "pooled"), [(-1, 160, 0), (0, 80, 0), (4, 5, 4), (6, 1.25, 4), (31, 80 / 2**31, 4)]
)
def test_the_norm_takes_it_as_sent_and_the_poolings_clamp_it(sent: int, z_norm: float, pooled: int) -> None:
    displacement = DisplacementParams(voxel_size=(1, 1, 1), max_displacement=80, n_keep_axials=sent)
    assert displacement.norm(3) == (80, 80, z_norm)
    prediction = PredictionParams(n_keep_axials=sent)
    assert prediction.n_keep_axials == pooled
    params = FlowParams(displacement=displacement, prediction=prediction)
    assert FlowParams.model_validate_json(params.model_dump_json()) == params


@pytest.mark.parametrize("sent", [-2, 32])
def test_what_no_client_derives_is_refused(sent: int) -> None:
    with pytest.raises(ValidationError, match="n_keep_axials"):
        DisplacementParams(voxel_size=(1, 1, 1), max_displacement=80, n_keep_axials=sent)
    with pytest.raises(ValidationError, match="n_keep_axials"):
        PredictionParams(n_keep_axials=sent)
