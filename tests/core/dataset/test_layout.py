import math

import numpy as np
import pytest

from elephant.dataset.layout import FLOW_HASHES, array_specs, even_part, grow, regions
from elephant.errors import InvalidInputError


def test_the_arrays_of_a_3d_movie() -> None:
    specs = array_specs(5, (4, 30, 20), "uint16")
    assert {name: (spec.shape, spec.dtype) for name, spec in specs.items()} == {
        "imgs.zarr": ((5, 4, 30, 20), "uint16"),
        "seg_outputs.zarr": ((5, 4, 30, 20, 3), "float16"),
        "seg_labels.zarr": ((5, 4, 30, 20), "uint8"),
        "seg_labels_vis.zarr": ((5, 4, 30, 20, 3), "uint8"),
        "flow_outputs.zarr": ((4, 3, 4, 30, 20), "float16"),
        "flow_labels.zarr": ((4, 4, 4, 30, 20), "float32"),
        "flow_hashes.zarr": ((4,), "S16"),
    }


def test_the_arrays_of_a_2d_movie() -> None:
    specs = array_specs(1, (30, 20), "uint8")
    assert {name: (spec.shape, spec.dtype) for name, spec in specs.items()} == {
        "imgs.zarr": ((1, 30, 20), "uint8"),
        "seg_outputs.zarr": ((1, 30, 20, 3), "float16"),
        "seg_labels.zarr": ((1, 30, 20), "uint8"),
        "seg_labels_vis.zarr": ((1, 30, 20, 3), "uint8"),
        "flow_outputs.zarr": ((0, 2, 30, 20), "float16"),
        "flow_labels.zarr": ((0, 3, 30, 20), "float32"),
        "flow_hashes.zarr": ((0,), "S16"),
    }


@pytest.mark.parametrize(
    ("n_timepoints", "spatial", "dtype"),
    [(0, (4, 4, 4), "uint8"), (3, (4,), "uint8"), (3, (4, 0, 4), "uint8"), (3, (4, 4), "float32")],
)
def test_other_movies_are_refused(n_timepoints: int, spatial: tuple[int, ...], dtype: str) -> None:
    with pytest.raises(InvalidInputError, match="check the movie"):
        array_specs(n_timepoints, spatial, dtype)


@pytest.mark.parametrize(
    "spatial", [(32, 256, 256), (31, 61, 57), (64, 512, 512), (41, 500, 511), (128, 128), (2048, 2048), (1, 90, 90)]
)
def test_a_timepoint_of_a_usual_size_takes_at_most_12_files(spatial: tuple[int, ...]) -> None:
    specs = array_specs(2, spatial, "uint16").values()
    files = [math.prod(-(-s // f) for s, f in zip(x.shape, x.files, strict=True)) / x.shape[0] for x in specs]
    assert sum(files) - 1 <= 12  # less the hashes, which stay empty
    assert min(files) == 1


@pytest.mark.parametrize("spatial", [(500, 2048, 2048), (3, 9000, 7000), (20000, 30000), (7, 50, 100000)])
def test_files_of_huge_timepoints_are_bounded_and_hold_whole_chunks(spatial: tuple[int, ...]) -> None:
    for spec in array_specs(2, spatial, "uint16").values():
        if spec.name == FLOW_HASHES:
            continue
        size = math.prod(spec.files) * np.dtype(spec.dtype).itemsize
        assert size <= (32 if spec.name == "imgs.zarr" else 64) * 2**20
        assert all(f % c == 0 for f, c in zip(spec.files, spec.chunks, strict=True))


@pytest.mark.parametrize(("size", "part"), [(1, 1), (128, 128), (129, 65), (256, 128), (257, 86)])
def test_parts_are_even(size: int, part: int) -> None:
    assert even_part(size, 128) == part


def test_blocks_grow_along_x_first() -> None:
    assert grow((2, 4, 4), (10, 16, 16), 4 * 16 * 3) == (2, 4, 16)
    assert grow((2, 4, 4), (10, 16, 16), 2 * 16 * 16) == (2, 16, 16)
    assert grow((2, 4, 4), (10, 15, 15), 10**9) == (10, 16, 16)
    assert grow((2, 4, 4), (10, 16, 16), 1) == (2, 4, 4)


def test_regions_cover_everything_once() -> None:
    seen = np.zeros((5, 7), int)
    for region in regions((5, 7), (2, 3)):
        seen[region] += 1
    assert (seen == 1).all()
