"""The two methods as the tests use them: prepared and run in one step."""

from collections.abc import Callable, Sequence
from pathlib import Path

from elephant.config import DetectionTrainingParams, FlowStart, FlowTrainingParams, SelfSupervisedParams
from elephant.methods import starting
from elephant.methods.detection import DETECTION, detection_start
from elephant.methods.flow import FLOW, flow_start
from elephant.methods.training import LiveUpdates, prepare_training
from elephant.methods.work import ModelWork
from elephant.models.cache import ModelCache
from elephant.models.pretrained import ModelSource, Pretrained
from elephant.progress import CancelToken
from elephant.training.loop import TrainingControl
from elephant.types import Link, Spot


def train(
    work: ModelWork,
    spots: Sequence[Spot],
    params: DetectionTrainingParams,
    control: TrainingControl,
    on_saved: Callable[[], None],
    cache_bytes: int = 1 << 30,
) -> None:
    prepare_training(DETECTION, work, spots, params).run(control, on_saved, cache_bytes)


def train_flow(
    work: ModelWork,
    links: Sequence[Link],
    params: FlowTrainingParams,
    control: TrainingControl,
    on_saved: Callable[[], None],
    cache_bytes: int = 1 << 30,
) -> None:
    prepare_training(FLOW, work, links, params).run(control, on_saved, cache_bytes)


def train_live(
    work: ModelWork,
    spots: Sequence[Spot],
    params: DetectionTrainingParams,
    control: TrainingControl,
    updates: LiveUpdates,
    on_saved: Callable[[], None],
    cache_bytes: int = 1 << 30,
) -> None:
    prepare_training(DETECTION, work, spots, params, may_wait=True).run_live(updates, control, on_saved, cache_bytes)


def reset_model(work: ModelWork, pretrained: Pretrained, source: ModelSource, start: SelfSupervisedParams) -> None:
    begin = detection_start(work, work.dataset.n_dims, start)
    starting.reset_model(work.model_path, begin, source, pretrained, work.model_cache, work.cancel)


def ensure_model(work: ModelWork, pretrained: Pretrained, n_dims: int, start: SelfSupervisedParams) -> None:
    starting.ensure_model(work.model_path, detection_start(work, n_dims, start), pretrained)


def reset_flow_model(
    path: Path,
    model_cache: ModelCache,
    pretrained: Pretrained,
    source: ModelSource,
    start: FlowStart,
    cancel: CancelToken,
) -> None:
    starting.reset_model(path, flow_start(start), source, pretrained, model_cache, cancel)


def ensure_flow_model(path: Path, pretrained: Pretrained, start: FlowStart) -> None:
    starting.ensure_model(path, flow_start(start), pretrained)
