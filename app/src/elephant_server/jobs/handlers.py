"""Which work each task does, whatever carries it to a worker."""

from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError

from elephant_server.errors import UnexpectedError
from elephant_server.jobs import exports, flow_payloads, flow_tasks, payloads, tasks
from elephant_server.jobs.context import JobControl, WorkerContext
from elephant_server.jobs.progress import show_begin
from elephant_server.jobs.runner import Otherwise, Work, run_job
from elephant_server.jobs.submit import Sender


@dataclass(frozen=True, slots=True)
class Handler:
    """A task's payload, and what does it: a function of the worker's context, the payload and the job's control."""

    payload: type[payloads.Payload]
    work: Callable[..., dict[str, Any]]


TASKS = MappingProxyType(
    {
        payloads.SEG_PREDICT: Handler(payloads.SegPredict, tasks.seg_predict),
        payloads.SEG_TRAIN: Handler(payloads.SegTrain, tasks.seg_train),
        payloads.SEG_UPDATE: Handler(payloads.SegUpdate, tasks.seg_update),
        payloads.SEG_RESET: Handler(payloads.SegReset, tasks.seg_reset),
        payloads.DATASET_GENERATE: Handler(payloads.DatasetGenerate, tasks.dataset_generate),
        payloads.CTC_EXPORT: Handler(payloads.CtcExport, exports.ctc_export),
        flow_payloads.FLOW_PREDICT: Handler(flow_payloads.FlowPredict, flow_tasks.flow_predict),
        flow_payloads.FLOW_TRAIN: Handler(flow_payloads.FlowTrain, flow_tasks.flow_train),
        flow_payloads.FLOW_UPDATE: Handler(flow_payloads.FlowUpdate, flow_tasks.flow_update),
        flow_payloads.FLOW_RESET: Handler(flow_payloads.FlowReset, flow_tasks.flow_reset),
    }
)


def perform(context: WorkerContext, name: str, job_id: str, payload: str, send: Sender) -> None:
    """Do the job of a task with its payload, under the job's lease; `send` puts it back where its turn has not come.

    Raises
    ------
    KeyError
        There is no such task.
    """
    task = TASKS[name]
    try:
        parsed = task.payload.model_validate_json(payload)
    except ValidationError as error:
        run_job(context.job_store, job_id, _refusing(error))
        return

    def work(control: JobControl) -> dict[str, Any]:
        show_begin(context.feed_publisher, job_id, parsed)
        return task.work(context, parsed, control)

    def put_back() -> None:
        # Those of the other queue wait for no turn.
        send(name, job_id, payload, payloads.ANSWERING_QUEUE)

    run_job(context.job_store, job_id, work, Otherwise(lambda: parsed.discard(context.models), put_back))


def _refusing(error: ValidationError) -> Work:
    """Return what ends a job that this worker cannot read: else it would be sent again and again."""
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(map(str, first["loc"]))

    def refuse(control: JobControl) -> dict[str, Any]:
        del control
        raise UnexpectedError(
            f"the worker cannot read what it was given ({where}: {first['msg']}): it is of another version than what "
            "took the request; install the same one everywhere, and start all of it again"
        )

    return refuse
