"""The picture of true and found nuclei."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from core.evaluation.nuclei import spot
from elephant.evaluation import picture
from elephant.evaluation.matching import TimepointScores, match_by_distance
from elephant.evaluation.picture import Views, draw, outline
from elephant.types import VoxelSize


def views_of(image: np.ndarray) -> Views:
    return Views.of(lambda planes: image[planes], image.shape)


@pytest.mark.parametrize("plane", [(1, 2), (0, 2), (1, 0)])
def test_an_outline_is_the_shadow_of_the_ellipsoid(plane: tuple[int, int]) -> None:
    """Points of the surface fall inside the outline, and some of them on it."""
    rng = np.random.default_rng(1)
    root = rng.normal(size=(3, 3))
    nucleus = spot(4, 5, 6, root @ root.T + np.eye(3))
    directions = rng.normal(size=(20_000, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    surface = nucleus.pos + directions @ np.linalg.cholesky(nucleus.covariance).T
    line = outline(nucleus, plane, points=500)
    for angle in np.linspace(0, 2 * np.pi, 9):
        towards = np.array([np.cos(angle), np.sin(angle)])
        assert (line @ towards).max() == pytest.approx((surface[:, plane] @ towards).max(), rel=2e-3)


@pytest.mark.parametrize("shape", [(16, 64, 48), (1, 64, 48)])
def test_the_colours_of_true_and_found_are_in_the_file(tmp_path: Path, shape: tuple[int, ...]) -> None:
    image = np.random.default_rng(0).integers(0, 100, size=shape).astype(np.uint16)
    true = [spot(0 if shape[0] == 1 else 8, 10, 10, 9 * np.eye(3))]
    found = [spot(0 if shape[0] == 1 else 8, 20, 10, 9 * np.eye(3))]
    path = tmp_path / "new" / "picture.png"
    scores = TimepointScores(0, true, found, match_by_distance(true, found, 5))
    draw(path, views_of(image), VoxelSize(1.0, 0.5, 0.5), scores, "title")
    pixels = (imread(path)[..., :3] * 255).round().astype(int)
    for colour in ((0x4C, 0xC9, 0xF0), (0xFF, 0x9F, 0x1C)):
        assert (np.abs(pixels - colour).max(axis=2) < 3).sum() > 100


def test_views_of_an_image_that_is_read_in_pieces_are_those_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    image = np.random.default_rng(0).integers(0, 1000, size=(7, 5, 4)).astype(np.uint16)
    monkeypatch.setattr(picture, "_AT_ONCE", 40)
    above, front, side = views_of(image).projections
    assert np.array_equal(above, image.max(axis=0))
    assert np.array_equal(front, image.max(axis=1))
    assert np.array_equal(side, image.max(axis=2).T)
