"""``elephant link``."""

from pathlib import Path
from typing import Any

import click

from elephant.cli import options
from elephant.cli.options import Command, Option
from elephant.cli.parameters import options_of, refuse_given
from elephant.config import DEFAULT_MAX_DISPLACEMENT, DisplacementParams, PredictionParams

_HELP = """Find where nuclei were at the previous timepoint, and join them to tracks.

DATASET is a folder, or a name below the workspace; the spots are those of --spots, a .json or .csv file, or - for
standard input. The output adds `earlier`, the earlier position of each (X, Y, Z), and `sqdisp`, the squared distance.
With --join each also gets `parent`, the id of the spot at the previous timepoint that is nearest to `earlier`, one to
one, and `track`. A division begins two tracks. Without a flow model, spots are joined by the `earlier` that they
already have, or else by their own positions: to their nearest neighbours.

\b
Examples:
  elephant link movie --spots found.json --model flow.pth --join 3 -o tracked.json
  elephant link movie --spots found.json --join 5 -o tracked.json
  elephant link movie --spots a.json --spots b.json --join 5 -o tracked.json
"""

_LEFT_OUT = ("voxel_size", "n_keep_axials", "is_pad", "use_2d", "use_median")

_of_flow = [
    *options_of(
        DisplacementParams,
        section=options.IMAGE_SECTION,
        leave_out=_LEFT_OUT,
        defaults={"max_displacement": DEFAULT_MAX_DISPLACEMENT},
    ),
    *options_of(PredictionParams, section=options.IMAGE_SECTION, leave_out=_LEFT_OUT),
    options.keep_axials(),
    Option(["--output-prediction"], is_flag=True, section=options.IMAGE_SECTION, help="Store the flow in the dataset."),
    options.device(),
]
_OF_FLOW = {str(option.name) for option in _of_flow}


def link(dataset: str, spots: tuple[Path, ...], model: str | None, **rest: Any) -> int:
    """Run the command."""
    if model is None:
        if rest["join"] is None:
            raise click.UsageError("expected --model (a flow model), --join (how far to join spots), or both")
        refuse_given(_OF_FLOW, "--model")
    if rest["output"] is None and not rest["as_json"]:
        raise click.UsageError("expected -o FILE, or --json for standard output")
    from elephant.cli.work.linking import link_spots

    return link_spots(dataset, spots, model, rest)


command = Command(
    "link",
    callback=link,
    help=_HELP,
    params=[
        options.dataset_argument(),
        options.spots("The nuclei."),
        options.model("Flow model: a path, or a name below the workspace.", required=False),
        options.voxel_size("that of the dataset, or else that of the model's training"),
        options.timepoints(),
        options.output("Output file for the spots, .json or .csv."),
        options.overwrite(),
        options.as_json("Write the spots to standard output as JSON."),
        Option(
            ["--join"],
            type=float,
            metavar="DISTANCE",
            section="Tracks",
            help="Largest distance, in physical units, at which a spot is joined to the nearest one of the previous "
            "timepoint.",
        ),
        Option(
            ["--children"],
            type=click.IntRange(1, 2),
            default=2,
            show_default=True,
            metavar="N",
            section="Tracks",
            help="How many children a spot may have: 2 allows divisions.",
        ),
        *_of_flow,
        options.workspace(),
    ],
)
