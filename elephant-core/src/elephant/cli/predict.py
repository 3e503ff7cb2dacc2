"""``elephant predict``: the nuclei of a dataset."""

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from elephant.cli import options
from elephant.cli.options import Command, Option
from elephant.cli.parameters import build, options_of
from elephant.cli.running import DONE
from elephant.cli.workspace import MODELS, find
from elephant.config import DetectionParams, PredictionParams, SpotParams
from elephant.errors import InvalidInputError
from elephant.words import counted, in_ranges

if TYPE_CHECKING:
    from elephant.cli.spot_records import SpotRecord
    from elephant.types import DetectedSpot

logger = logging.getLogger(__name__)

_IDS_PER_TIMEPOINT = 1_000_000

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


def predict(dataset: str, model: str, **values: Any) -> int:
    """Find the nuclei of the timepoints, and write them."""
    if values["output"] is None and not values["as_json"]:
        raise click.UsageError("expected -o FILE, or --json for standard output")
    from elephant.cli.files_write import SpotOutput
    from elephant.cli.inputs import as_trained, model_work, open_dataset, parse_timepoints, seen_voxels
    from elephant.cli.spot_records import all_of
    from elephant.methods.detection import why_none
    from elephant.methods.trained_model import detect_each

    output = SpotOutput(values)
    opened = open_dataset(dataset, values["workspace"])
    path = find(MODELS, model, values["workspace"])
    values = as_trained(values, path, opened)
    _check_radii(values)
    params = build(DetectionParams, values | seen_voxels(values, opened), opened.n_dims)
    timepoints = parse_timepoints(values["timepoints"], opened.n_timepoints)
    found: dict[int, list[SpotRecord]] = {}
    none: dict[int, float] = {}

    def promise() -> str:
        output.write(all_of(found), is_completed=False)
        return f"{counted(len(found), 'timepoint')} of {len(timepoints)} done, with {_spots(found)}"

    def keep(t: int, spots: "Sequence[DetectedSpot]") -> None:
        found[t] = _records(t, spots)

    with model_work(opened, path, values["device"], promise) as work:
        detect_each(work, timepoints, params, keep, none.__setitem__)
    output.write(all_of(found))
    if none:
        where = in_ranges(sorted(none)) if any(found.values()) else "any timepoint"
        logger.warning("no spots at %s: %s", where, why_none(max(none.values()), params))
    output.report(f"{_spots(found)} at {counted(len(found), 'timepoint')}")
    return DONE


def _check_radii(values: Mapping[str, Any]) -> None:
    least, most = values["r_min"], values["r_max"]
    if None not in (least, most) and least > most:
        raise click.UsageError(f"--r-min: expected at most --r-max, which is {most:g}, got {least:g}")


def _spots(found: "Mapping[int, Sequence[SpotRecord]]") -> str:
    return counted(sum(map(len, found.values())), "spot")


def _records(t: int, found: "Sequence[DetectedSpot]") -> "list[SpotRecord]":
    from elephant.cli.spot_records import SpotRecord

    return [
        SpotRecord(
            t=t,
            id=_id(t, i),
            pos=spot.pos[::-1].tolist(),
            covariance=spot.covariance[::-1, ::-1].ravel().tolist(),
            quality=spot.quality,
        )
        for i, spot in enumerate(found)
    ]


def _id(t: int, i: int) -> int:
    """Return the id of the i-th spot of a timepoint: the same whichever timepoints are predicted together."""
    if i >= _IDS_PER_TIMEPOINT:
        raise InvalidInputError(
            f"timepoint {t} has more than {_IDS_PER_TIMEPOINT} spots, most of them noise: train more, or raise "
            "--p-thresh or --r-min"
        )
    return t * _IDS_PER_TIMEPOINT + i


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
