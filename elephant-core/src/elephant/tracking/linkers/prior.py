"""What is assumed before a movie tells more: weights and first guesses, fitted on simulated movies, and learnt ones."""

from collections.abc import Sequence
from functools import lru_cache
from importlib.resources import files

import numpy as np
from pydantic import BaseModel, ConfigDict, Field
from scipy.special import expit, logit

from elephant.types import FloatArray

_LEAST = 1e-9
Belief = tuple[float, float]
_WHERE, _FILE = "elephant.tracking.linkers", "prior.json"


class Weights(BaseModel):
    """Weights of the parts of log odds, and what is added to their sum."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    names: tuple[str, ...]
    weights: tuple[float, ...]
    offset: float = 0.0

    def in_place_of(self, others: "Weights") -> "Weights":
        """Return other weights with these in their place; parts that these do not know keep theirs."""
        known = dict(zip(self.names, self.weights, strict=True))
        weights = (known.get(*each) for each in zip(others.names, others.weights, strict=True))
        return others.model_copy(update={"weights": tuple(weights), "offset": self.offset})

    def of(self, names: Sequence[str]) -> FloatArray:
        """Return the weights of some parts, (names,)."""
        return np.array([self.weights[self.names.index(name)] for name in names])

    def odds(self, names: Sequence[str], parts: FloatArray) -> FloatArray:
        """Return the log odds of each row of parts, (examples, names): those that are known."""
        odds: FloatArray = parts @ self.of(names) + self.offset
        return odds


class Prior(BaseModel):
    """Where the estimation for a movie begins, and how its parts are weighed.

    Attributes
    ----------
    made_from
        What it was fitted on, in words.
    links, divisions
        Weights of the parts of the log odds.
    off, apart, apart_spread, shrinking, shrinking_spread, evenness, dimming, dimming_spread
        The first guess of the shape of divisions; `off` in spacings.
    dividing, missing, wrong, appearing, disappearing
        The first guess of the rates.
    belief, belief_alone, belief_divisions
        Slope and offset that turn the log odds of a marginal into those of a probability that is as often right: of
        links, of spots that have no parent or no child, and of divisions.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    made_from: str
    links: Weights
    divisions: Weights
    off: float = Field(gt=0)
    apart: float
    apart_spread: float = Field(gt=0)
    shrinking: float
    shrinking_spread: float = Field(gt=0)
    evenness: float = Field(gt=0)
    dimming: float
    dimming_spread: float = Field(gt=0)
    dividing: float = Field(gt=0, lt=1)
    missing: float = Field(gt=0, lt=1)
    wrong: float = Field(gt=0, lt=1)
    appearing: float = Field(gt=0, lt=1)
    disappearing: float = Field(gt=0, lt=1)
    belief: Belief = (1.0, 0.0)
    belief_alone: Belief = (1.0, 0.0)
    belief_divisions: Belief = (1.0, 0.0)


def believed(belief: Belief, marginals: FloatArray) -> FloatArray:
    """Return probabilities that are as often right as they say, from marginals."""
    slope, offset = belief
    found: FloatArray = expit(slope * log_odds(marginals) + offset)
    return found


def log_odds(probability: FloatArray) -> FloatArray:
    """Return the log odds of probabilities, finite also for 0 and 1."""
    odds: FloatArray = logit(np.clip(probability, _LEAST, 1 - _LEAST))
    return odds


@lru_cache(maxsize=1)
def shipped_prior() -> Prior:
    """Return the prior that comes with the package."""
    return Prior.model_validate_json(files(_WHERE).joinpath(_FILE).read_text(encoding="utf-8"))
