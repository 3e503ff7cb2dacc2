"""The jobs themselves: a request's body in, an answer out, the core's methods between; whatever carries them here."""

import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError
from redis.exceptions import RedisError

from elephant.dataset import Dataset, add, convert, find_movie
from elephant.dataset.adding import relink
from elephant.dataset.layout import IMAGES
from elephant.dataset.record import recorded_as
from elephant.dataset.summary import image_version
from elephant.errors import Cancelled, InvalidInputError, NotFoundError, reason_of
from elephant.io.paths import resolve_inside
from elephant.methods.base import AnyMethod
from elephant.methods.detection import DETECTION
from elephant.methods.flow import FLOW
from elephant.methods.registry import detector_named
from elephant.methods.starting import ensure_model, one_starter, reset_model
from elephant.methods.training import prepare_training
from elephant.methods.work import ModelWork
from elephant.models.lock import writing
from elephant.models.pretrained import ModelSource
from elephant.models.provenance import read_provenance
from elephant.models.versions import restore
from elephant.progress import NoReporter, cancelled_by
from elephant.review.marking import with_answers
from elephant.training.control import LiveSettings
from elephant.types import DetectedSpot
from elephant_server.errors import StorageError, UnavailableError, UnexpectedError
from elephant_server.jobs import submit
from elephant_server.jobs.context import WorkerContext, cache_bytes, model_file, open_dataset
from elephant_server.jobs.control import JobControl, LiveUpdates, tell
from elephant_server.jobs.exporting import tracks_export
from elephant_server.jobs.lineages import lineage_correct, movie_track
from elephant_server.jobs.progress import (
    DashboardProgress,
    DatasetReporter,
    SizeReporter,
    TileReporter,
    show_begin,
    show_found,
    training_reporter,
)
from elephant_server.jobs.reviewing import review, review_answers
from elephant_server.jobs.submit import Message, Task
from elephant_server.jobs.walks import PredictBody, Request
from elephant_server.movies import MoviePlaces
from elephant_server.schemas.common import ModelBody
from elephant_server.schemas.dataset import CtcBody, DatasetGenerateBody, DatasetMakeBody
from elephant_server.schemas.detection import SegPredictBody, SegResetBody, SegTrainBody, SegUpdateBody
from elephant_server.schemas.flow import FlowPredictBody, FlowResetBody, FlowTrainBody, FlowUpdateBody
from elephant_server.schemas.models import ModelRestoreBody
from elephant_server.uploads import discard_upload, passing_place, uploaded_model

logger = logging.getLogger(__name__)


def seg_predict(context: WorkerContext, body: SegPredictBody, control: JobControl) -> dict[str, Any]:
    """Find the nuclei of a timepoint, by the network or by a method of another package."""
    version = image_version(Dataset.open(context.datasets, body.dataset_name).folder)
    found = predict(DETECTION, context, body, control) if body.method is None else _detect(context, body, control)
    if body.method is None:
        _take_note(context, submit.SEG_PREDICT, body, control)
    show_found(context.feed_publisher, control.job_id, body, version, found)
    _keep_newest(context, body, found)
    context.messages.prediction_updated()
    return body.answer(found)


def movie_predict(context: WorkerContext, body: SegPredictBody, control: JobControl) -> dict[str, Any]:
    """Find the nuclei of one of the timepoints of a movie."""
    n_known = 0 if context.known is None else context.known.n_answered
    version = image_version(Dataset.open(context.datasets, body.dataset_name).folder)
    found = predict(DETECTION, context, body, control) if body.method is None else _detect(context, body, control)
    show_found(context.feed_publisher, control.job_id, body, version, found)
    _keep_newest(context, body, found)
    is_known = context.known is not None and context.known.n_answered > n_known
    return {**body.answer(found), "is_known": is_known}


def _keep_newest(context: WorkerContext, body: SegPredictBody, found: list[DetectedSpot]) -> None:
    """Keep what was found, so that the movie can be tracked; a part of a timepoint is none of it."""
    if context.known is not None and body.crop_box is None:
        dataset = Dataset.open(context.datasets, body.dataset_name)
        context.known.keep_newest(dataset, body.timepoint, found, body.voxel_size)


