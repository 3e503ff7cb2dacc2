"""Logistic regression: figures to a probability, each figure's share of the log odds plain to see."""

from collections.abc import Mapping, Sequence
from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator
from scipy.optimize import minimize

from elephant.types import FloatArray

_FARTHEST = 3.0  # standard deviations: what lies farther out has not been seen
_BOUNDS = {0: (None, None), 1: (0, None), -1: (None, 0)}


class Logistic(BaseModel):
    """Weights of figures; the log odds are their sum, after each is shifted, scaled and kept within three deviations.

    Attributes
    ----------
    names
        Of the figures, N of them.
    shift, width
        Mean and standard deviation of each.
    weights
        Of each.
    offset
        Log odds where all are at their mean.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    names: tuple[str, ...]
    shift: tuple[float, ...]
    width: tuple[float, ...]
    weights: tuple[float, ...]
    offset: float = Field(description="log odds where all figures are at their mean")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if {len(self.shift), len(self.width), len(self.weights)} != {len(self.names)} or min(self.width) <= 0:
            raise ValueError("expected a shift, a width above 0 and a weight for each name")
        return self

    def log_odds(self, figures: FloatArray) -> FloatArray:
        """Return the log odds of each row of figures, (N, names)."""
        odds: FloatArray = self.shares(figures).sum(axis=1) + self.offset
        return odds

    def shares(self, figures: FloatArray) -> FloatArray:
        """Return by how much each figure raises or lowers the log odds, (N, names)."""
        return _scaled(figures, np.array(self.shift), np.array(self.width)) * self.weights


def fit(
    names: Sequence[str],
    figures: FloatArray,
    is_true: NDArray[np.bool_],
    weights: FloatArray,
    signs: Mapping[str, int],
    ridge: float = 1.0,
) -> Logistic:
    """Fit weights by maximum likelihood.

    Parameters
    ----------
    figures
        (N, names).
    is_true
        (N,).
    weights
        How much each row counts, (N,).
    signs
        Figures whose weights are known to be at least 0 (1) or at most 0 (-1), by name: so none of two figures that are
        nearly alike counts against its meaning.
    ridge
        Strength of the pull of all weights towards 0, in rows.
    """
    mean = np.average(figures, axis=0, weights=weights)
    width = np.sqrt(np.average((figures - mean) ** 2, axis=0, weights=weights)) + 1e-6
    x = np.column_stack([_scaled(figures, mean, width), np.ones(len(figures))])
    pull = np.array([*[ridge] * len(names), 0.0])

    def loss(tried: FloatArray) -> tuple[float, FloatArray]:
        odds = x @ tried
        value = weights @ (np.logaddexp(0, odds) - is_true * odds) + (pull * tried**2).sum() / 2
        return float(value), x.T @ (weights * (sigmoid(odds) - is_true)) + pull * tried

    bounds = [_BOUNDS[signs.get(name, 0)] for name in names]
    solved = minimize(loss, np.zeros(x.shape[1]), jac=True, method="L-BFGS-B", bounds=[*bounds, _BOUNDS[0]]).x
    shares = [tuple(map(float, part)) for part in (mean, width, solved[:-1])]
    return Logistic(names=tuple(names), shift=shares[0], width=shares[1], weights=shares[2], offset=float(solved[-1]))


def sigmoid(log_odds: FloatArray) -> FloatArray:
    """Return the probabilities that log odds stand for."""
    p: FloatArray = 1 / (1 + np.exp(-np.clip(log_odds, -50, 50)))
    return p


def _scaled(figures: FloatArray, shift: FloatArray, width: FloatArray) -> FloatArray:
    scaled: FloatArray = np.clip((figures - shift) / width, -_FARTHEST, _FARTHEST)
    return scaled
