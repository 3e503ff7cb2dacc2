"""``elephant train``."""

from pathlib import Path
from typing import Any

import click

from elephant.cli import options
from elephant.cli.options import Command, Option
from elephant.cli.parameters import options_of, refuse_given
from elephant.config import (
    DEFAULT_CROP_SIZE,
    DEFAULT_MAX_DISPLACEMENT,
    DEFAULT_N_EPOCHS,
    DetectionTrainingParams,
    FlowTrainingParams,
)

_HELP = """Train a detection model on spots, or a flow model on links.

DATASET is a folder, or a name below the workspace. The labels of the timepoints of the spots (or links) are written
into it, then the model is trained on them. The model is saved after each epoch; an interrupted training leaves the
last finished one. A new model is started as --start says.

--spots and --links read .json and .csv files, and - for standard input: the columns t,x,y,z,radius,tag are enough.
Tags are tp, fp, tn, fn, tb, fb and unlabeled. Links are spots with a parent, as `elephant link --join` writes them, or
with a displacement, as in the server's requests.

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


def _names(params: list[click.Parameter]) -> set[str]:
    return {str(param.name) for param in params}


_of_detection = options_of(DetectionTrainingParams, section="Training", leave_out=_LEFT_OUT, defaults=_DEFAULTS)
_of_flow = options_of(FlowTrainingParams, section="Training", leave_out=_LEFT_OUT, defaults=_DEFAULTS)
_shared = _names(_of_detection) & _names(_of_flow)
_detection_only, _flow_only = _names(_of_detection) - _shared, _names(_of_flow) - _shared


def _training_options() -> list[click.Parameter]:
    for params, only, section in ((_of_detection, _detection_only, _DETECTION), (_of_flow, _flow_only, _FLOW)):
        for param in params:
            if isinstance(param, Option) and param.name in only:
                param.section = section
    return [*_of_detection, *(param for param in _of_flow if param.name in _flow_only)]


def train(dataset: str, spots: tuple[Path, ...], links: tuple[Path, ...], model: str, **rest: Any) -> int:
    """Run the command."""
    if bool(spots) == bool(links):
        raise click.UsageError("expected one of --spots (to train detection) and --links (to train flow)")
    refuse_given(_detection_only if links else _flow_only, "--spots" if links else "--links")
    from elephant.cli.work.training import Order, train_detection, train_flow_model

    order = Order(dataset, spots or links, model, rest)
    return train_flow_model(order) if links else train_detection(order)


command = Command(
    "train",
    callback=train,
    help=_HELP,
    params=[
        options.dataset_argument(),
        options.spots("Annotated nuclei: trains a detection model.", required=False),
        options.files_of_spots("--links", "Tracked nuclei: trains a flow model. May be repeated.", required=False),
        options.model("Model to train: a path, or a name below the workspace."),
        options.voxel_size(),
        Option(
            ["--start"],
            type=click.Choice(["auto", "pretrained", "scratch"]),
            default="auto",
            show_default=True,
            help="How to start a new model: from the pretrained one in the folder pretrained beside it, from scratch "
            "(detection: from the movie's intensities), or auto: the first of these that is available.",
        ),
        Option(["--anew"], is_flag=True, help="Start anew as --start says, even if the model exists."),
        Option(
            ["--tag"],
            type=click.Choice(["tp", "fp", "tn", "fn", "tb", "fb"]),
            default="tp",
            show_default=True,
            section=_DETECTION,
            help="Tag of spots without one in the file.",
        ),
        *_training_options(),
        options.keep_axials(),
        options.as_json("Print the result as JSON."),
        options.workspace(),
        options.device(),
    ],
)
