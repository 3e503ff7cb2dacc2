"""Tracking of whole movies, and corrections of their lineages."""

import logging
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from elephant.dataset import Dataset
from elephant.dataset.source import describe_difference, voxel_size_in_words
from elephant.errors import InvalidInputError, NotFoundError
from elephant.geometry import mean_radii
from elephant.lineages import LineageSpots
from elephant.lineages.tracking import TrackingRequest, correct, track
from elephant.methods.flow import FLOW
from elephant.methods.known import Newest
from elephant.methods.work import ModelWork
from elephant.progress import NoReporter
from elephant.tracking.linkers import Detections
from elephant.tracking.linkers.base import useful_radii
from elephant.types import FloatArray, Spot, VoxelSize
from elephant.words import counted, in_ranges
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
    if body.spots:
        spots = body.lineage_spots()
    else:
        spots, voxel_size = _newest(context, dataset)
        body = body.with_voxel_size(voxel_size)
    _tell_difference(dataset, body)
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
        voxel_size=body.stated_voxel_size,
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


def _tell_difference(dataset: Dataset, body: TrackJobBody) -> None:
    """Warn where the spots were found with another voxel size than the dataset's."""
    if body.stated_voxel_size is not None:
        difference = describe_difference(body.stated_voxel_size, dataset.source, dataset.n_dims, dataset.name)
        if difference:
            logger.warning("%s", difference)


def _newest(context: WorkerContext, dataset: Dataset) -> tuple[LineageSpots, VoxelSize]:
    """Return what was found last at each timepoint, and with which voxel size."""
    newest = Newest({}, {}) if context.known is None else context.known.newest(dataset)
    found, spots = newest.spots, [spot for of_t in newest.spots.values() for spot in of_t]
    if not spots:
        raise NotFoundError(f"no prediction on {dataset.name} is kept: predict first, or send the spots")
    voxel_size = _common(newest.voxel_sizes, dataset)
    n = dataset.n_dims
    lineage_spots = LineageSpots(
        ids=np.arange(len(spots)),
        timepoints=np.repeat([*found], [len(of_t) for of_t in found.values()]),
        positions=np.array([spot.pos for spot in spots]),
        radii=mean_radii(np.array([spot.covariance[-n:, -n:] for spot in spots])),
    )
    return lineage_spots, voxel_size


def _common(sizes: Mapping[int, VoxelSize], dataset: Dataset) -> VoxelSize:
    """Return the voxel size of all timepoints; refuse positions of which some have another unit."""
    found: dict[VoxelSize, list[int]] = {}
    for t, size in sizes.items():
        found.setdefault(size, []).append(t)
    if len(found) > 1:
        n = dataset.n_dims
        said = "; ".join(f"{voxel_size_in_words(size, n)} at {in_ranges(times, 3)}" for size, times in found.items())
        raise InvalidInputError(
            f"expected predictions on {dataset.name} with the same voxel size at all timepoints, got {said}: predict "
            "again with the right one"
        )
    return next(iter(found))


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
