import numpy as np
import pytest

from elephant.prediction.tiling import Blender, Tiles, tile_boxes
from elephant.types import Box

CASES = [
    ((32, 256, 256), (24, 384, 384), (4, 16, 16)),
    ((64, 256, 512), (24, 384, 384), (4, 16, 16)),
    ((33, 100, 70), (8, 32, 48), (2, 16, 16)),
    ((5, 17, 900), (16, 10, 100), (16, 16, 16)),
    ((100, 120), (50, 33), (16, 16)),
    ((7, 64, 64), (1, 64, 64), (1, 16, 16)),
]


@pytest.mark.parametrize(("shape", "patch", "divisor"), CASES)
def test_tiles_cover_the_image_and_respect_the_limit(
    shape: tuple[int, ...], patch: tuple[int, ...], divisor: tuple[int, ...]
) -> None:
    covered = np.zeros(shape, dtype=int)
    boxes = tile_boxes(shape, patch, divisor)
    assert len({box.size for box in boxes}) == 1
    for box in boxes:
        assert box.fits(shape)
        assert all(s <= p for s, p in zip(box.size, patch, strict=True))
        covered[box.slices] += 1
    assert covered.min() >= 1


def test_tiles_are_multiples_of_the_divisor_where_they_can_be() -> None:
    sizes = tile_boxes((100, 500, 500), (30, 100, 200), (4, 16, 16))[0].size
    assert [s % d for s, d in zip(sizes, (4, 16, 16), strict=True)] == [0, 0, 0]


def test_tiles_are_no_larger_than_they_need_to_be() -> None:
    boxes = tile_boxes((32, 256, 384), (24, 384, 256), (4, 16, 16))
    assert [(box.origin, box.size) for box in boxes] == [
        ((0, 0, 0), (20, 256, 208)),
        ((0, 0, 176), (20, 256, 208)),
        ((12, 0, 0), (20, 256, 208)),
        ((12, 0, 176), (20, 256, 208)),
    ]


def test_an_image_that_takes_no_more_memory_than_a_tile_is_one() -> None:
    assert Tiles((24, 384, 384), (4, 16, 16), 1).boxes((32, 256, 256)) == [Box.whole((32, 256, 256))]
    assert len(Tiles((24, 384, 384), (4, 16, 16), 1).boxes((64, 384, 384))) > 1


def test_slices_are_tiles_of_their_own_however_few() -> None:
    boxes = Tiles((384, 384), (16, 16), 1).boxes((3, 60, 50))
    assert [box.size for box in boxes] == [(1, 60, 50)] * 3


@pytest.mark.parametrize("most", [10**9, 10**6, 10**5])
def test_no_more_voxels_go_together_than_a_device_can_count(most: int) -> None:
    shape = (128, 512, 1024)
    tiles = Tiles(shape, (4, 16, 16), 4).at_most(most, shape)
    assert np.prod(tiles.size(shape)) * tiles.batch_size <= most


def test_one_tile_that_fits_is_not_cut_for_more_at_a_time_than_there_are() -> None:
    tiles = Tiles((64, 64, 64), (16, 16, 16), 8).at_most(64**3, (64, 64, 64))
    assert tiles.size((64, 64, 64)) == (64, 64, 64)


def test_without_a_limit_there_is_one_tile() -> None:
    (box,) = tile_boxes((9, 8, 7), None, (16, 16, 16))
    assert box.size == (9, 8, 7)


@pytest.mark.parametrize(("shape", "patch", "divisor"), CASES)
def test_blending_tiles_of_one_image_gives_the_image(
    shape: tuple[int, ...], patch: tuple[int, ...], divisor: tuple[int, ...]
) -> None:
    image = np.random.default_rng(0).random((2, *shape), dtype=np.float32)
    boxes = tile_boxes(shape, patch, divisor)
    blender = Blender(shape, boxes, 2)
    for box in boxes:
        blender.add(box, image[(slice(None), *box.slices)])
    np.testing.assert_allclose(blender.result(), image, atol=1e-5)


def test_a_single_tile_is_the_image() -> None:
    image = np.random.default_rng(0).random((9, 8, 7, 2), dtype=np.float32).transpose(3, 0, 1, 2)
    boxes = tile_boxes((9, 8, 7), None, (1, 1, 1))
    blender = Blender((9, 8, 7), boxes, 2)
    blender.add(boxes[0], image)
    np.testing.assert_array_equal(blender.result(), image)
    assert blender.result().flags.c_contiguous


def test_two_tiles_are_blended_linearly() -> None:
    boxes = tile_boxes((32,), (24,), (4,))
    blender = Blender((32,), boxes, 1)
    for value, box in enumerate(boxes):
        blender.add(box, np.full((1, *box.size), value, dtype=np.float32))
    ramp = blender.result()[0]
    assert ramp[0] == 0
    assert ramp[-1] == 1
    np.testing.assert_allclose(np.diff(ramp[12:20]), 1 / 9, atol=1e-6)
