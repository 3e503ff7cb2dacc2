"""What a worker's process runs: ``celery -A elephant_server.worker worker``.

Importing it connects to nothing; the HTTP processes never import it, nor the libraries of the science.
"""

import functools
import logging
from collections.abc import Callable
from typing import Any, TypeVar

from celery import signals

from elephant.devices import best_device
from elephant.models.pretrained import Pretrained
from elephant.models.shelf import ModelShelf
from elephant_server.jobs import exports, flow_payloads, flow_tasks, payloads, tasks
from elephant_server.jobs.broker import make_celery
from elephant_server.jobs.context import JobControl, WorkerContext
from elephant_server.jobs.running import end_current_job, run_job
from elephant_server.logs import messages_of, set_up_logging
from elephant_server.settings import get_settings
from elephant_server.state import RedisBoard

logger = logging.getLogger(__name__)

app = make_celery(get_settings())

P = TypeVar("P", bound=payloads.Payload)


@functools.cache
def worker_context() -> WorkerContext:
    """Return what this process keeps between jobs; made on first use."""
    settings = get_settings()
    device = best_device()
    logger.info("Computing on %s", device)
    return WorkerContext(
        datasets=settings.datasets_dir,
        models=settings.models_dir,
        logs=settings.logs_dir,
        pretrained=Pretrained(
            settings.models_dir / "pretrained", settings.pretrained_url, settings.pretrained_checksums_by_name
        ),
        shelf=ModelShelf(device),
        board=RedisBoard(settings.redis_url),
        messages=messages_of(settings),
    )


def _register(name: str, model: type[P], work: Callable[[WorkerContext, P, JobControl], dict[str, Any]]) -> None:
    """Make a task that does `work` with its payload, under the job's lease."""

    def task(job_id: str, payload: str) -> None:
        context = worker_context()
        parsed = model.model_validate_json(payload)
        run_job(context.board, job_id, lambda control: work(context, parsed, control), parsed.discard)

    app.task(name=name)(task)


_register(payloads.SEG_PREDICT, payloads.SegPredict, tasks.seg_predict)
_register(payloads.SEG_TRAIN, payloads.SegTrain, tasks.seg_train)
_register(payloads.SEG_UPDATE, payloads.SegUpdate, tasks.seg_update)
_register(payloads.SEG_RESET, payloads.SegReset, tasks.seg_reset)
_register(payloads.DATASET_GENERATE, payloads.DatasetGenerate, tasks.dataset_generate)
_register(payloads.CTC_EXPORT, payloads.CtcExport, exports.ctc_export)
_register(flow_payloads.FLOW_PREDICT, flow_payloads.FlowPredict, flow_tasks.flow_predict)
_register(flow_payloads.FLOW_TRAIN, flow_payloads.FlowTrain, flow_tasks.flow_train)
_register(flow_payloads.FLOW_UPDATE, flow_payloads.FlowUpdate, flow_tasks.flow_update)
_register(flow_payloads.FLOW_RESET, flow_payloads.FlowReset, flow_tasks.flow_reset)


@signals.setup_logging.connect  # type: ignore[untyped-decorator]
def _set_up_logging(**_: object) -> None:
    set_up_logging(get_settings())


@signals.worker_ready.connect  # type: ignore[untyped-decorator]
def _warm_up(**_: object) -> None:
    worker_context()


@signals.worker_shutting_down.connect  # type: ignore[untyped-decorator]
def _end_current_job(**_: object) -> None:
    end_current_job()
