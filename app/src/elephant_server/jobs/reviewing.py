"""Reviews: where a person should look next, and what that person says of it."""

import logging
from typing import Any

from elephant.errors import NotFoundError
from elephant.methods.detection import DETECTION
from elephant.methods.work import ModelWork
from elephant.progress import NoReporter
from elephant.quality.calibration import keep_judged
from elephant.review.answers import Answer
from elephant.review.files import as_document
from elephant.review.marking import mark
from elephant.review.reviewing import review as run_review
from elephant_server.jobs.context import WorkerContext, model_file, open_dataset
from elephant_server.jobs.control import JobControl
from elephant_server.jobs.progress import DashboardProgress
from elephant_server.schemas.review import ReviewAnswersBody, ReviewBody

logger = logging.getLogger(__name__)


def review(context: WorkerContext, body: ReviewBody, control: JobControl) -> dict[str, Any]:
    """List the places of some timepoints where errors are expected."""
    dataset, path = (
        open_dataset(context, body.dataset_name, body.is_3d, body.voxel_size),
        model_file(context, body.model_name),
    )
    if not path.is_file():
        raise NotFoundError(f"there is no model {body.model_name}: train one first, or check its name")
    reporter = DashboardProgress(context.feed_publisher, control.job_id, NoReporter())
    work, params = ModelWork(dataset, path, context.model_cache, reporter, control), body.params()
    dataset.check_timepoint(body.t_end)
    DETECTION.check_prediction(dataset, body.t_start, params)
    timepoints = range(body.t_start, body.t_end + 1)
    logger.info("Review: timepoints %d to %d of %s", body.t_start, body.t_end, body.dataset_name)
    return as_document(run_review(work, timepoints, params, body.n_places))


def review_answers(context: WorkerContext, body: ReviewAnswersBody, control: JobControl) -> dict[str, Any]:
    """Keep what a person says with the dataset, and write it into the labels."""
    dataset = open_dataset(context, body.dataset_name, body.is_3d, body.voxel_size)
    answers = body.answers(control)
    mark(dataset, answers, body.labels(), control)
    logger.info("%d answers of a review of %s written into the record and the labels", len(answers), body.dataset_name)
    if body.model_name is not None:
        _keep_judged(context, body.model_name, body.dataset_name, answers)
    return {}


def _keep_judged(context: WorkerContext, model: str, dataset: str, answers: list[Answer]) -> None:
    judged = [(one.log_odds, one.is_nucleus) for one in answers if one.kind == "spot" and one.log_odds is not None]
    path = model_file(context, model)
    if not judged or not path.is_file():
        return
    try:
        keep_judged(path, judged, dataset)
    except OSError as error:
        logger.warning("What was judged of the model %s cannot be kept (%s): its quality stays", model, error)
