"""Which work each task does, whatever carries it to a worker."""

from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError

from elephant_server.errors import UnexpectedError
from elephant_server.jobs import exports, flow_tasks, submit, tasks
from elephant_server.jobs.context import JobControl, WorkerContext
from elephant_server.jobs.progress import show_begin
from elephant_server.jobs.runner import Otherwise, Work, run_job
from elephant_server.jobs.submit import Message, Sender, Task
from elephant_server.uploads import discard_upload


def _nothing(context: WorkerContext, message: Message[Any]) -> None:
    """A job without an upload leaves nothing; who waits for an export removes its file."""
    del context, message


def _discard(context: WorkerContext, message: Message[Any]) -> None:
    discard_upload(context.models, message.file)


@dataclass(frozen=True, slots=True)
class Handler:
    """A task, what does it, and what gives it up.

    The work is a function of the worker's context, the request's body, the job's control and, where the message names
    one, a `file`; it returns the answer.
    """

    task: Task[Any]
    work: Callable[..., dict[str, Any]]
    give_up: Callable[[WorkerContext, Message[Any]], None] = _nothing


TASKS = MappingProxyType(
    {
        handler.task.name: handler
        for handler in (
            Handler(submit.SEG_PREDICT, tasks.seg_predict),
            Handler(submit.SEG_TRAIN, tasks.seg_train),
            Handler(submit.SEG_UPDATE, tasks.seg_update),
            Handler(submit.SEG_RESET, tasks.seg_reset, _discard),
            Handler(submit.DATASET_GENERATE, tasks.dataset_generate),
            Handler(submit.CTC_EXPORT, exports.ctc_export),
            Handler(submit.FLOW_PREDICT, flow_tasks.flow_predict),
            Handler(submit.FLOW_TRAIN, flow_tasks.flow_train),
            Handler(submit.FLOW_UPDATE, flow_tasks.flow_update),
            Handler(submit.FLOW_RESET, flow_tasks.flow_reset, _discard),
        )
    }
)


def perform(context: WorkerContext, name: str, job_id: str, text: str, send: Sender) -> None:
    """Do the job of a task, as its message says, under the job's lease; `send` puts it back where it has to wait.

    Raises
    ------
    KeyError
        There is no such task.
    """
    handler = TASKS[name]
    try:
        message = handler.task.read(text)
    except ValidationError as error:
        run_job(context.job_store, job_id, _refusing(error))
        return

    def work(control: JobControl) -> dict[str, Any]:
        show_begin(context.feed_publisher, job_id, message.body)
        named = {} if message.file is None else {"file": message.file}
        return handler.work(context, message.body, control, **named)

    def put_back() -> None:
        # Those of the other queue never have to wait.
        send(name, job_id, text, submit.ANSWERING_QUEUE)

    run_job(context.job_store, job_id, work, Otherwise(lambda: handler.give_up(context, message), put_back))


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
