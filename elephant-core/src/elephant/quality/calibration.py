"""The weights that turn figures of a spot into probabilities, and what a model has learnt of its own reliability."""

import logging
import time
from collections.abc import Sequence
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from elephant.io.atomic import replacing
from elephant.quality.logistic import Logistic, sigmoid
from elephant.quality.measures import NAMES, measure
from elephant.quality.scene import Scene, Sites
from elephant.types import DetectedSpot, FloatArray

logger = logging.getLogger(__name__)

FOLDER = ".quality"
LEAST_JUDGED = 10
MOST_JUDGED = 1000
_LARGEST_BYTES = 1 << 20
_MOST_ODDS = 50.0
# How far a model is expected to be from the simulated ones, standard deviations of the slope and the offset.
_SLOPE_SPREAD, _OFFSET_SPREAD = 0.3, 1.0
_ROUNDS = 30


class Calibration(BaseModel):
    """Weights for each question, fitted on simulated movies.

    Attributes
    ----------
    made_from
        What they were fitted on, in words.
    found
        Whether a spot is a nucleus, from what every prediction has.
    reviewed
        The same, from what a review has, too: the border, and the timepoints before and after.
    merged
        Whether a nucleus was missed at a spot: it covers two.
    missed
        Whether there is a nucleus at a place without a spot.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    made_from: str
    found: Logistic
    reviewed: Logistic
    merged: Logistic
    missed: Logistic


class Correction(BaseModel):
    """What a person judged of a model's spots, and the correction of their log odds that follows.

    Attributes
    ----------
    judged
        The log odds of a spot before any correction, and whether it is a nucleus.
    datasets
        Where it was judged.
    changed
        When it was judged last, seconds since 1970.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    judged: tuple[tuple[float, bool], ...] = Field(default=(), max_length=MOST_JUDGED)
    datasets: tuple[str, ...] = Field(default=(), max_length=MOST_JUDGED)
    changed: float = 0.0

    @field_validator("judged")
    @classmethod
    def _check_odds(cls, judged: tuple[tuple[float, bool], ...]) -> tuple[tuple[float, bool], ...]:
        return tuple((float(np.clip(odds, -_MOST_ODDS, _MOST_ODDS)), is_right) for odds, is_right in judged)

    def applied(self, log_odds: FloatArray) -> FloatArray:
        """Return corrected log odds; with fewer than ten judged spots they stay."""
        if len(self.judged) < LEAST_JUDGED:
            return log_odds
        slope, offset = _line(np.array(self.judged, dtype=np.float64))
        return slope * log_odds + offset

    def with_judged(self, judged: Sequence[tuple[float, bool]], dataset: str) -> Self:
        """Return it with more judged spots; the oldest are forgotten beyond a thousand."""
        return self.model_copy(
            update={
                "judged": (*self.judged, *judged)[-MOST_JUDGED:],
                "datasets": tuple(dict.fromkeys((*self.datasets, dataset)))[-MOST_JUDGED:],
                "changed": time.time(),
            }
        )


def _line(judged: FloatArray) -> tuple[float, float]:
    """Return the most probable slope and offset of log odds, (N, 2) of odds and truth; near 1 and 0 where N is small.

    References
    ----------
    Platt, Advances in Large Margin Classifiers 1999.
    """
    x = np.column_stack([judged[:, 0], np.ones(len(judged))])
    expected = np.array([1.0, 0.0])
    pull = np.diag([_SLOPE_SPREAD**-2, _OFFSET_SPREAD**-2])
    line = expected.copy()
    for _ in range(_ROUNDS):
        p = sigmoid(x @ line)
        gradient = x.T @ (p - judged[:, 1]) + pull @ (line - expected)
        line = line - np.linalg.solve((x * (p * (1 - p))[:, None]).T @ x + pull, gradient)
    return max(float(line[0]), 0.1), float(line[1])


@lru_cache(maxsize=1)
def prior() -> Calibration:
    """Return the weights that come with the package."""
    return Calibration.model_validate_json(files("elephant.quality").joinpath("prior.json").read_bytes())


def probability_of(log_odds: FloatArray, correction: Correction | None = None) -> FloatArray:
    """Return probabilities, corrected by what was judged of the model."""
    return sigmoid(log_odds if correction is None else correction.applied(log_odds))


def calibrated(scene: Scene, spots: Sequence[DetectedSpot], correction: Correction | None = None) -> list[DetectedSpot]:
    """Return spots with the probability that each is a nucleus as their quality.

    Parameters
    ----------
    scene
        The timepoint in which they were found; the border is not needed.
    spots
        Their quality is the mean centre probability, as of :func:`elephant.spots.find_spots`.
    correction
        What was judged of the model.
    """
    if not spots:
        return []
    sites, quality = Sites.of(spots, scene.n_dims), np.array([spot.quality for spot in spots])
    figures = measure(scene, sites, sites, quality, quality)[:, : len(NAMES)]
    probabilities = probability_of(prior().found.log_odds(figures), correction).tolist()
    return [DetectedSpot(s.pos, s.covariance, p) for s, p in zip(spots, probabilities, strict=True)]


def correction_file(model_path: Path) -> Path:
    """Return where the correction of a model file is kept."""
    return model_path.parent / FOLDER / f"{model_path.name}.json"


def read_correction(model_path: Path) -> Correction:
    """Return what was judged of a model; what is damaged is ignored with a warning."""
    try:
        with correction_file(model_path).open("rb") as file:
            return Correction.model_validate_json(file.read(_LARGEST_BYTES))
    except FileNotFoundError:
        return Correction()
    except (OSError, ValidationError) as error:
        said = "What was judged of the model %s cannot be read (%s): it is ignored"
        logger.warning(said, model_path.name, str(error).splitlines()[0][:200])
        return Correction()


def keep_judged(model_path: Path, judged: Sequence[tuple[float, bool]], dataset: str) -> Correction:
    """Add judged spots to what is known of a model, and return it.

    Raises
    ------
    OSError
        It cannot be written.
    """
    correction = read_correction(model_path).with_judged(judged, dataset)
    place = correction_file(model_path)
    place.parent.mkdir(exist_ok=True)
    with replacing(place) as file:
        file.write(correction.model_dump_json(indent=1).encode())
    return correction
