"""Tracking of whole movies, and corrections of their lineages."""

import logging
import time
from typing import Any

import numpy as np

from elephant.dataset import Dataset
from elephant.errors import NotFoundError
from elephant.geometry import mean_radii
from elephant.lineages import LineageSpots
from elephant.lineages.tracking import TrackingRequest, correct, track
from elephant.methods.flow import FLOW
from elephant.methods.work import ModelWork
from elephant.progress import NoReporter
from elephant.tracking.linkers import Detections
from elephant.tracking.linkers.base import useful_radii
from elephant.types import FloatArray, Spot
from elephant.words import counted
from elephant_server.jobs.context import WorkerContext, model_file, open_dataset
from elephant_server.jobs.control import JobControl
from elephant_server.jobs.progress import DashboardProgress
from elephant_server.schemas.lineage_answers import changed_answer
from elephant_server.schemas.lineages import CorrectionBody, TrackJobBody

logger = logging.getLogger(__name__)


class Courtesy:
    """A :class:`~elephant.progress.CancelToken` of work that lasts minutes: whenever it looks, others go first."""

    def __init__(self, control: JobControl) -> None:
        self._control = control

    def check(self) -> None:
        """See :meth:`elephant.progress.CancelToken.check`."""
        self._control.let_others_go_first()
        self._control.check()


class LineReporter:
    """Announces how many windows are solved, and at how many timepoints a flow was predicted."""

    def __init__(self, control: JobControl) -> None:
        self._control = control

    def progress(self, stage: str, done: int, total: int, **values: float) -> None:
        """See :meth:`elephant.progress.ProgressReporter.progress`."""
        del values
        if stage in ("window", "timepoint"):
            self._control.announce(**{stage: done, "of": total})


def movie_track(context: WorkerContext, body: TrackJobBody, control: JobControl) -> dict[str, Any]:
    """Join the spots of a movie to lineages, and keep them with the dataset, where the answer is read."""
    dataset = open_dataset(context, body.dataset_name, body.is_3d)
    spots = body.lineage_spots() if body.spots else _newest(context, dataset)
    dataset.check_timepoint(int(spots.timepoints[-1]))
    reporter = DashboardProgress(context.feed_publisher, control.job_id, LineReporter(control))
    earlier = None if body.model_name is None else _earlier(context, dataset, body, spots, control, reporter)
    radii = useful_radii(spots.radii)
    request = TrackingRequest(
        spots=spots,
        detections=Detections(spots.timepoints, spots.positions, radii, body.intensities(), earlier),
        given=body.given(spots, control.person, time.time()),
        made_from=_made_from(body, spots),
        linker=body.linker,
        params=body.linker_params(),
        flow_model=None if body.model_name is None else model_file(context, body.model_name),
    )
    logger.info("Tracking: %s of %s", counted(len(spots), "spot"), body.dataset_name)
    lineage = track(dataset, request, reporter, Courtesy(control))
    logger.info(
        "%s is tracked: %s, %s", dataset.name, counted(lineage.n_tracks, "track"),
        counted(lineage.n_divisions, "division"),
    )  # fmt: skip
    return {}


def lineage_correct(context: WorkerContext, body: CorrectionBody, control: JobControl) -> dict[str, Any]:
    """Take over what a person says of lineages, and solve again what follows from it."""
    dataset = Dataset.open(context.datasets, body.dataset_name)
    done = correct(dataset, body.version, body.entry(control.person, time.time()), control)
    logger.info(
        "Lineages of %s corrected: version %d, %s solved again", dataset.name, done.lineage.version,
        counted(done.n_solved, "window"),
    )  # fmt: skip
    facts = {"n_solved": done.n_solved, "n_replaced": done.n_replaced, "seconds": done.seconds}
    return changed_answer(done.lineage, done.before) | facts


def _newest(context: WorkerContext, dataset: Dataset) -> LineageSpots:
    """Return what was found last at each timepoint."""
    found = {} if context.known is None else context.known.newest(dataset)
    spots = [spot for of_t in found.values() for spot in of_t]
    if not spots:
        raise NotFoundError(f"no prediction on {dataset.name} is kept: predict first, or send the spots")
    n = dataset.n_dims
    return LineageSpots(
        ids=np.arange(len(spots)),
        timepoints=np.repeat([*found], [len(of_t) for of_t in found.values()]),
        positions=np.array([spot.pos for spot in spots]),
        radii=mean_radii(np.array([spot.covariance[-n:, -n:] for spot in spots])),
    )


def _made_from(body: TrackJobBody, spots: LineageSpots) -> str:
    times = np.unique(spots.timepoints)
    source = "spots of the request" if body.spots else "what the newest predictions found"
    motions = "the common motion of neighbours" if body.model_name is None else f"the flow model {body.model_name}"
    return (
        f"{source}: {counted(len(spots), 'spot')} at {counted(len(times), 'timepoint')}, {times[0]} to {times[-1]}; "
        f"linker {body.linker}, motions from {motions}"
    )


def _earlier(
    context: WorkerContext,
    dataset: Dataset,
    body: TrackJobBody,
    spots: LineageSpots,
    control: JobControl,
    reporter: DashboardProgress,
) -> FloatArray:
    """Return where each spot was at the timepoint before, as a flow model says, (N, 3)."""
    path = model_file(context, body.model_name or "")
    if not path.is_file():
        raise NotFoundError(f"there is no model {body.model_name}: train one first, or check its name")
    work = ModelWork(
        *(dataset, path, context.model_cache, NoReporter(), control),
        auto_scale=context.auto_scale,
        known=context.known,
    )
    params, earlier = body.flow_params(), np.full((len(spots), 3), np.nan)
    times = np.unique(spots.timepoints).tolist()
    for done, t in enumerate(times, start=1):
        Courtesy(control).check()
        here = spots.at(t)
        FLOW.check_prediction(dataset, t, params)
        radii = np.nan_to_num(spots.radii[here], nan=1.0)
        asked = [
            Spot(t, pos, radius**2 * np.eye(3), id=k)
            for k, (pos, radius) in enumerate(zip(spots.positions[here], radii, strict=True))
        ]
        if t > 0:
            earlier[here] = [was.pos for was in FLOW.predict(work, t, params, asked)]
        reporter.progress("timepoint", done, len(times))
    return earlier
