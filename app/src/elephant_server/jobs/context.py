"""What a worker's process keeps between jobs, and what a job is given."""

import logging
from dataclasses import dataclass
from pathlib import Path

from elephant.dataset import Dataset, describe_change, recover_all
from elephant.dataset.source import describe_difference
from elephant.device import best_device, choose_precision
from elephant.errors import DatasetError, InvalidInputError
from elephant.io.addresses import use_rules
from elephant.io.atomic import remove_orphans
from elephant.io.download import DownloadRules
from elephant.io.paths import resolve_inside
from elephant.methods.known import FOLDER, KnownPredictions
from elephant.methods.work import DEFAULT_CACHE_BYTES
from elephant.models.ensemble import ModelCache
from elephant.models.inspect import model_named
from elephant.models.pretrained import Pretrained
from elephant.types import VoxelSize
from elephant_server.jobs.records import JobFeed
from elephant_server.jobs.store import JobStore
from elephant_server.jobs.walks import Walks
from elephant_server.rabbitmq import Messages
from elephant_server.settings import Settings

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class WorkerContext:
    """What lives as long as the worker: folders, warm models, the job store, the messages and the activity feed."""

    datasets: Path
    models: Path
    logs: Path
    exports: Path
    pretrained: Pretrained
    model_cache: ModelCache
    job_store: JobStore
    messages: Messages
    feed_publisher: JobFeed
    movie_folders: tuple[Path, ...] = ()
    auto_scale: bool = True
    known: KnownPredictions | None = None
    walks: Walks | None = None


def make_context(
    settings: Settings,
    job_store: JobStore,
    messages: Messages,
    feed_publisher: JobFeed,
    walks: Walks | None = None,
) -> WorkerContext:
    """Return what a worker keeps between jobs, on the best device that there is.

    The process computes in the precision of the settings from now on, and reads movies on other
    machines by their rules.
    """
    choose_precision(settings.precision)
    use_rules(settings.remote_rules)
    return WorkerContext(
        datasets=settings.datasets_dir,
        models=settings.models_dir,
        logs=settings.logs_dir,
        exports=settings.exports_dir,
        pretrained=Pretrained(
            settings.models_dir / "pretrained",
            settings.pretrained_url,
            settings.pretrained_checksums_by_name,
            _fetch_rules(settings),
        ),
        model_cache=ModelCache(best_device()),
        job_store=job_store,
        messages=messages,
        feed_publisher=feed_publisher,
        movie_folders=settings.movie_folders,
        auto_scale=settings.auto_scale,
        known=_known(settings),
        walks=walks if settings.compute_ahead and settings.keep_predictions_gib else None,
    )


def _known(settings: Settings) -> KnownPredictions | None:
    most_bytes = int(settings.keep_predictions_gib * 2**30)
    return KnownPredictions(settings.workspace / FOLDER, most_bytes) if most_bytes else None


def recover(context: WorkerContext) -> None:
    """Complete or remove what killed processes have left in datasets and beside models."""
    recover_all(context.datasets)
    remove_orphans(context.models)


def _fetch_rules(settings: Settings) -> DownloadRules:
    return DownloadRules(
        allow_private=settings.allow_private_addresses,
        largest_bytes=settings.max_model_mib << 20,
        longest_s=settings.longest_fetch_seconds,
    )


def model_file(context: WorkerContext, name: str) -> Path:
    """Return the file that a model's name stands for; it need not be there yet.

    A name without ``.pth`` means the one with it, unless there is a file of the very name.

    Raises
    ------
    InvalidInputError
        The name leads out of the models, or to something that no model can be.
    """
    path = resolve_inside(context.models, name)
    completed = model_named(path)
    if completed != path:  # judged again: it may be a link
        path = resolve_inside(context.models, completed.relative_to(context.models.resolve()).as_posix())
    if path.is_dir():
        raise InvalidInputError(f"the model {name!r} is a folder: choose another name, such as {name}/detection.pth")
    between = path.parents[: len(path.relative_to(context.models.resolve()).parts) - 1]
    files = [parent.name for parent in between if parent.is_file()]
    if files:
        raise InvalidInputError(f"the model {name!r} would lie in {files[0]}, which is a file: choose another name")
    if path.is_relative_to(context.pretrained.folder.resolve()):
        raise InvalidInputError(
            f"the model {name!r} would be one of the pretrained models, from which others start: choose another name"
        )
    return path


def cache_bytes(asked: int | None) -> int:
    """Return the limit for images that are kept in memory: what a request asks for, if it does."""
    return DEFAULT_CACHE_BYTES if asked is None else asked


def open_dataset(context: WorkerContext, name: str, is_3d: bool, voxel_size: VoxelSize | None = None) -> Dataset:
    """Open a dataset that must have volumes, or planes, as the request says, and belong to its movie.

    A request that gives another voxel size than the dataset has is told so.

    Raises
    ------
    InvalidInputError
        It has the other.
    elephant.errors.NotFoundError, elephant.errors.DatasetError
        There is none of this name, it is damaged, or its movie was replaced.
    """
    dataset = Dataset.open(context.datasets, name)
    change = describe_change(dataset.folder)
    if change:
        raise DatasetError(change)
    if dataset.is_3d != is_3d:
        raise InvalidInputError(
            f"{name} is {dataset.n_dims}D, but the request is for {3 if is_3d else 2}D: generate the dataset as the "
            "project needs it, or choose another"
        )
    if voxel_size is not None:
        difference = describe_difference(voxel_size, dataset.source, dataset.n_dims, name)
        if difference:
            logger.warning("%s", difference)
    return dataset
