"""``python -m benchmarks.linking_prior``: the prior of the global linker, fitted on simulated movies.

Movies of slow and fast nuclei, with exact and jittered radii and without, with exact positions and positions in
planes, are made from their seeds; so the result is the same each time. What turns marginals into probabilities follows
from what is right of the solved movies. All else is a first guess, unless it is asked for: weights of links and of
divisions follow by logistic regression from true ones and those that they contradict, what divisions look like from the
true ones. The rates are not fitted: what a detector misses is no matter of the movie.
"""

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from benchmarks.lineage_detections import NONE, Detector
from benchmarks.simulated_lineages import simulated
from elephant.io.atomic import replacing
from elephant.tracking.assignment import Indices
from elephant.tracking.linkers import GlobalLinker, Problem, Solution
from elephant.tracking.linkers.estimation import fit_shape
from elephant.tracking.linkers.learning import division_examples, divisions_among, fit_weights, link_examples
from elephant.tracking.linkers.prior import Belief, Prior, Weights, log_odds, shipped_prior
from elephant.types import FloatArray

KINDS: Sequence[Mapping[str, Any]] = (
    {"speed": 0.4},
    {},
    {"speed": 1.6},
    {"speed": 3.0},
    {"speed": 1.6, "cycle": 15.0},
    {"flow": 2.0, "speed": 1.0},
)
DETECTORS = (Detector(0.1, intensities=0.1), Detector(None), Detector(None, 0.25), Detector(0.03, 0.25))
STEPS = (1, 2)
# Of what divisions look like, by eye.
FIRST_GUESS: Mapping[str, float] = {
    "off": 0.15,
    "apart": -0.7,
    "apart_spread": 0.4,
    "shrinking": -0.25,
    "shrinking_spread": 0.15,
    "evenness": 0.15,
    "dimming": -0.15,
    "dimming_spread": 0.3,
}
FIRST_SEED = 1000  # others are for judging
_LINKS = 400  # of a movie
_SHAPE_ROUNDS = 5  # by which the first guess, which counts as 20 divisions, is forgotten


@dataclass(frozen=True, slots=True, eq=False)
class Example:
    """A movie with its truth.

    Attributes
    ----------
    problem
        With all that was estimated of it.
    true
        Parents, (N,).
    """

    problem: Problem
    true: Indices

    def links(self) -> Indices:
        """Return the true links to the next timepoint, (L, 2)."""
        children = np.flatnonzero(self.true != NONE)
        links = np.stack([self.true[children], children], axis=1)
        times = self.problem.movie.times
        found: Indices = links[times[links[:, 1]] - times[links[:, 0]] == 1]
        return found


def examples(
    prior: Prior, n_timepoints: int, kinds: Sequence[Mapping[str, Any]] = KINDS, **changes: Any
) -> Iterator[Example]:
    """Yield movies of each kind, as each detector sees them."""
    seed = FIRST_SEED
    for kind in kinds:
        for detector in DETECTORS:
            for every in STEPS:
                seed += 1
                spots, true = simulated(seed, n_timepoints, every, **kind, **changes).detected(seed, detector)
                yield Example(GlobalLinker(prior).prepare(spots), true)


def fit(
    n_timepoints: int, kinds: Sequence[Mapping[str, Any]] = KINDS, also: Sequence[str] = (), **changes: Any
) -> Prior:
    """Return the prior.

    Parameters
    ----------
    also
        What else to fit: the weights of ``"links"``, or of ``"divisions"`` and what these look like.
    **changes
        Of the simulated nuclei.
    """
    weighed = _begun()
    if also:
        seen = list(examples(weighed, n_timepoints, kinds, **changes))
        weights = _weights(weighed, seen)
        weighed = _shaped(weighed, seen) if "divisions" in also else weighed
        weighed = weighed.model_copy(update={name: weights[name] for name in also})
    solved = [(each, each.problem.solve()) for each in examples(weighed, n_timepoints, kinds, **changes)]
    n = sum(len(each.true) for each, _ in solved)
    what = ", ".join(["beliefs", *also]) + "; the rest is a first guess"
    return weighed.model_copy(
        update={
            "made_from": f"{len(solved)} simulated movies, {n} spots (benchmarks.linking_prior): {what}",
            "belief": fit_belief(*_joined([_of_links(*each) for each in solved])),
            "belief_alone": fit_belief(*_joined([_of_alone(*each) for each in solved])),
            "belief_divisions": fit_belief(*_joined([_of_divisions(*each) for each in solved])),
        }
    )


def _begun() -> Prior:
    """Return a prior in which each part weighs the same, marginals are believed, and the rest is the first guess."""
    same: dict[str, Any] = dict(FIRST_GUESS)
    shipped = shipped_prior()
    for name in ("links", "divisions"):
        before: Weights = getattr(shipped, name)
        same[name] = before.model_copy(update={"weights": (1.0,) * len(before.names), "offset": 0.0})
    one: Belief = (1.0, 0.0)
    return shipped.model_copy(update={**same, "belief": one, "belief_alone": one, "belief_divisions": one})


