"""``elephant train``: a model from spots, or from links."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from elephant.cli import options
from elephant.cli.options import Command, Option
from elephant.cli.parameters import build, keep_axials, options_of, refuse_given
from elephant.cli.running import DONE, console, prepare_to_compute, print_json
from elephant.cli.workspace import MODELS, chosen_workspace, place
from elephant.config import (
    DEFAULT_CROP_SIZE,
    DEFAULT_MAX_DISPLACEMENT,
    DEFAULT_N_EPOCHS,
    AnnotationParams,
    DetectionTrainingParams,
    FlowTrainingParams,
)
from elephant.errors import InvalidInputError
from elephant.hardware import training_variables
from elephant.progress import NoReporter, ProgressReporter
from elephant.types import Tag
from elephant.words import counted

if TYPE_CHECKING:
    from elephant.dataset import Dataset
    from elephant.methods.outcome import Outcome
    from elephant.methods.training import TrainingRun
    from elephant.methods.work import ModelWork
    from elephant.models.pretrained import ModelSource

    Prepare = Callable[[ModelWork], TrainingRun]

_HELP = """Train a detection model on spots, or a flow model on links.

DATASET is a folder, or a name below the workspace. The labels of the timepoints of the spots (or links) are written
into it, then the model is trained on them. The model is saved after each epoch; an interrupted training leaves the
last finished one. A new model is started as --start says.

--spots and --links read JSON, and tables of elephant and other programs; - is standard input. The columns
t,x,y,z,radius,tag are enough. Tags are tp, fp, tn, fn, tb, fb and unlabeled. Links are spots with a parent or a track,
as `elephant link --join` writes them, or with a displacement, as in the server's requests.

\b
Examples:
  elephant train movie --spots annotated.csv --model nuclei.pth --n-epochs 20
  elephant train movie --links tracked.json --model flow.pth --lr 1e-4
