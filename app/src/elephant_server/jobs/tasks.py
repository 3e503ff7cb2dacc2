"""The jobs themselves: a request's body in, an answer out, the core's workflows between."""

import logging
from dataclasses import replace
from typing import Any

from elephant.config import SelfSupervisedParams
from elephant.dataset import Dataset, convert, find_movie
from elephant.dataset.summary import image_version
from elephant.errors import NotFoundError
from elephant.io.paths import resolve_inside
from elephant.methods.annotations import update_labels
from elephant.methods.detection import DETECTION, detect, detection_start
from elephant.methods.starting import ensure_model, reset_model
from elephant.methods.training import prepare_training
from elephant.methods.work import ModelWork, check_prediction
from elephant.models.lock import writing
from elephant.models.pretrained import ModelSource
from elephant.progress import NoReporter
from elephant.training.loop import LiveSettings
from elephant.types import N_CLASSES
from elephant_server.jobs.context import JobControl, WorkerContext, cache_bytes, model_file, open_dataset
from elephant_server.jobs.live import LiveUpdates, tell
from elephant_server.jobs.progress import (
    DashboardProgress,
    DatasetReporter,
    TileReporter,
    show_found,
    training_reporter,
)
from elephant_server.jobs.starting import one_starter
from elephant_server.schemas.answers import found_spots
from elephant_server.schemas.dataset import DatasetGenerateBody
from elephant_server.schemas.detection import SegPredictBody, SegResetBody, SegTrainBody, SegUpdateBody
from elephant_server.uploads import discard_upload, uploaded_model

logger = logging.getLogger(__name__)


def seg_predict(context: WorkerContext, body: SegPredictBody, control: JobControl) -> dict[str, Any]:
    """Find the nuclei of a timepoint; answers spots in the client's order."""
    work = _work(context, body, control)
    params = body.params()
    prediction = params.prediction
    check_prediction(work.dataset, body.timepoint, prediction, 1, N_CLASSES)
    n_dims = 2 if prediction.use_2d else work.dataset.n_dims
    with one_starter(context.models, work.model_path, control):
        _ensure(context, work, n_dims, body.start())
    logger.info("Prediction: timepoint %d of %s", body.timepoint, body.dataset_name)
    version = image_version(work.dataset.folder)
    found = detect(work, body.timepoint, params)
    show_found(context.feed_publisher, control.job_id, body, version, found)
    context.messages.prediction_updated()
    return found_spots(body.timepoint, found)


def seg_train(context: WorkerContext, body: SegTrainBody, control: JobControl) -> dict[str, Any]:
    """Label the spots' timepoints and train on them."""
    work, params = _work(context, body, control), body.params()
    spots = body.annotations(control)
    training = prepare_training(DETECTION, work, spots, params, may_wait=body.is_livemode)
    cache = cache_bytes(body.cache_maxbytes)
    # From here on, so that nothing is changed for a training that is refused.
    what = "a live session" if body.is_livemode else "a training"
    curves = training_reporter(context, control.job_id, body.log_dir, work.model_path)
    with writing(work.model_path, what), curves as reporter:
        _ensure(context, work, work.dataset.n_dims, body.start())
        training.load()
        # Only now, when nothing can be refused any more, is it the last training that there was.
        control.write_settings(LiveSettings(params.loop.lr, params.loop.n_crops))
        progress = DashboardProgress(context.feed_publisher, control.job_id, reporter)
        training = replace(training, work=replace(work, reporter=progress))
        if body.is_livemode:
            updates = LiveUpdates(context.job_store, control, control.job_id, body.dataset_name)
            training.run_live(updates, control, context.messages.model_updated, cache)
        else:
            training.run(control, context.messages.model_updated, cache)
    return {}


def seg_update(context: WorkerContext, body: SegUpdateBody, control: JobControl) -> dict[str, Any]:
    """Replace or clear labels."""
    if body.reset:
        Dataset.open(context.datasets, body.dataset_name).clear_labels()
        logger.info("Labels of %s cleared", body.dataset_name)
    else:
        dataset = open_dataset(context, body.dataset_name, body.is_3d, body.voxel_size)
        spots = body.annotations(control)
        reporter = DashboardProgress(context.feed_publisher, control.job_id, NoReporter())
        update_labels(dataset, spots, body.labels(), reporter, control)
        if body.is_for_live_session:
            tell(context.job_store, body.dataset_name, spots, dataset.n_timepoints)
    return {}


def seg_reset(
    context: WorkerContext, body: SegResetBody, control: JobControl, file: str | None = None
) -> dict[str, Any]:
    """Start a model anew."""
    source = ModelSource(body.url, uploaded_model(context.models, file))
    try:
        work = _work(context, body, control)
        start = detection_start(work, work.dataset.n_dims, body.start(), cache_bytes(body.cache_maxbytes))
        reset_model(work.model_path, start, source, context.pretrained, context.model_cache, control)
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


def _work(context: WorkerContext, body: SegPredictBody | SegTrainBody | SegResetBody, control: JobControl) -> ModelWork:
    dataset = open_dataset(context, body.dataset_name, body.is_3d, body.stated_voxel_size)
    path = model_file(context, body.model_name)
    return ModelWork(
        dataset,
        path,
        context.model_cache,
        DashboardProgress(context.feed_publisher, control.job_id, TileReporter()),
        control,
    )


def _ensure(context: WorkerContext, work: ModelWork, n_dims: int, start: SelfSupervisedParams) -> None:
    ensure_model(work.model_path, detection_start(work, n_dims, start), context.pretrained)
