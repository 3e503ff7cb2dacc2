"""The jobs themselves: a payload in, an answer out, the core's workflows between."""

import logging
from dataclasses import replace
from typing import Any

from elephant.config import SelfSupervisedParams
from elephant.dataset import Dataset, convert, find_movie
from elephant.dataset.summary import image_version
from elephant.errors import NotFoundError
from elephant.io.paths import resolve_inside
from elephant.methods.annotations import update_labels
from elephant.methods.detection import DETECTION, detection_start
from elephant.methods.predict_detection import detect
from elephant.methods.preflight import check_prediction
from elephant.methods.starting import ensure_model, reset_model
from elephant.methods.training import prepare_training
from elephant.methods.work import ModelWork
from elephant.models.lock import writing
from elephant.models.losses import N_CLASSES
from elephant.models.pretrained import ModelSource
from elephant.progress import NoReporter
from elephant_server.jobs.context import JobControl, WorkerContext, cache_bytes, model_file, open_dataset
from elephant_server.jobs.live import LiveUpdates, tell
from elephant_server.jobs.payloads import DatasetGenerate, SegPredict, SegReset, SegTrain, SegUpdate, spots_of
from elephant_server.jobs.progress import (
    DashboardProgress,
    DatasetReporter,
    TileReporter,
    show_found,
    training_reporter,
    voxel_size_of,
)
from elephant_server.jobs.starting import one_starter

logger = logging.getLogger(__name__)


def seg_predict(context: WorkerContext, payload: SegPredict, control: JobControl) -> dict[str, Any]:
    """Find the nuclei of a timepoint; answers spots in the client's order."""
    work = _work(context, payload, control)
    prediction = payload.params.prediction
    check_prediction(work.dataset, payload.timepoint, prediction, 1, N_CLASSES)
    n_dims = 2 if prediction.use_2d else work.dataset.n_dims
    with one_starter(context.models, work.model_path, control):
        _ensure(context, work, n_dims, payload.start)
    logger.info("Prediction: timepoint %d of %s", payload.timepoint, payload.dataset_name)
    version = image_version(work.dataset.folder)
    found = detect(work, payload.timepoint, payload.params)
    show_found(context.feed_publisher, control.job_id, payload, version, found)
    context.messages.prediction_updated()
    return {
        "spots": [
            {
                "t": payload.timepoint,
                "pos": spot.pos[::-1].tolist(),
                "covariance": spot.covariance[::-1, ::-1].ravel().tolist(),
                "quality": spot.quality,
            }
            for spot in found
        ]
    }


def seg_train(context: WorkerContext, payload: SegTrain, control: JobControl) -> dict[str, Any]:
    """Label the spots' timepoints and train on them."""
    work = _work(context, payload, control)
    spots = spots_of(payload.spots, control)
    training = prepare_training(DETECTION, work, spots, payload.params, may_wait=payload.is_livemode)
    cache = cache_bytes(payload.cache_maxbytes)
    # From here on, so that nothing is changed for a training that is refused.
    what = "a live session" if payload.is_livemode else "a training"
    curves = training_reporter(context, control.job_id, payload.log_dir, work.model_path)
    with writing(work.model_path, what), curves as reporter:
        _ensure(context, work, work.dataset.n_dims, payload.start)
        training.load()
        # Only now, when nothing can be refused any more, is it the last training that there was.
        context.job_store.write_params(payload.params.loop.lr, payload.params.loop.n_crops)
        progress = DashboardProgress(context.feed_publisher, control.job_id, reporter)
        training = replace(training, work=replace(work, reporter=progress))
        if payload.is_livemode:
            updates = LiveUpdates(context.job_store, control, control.job_id, payload.dataset_name)
            training.run_live(updates, control, context.messages.model_updated, cache)
        else:
            training.run(control, context.messages.model_updated, cache)
    return {}


def seg_update(context: WorkerContext, payload: SegUpdate, control: JobControl) -> dict[str, Any]:
    """Replace or clear labels."""
    if payload.params is None:
        Dataset.open(context.datasets, payload.dataset_name).clear_labels()
        logger.info("Labels of %s cleared", payload.dataset_name)
    else:
        dataset = open_dataset(context, payload.dataset_name, payload.is_3d, voxel_size_of(payload))
        spots = spots_of(payload.spots, control)
        update_labels(
            dataset,
            spots,
            payload.params,
            DashboardProgress(context.feed_publisher, control.job_id, NoReporter()),
            control,
        )
        if payload.is_livemode:
            tell(context.job_store, payload.dataset_name, spots, dataset.n_timepoints)
    return {}


def seg_reset(context: WorkerContext, payload: SegReset, control: JobControl) -> dict[str, Any]:
    """Start a model anew."""
    file = payload.upload(context.models)
    try:
        work = _work(context, payload, control)
        source = ModelSource(payload.url, file)
        start = detection_start(work, work.dataset.n_dims, payload.start, cache_bytes(payload.cache_maxbytes))
        reset_model(work.model_path, start, source, context.pretrained, context.model_cache, control)
    finally:
        payload.discard(context.models)
    context.messages.model_updated()
    return {}


def dataset_generate(context: WorkerContext, payload: DatasetGenerate, control: JobControl) -> dict[str, Any]:
    """Convert the movie that lies in a dataset's folder."""
    folder = resolve_inside(context.datasets, payload.dataset_name)
    movie = find_movie(folder)
    if movie is None:
        raise NotFoundError(f"there is no .h5 in {payload.dataset_name}: put the movie into the dataset's folder")
    reporter = DashboardProgress(context.feed_publisher, control.job_id, DatasetReporter(context.messages))
    convert(movie, folder, payload.params, reporter, control)
    # The dialog in the client closes with the answer: nothing about it may come later.
    context.messages.flush()
    return {}


def _work(context: WorkerContext, payload: SegPredict | SegTrain | SegReset, control: JobControl) -> ModelWork:
    dataset = open_dataset(context, payload.dataset_name, payload.is_3d, voxel_size_of(payload))
    path = model_file(context, payload.model_name)
    return ModelWork(
        dataset,
        path,
        context.model_cache,
        DashboardProgress(context.feed_publisher, control.job_id, TileReporter()),
        control,
    )


def _ensure(context: WorkerContext, work: ModelWork, n_dims: int, start: SelfSupervisedParams) -> None:
    ensure_model(work.model_path, detection_start(work, n_dims, start), context.pretrained)