def flow_predict(context: WorkerContext, body: FlowPredictBody, control: JobControl) -> dict[str, Any]:
    """Find where the spots of a timepoint were."""
    found = predict(FLOW, context, body, control)
    _take_note(context, submit.FLOW_PREDICT, body, control)
    return body.answer(found)


def predict(
    method: AnyMethod, context: WorkerContext, body: SegPredictBody | FlowPredictBody, control: JobControl
) -> list[Any]:
    """Use the model of a request at its timepoint; start it where it is missing."""
    work, params = _work(context, body, control), body.params()
    method.check_prediction(work.dataset, body.timepoint, params)
    with one_starter(context.models, work.model_path, control):
        ensure_model(work.model_path, method.start(params, work), context.pretrained)
    logger.info("Prediction: timepoint %d of %s, %s", body.timepoint, body.dataset_name, method.name)
    n_known = 0 if work.known is None else work.known.n_answered
    found = method.predict(work, body.timepoint, params, body.asked(control))
    if work.known is not None and work.known.n_answered > n_known:
        context.feed_publisher.count("answered_at_once")
    return found


def _take_note(context: WorkerContext, task: Task[Any], body: PredictBody, control: JobControl) -> None:
    """Remember what was asked for: the next timepoints may be computed ahead."""
    if context.walks is None or body.output_prediction:
        return
    try:
        context.walks.add(Request.of(task.name, control.person, body))
    except RedisError as error:
        logger.debug("Nothing is computed ahead: the state cannot be reached (%s)", error)


def _detect(context: WorkerContext, body: SegPredictBody, control: JobControl) -> list[DetectedSpot]:
    """Use a method of another package at the timepoint of a request."""
    dataset = open_dataset(context, body.dataset_name, body.is_3d, body.stated_voxel_size)
    chosen = detector_named(body.method or "", body.method_params or {}, dataset.n_dims)
    logger.info("Prediction: timepoint %d of %s, %s", body.timepoint, body.dataset_name, chosen.plugin.title)
    if body.output_prediction:
        logger.warning("No probabilities are stored: %s finds nuclei without any", chosen.plugin.title)
    control.check()
    return chosen.predict(dataset, body.timepoint, body.params().prediction, body.voxel_size)


def train(
    method: AnyMethod, context: WorkerContext, body: SegTrainBody | FlowTrainBody, control: JobControl
) -> dict[str, Any]:
    """Write the labels of annotations, and train on their timepoints."""
    work, params = _work(context, body, control), body.params()
    training = prepare_training(method, work, _annotations(work, body, control), params, may_wait=body.is_live)
    # From here on, so that nothing is changed for a training that is refused.
    what = "a live session" if body.is_live else "a training"
    curves = training_reporter(context, control.job_id, body.log_dir, work.model_path)
    with writing(work.model_path, what), curves as reporter:
        ensure_model(work.model_path, training.start(), context.pretrained)
        training.load()
        # Only now, when nothing can be refused any more, is it the last training that there was.
        control.write_settings(LiveSettings(params.loop.lr, params.loop.n_crops))
        progress = DashboardProgress(context.feed_publisher, control.job_id, reporter)
        training = replace(training, work=replace(work, reporter=progress)).at_scale()
        if body.is_live:
            updates = LiveUpdates(context.job_store, control, control.job_id, body.dataset_name)
            training.run_live(updates, control, context.messages.model_updated)
        else:
            training.run(control, context.messages.model_updated)
    return {}


def _annotations(work: ModelWork, body: SegTrainBody | FlowTrainBody, control: JobControl) -> Sequence[Any]:
    """Return what a training is given; of detection together with what a person said in a review."""
    if isinstance(body, SegTrainBody):
        return with_answers(work.dataset, body.annotations(control), control)
    return body.annotations(control)