"""

# Chosen from the voxel size, or given in another way.
_LEFT_OUT = ("voxel_size", "n_keep_axials")
_DEFAULTS = {
    "crop_size": DEFAULT_CROP_SIZE[::-1],
    "n_epochs": DEFAULT_N_EPOCHS,
    "max_displacement": DEFAULT_MAX_DISPLACEMENT,
}
_DETECTION, _FLOW = "Detection only (--spots)", "Flow only (--links)"


def _options(params: list[click.Parameter]) -> set[str]:
    return {str(param.name) for param in params}


_of_detection = options_of(DetectionTrainingParams, section="Training", leave_out=_LEFT_OUT, defaults=_DEFAULTS)
_of_flow = options_of(FlowTrainingParams, section="Training", leave_out=(*_LEFT_OUT, "auto_scale"), defaults=_DEFAULTS)
_shared = _options(_of_detection) & _options(_of_flow)
_detection_only, _flow_only = _options(_of_detection) - _shared, _options(_of_flow) - _shared


def _training_options() -> list[click.Parameter]:
    for params, only, section in ((_of_detection, _detection_only, _DETECTION), (_of_flow, _flow_only, _FLOW)):
        for param in params:
            if isinstance(param, Option) and param.name in only:
                param.section = section
    return [*_of_detection, *(param for param in _of_flow if param.name in _flow_only)]


def train(dataset: str, spots: tuple[Path, ...], links: tuple[Path, ...], model: str, **values: Any) -> int:
    """Train a model on spots, or on links, and print the result."""
    if bool(spots) == bool(links):
        raise click.UsageError("expected one of --spots (to train detection) and --links (to train flow)")
    refuse_given(_detection_only if links else _flow_only, "--spots" if links else "--links")
    from elephant.cli.inputs import open_dataset, seen_voxels
    from elephant.dataset.record import recorded_as
    from elephant.methods.outcome import Outcome
    from elephant.methods.starting import start_model

    os.environ.update(training_variables())
    prepare_to_compute()
    opened = open_dataset(dataset, values["workspace"])
    values |= seen_voxels(values, opened)
    path = place(MODELS, model, values["workspace"])
    prepare = _of_links(opened, links, values) if links else _of_spots(opened, spots, values)

    def start(training: "TrainingRun") -> None:
        start_model(training.work, training.start(), _source(values), anew=values["anew"])

    with _curves(values["workspace"], path) as curves, recorded_as("elephant train"):
        outcome = Outcome(path, curves)
        outcome.run(opened, prepare, start, values["device"], console())
    return _report(outcome, as_json=values["as_json"])


def _of_spots(dataset: "Dataset", files: Sequence[Path], values: Mapping[str, Any]) -> "Prepare":
    from elephant.annotations.records import spot_of
    from elephant.cli.inputs import read_spots
    from elephant.methods.detection import DETECTION
    from elephant.methods.training import prepare_training

    params = build(DetectionTrainingParams, values, dataset.n_dims)
    spots = [spot_of(record, Tag(values["tag"])) for record in read_spots(files, values, dataset)]
    if not spots:
        raise InvalidInputError(f"nothing to train: {_names(files)} has no spots; annotate some nuclei first")
    return lambda work: prepare_training(DETECTION, work, spots, params)


def _of_links(dataset: "Dataset", files: Sequence[Path], values: Mapping[str, Any]) -> "Prepare":
    from elephant.annotations.records import links_of
    from elephant.cli.inputs import read_spots
    from elephant.methods.flow import FLOW
    from elephant.methods.training import prepare_training

    params = build(FlowTrainingParams, values, dataset.n_dims)
    links = links_of(read_spots(files, values, dataset))
    if not links:
        raise InvalidInputError(
            f"nothing to train: {_names(files)} contains no links; give its spots a parent, as "
            "`elephant link --join` does, or a displacement"
        )
    return lambda work: prepare_training(FLOW, work, links, params)


def _names(files: Sequence[Path]) -> str:
    return " and ".join(file.name for file in files)


def _source(values: Mapping[str, Any]) -> "ModelSource | None":
    """Return the chosen start of a model; None for the best available."""
    from elephant.models.pretrained import VERSATILE, ModelSource

    if values["start"] == "auto" and not values["anew"]:
        return None
    return ModelSource() if values["start"] == "scratch" else ModelSource(VERSATILE)


@contextmanager
def _curves(given: Path | None, path: Path) -> "Iterator[ProgressReporter]":
    """Open the reporter that writes the curves of a training to the workspace, if there is one, for a dashboard."""
    from elephant.training.scalars import unnamed_curves

    workspace = chosen_workspace(given)
    if workspace is None:
        yield NoReporter()
        return
    models, model = (workspace / MODELS).resolve(), path.resolve()
    name = model.relative_to(models).as_posix() if model.is_relative_to(models) else path.name
    with unnamed_curves(workspace / "logs", name) as reporter:
        yield reporter


def _report(outcome: "Outcome", *, as_json: bool) -> int:
    """Print the result of a finished training."""
    from elephant.models.provenance_text import provenance_of

    path, n_epochs, loss = outcome.path, outcome.n_epochs, outcome.loss_of_last_epoch()
    held = provenance_of(path).held()
    score = None if held is None else held.held_out
    if as_json:
        found = {"model": str(path), "completed": True, "epochs": n_epochs, "loss": loss}
        if held is not None and score is not None:
            found |= {"held_out": score.model_dump(), "best_epoch": held.epochs}
        print_json(found)
    elif loss is None:
        state = "was made, but not trained" if outcome.made else "was not trained"
        click.echo(f"{path} {state}: the labels are written, and no epochs were requested")
    else:
        is_new = "made, and trained for " if outcome.made else ""
        click.echo(f"{path}: {is_new}{counted(n_epochs, 'epoch')}, mean loss of the last one {loss:.4g}")
        if held is not None and score is not None:
            click.echo(f"it holds epoch {held.epochs}, the best: {score}")
    return DONE


command = Command(
    "train",
    callback=train,
    help=_HELP,
    params=[
        options.dataset_argument(),
        options.spots("Annotated nuclei: trains a detection model.", required=False),
        options.files_of_spots("--links", "Tracked nuclei: trains a flow model. May be repeated.", required=False),
        *options_of(AnnotationParams, section=options.SPOTS_SECTION),
        options.model("Model to train: a path, or a name below the workspace."),
        options.voxel_size(),
        Option(
            ["--start"],
            type=click.Choice(["auto", "pretrained", "scratch"]),
            default="auto",
            show_default=True,
            help="How to start a new model: pretrained (from the file in the folder pretrained beside it, or else from "
            "the shipped network), from scratch (detection: from the movie's intensities), or auto: the first of these "
            "that is available.",
        ),
        Option(["--anew"], is_flag=True, help="Start anew as --start says, even if the model exists."),
        Option(
            ["--tag"],
            type=click.Choice([tag.value for tag in Tag if tag is not Tag.UNLABELED]),
            default="tp",
            show_default=True,
            section=_DETECTION,
            help="Tag of spots without one in the file.",
        ),
        *_training_options(),
        keep_axials(),
        options.as_json("Print the result as JSON."),
        options.workspace(),
        options.device(),
    ],
)
