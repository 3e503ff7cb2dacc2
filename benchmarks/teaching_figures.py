"""The figures of what a model knows and learns: each asks a server as a person with the client would."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from benchmarks.client_requests import client_request, path_of
from benchmarks.doubt import error_of, found_first, places_of_misses, reliability
from benchmarks.taught_movies import SPOILT, TaughtMovie
from benchmarks.taught_server import TaughtServer
from elephant.evaluation.matching import Matching, match_by_distance
from elephant.quality.scene import Sites
from elephant.types import DetectedSpot, FloatArray, Spot

N_ANNOTATED, FEW_STEPS, MANY_STEPS, REAL_STEPS = 10, 60, 100, 50
SMALL_CROP = (48, 48, 16)  # X, Y, Z
QUICKER = 10  # so many times fewer steps
N_TURNS = 3
MOST_PLACES = 10_000
WARNINGS = ("Disagreement with earlier annotations", "held-out nuclei fell")
# What requests say in addition where a part is switched off; those of "weights" start from no shipped ones.
PARTS: Mapping[str, Mapping[str, Any]] = {
    "weights": {},
    "scale": {"auto_scale": False},
    "keeping": {"keep_known": 0},
    "best": {"held_out": 0},
    "replay": {"replay": 0},
    "rate": {"relative_lr": False},
    "calibration": {"raw_quality": True},
    "clipping": {},
}
Value = dict[str, Any]  # numbers by their names; None where there is none; what is no number is kept in the file alone


@dataclass(frozen=True)
class Play:
    """A figure of one movie, from a server.

    Attributes
    ----------
    server, movie
        What is asked, and about what.
    part
        What is switched off, one of :data:`PARTS`; None for nothing.
    shipped
        Names of the networks that the server has weights of.
    seed
        Of trainings, and of the choice of nuclei.
    crop
        Of trainings of no size of their own, X, Y, Z.
    is_quick
        Whether to take a tenth of the steps, to see that it works.
    """

    server: TaughtServer
    movie: TaughtMovie
    part: str | None
    shipped: frozenset[str]
    seed: int
    crop: tuple[int, ...]
    is_quick: bool = False

    def ask(self, request: str, **changes: Any) -> Any:
        """Send a request of the client, about this movie and with other changes."""
        body = client_request(request, is_3d=self.movie.n_dims == 3)
        body |= {name: value for name, value in self.movie.facts().items() if name in body}
        return self.post(path_of(request), body | changes)

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """Send a body; a seed is added, and what switches a part off."""
        self.server.provide(self.movie)
        off = PARTS[self.part] if self.part else {}
        return self.server.server.post(path, {**body, "seed": self.seed, **off})

    def start(self, what: str = "seg") -> None:
        """Begin a model, on a dataset without labels."""
        self.ask(f"{what}/update reset")
        network = f"{'detection' if what == 'seg' else 'flow'}{self.movie.n_dims}d"
        is_shipped = self.part != "weights" and network in self.shipped
        self.ask(f"{what}/reset" if is_shipped else f"{what}/reset default")

    def train(
        self, spots: Sequence[Spot], n_steps: int, crop: Sequence[int] | None = None, tag: str = "tp", **changes: Any
    ) -> None:
        """Train on nuclei of a timepoint that a person has tagged."""
        sent = [{**_sent(spot, i), "t": spot.t, "tag": tag, "label": str(i)} for i, spot in enumerate(spots)]
        size, t = list(crop or self.crop), spots[0].t
        self.ask("seg/train", spots=sent, timepoint=t, crop_size=size, n_epochs=self.n_epochs(n_steps), **changes)

    def n_epochs(self, n_steps: int, n_timepoints: int = 1) -> int:
        """Return how many epochs have so many steps."""
        n_crops: int = client_request("seg/train")["n_crops"] * n_timepoints
        return max(round(n_steps / n_crops / (QUICKER if self.is_quick else 1)), 1)

    def found(self, t: int) -> list[DetectedSpot]:
        """Return the nuclei that are found at a timepoint."""
        return [
            DetectedSpot(_zyx(spot["pos"]), _matrix(spot["covariance"]), spot["quality"])
            for spot in self.ask("seg/predict", timepoint=t, **self.limits())["spots"]
        ]

    def limits(self) -> dict[str, float]:
        """Return how large nuclei are that are found: those of the client are for nuclei in micrometres."""
        return {"r_min": self.movie.distance / 5, "r_max": 50}

    def nuclei(self, t: int | None = None, n: int | None = None, *, outside_quarter: bool = False) -> list[Spot]:
        """Return nuclei of a timepoint, by default the annotated one: all, or some around a random one."""
        spots = self.movie.spots(self.movie.annotated if t is None else t)
        if outside_quarter:
            spots = [spot for spot in spots if not self.movie.in_quarter(spot)]
        if n is None:
            return spots
        first = spots[np.random.default_rng(self.seed).integers(len(spots))].pos
        return sorted(spots, key=lambda spot: float(np.linalg.norm(spot.pos - first)))[:n]

    def matching(self, found: Sequence[DetectedSpot], t: int) -> Matching:
        """Compare what was found at a timepoint with the truth."""
        return match_by_distance(self.movie.spots(t), found, self.movie.distance)

    def f1(self, t: int | None = None, *, outside_quarter: bool = False) -> float:
        """Return how well the nuclei of a timepoint, by default the judged one, are found."""
        t = self.movie.judged if t is None else t
        true, found = self.movie.spots(t), self.found(t)
        if outside_quarter:
            true = [spot for spot in true if not self.movie.in_quarter(spot)]
            found = [spot for spot in found if not self.movie.in_quarter(spot)]
        return match_by_distance(true, found, self.movie.distance).counts.f1


def _sent(spot: Spot, i: int) -> dict[str, Any]:
    return {"pos": spot.pos[::-1].tolist(), "covariance": spot.covariance.ravel()[::-1].tolist(), "id": i}


def _zyx(xyz: Sequence[float]) -> FloatArray:
    return np.array(xyz[::-1], dtype=np.float64)


def _matrix(values: Sequence[float]) -> FloatArray:
    return np.array(values[::-1], dtype=np.float64).reshape(3, 3)


def before(play: Play) -> Value:
    """How well nuclei are found without any training."""
    play.start()
    return {"F1": play.f1()}


def _train_on_few(play: Play) -> None:
    play.start()
    play.train(play.nuclei(n=N_ANNOTATED), FEW_STEPS)


def after(play: Play) -> Value:
    """How well they are found after 60 steps on ten nuclei that lie together."""
    _train_on_few(play)
    return {"F1": play.f1()}


def hundred(play: Play) -> Value:
    """How well they are found after 100 steps of 16 x 48 x 48 on all nuclei of the annotated timepoint."""
    play.start()
    play.train(play.nuclei(), MANY_STEPS, SMALL_CROP)
    return {"F1": play.f1()}


def doubt(play: Play) -> Value:
    """How many of the errors are listed first: see `_doubt`; of a model that was not trained."""
    play.start()
    return _doubt(play)


def doubt_after(play: Play) -> Value:
    """The same after 60 steps on ten nuclei."""
    _train_on_few(play)
    return _doubt(play)


def _doubt(play: Play) -> Value:
    """Return the share of all errors that is in the tenth of spots and suspected misses that a review lists first.

    Without the calibration there is no review: spots are listed by their raw quality.
    """
    timepoints = play.movie.around_judged
    if play.part == "calibration":
        listed = [(t, "spot", spot) for t in timepoints for spot in play.found(t)]
        listed.sort(key=lambda one: one[2].quality)
    else:
        listed = list(_reviewed(play, timepoints))
    errors, n_errors = np.zeros(len(listed)), 0
    for t in timepoints:
        here = [i for i, (of, *_) in enumerate(listed) if of == t]
        errors[here], n_here = errors_at([listed[i][1:] for i in here], play.movie, t)
        n_errors += n_here
    share = found_first(-np.arange(len(listed), dtype=np.float64), errors, n_errors) if n_errors else None
    return {"found first": share, "errors": n_errors, "listed": len(listed)}


def _reviewed(play: Play, timepoints: range) -> Iterator[tuple[int, str, DetectedSpot]]:
    asked = client_request("seg/predict", is_3d=play.movie.n_dims == 3) | play.movie.facts() | play.limits()
    asked |= {"t_start": timepoints[0], "t_end": timepoints[-1], "n_places": MOST_PLACES}
    answer = play.post("review", asked)
    assert answer["n_places"] == len(answer["places"])
    for place in answer["places"]:
        spot = DetectedSpot(_zyx(place["pos"]), _matrix(place["covariance"]), place["probability"])
        yield place["t"], place["kind"], spot


def errors_at(places: Sequence[tuple[str, DetectedSpot]], movie: TaughtMovie, t: int) -> tuple[FloatArray, int]:
    """Return how many errors are at each place of a timepoint, and how many there are in all.

    Parameters
    ----------
    places
        Each a ``spot`` or a ``missed`` one, and where.
    """
    is_spot = np.array([kind == "spot" for kind, _ in places], dtype=bool)
    spots = [spot for kind, spot in places if kind == "spot"]
    suspects = Sites.of([spot for kind, spot in places if kind != "spot"], movie.n_dims)
    matching = match_by_distance(movie.spots(t), spots, movie.distance)
    is_wrong = np.ones(len(spots), dtype=bool)
    is_wrong[matching.pairs[:, 1]] = False
    missed = Sites.of([movie.spots(t)[i] for i in sorted(matching.missed)], movie.n_dims)
    sites = Sites.of(spots, movie.n_dims)
    is_missed, is_merged = places_of_misses(missed.centres, suspects.centres, sites, movie.distance)
    errors = np.zeros(len(places))
    errors[is_spot] = is_wrong.astype(float) + is_merged
    errors[~is_spot] = is_missed
    return errors, int(is_wrong.sum()) + len(missed)


def reliable(play: Play) -> Value:
    """How far the quality of spots is from the share of them that are nuclei, of a model that was not trained."""
    play.start()
    quality, is_right = [], []
    for t in play.movie.around_judged:
        found = play.found(t)
        right = np.zeros(len(found), dtype=bool)
        right[play.matching(found, t).pairs[:, 1]] = True
        quality += [spot.quality for spot in found]
        is_right += right.tolist()
    diagram = reliability(np.array(quality), np.array(is_right, dtype=bool))
    return {"off by": error_of(diagram) if diagram else None, "spots": len(quality), "said, true, spots": diagram}


def spoilt(play: Play, how: str) -> Value:
    """How well nuclei are found before and after on a spoilt copy of the movie, and how much less than without."""
    others: dict[str, Any] = {"outside_quarter": how == "quarter"}
    found: dict[str, float] = {}
    for movie, name in ((play.movie, "clean"), (play.movie.spoilt(how), "spoilt")):
        here = replace(play, movie=movie)
        here.start()
        found[f"before {name}"] = here.f1(**others)
        here.train(here.nuclei(n=N_ANNOTATED, **others), FEW_STEPS)
        found[f"after {name}"] = here.f1(**others)
    lost = {f"{when}, lost": found[f"{when} clean"] - found[f"{when} spoilt"] for when in ("before", "after")}
    return {**found, **lost}


def flow(play: Play) -> Value:
    """Distance to earlier positions at the last three timepoints over that without flow: untrained, and trained.

    It is trained with 100 steps on all links before.
    """
    movie = play.movie
    judged = range(movie.n_timepoints - 3, movie.n_timepoints)
    play.start("flow")
    untrained = _left_over(play, judged)
    links = [
        {**_sent(spot, i), "t": t - 1, "displacement": (was - spot.pos)[::-1].tolist()}
        for t in range(1, judged[0])
        for i, (spot, was) in enumerate(movie.earlier(t))
    ]
    n_epochs = play.n_epochs(MANY_STEPS, judged[0] - 1)
    play.ask("flow/train", spots=links, crop_size=list(play.crop), n_epochs=n_epochs)
    return {"untrained": untrained, "after 100 steps": _left_over(play, judged)}


def _left_over(play: Play, timepoints: range) -> float:
    moved, still = [], []
    for t in timepoints:
        pairs = list(play.movie.earlier(t))
        sent = [_sent(spot, i) for i, (spot, _) in enumerate(pairs)]
        places = play.ask("flow/predict", timepoint=t, spots=sent)["spots"]
        for (spot, was), place in zip(pairs, places, strict=True):
            moved.append(np.linalg.norm((_zyx(place["pos"]) - was)[3 - play.movie.n_dims :]))
            still.append(np.linalg.norm(spot.pos - was))
    return float(np.mean(moved) / np.mean(still))


def remembered(play: Play) -> Value:
    """How well a timepoint is still found that all was annotated of, after a training on ten nuclei of another."""
    movie = play.movie
    play.start()
    play.train(play.nuclei(), FEW_STEPS)
    then = play.f1(movie.annotated)
    play.train(play.nuclei(movie.n_timepoints - 1, N_ANNOTATED), FEW_STEPS)
    now = play.f1(movie.annotated)
    return {"then": then, "now": now, "lost": then - now}


def wrong(play: Play) -> Value:
    """How well nuclei are found after a training in which all of another timepoint are called wrong.

    It is noticed where the server warns of it.
    """
    movie = play.movie
    play.start()
    play.train(play.nuclei(), FEW_STEPS)
    then, warned = play.f1(movie.annotated), _n_warnings(play)
    play.train(play.nuclei(movie.n_timepoints - 1), FEW_STEPS, tag="fp")
    now = play.f1(movie.annotated)
    return {"then": then, "now": now, "lost": then - now, "noticed": float(_n_warnings(play) > warned)}


def _n_warnings(play: Play) -> int:
    return sum(play.server.log().count(warning) for warning in WARNINGS)


def judging(play: Play) -> Value:
    """Time of a training of the client's length on all nuclei over one without a held-out part, in turns.

    Each goes on with the model as it is.
    """
    play.start()
    play.train(play.nuclei(), 1)  # the first one loads more
    seconds: dict[str, list[float]] = {"with": [], "without": []}
    busy: dict[str, list[float]] = {"with": [], "without": []}
    server = play.server.server
    for _ in range(1 if play.is_quick else N_TURNS):
        for name, times in seconds.items():
            changes: dict[str, Any] = {} if name == "with" else {"held_out": 0}
            begin, before_it = time.monotonic(), server.cpu_seconds()
            play.train(play.nuclei(), REAL_STEPS, **changes)
            times.append(time.monotonic() - begin)
            busy[name].append(server.cpu_seconds() - before_it)
    used, plain = (float(np.median(seconds[name])) for name in ("with", "without"))
    of_processors = float(np.median(busy["with"]) / np.median(busy["without"]))
    return {
        "with over without": used / plain,
        "the same in time of processors": of_processors,
        "s with": used,
        "s without": plain,
    }


FIGURES: Mapping[str, Callable[[Play], Value]] = {
    "before": before,
    "hundred": hundred,
    "flow": flow,
    "after": after,
    "doubt": doubt,
    "reliable": reliable,
    "judging": judging,
    **{how: lambda play, how=how: spoilt(play, how) for how in SPOILT},  # type: ignore[misc]
    "doubt-after": doubt_after,
    "remembered": remembered,
    "wrong": wrong,
}
# Parts that a figure is also told without, where they are switched off.
MATTER: Mapping[str, Sequence[str]] = {
    "before": ("weights", "scale"),
    "hundred": ("weights", "scale", "keeping", "best"),
    "flow": ("weights", "best", "rate"),
    "after": ("weights", "scale", "keeping", "best"),
    "doubt": ("calibration",),
    "reliable": ("calibration",),
    "judging": (),
    **dict.fromkeys(SPOILT, ("clipping",)),
    "doubt-after": ("calibration",),
    "remembered": ("replay",),
    "wrong": ("best",),
}