def update(
    method: AnyMethod, context: WorkerContext, body: SegUpdateBody | FlowUpdateBody, control: JobControl
) -> dict[str, Any]:
    """Replace or clear labels."""
    if body.reset:
        dataset = Dataset.open(context.datasets, body.dataset_name)
        method.clear_labels(dataset)
        logger.info("Labels of %s cleared, %s", body.dataset_name, method.name)
        return {}
    dataset = open_dataset(context, body.dataset_name, body.is_3d, body.voxel_size)
    annotations = body.annotations(control)
    reporter = DashboardProgress(context.feed_publisher, control.job_id, NoReporter())
    method.update_labels(dataset, annotations, body.labels(), reporter, control)
    if body.is_for_live_session:
        tell(context.job_store, body.dataset_name, method, annotations, dataset.n_timepoints)
    return {}


def reset(
    method: AnyMethod,
    context: WorkerContext,
    body: SegResetBody | FlowResetBody,
    control: JobControl,
    file: str | None = None,
) -> dict[str, Any]:
    """Start a model anew."""
    source = ModelSource(body.url, uploaded_model(context.models, file))
    try:
        work = _work(context, body, control) if isinstance(body, SegResetBody) else None
        path, start = model_file(context, body.model_name), method.start(body.start(), work)
        reset_model(path, start, source, context.pretrained, context.model_cache, control)
    finally:
        discard_upload(context.models, file)
    context.messages.model_updated()
    return {}


def dataset_generate(context: WorkerContext, body: DatasetGenerateBody, control: JobControl) -> dict[str, Any]:
    """Convert the movie that lies in a dataset's folder."""
    folder = resolve_inside(context.datasets, body.dataset_name)
    movie = find_movie(folder)
    if movie is None:
        raise NotFoundError(f"there is no movie in {body.dataset_name}: put the movie into the dataset's folder")
    reporter = DashboardProgress(context.feed_publisher, control.job_id, DatasetReporter(context.messages))
    convert(movie, folder, body.conversion(), reporter, control)
    # The dialog in the client closes with the answer: nothing about it may come later.
    context.messages.flush()
    return {}


def dataset_make(context: WorkerContext, body: DatasetMakeBody, control: JobControl) -> dict[str, Any]:
    """Make a dataset from a movie that the dashboard lists: a copy, or one that reads its images in place."""
    folder, params = resolve_inside(context.datasets, body.dataset_name), body.conversion()
    places = MoviePlaces(context.datasets, context.movie_folders)
    movie = places.resolve(body.folder, body.movie)
    places.inspect(movie, params.setup, control, fill_gaps=params.fill_gaps)
    if body.in_place and not body.overwrite and relink(movie, folder, params, control):
        return {}
    if (folder / IMAGES).exists() and not body.overwrite:
        raise InvalidInputError(
            f"there is already a dataset {body.dataset_name}, whose labels would be lost: choose another name, or let "
            "it be replaced"
        )
    if body.in_place:
        add(movie, folder, params, control)
    else:
        reporter = DashboardProgress(context.feed_publisher, control.job_id, NoReporter())
        convert(movie, folder, params, reporter, control)
    return {}


def model_restore(context: WorkerContext, body: ModelRestoreBody, control: JobControl) -> dict[str, Any]:
    """Go back to an earlier version of a model; what it held is kept as a version, too."""
    control.check()
    path = model_file(context, body.model_name)
    restored = restore(path, body.version)
    context.model_cache.forget(path)
    context.messages.model_updated()
    entries = read_provenance(path)
    return {"restored": restored.number, "before": entries[-1].before if entries else None}


