"""The two methods as the tests use them: prepared and run in one step."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from elephant.config import (
    DetectionParams,
    DetectionTrainingParams,
    DisplacementParams,
    FlowParams,
    FlowTrainingParams,
    LabelParams,
    StartParams,
)
from elephant.dataset import Dataset
from elephant.methods import starting
from elephant.methods.detection import DETECTION
from elephant.methods.flow import FLOW
from elephant.methods.training import LiveUpdates, prepare_training
from elephant.methods.work import ModelWork
from elephant.models.ensemble import ModelCache
from elephant.models.pretrained import ModelSource, Pretrained
from elephant.progress import CancelToken, ProgressReporter
from elephant.training.control import TrainingControl
from elephant.types import DetectedSpot, EarlierSpot, Link, Spot


def detect(work: ModelWork, t: int, params: DetectionParams) -> list[DetectedSpot]:
    return DETECTION.predict(work, t, params)


def displace(work: ModelWork, t: int, spots: Sequence[Spot], params: FlowParams) -> list[EarlierSpot]:
    return FLOW.predict(work, t, params, spots)


def update_labels(
    dataset: Dataset, spots: Sequence[Spot], params: LabelParams, reporter: ProgressReporter, cancel: CancelToken
) -> list[int]:
    return DETECTION.update_labels(dataset, spots, params, reporter, cancel)


def update_flow_labels(
    dataset: Dataset,
    links: Sequence[Link],
    params: DisplacementParams,
    reporter: ProgressReporter,
    cancel: CancelToken,
) -> list[int]:
    return FLOW.update_labels(dataset, links, params, reporter, cancel)


def train(
    work: ModelWork,
    spots: Sequence[Spot],
    params: DetectionTrainingParams,
    control: TrainingControl,
    on_saved: Callable[[], None],
    cache_bytes: int = 1 << 30,
) -> None:
    prepare_training(DETECTION, replace(work, cache_bytes=cache_bytes), spots, params).run(control, on_saved)


def train_flow(
    work: ModelWork,
    links: Sequence[Link],
    params: FlowTrainingParams,
    control: TrainingControl,
    on_saved: Callable[[], None],
    cache_bytes: int = 1 << 30,
) -> None:
    prepare_training(FLOW, replace(work, cache_bytes=cache_bytes), links, params).run(control, on_saved)


def train_live(
    work: ModelWork,
    spots: Sequence[Spot],
    params: DetectionTrainingParams,
    control: TrainingControl,
    updates: LiveUpdates,
    on_saved: Callable[[], None],
    cache_bytes: int = 1 << 30,
) -> None:
    prepare_training(DETECTION, replace(work, cache_bytes=cache_bytes), spots, params, may_wait=True).run_live(
        updates, control, on_saved
    )


def reset_model(work: ModelWork, pretrained: Pretrained, source: ModelSource, start: StartParams) -> None:
    begin = DETECTION.start(start, work)
    starting.reset_model(work.model_path, begin, source, pretrained, work.model_cache, work.cancel)


def ensure_model(work: ModelWork, pretrained: Pretrained, start: StartParams) -> None:
    starting.ensure_model(work.model_path, DETECTION.start(start, work), pretrained)


def reset_flow_model(
    path: Path,
    model_cache: ModelCache,
    pretrained: Pretrained,
    source: ModelSource,
    start: StartParams,
    cancel: CancelToken,
) -> None:
    starting.reset_model(path, FLOW.start(start), source, pretrained, model_cache, cancel)


def ensure_flow_model(path: Path, pretrained: Pretrained, start: StartParams) -> None:
    starting.ensure_model(path, FLOW.start(start), pretrained)
