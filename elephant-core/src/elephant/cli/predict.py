"""``elephant predict``."""

from typing import Any

import click

from elephant.cli import options
from elephant.cli.options import Command, Option
from elephant.cli.parameters import options_of
from elephant.config import DetectionParams, PredictionParams, SpotParams

_HELP = """Find the nuclei of a dataset.

DATASET is a folder, or a name below the workspace. Spots are written with t, id, pos (X, Y, Z), covariance and quality,
as JSON or CSV: other commands read both. An interrupted prediction writes the finished timepoints; the JSON then
has "completed": false.

\b
Examples:
  elephant predict movie --model nuclei.pth -o found.json
  elephant predict movie --model nuclei.pth -t 10-19 --json | jq '.spots | length'
"""

_LEFT_OUT = ("voxel_size", "n_keep_axials", "output_prediction")


def predict(dataset: str, model: str, **rest: Any) -> int:
    """Run the command."""
    if rest["output"] is None and not rest["as_json"]:
        raise click.UsageError("expected -o FILE, or --json for standard output")
    from elephant.cli.work.prediction import predict_spots

    return predict_spots(dataset, model, rest)


command = Command(
    "predict",
    callback=predict,
    help=_HELP,
    params=[
        options.dataset_argument(),
        options.model("Detection model: a path, or a name below the workspace."),
        options.voxel_size("that of the dataset, or else that of the model's training"),
        options.timepoints(),
        options.output("Output file for the spots, .json or .csv."),
        options.overwrite(),
        options.as_json("Write the spots to standard output as JSON."),
        *options_of(SpotParams, section="Spots", leave_out=_LEFT_OUT),
        *options_of(PredictionParams, section=options.IMAGE_SECTION, leave_out=_LEFT_OUT),
        options.keep_axials(),
        Option(
            ["--output-prediction"],
            is_flag=True,
            section=options.IMAGE_SECTION,
            help=f"{DetectionParams.model_fields['output_prediction'].description}.".capitalize(),
        ),
        options.workspace(),
        options.device(),
    ],
)
