"""The jobs about flow: a request's body in, an answer out, the core's workflows between."""

import logging
from dataclasses import replace
from typing import Any

from elephant.dataset import Dataset
from elephant.methods.annotations import update_flow_labels
from elephant.methods.flow import FLOW, displace, flow_start
from elephant.methods.starting import ensure_model, reset_model
from elephant.methods.training import prepare_training
from elephant.methods.work import ModelWork, check_prediction
from elephant.models.lock import writing
from elephant.models.pretrained import ModelSource
from elephant.progress import NoReporter
from elephant.training.loop import LiveSettings
from elephant_server.jobs.context import JobControl, WorkerContext, cache_bytes, model_file, open_dataset
from elephant_server.jobs.progress import DashboardProgress, TileReporter, training_reporter
from elephant_server.jobs.starting import one_starter
from elephant_server.schemas.answers import earlier_spots
from elephant_server.schemas.flow import FlowPredictBody, FlowResetBody, FlowTrainBody, FlowUpdateBody
from elephant_server.uploads import discard_upload, uploaded_model

logger = logging.getLogger(__name__)


def flow_predict(context: WorkerContext, body: FlowPredictBody, control: JobControl) -> dict[str, Any]:
    """Find where the spots of a timepoint were; answers every one in the client's order."""
    work, params = _work(context, body, control), body.params()
    dataset = work.dataset
    check_prediction(dataset, body.timepoint, params.prediction, 2, dataset.n_dims)
    with one_starter(context.models, work.model_path, control):
        ensure_model(work.model_path, flow_start(body.start()), context.pretrained)
    logger.info("Flow prediction: timepoint %d of %s", body.timepoint, body.dataset_name)
    return earlier_spots(displace(work, body.timepoint, body.later_spots(control), params))


def flow_train(context: WorkerContext, body: FlowTrainBody, control: JobControl) -> dict[str, Any]:
    """Label the links' timepoints and train on them."""
    work, params = _work(context, body, control), body.params()
    training = prepare_training(FLOW, work, body.links(control), params)
    cache = cache_bytes(body.cache_maxbytes)
    curves = training_reporter(context, control.job_id, body.log_dir, work.model_path)
    with writing(work.model_path, "a training"), curves as reporter:
        ensure_model(work.model_path, flow_start(body.start()), context.pretrained)
        training.load()
        # Only now, when nothing can be refused any more, is it the last training that there was.
        control.write_settings(LiveSettings(params.loop.lr, params.loop.n_crops))
        progress = DashboardProgress(context.feed_publisher, control.job_id, reporter)
        training = replace(training, work=replace(work, reporter=progress))
        training.run(control, context.messages.model_updated, cache)
    return {}


def flow_update(context: WorkerContext, body: FlowUpdateBody, control: JobControl) -> dict[str, Any]:
    """Replace or clear flow labels."""
    if body.reset:
        Dataset.open(context.datasets, body.dataset_name).clear_flow_labels()
        logger.info("Flow labels of %s cleared", body.dataset_name)
    else:
        dataset = open_dataset(context, body.dataset_name, body.is_3d, body.voxel_size)
        reporter = DashboardProgress(context.feed_publisher, control.job_id, NoReporter())
        update_flow_labels(dataset, body.links(control), body.labels(), reporter, control)
    return {}


def flow_reset(
    context: WorkerContext, body: FlowResetBody, control: JobControl, file: str | None = None
) -> dict[str, Any]:
    """Start a flow model anew."""
    source = ModelSource(body.url, uploaded_model(context.models, file))
    try:
        path = model_file(context, body.model_name)
        reset_model(path, flow_start(body.start()), source, context.pretrained, context.model_cache, control)
    finally:
        discard_upload(context.models, file)
    context.messages.model_updated()
    return {}


def _work(context: WorkerContext, body: FlowPredictBody | FlowTrainBody, control: JobControl) -> ModelWork:
    dataset = open_dataset(context, body.dataset_name, body.is_3d, body.stated_voxel_size)
    path = model_file(context, body.model_name)
    return ModelWork(
        dataset,
        path,
        context.model_cache,
        DashboardProgress(context.feed_publisher, control.job_id, TileReporter()),
        control,
    )
