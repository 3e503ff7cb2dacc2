"""The jobs about flow: a payload in, an answer out, the core's workflows between."""

import logging
from dataclasses import replace
from typing import Any

from elephant.dataset import Dataset
from elephant.models.lock import writing
from elephant.models.pretrained import ModelSource
from elephant.progress import NoReporter
from elephant.workflows.flow import (
    FlowWork,
    check_flow_training,
    ensure_flow_model,
    load_flow_model,
    reset_flow_model,
    train_flow,
    update_flow_labels,
)
from elephant.workflows.predict_flow import displace
from elephant.workflows.preflight import check_prediction
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
        ensure_flow_model(work.model_path, context.pretrained, payload.start)
    logger.info("Flow prediction: timepoint %d of %s", payload.timepoint, payload.dataset_name)
    found = displace(work, payload.timepoint, spots_of(payload.spots, control), payload.params)
    return {"spots": [{"id": s.id, "pos": s.pos[::-1].tolist(), "sqdisp": s.sqdisp} for s in found]}


def flow_train(context: WorkerContext, payload: FlowTrain, control: JobControl) -> dict[str, Any]:
    """Label the links' timepoints and train on them."""
    work = _work(context, payload, control)
    links = links_of(payload.links, control)
    check_flow_training(work, links, payload.params)
    cache = cache_bytes(payload.cache_maxbytes)
    curves = training_reporter(context, control.job_id, payload.log_dir, work.model_path)
    with writing(work.model_path, "a training"), curves as reporter:
        ensure_flow_model(work.model_path, context.pretrained, payload.start)
        load_flow_model(work, payload.params.displacement.n_keep_axials)
        # Only now, when nothing can be refused any more, is it the last training that there was.
        context.job_store.write_params(payload.params.loop.lr, payload.params.loop.n_crops)
        work = replace(work, reporter=DashboardProgress(context.feed_publisher, control.job_id, reporter))
        train_flow(work, links, payload.params, control, context.messages.model_updated, cache)
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
        reset_flow_model(path, context.model_cache, context.pretrained, source, payload.start, control)
    finally:
        payload.discard(context.models)
    context.messages.model_updated()
    return {}


def _work(context: WorkerContext, payload: FlowPredict | FlowTrain, control: JobControl) -> FlowWork:
    dataset = open_dataset(context, payload.dataset_name, payload.start.n_dims == 3, voxel_size_of(payload))
    path = model_file(context, payload.model_name)
    return FlowWork(
        dataset,
        path,
        context.model_cache,
        DashboardProgress(context.feed_publisher, control.job_id, TileReporter()),
        control,
    )
