"""The jobs about flow: a payload in, an answer out, the core's workflows between."""

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

from elephant.config.flow import FlowStart
from elephant.dataset import Dataset
from elephant.models.pretrained import ModelSource
from elephant.paths import resolve_inside
from elephant.reporting import NoReporter
from elephant.workflows.displacement import displace
from elephant.workflows.flow import FlowWork, ensure_flow_model, reset_flow_model, train_flow, update_flow_labels
from elephant.workflows.work import DEFAULT_CACHE_BYTES
from elephant_server.jobs.context import JobControl, WorkerContext, open_dataset
from elephant_server.jobs.flow_payloads import FlowPredict, FlowReset, FlowTrain, FlowUpdate
from elephant_server.jobs.reporters import TileReporter
from elephant_server.jobs.scalars import training_reporter
from elephant_server.jobs.showing import Shown

logger = logging.getLogger(__name__)


def flow_predict(context: WorkerContext, payload: FlowPredict, control: JobControl) -> dict[str, Any]:
    """Find where the spots of a timepoint were; answers every one in the client's order."""
    work = _work(context, payload.dataset_name, payload.model_name, payload.start, control)
    logger.info("Flow prediction: timepoint %d of %s", payload.timepoint, payload.dataset_name)
    found = displace(work, payload.timepoint, [spot.to_spot() for spot in payload.spots], payload.params)
    return {"spots": [{"id": s.id, "pos": s.pos[::-1].tolist(), "sqdisp": s.sqdisp} for s in found]}


def flow_train(context: WorkerContext, payload: FlowTrain, control: JobControl) -> dict[str, Any]:
    """Label the links' timepoints and train on them."""
    loop = payload.params.loop
    context.board.write_params(loop.lr, loop.n_crops)
    work = _work(context, payload.dataset_name, payload.model_name, payload.start, control)
    links = [link.to_link() for link in payload.links]
    cache = DEFAULT_CACHE_BYTES if payload.cache_maxbytes is None else payload.cache_maxbytes
    with training_reporter(context, payload.log_dir, "flow") as reporter:
        work = replace(work, reporter=Shown(context.poster, control.job_id, reporter))
        train_flow(work, links, payload.params, control, context.messages.model_updated, cache)
    return {}


def flow_update(context: WorkerContext, payload: FlowUpdate, control: JobControl) -> dict[str, Any]:
    """Replace or clear flow labels."""
    dataset = Dataset.open(context.datasets, payload.dataset_name)
    if payload.params is None:
        dataset.clear_flow_labels()
        logger.info("Flow labels of %s cleared", payload.dataset_name)
    else:
        links = [link.to_link() for link in payload.links]
        update_flow_labels(dataset, links, payload.params, Shown(context.poster, control.job_id, NoReporter()), control)
    return {}


def flow_reset(context: WorkerContext, payload: FlowReset, control: JobControl) -> dict[str, Any]:
    """Start a flow model anew."""
    file = None if payload.file is None else Path(payload.file)
    try:
        path = resolve_inside(context.models, payload.model_name)
        source = ModelSource(payload.url, file)
        reset_flow_model(path, context.shelf, context.pretrained, source, payload.start, control)
    finally:
        payload.discard()
    context.messages.model_updated()
    return {}


def _work(
    context: WorkerContext, dataset_name: str, model_name: str, start: FlowStart, control: JobControl
) -> FlowWork:
    dataset = open_dataset(context, dataset_name, start.n_dims == 3)
    path = resolve_inside(context.models, model_name)
    ensure_flow_model(path, context.pretrained, start)
    return FlowWork(dataset, path, context.shelf, Shown(context.poster, control.job_id, TileReporter()), control)
