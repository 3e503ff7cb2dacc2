"""Where the curves of a training go."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from elephant.io.paths import resolve_inside
from elephant.progress import ProgressReporter
from elephant.training.scalars import UNNAMED, curves, unnamed_curves
from elephant_server.jobs.context import WorkerContext


@contextmanager
def training_reporter(
    context: WorkerContext, job_id: str, log_dir: str | None, model: Path
) -> Iterator[ProgressReporter]:
    """Give the reporter of a training, whose curves go into the folder that is named, or else into one of the model.

    Parameters
    ----------
    log_dir
        The folder that the request names.
    model
        The model's file.

    Raises
    ------
    elephant.errors.InvalidInputError
        The name leads out of the logs.
    """
    if log_dir:
        with curves(resolve_inside(context.logs, log_dir)) as reporter:
            yield reporter
        return
    name = model.relative_to(context.models.resolve()).as_posix()
    context.poster.job(job_id, log_dir=f"{UNNAMED}/{name}")
    with unnamed_curves(context.logs, name) as reporter:
        yield reporter
