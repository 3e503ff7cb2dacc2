"""The parts of the demonstration that need no server."""

from pathlib import Path

import numpy as np
import pytest
from examples.demo.movie import background_threshold, given
from examples.demo.run import DemoOptions, parse, radius_range

from elephant.dataset.readers.bdv_finding import find_spim_data
from elephant.progress import NoReporter
from elephant.simulation import preset, write_movie
from elephant.types import Spot, VoxelSize


def spot(z: float, y: float, x: float, covariance: np.ndarray | None = None, t: int = 0, name: int = -1) -> Spot:
    return Spot(t, np.array([z, y, x], float), np.eye(3) if covariance is None else covariance, id=name)


def options(*arguments: str, **environment: str) -> DemoOptions:
    return parse(arguments, environment)


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
