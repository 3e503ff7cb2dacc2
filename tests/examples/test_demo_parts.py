"""The parts of the demonstration that need no server."""

from pathlib import Path

import numpy as np
import pytest
from examples.demo.movie import background_threshold, given
from examples.demo.picture import draw, outline
from examples.demo.run import DemoOptions, parse, radius_range
from examples.demo.scoring import compare
from matplotlib.image import imread

from elephant.dataset.readers.bdv_xml import find_spim_data
from elephant.progress import NoReporter
from elephant.simulation import preset, write_movie
from elephant.types import Spot, VoxelSize


def spot(z: float, y: float, x: float, covariance: np.ndarray | None = None, t: int = 0, name: int = -1) -> Spot:
    return Spot(t, np.array([z, y, x], float), np.eye(3) if covariance is None else covariance, id=name)


def options(*arguments: str, **environment: str) -> DemoOptions:
    return parse(arguments, environment)


class TestScoring:
    def test_counts_and_scores(self) -> None:
        true = [spot(0, 0, 0), spot(0, 0, 20), spot(0, 0, 40)]
        found = [spot(0, 1, 0), spot(0, 0, 22), spot(0, 30, 40), spot(9, 9, 9)]
        scores = compare(true, found, 5)
        assert set(scores.matches) == {(0, 0), (1, 1)}
        assert (scores.precision, scores.recall) == (0.5, pytest.approx(2 / 3))
        assert scores.f1 == pytest.approx(4 / 7)
        assert (scores.missed, scores.wrong) == ({2}, {2, 3})

    def test_as_many_matches_as_possible_come_before_near_ones(self) -> None:
        """The nearest pair is (0, 0); taking it would leave the others without partners."""
        true = [spot(0, 0, 0), spot(0, 0, 4)]
        found = [spot(0, 0, 1), spot(0, 0, -4)]
        assert set(compare(true, found, 4).matches) == {(0, 1), (1, 0)}

    def test_the_limit_itself_matches_and_what_is_farther_does_not(self) -> None:
        assert compare([spot(0, 0, 0)], [spot(3, 4, 0)], 5).f1 == 1
        assert compare([spot(0, 0, 0)], [spot(3, 4, 0.1)], 5).f1 == 0

    def test_nothing_found_or_nothing_true(self) -> None:
        assert str(compare([spot(0, 0, 0)], [], 5)) == "precision 0.000, recall 0.000, F1 0.000"
        assert compare([], [spot(0, 0, 0)], 5).wrong == {0}


class TestSettings:
    def test_flat_radii_leave_z_out(self) -> None:
        wide = spot(0, 0, 0, np.diag([1.0, 16.0, 25.0]))
        assert radius_range([wide], 2) == (2.0, 6.25)
        assert radius_range([wide], 3) == (0.5, 6.25)

    def test_the_threshold_lies_above_the_background_and_below_the_nuclei(self) -> None:
        image = np.random.default_rng(0).normal(100, 10, size=(8, 64, 64))
        image[2:4, 10:20, 10:20] = 400
        threshold = background_threshold(image.astype(np.uint16))
        normalised = (image - image.min()) / (image.max() - image.min())
        assert (normalised[image < 200] < threshold).mean() > 0.999
        assert threshold < 0.5
        assert background_threshold(np.full((1, 4, 4), 7, np.uint16)) == 0


class TestOptions:
    def test_the_environment_gives_defaults_and_empty_means_unset(self) -> None:
        chosen = options(MOVIE="a.h5", TRUTH="", SEED="4")
        assert (chosen.movie, chosen.truth, chosen.seed) == (Path("a.h5"), None, 4)
        assert options("--seed", "5", SEED="4").seed == 5
        assert options(SEED="").seed == 0

    @pytest.mark.parametrize("wrong", [["--epochs", "0"], ["--seed", "-1"], ["--preset", "none"]])
    def test_what_makes_no_sense_is_refused(self, wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit):
            options(*wrong)
        assert wrong[0] in capsys.readouterr().err


class TestPicture:
    @pytest.mark.parametrize("plane", [(1, 2), (0, 2), (1, 0)])
    def test_an_outline_is_the_shadow_of_the_ellipsoid(self, plane: tuple[int, int]) -> None:
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
    def test_the_colours_of_true_and_found_are_in_the_file(self, tmp_path: Path, shape: tuple[int, ...]) -> None:
        image = np.random.default_rng(0).integers(0, 100, size=shape).astype(np.uint16)
        true = [spot(0 if shape[0] == 1 else 8, 10, 10, 9 * np.eye(3))]
        found = [spot(0 if shape[0] == 1 else 8, 20, 10, 9 * np.eye(3))]
        path = tmp_path / "new" / "picture.png"
        draw(path, image, (1.0, 0.5, 0.5), true, found, compare(true, found, 5), "title")
        pixels = (imread(path)[..., :3] * 255).round().astype(int)
        for colour in ((0x4C, 0xC9, 0xF0), (0xFF, 0x9F, 0x1C)):
            assert (np.abs(pixels - colour).max(axis=2) < 3).sum() > 100


class TestMovie:
    """Copies of movies that somebody gives."""

    def test_its_xml_comes_with_it_and_that_of_another_one_goes(self, tmp_path: Path) -> None:
        small = preset("demo", shape=(4, 16, 16), timepoints=2, nuclei=1, seed=1)
        theirs = write_movie(small.model_copy(update={"voxel": (3.0, 0.7, 0.7)}), tmp_path / "a.h5", NoReporter()).h5
        target = tmp_path / "datasets" / "demo" / "demo.h5"
        write_movie(small, target, NoReporter())
        given(theirs, None, None, target)
        description = find_spim_data(target)
        assert description is not None
        assert description.setups[0].voxel_size == VoxelSize(3, 0.7, 0.7)

        theirs.with_suffix(".xml").unlink()
        given(theirs, None, None, target)
        assert not target.with_suffix(".xml").exists()
