"""What a worker's process keeps between jobs, and what a job is given."""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from redis.exceptions import RedisError

from elephant.dataset import Dataset, describe_change
from elephant.dataset.source import describe_difference
from elephant.device import best_device
from elephant.errors import Cancelled, DatasetError, InvalidInputError
from elephant.io.download import DownloadRules
from elephant.io.paths import resolve_inside
from elephant.methods.work import DEFAULT_CACHE_BYTES
from elephant.models.cache import ModelCache
from elephant.models.inspect import model_named
from elephant.models.pretrained import Pretrained
from elephant.training.loop import LiveSettings
from elephant.types import VoxelSize
from elephant_server.jobs.records import Checkpoint, JobFeed, Lease, LiveParams
from elephant_server.jobs.store import JobStore
from elephant_server.rabbitmq import Messages
from elephant_server.settings import Settings

logger = logging.getLogger(__name__)

LOOK_INTERVAL_S = 0.05
AWAY_INTERVAL_S = 1.0
WAIT_S = 1.0
LONGEST_AWAY_S = 12.0  # of Redis, before a job has begun

T = TypeVar("T")


class JobControl:
    """The job store as one job's :class:`~elephant.training.loop.TrainingControl`.

    Looks at most every `LOOK_INTERVAL_S` seconds, so that it may be asked as often as one likes. While Redis is away
    the job goes on as it was; when it is back with nothing in it, the job is entered again.
    """

    def __init__(self, job_store: JobStore, lease: Lease) -> None:
        self.job_id, self.task = lease.id, lease.task
        self._job_store = job_store
        self._lease = lease
        self._seen: Checkpoint | None = None
        self._params: LiveParams | None = None  # those that it began with
        self._look_again_at = 0.0
        self._is_shutting_down = threading.Event()

    def check(self) -> None:
        """Return if the work may go on; blocks while a training is held.

        Raises
        ------
        Cancelled
            The job was aborted or given up, or its worker is asked to end.
        """
        while self._look().must_wait:
            logger.debug("Training is held")
            try:
                self._wait_while_held()
            except RedisError:
                # It stays held: what it is held for is in the job store that is away.
                self.is_shutting_down(AWAY_INTERVAL_S)

    def settings(self) -> LiveSettings:
        """Return learning rate and number of crops as they are now."""
        params = self._look().params
        return LiveSettings(params.lr, params.n_crops)

    def write_settings(self, settings: LiveSettings) -> None:
        """Make the settings of a training those of the moment; where Redis is away for a short while, wait for it.

        Raises
        ------
        Cancelled
            The worker is asked to end.
        redis.exceptions.RedisError
            Redis stays away.
        """
        self._params = self._patiently(lambda: self._job_store.write_params(settings.lr, settings.n_crops))
        self._seen = None

    def announce(self, **news: Any) -> None:
        """Tell whoever follows the job what is there of it already."""
        try:
            self._job_store.announce(self.job_id, news)
        except RedisError as error:
            # Each announcement says all that the ones before said.
            logger.warning("Whoever waits for a file hears of it later: the state cannot be reached (%s)", error)

    def renew(self) -> bool:
        """Prolong the job's lease; False where it was given up.

        Raises
        ------
        redis.exceptions.RedisError
            The job store cannot be reached.
        """
        return self._job_store.renew(self._lease, self._params if self._seen is None else self._seen.params)

    def end(self) -> None:
        """Make the next check raise; safe to call from a signal handler."""
        self._is_shutting_down.set()

    def is_shutting_down(self, wait_s: float = 0) -> bool:
        """Tell whether the worker is asked to end, within some seconds."""
        return self._is_shutting_down.wait(wait_s)

    def _wait_while_held(self) -> None:
        with self._job_store.watch() as wait:
            while self._look(fresh=True).must_wait:
                wait(WAIT_S)

    def _look(self, fresh: bool = False) -> Checkpoint:
        if self._is_shutting_down.is_set():
            raise Cancelled("the server is stopping")
        if fresh or self._seen is None or time.monotonic() > self._look_again_at:
            self._seen = self._ask()
        if self._seen.is_cancelled:
            raise Cancelled("aborted")
        return self._seen

    def _ask(self) -> Checkpoint:
        """Look into the job store; where it is away, what was seen last still counts for a while."""
        pause = LOOK_INTERVAL_S
        try:
            seen = self._look_or_enter() if self._seen is not None else self._patiently(self._look_or_enter)
        except RedisError as error:
            if self._seen is None:
                raise
            logger.debug("The state cannot be reached (%s)", error)
            seen, pause = self._seen, AWAY_INTERVAL_S
        self._look_again_at = time.monotonic() + pause
        return seen

    def _look_or_enter(self) -> Checkpoint:
        """Look into the job store; where that has lost the job, enter it again."""
        seen = self._job_store.look(self.job_id)
        if seen.is_missing:
            if not self.renew():
                raise Cancelled("it was given up, because it did not answer")
            seen = self._job_store.look(self.job_id)
        return seen

    def _patiently(self, step: Callable[[], T]) -> T:
        """Try a step on the job store until it is there, for some seconds: Redis may just be starting again."""
        end = time.monotonic() + LONGEST_AWAY_S
        while True:
            try:
                return step()
            except RedisError:
                if time.monotonic() > end:
                    raise
            if self.is_shutting_down(AWAY_INTERVAL_S):
                raise Cancelled("the server is stopping")


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


def make_context(settings: Settings, job_store: JobStore, messages: Messages, feed_publisher: JobFeed) -> WorkerContext:
    """Return what a worker keeps between jobs, on the best device that there is."""
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
    )


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
