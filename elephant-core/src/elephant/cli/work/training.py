"""Training from files."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from elephant.cli.files_read import read_all_spots
from elephant.cli.inputs import chosen_keep_axials, chosen_voxel_size, open_dataset
from elephant.cli.parameters import build
from elephant.cli.running import DONE, current, print_json
from elephant.cli.spot_records import links_of, spot_of
from elephant.cli.workspace import MODELS, chosen_workspace, place
from elephant.config import DetectionTrainingParams, FlowTrainingParams
from elephant.console import Bars, interruptible
from elephant.dataset import Dataset
from elephant.device import choose_device
from elephant.errors import InvalidInputError
from elephant.methods.detection import DETECTION
from elephant.methods.flow import FLOW
from elephant.methods.outcome import Outcome
from elephant.methods.starting import ensure_model, reset_model, warn_of_start
from elephant.methods.training import TrainingRun, prepare_training
from elephant.methods.work import ModelWork
from elephant.models.cache import ModelCache
from elephant.models.pretrained import VERSATILE, ModelSource, Pretrained
from elephant.models.provenance import read_provenance
from elephant.progress import NoReporter, ProgressReporter
from elephant.training.scalars import unnamed_curves
from elephant.types import Tag, VoxelSize
from elephant.words import counted


@dataclass(frozen=True, slots=True)
class Order:
    """What a person asked for.

    Attributes
    ----------
    dataset, files, model
        As they were named.
    values
        All other options.
    """

    dataset: str
    files: Sequence[Path]
    model: str
    values: Mapping[str, Any]

    @property
    def names(self) -> str:
        """The files, in words."""
        return " and ".join(file.name for file in self.files)

    def source(self) -> ModelSource | None:
        """Return the chosen start of a model; None for the best available."""
        start = self.values["start"]
        if start == "auto" and not self.values["anew"]:
            return None
        return ModelSource() if start == "scratch" else ModelSource(VERSATILE)


@contextmanager
def _curves(order: Order, path: Path) -> Iterator[ProgressReporter]:
    """Open the reporter that writes the curves of a training to the workspace, if there is one, for a dashboard."""
    workspace = chosen_workspace(order.values["workspace"])
    if workspace is None:
        yield NoReporter()
        return
    models, model = (workspace / MODELS).resolve(), path.resolve()
    name = model.relative_to(models).as_posix() if model.is_relative_to(models) else path.name
    with unnamed_curves(workspace / "logs", name) as reporter:
        yield reporter


def train_detection(order: Order) -> int:
    """Train a detection model on spots."""
    dataset, path, fixed = _prepared(order)
    params = build(DetectionTrainingParams, {**order.values, **fixed}, dataset.n_dims)
    spots = [spot_of(record, Tag(order.values["tag"])) for record in read_all_spots(order.files)]
    if not spots:
        raise InvalidInputError(f"nothing to train: {order.names} has no spots; annotate some nuclei first")
    return _train(order, dataset, path, lambda work: prepare_training(DETECTION, work, spots, params))


def train_flow_model(order: Order) -> int:
    """Train a flow model on links."""
    dataset, path, fixed = _prepared(order)
    params = build(FlowTrainingParams, {**order.values, **fixed}, dataset.n_dims)
    links = links_of(read_all_spots(order.files))
    if not links:
        raise InvalidInputError(
            f"nothing to train: {order.names} contains no links; give its spots a parent, as "
            "`elephant link --join` does, or a displacement"
        )
    return _train(order, dataset, path, lambda work: prepare_training(FLOW, work, links, params))


def _train(
    order: Order,
    dataset: Dataset,
    path: Path,
    prepare: Callable[[ModelWork], TrainingRun],
) -> int:
    model_cache = ModelCache(choose_device(order.values["device"]))
    with Bars(quiet=current().quiet) as bars, _curves(order, path) as curves:
        outcome = Outcome(path, bars, curves)
        with interruptible(outcome.promise) as cancel:
            outcome.run(dataset, model_cache, prepare, lambda training: _start(order, training), cancel)
    return _report(outcome, as_json=order.values["as_json"])


def _report(outcome: Outcome, *, as_json: bool) -> int:
    """Print the result of a finished training."""
    path, n_epochs, loss = outcome.path, outcome.n_epochs, outcome.loss_of_last_epoch()
    if as_json:
        print_json({"model": str(path), "completed": True, "epochs": n_epochs, "loss": loss})
    elif loss is None:
        state = "was made, but not trained" if outcome.made else "was not trained"
        click.echo(f"{path} {state}: the labels are written, and no epochs were requested")
    else:
        is_new = "made, and trained for " if outcome.made else ""
        click.echo(f"{path}: {is_new}{counted(n_epochs, 'epoch')}, mean loss of the last one {loss:.4g}")
    return DONE


def _prepared(order: Order) -> tuple[Dataset, Path, dict[str, Any]]:
    """Return the dataset, the model's place, and the parameters that follow from both."""
    workspace = order.values["workspace"]
    dataset = open_dataset(order.dataset, workspace)
    voxel: VoxelSize = chosen_voxel_size(order.values["voxel_size"], dataset)
    keep = chosen_keep_axials(order.values, voxel, dataset.shape)
    return dataset, place(MODELS, order.model, workspace), {"voxel_size": voxel, "n_keep_axials": keep}


def _start(order: Order, training: TrainingRun) -> None:
    """Start the model if it is missing, or anew if requested."""
    work, start = training.work, training.start()
    path, source, pretrained = work.model_path, order.source(), Pretrained(work.model_path.parent / "pretrained")
    if source is None:
        ensure_model(path, start, pretrained)
    elif order.values["anew"] or not path.exists():
        was_there = path.exists()
        reset_model(path, start, source, pretrained, work.model_cache, work.cancel)
        provenance = read_provenance(path)
        if not was_there and not order.values["anew"] and provenance:
            warn_of_start(path, provenance[-1], path.parent)