def _weights(prior: Prior, seen: Sequence[Example]) -> dict[str, Weights]:
    """Return the weights of the parts, of all movies together; a part that a movie lacks is 0 there."""
    rng = np.random.default_rng(FIRST_SEED)
    of_links, of_divisions = [], []
    for each in seen:
        movie, model, links = each.problem.movie, each.problem.model, each.links()
        some = rng.choice(links, min(_LINKS, len(links)), replace=False)
        parts, is_right = link_examples(movie, model, some)
        of_links.append((_padded(parts, movie.part_names, prior.links.names), is_right))
        divisions = divisions_among(links)
        if len(divisions):
            parts, is_right = division_examples(movie, model, divisions)
            of_divisions.append((_padded(parts, movie.division_names, prior.divisions.names), is_right))
    return {
        "links": fit_weights(prior.links, prior.links.names, *_joined(of_links)),
        "divisions": fit_weights(prior.divisions, prior.divisions.names, *_joined(of_divisions)),
    }


def _padded(parts: FloatArray, names: Sequence[str], wanted: Sequence[str]) -> FloatArray:
    padded = np.zeros((len(parts), len(wanted)))
    padded[:, [wanted.index(name) for name in names]] = parts
    return padded


def _shaped(prior: Prior, seen: Sequence[Example]) -> Prior:
    """Return a prior with what the true divisions look like: the mean of all movies."""
    for _ in range(_SHAPE_ROUNDS):
        found = []
        for each in seen:
            movie, model = each.problem.movie, each.problem.model
            shape = fit_shape(movie, each.true, model.tendencies, model.motion, prior)
            spacing = float(np.median(movie.spacing))
            found.append(asdict(shape) | {"off": shape.off / spacing})
        prior = prior.model_copy(update={name: float(np.mean([each[name] for each in found])) for name in found[0]})
    return prior


Judged = tuple[FloatArray, NDArray[np.bool_]]


def _of_links(example: Example, found: Solution) -> Judged:
    """Return the probabilities of links, and which are right."""
    is_link = found.parents != NONE
    return found.probability[is_link], (found.parents == example.true)[is_link]


def _of_alone(example: Example, found: Solution) -> Judged:
    """Return the probabilities of having no parent, or no child, where none was found."""
    assert found.ends is not None
    starts, ends = found.parents == NONE, ~np.isin(np.arange(len(found.parents)), found.parents)
    no_child = ~np.isin(np.arange(len(found.parents)), example.true)
    return (
        np.concatenate([found.probability[starts], found.ends[ends]]),
        np.concatenate([(example.true == NONE)[starts], no_child[ends]]),
    )


def _of_divisions(example: Example, found: Solution) -> Judged:
    """Return the probabilities of listed divisions, and which are right."""
    right = [all(example.true[i] == each.mother for i in each.daughters) for each in found.divisions]
    return np.array([each.probability for each in found.divisions]), np.array(right, dtype=bool)


def _joined(parts: Sequence[Judged]) -> Judged:
    return np.concatenate([values for values, _ in parts]), np.concatenate([is_right for _, is_right in parts])


def fit_belief(marginals: FloatArray, is_right: NDArray[np.bool_]) -> Belief:
    """Return slope and offset by logistic regression of what is right on the log odds of marginals.

    References
    ----------
    J. Platt, Probabilistic outputs for support vector machines, 1999.
    """
    odds, sign = log_odds(marginals), np.where(is_right, 1.0, -1.0)

    def loss(tried: FloatArray) -> float:
        return float(np.logaddexp(0, -sign * (tried[0] * odds + tried[1])).mean())

    slope, offset = minimize(loss, np.array([0.5, 0.0]), method="L-BFGS-B", bounds=[(0.05, 2), (-3, 3)]).x
    return round(float(slope), 3), round(float(offset), 3)


def main(arguments: Sequence[str] | None = None) -> int:
    """Fit, and write the prior."""
    assert __doc__ is not None
    parser = argparse.ArgumentParser(prog="python -m benchmarks.linking_prior", description=__doc__.split("\n\n", 1)[1])
    parser.add_argument("output", type=Path, help="file to write, .json")
    parser.add_argument("--timepoints", type=int, default=20, help="of each movie")
    parser.add_argument("--nuclei", type=int, default=150, help="of each movie, at its start")
    parser.add_argument("--also", nargs="+", choices=("links", "divisions"), default=(), help="fit their weights, too")
    options = parser.parse_args(arguments)
    found = fit(options.timepoints, also=options.also, nuclei=options.nuclei)
    with replacing(options.output) as file:
        file.write((found.model_dump_json(indent=2) + "\n").encode())
    print(f"Written: {options.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
