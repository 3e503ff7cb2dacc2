"""The jobs about flow: a payload in, an answer out, the core's workflows between."""

import logging
from dataclasses import replace
from typing import Any

from elephant.dataset import Dataset
from elephant.methods.annotations import update_flow_labels
from elephant.methods.flow import FLOW, flow_start
from elephant.methods.predict_flow import displace
from elephant.methods.preflight import check_prediction
from elephant.methods.starting import ensure_model, reset_model
from elephant.methods.training import prepare_training
from elephant.methods.work import ModelWork
from elephant.models.lock import writing
from elephant.models.pretrained import ModelSource
from elephant.progress import NoReporter
from elephant_server.jobs.context import JobControl, WorkerContext, cache_bytes, model_file, open_dataset
from elephant_server.jobs.flow_payloads import FlowPredict, FlowReset, FlowTrain, FlowUpdate, links_of
from elephant_server.jobs.payloads import spots_of
from elephant_server.jobs.progress import DashboardProgress, TileReporter, training_reporter, voxel_size_of
from elephant_server.jobs.starting import one_starter

logger = logging.getLogger(__name__)


def flow_predict(context: WorkerContext, payload: FlowPredict, control: JobControl) -> dict[str, Any]:
    """Find where the spots of a timepoint were; answers every one in the client's order."""
    work = _work(context, payload, control)
    dataset, prediction = work.dataset, payload.params.prediction
    check_prediction(dataset, payload.timepoint, prediction, 2, dataset.n_dims)
    with one_starter(context.models, work.model_path, control):
        ensure_model(work.model_path, flow_start(payload.start), context.pretrained)
    logger.info("Flow prediction: timepoint %d of %s", payload.timepoint, payload.dataset_name)
    found = displace(work, payload.timepoint, spots_of(payload.spots, control), payload.params)
    return {"spots": [{"id": s.id, "pos": s.pos[::-1].tolist(), "sqdisp": s.sqdisp} for s in found]}


def flow_train(context: WorkerContext, payload: FlowTrain, control: JobControl) -> dict[str, Any]:
    """Label the links' timepoints and train on them."""
    work = _work(context, payload, control)
    links = links_of(payload.links, control)
    training = prepare_training(FLOW, work, links, payload.params)
    cache = cache_bytes(payload.cache_maxbytes)
    curves = training_reporter(context, control.job_id, payload.log_dir, work.model_path)
    with writing(work.model_path, "a training"), curves as reporter:
        ensure_model(work.model_path, flow_start(payload.start), context.pretrained)
        training.load()
        # Only now, when nothing can be refused any more, is it the last training that there was.
        context.job_store.write_params(payload.params.loop.lr, payload.params.loop.n_crops)
        progress = DashboardProgress(context.feed_publisher, control.job_id, reporter)
        training = replace(training, work=replace(work, reporter=progress))
        training.run(control, context.messages.model_updated, cache)
    return {}


def flow_update(context: WorkerContext, payload: FlowUpdate, control: JobControl) -> dict[str, Any]:
    """Replace or clear flow labels."""
    if payload.params is None:
        Dataset.open(context.datasets, payload.dataset_name).clear_flow_labels()
        logger.info("Flow labels of %s cleared", payload.dataset_name)
    else:
        dataset = open_dataset(context, payload.dataset_name, payload.is_3d, voxel_size_of(payload))
        links = links_of(payload.links, control)
        update_flow_labels(
            dataset,
            links,
            payload.params,
            DashboardProgress(context.feed_publisher, control.job_id, NoReporter()),
            control,
        )
    return {}


def flow_reset(context: WorkerContext, payload: FlowReset, control: JobControl) -> dict[str, Any]:
    """Start a flow model anew."""
    file = payload.upload(context.models)
    try:
        path = model_file(context, payload.model_name)
        source = ModelSource(payload.url, file)
        reset_model(path, flow_start(payload.start), source, context.pretrained, context.model_cache, control)
    finally:
        payload.discard(context.models)
    context.messages.model_updated()
    return {}


def _work(context: WorkerContext, payload: FlowPredict | FlowTrain, control: JobControl) -> ModelWork:
    dataset = open_dataset(context, payload.dataset_name, payload.start.n_dims == 3, voxel_size_of(payload))
    path = model_file(context, payload.model_name)
    return ModelWork(
        dataset,
        path,
        context.model_cache,
        DashboardProgress(context.feed_publisher, control.job_id, TileReporter()),
        control,
    )
