"""Reviewing timepoints of a dataset with a model: each with those before and after it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from elephant.config import DetectionParams
from elephant.methods.predict_detection import look_at
from elephant.methods.work import ModelWork
from elephant.progress import CancelToken
from elephant.quality.calibration import Correction, read_correction
from elephant.quality.scene import Scene
from elephant.review.figures import Known, judge_spots, judge_suspects
from elephant.review.ranking import Place, Review, Timepoint, places_of, ranked, timepoint_of, worst
from elephant.types import DetectedSpot

DEFAULT_N_PLACES = 200


@dataclass(frozen=True, slots=True)
class Reviewed:
    """One timepoint that was reviewed.

    Attributes
    ----------
    timepoint
        What is expected of it.
    places
        The worst of it, the worst first.
    n_places
        How many there are.
    """

    timepoint: Timepoint
    places: tuple[Place, ...]
    n_places: int


@dataclass(slots=True)
class Finished:
    """What an interrupted review had done: timepoints, and the spots of each, which are forgotten when passed."""

    reviewed: dict[int, Reviewed] = field(default_factory=dict)
    spots: dict[int, list[DetectedSpot]] = field(default_factory=dict)


def review(
    work: ModelWork,
    timepoints: Sequence[int],
    params: DetectionParams,
    n_places: int = DEFAULT_N_PLACES,
    finished: Finished | None = None,
    on_timepoint: Callable[[int, Reviewed, list[DetectedSpot]], None] | None = None,
) -> Review:
    """List the places where most errors are expected.

    Parameters
    ----------
    work
        The dataset and the model; progress counts timepoints.
    timepoints
        Which ones; one whose neighbours are among them is judged by them, too.
    params
        How nuclei are found.
    n_places
        How many places the list has at most.
    finished
        What an earlier call had done.
    on_timepoint
        Called with each timepoint that is done, and with its spots.

    Raises
    ------
    elephant.errors.InvalidInputError, elephant.errors.ModelFileError, elephant.errors.Cancelled
        As a prediction does.
    """
    done = Finished() if finished is None else finished
    chosen = sorted(set(timepoints))
    correction = read_correction(work.model_path)
    for i, (t, reviewed, spots) in enumerate(_each(work, chosen, params, correction, done, n_places), start=1):
        done.reviewed[t] = reviewed
        if on_timepoint is not None and spots is not None:
            on_timepoint(t, reviewed, spots)
        work.reporter.progress("timepoint", i, len(chosen))
    results = [done.reviewed[t] for t in chosen]
    places = worst((place for result in results for place in result.places), n_places)
    return ranked(places, [result.timepoint for result in results], sum(result.n_places for result in results))


def _each(
    work: ModelWork,
    chosen: Sequence[int],
    params: DetectionParams,
    correction: Correction,
    done: Finished,
    n_places: int,
) -> Iterator[tuple[int, Reviewed, list[DetectedSpot] | None]]:
    """Yield each timepoint with what was found out, and its spots where they are new; hold two scenes at most."""
    n_dims = work.dataset.n_dims
    scenes: dict[int, Scene] = {}
    known: dict[int, Known] = {}

    def predict(t: int, *, is_scene_needed: bool) -> None:
        if t in known and (t in scenes or not is_scene_needed):
            return
        if t in done.spots and not is_scene_needed:
            known[t] = Known.of(done.spots[t], n_dims)
            return
        scenes[t], done.spots[t] = look_at(work, t, params)
        known[t] = Known.of(done.spots[t], n_dims)

    asked = set(chosen)
    for t in chosen:
        for passed in [u for u in done.spots if u < t - 1]:  # no neighbour of what follows
            del done.spots[passed]
        if t in done.reviewed:
            yield t, done.reviewed[t], None
            continue
        predict(t, is_scene_needed=True)
        for other in (t - 1, t + 1):
            if other in asked:
                predict(other, is_scene_needed=other > t and other not in done.reviewed)
        neighbours = [known[other] for other in (t - 1, t + 1) if other in known]
        yield t, _reviewed(t, scenes.pop(t), known, neighbours, correction, n_places, work.cancel), done.spots[t]
        known = {u: of_u for u, of_u in known.items() if u >= t}
        scenes = {u: scene for u, scene in scenes.items() if u > t}


def _reviewed(
    t: int,
    scene: Scene,
    known: Mapping[int, Known],
    neighbours: Sequence[Known],
    correction: Correction,
    n_places: int,
    cancel: CancelToken,
) -> Reviewed:
    spots = judge_spots(scene, known[t], neighbours, correction)
    cancel.check()
    suspects = judge_suspects(scene, known[t], neighbours, cancel)
    places = [*places_of(t, "spot", spots), *places_of(t, "missed", suspects)]
    return Reviewed(timepoint_of(t, spots, suspects), tuple(worst(places, n_places)), len(places))