def ctc_export(context: WorkerContext, body: CtcBody, control: JobControl, file: str) -> dict[str, Any]:
    """Write masks into the file that is there for them, and tell after each one how much of it there is."""
    from elephant.export.ctc import export_ctc  # noqa: PLC0415 - its import takes as long as that of half the server

    place = passing_place(context.exports, file)
    dataset = open_dataset(context, body.dataset_name, body.is_3d, body.stated_voxel_size)
    nuclei = body.nuclei(control)
    try:
        # Only if it exists: the HTTP process removes it when nobody waits any more.
        with place.open("r+b") as masks:
            reporter = DashboardProgress(context.feed_publisher, control.job_id, SizeReporter(masks, control))
            export_ctc(dataset, nuclei, body.params(), masks, reporter, control)
            os.fsync(masks.fileno())
            size = masks.seek(0, os.SEEK_END)
    except FileNotFoundError as error:
        raise Cancelled("nobody waits for the export any more") from error
    except OSError as error:
        raise StorageError(
            f"the masks cannot be written ({reason_of(error)}): make room on the disk of the workspace, then try again"
        ) from error
    return {"size": size}


def _work(context: WorkerContext, body: ModelBody, control: JobControl) -> ModelWork:
    return ModelWork(
        open_dataset(context, body.dataset_name, body.is_3d, body.stated_voxel_size),
        model_file(context, body.model_name),
        context.model_cache,
        DashboardProgress(context.feed_publisher, control.job_id, TileReporter()),
        control,
        cache_bytes(body.cache_maxbytes),
        context.auto_scale,
        context.known,
    )


@dataclass(frozen=True, slots=True)
class Handler:
    """A task, and what does it.

    The work is a function of the worker's context, the request's body, the job's control and, where the message names
    one, a `file`; it returns the answer.
    """

    task: Task[Any]
    work: Callable[..., dict[str, Any]]


TASKS = MappingProxyType(
    {
        handler.task.name: handler
        for handler in (
            Handler(submit.SEG_PREDICT, seg_predict),
            Handler(submit.MOVIE_PREDICT, movie_predict),
            Handler(submit.MOVIE_TRACK, movie_track),
            Handler(submit.LINEAGE_CORRECT, lineage_correct),
            Handler(submit.REVIEW, review),
            Handler(submit.REVIEW_ANSWERS, review_answers),
            Handler(submit.SEG_TRAIN, partial(train, DETECTION)),
            Handler(submit.SEG_UPDATE, partial(update, DETECTION)),
            Handler(submit.SEG_RESET, partial(reset, DETECTION)),
            Handler(submit.FLOW_PREDICT, flow_predict),
            Handler(submit.FLOW_TRAIN, partial(train, FLOW)),
            Handler(submit.FLOW_UPDATE, partial(update, FLOW)),
            Handler(submit.FLOW_RESET, partial(reset, FLOW)),
            Handler(submit.DATASET_GENERATE, dataset_generate),
            Handler(submit.DATASET_MAKE, dataset_make),
            Handler(submit.MODEL_RESTORE, model_restore),
            Handler(submit.CTC_EXPORT, ctc_export),
            Handler(submit.TRACKS_EXPORT, tracks_export),
        )
    }
)


def perform(context: WorkerContext, control: JobControl) -> dict[str, Any]:
    """Do the work of a job, as its message says, and return the answer.

    Raises
    ------
    UnavailableError
        Redis has lost the message.
    UnexpectedError
        The job is of another version of the server.
    """
    text = context.job_store.message(control.job_id)
    if not text:
        raise UnavailableError(
            "Redis was started again and has lost what the request asked for, before it began: try again"
        )
    handler, message = _read(control.task, text)
    show_begin(context.feed_publisher, control.job_id, message.body)
    if control.person:
        logger.info("%s asked for the following", control.person)
    named = {} if message.file is None else {"file": message.file}
    request = control.task.removeprefix("elephant.").replace("_", "/", 1)
    with cancelled_by(control), recorded_as(request, control.person or None):
        return handler.work(context, message.body, control, **named)


def _read(task: str, text: str) -> tuple[Handler, Message[Any]]:
    try:
        handler = TASKS[task]
        return handler, handler.task.read(text)
    except KeyError:
        reason = f"there is no task {task}"
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        reason = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    raise UnexpectedError(
        f"the worker cannot read what it was given ({reason}): it is of another version than what took the request; "
        "install the same one everywhere, and start all of it again"
    )
