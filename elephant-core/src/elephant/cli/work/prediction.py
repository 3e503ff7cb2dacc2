"""Finding nuclei."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from elephant.cli.files_write import check_output, write_spots
from elephant.cli.inputs import as_trained, chosen_keep_axials, chosen_voxel_size, open_dataset, parse_timepoints
from elephant.cli.parameters import build
from elephant.cli.running import DONE, current
from elephant.cli.spot_records import SpotRecord
from elephant.cli.workspace import MODELS, find
from elephant.config import DetectionParams
from elephant.console import Bars, interruptible
from elephant.device import choose_device
from elephant.errors import InvalidInputError
from elephant.methods.detection import detect_all, why_none
from elephant.methods.work import ModelWork
from elephant.models.cache import ModelCache
from elephant.types import DetectedSpot
from elephant.words import counted, in_ranges

logger = logging.getLogger(__name__)

STANDARD_OUTPUT = Path("-")
REPLACED = "; the previous file is replaced"
IDS_PER_TIMEPOINT = 1_000_000


def predict_spots(name: str, model: str, values: Mapping[str, Any]) -> int:
    """Find the nuclei of the timepoints and write them."""
    outputs = outputs_of(values)
    is_new = not any(output.exists() for output in outputs)
    dataset = open_dataset(name, values["workspace"])
    path = find(MODELS, model, values["workspace"])
    values = as_trained(values, path, dataset)
    _check_radii(values)
    voxel = chosen_voxel_size(values["voxel_size"], dataset)
    fixed = {"voxel_size": voxel, "n_keep_axials": chosen_keep_axials(values, voxel, dataset.shape)}
    params = build(DetectionParams, {**values, **fixed}, dataset.n_dims)
    timepoints = parse_timepoints(values["timepoints"], dataset.n_timepoints)
    model_cache = ModelCache(choose_device(values["device"]))
    found: list[SpotRecord] = []
    done: list[int] = []
    none: dict[int, float] = {}

    def promise() -> str:
        write_all(outputs, found, is_completed=False)
        return f"{counted(len(done), 'timepoint')} of {len(timepoints)} done, with {counted(len(found), 'spot')}"

    with Bars(quiet=current().quiet) as bars, interruptible(promise) as cancel:
        work = ModelWork(dataset, path, model_cache, bars, cancel)
        for t, spots in detect_all(work, timepoints, params, none.__setitem__):
            found += _records(t, spots)
            done.append(t)
            bars.progress("timepoint", len(done), len(timepoints), spots=len(found))
    write_all(outputs, found)
    if none:
        where = in_ranges(sorted(none)) if found else "any timepoint"
        logger.warning("no spots at %s: %s", where, why_none(max(none.values()), params))
    if STANDARD_OUTPUT not in outputs:
        what = f"{counted(len(found), 'spot')} at {counted(len(done), 'timepoint')}"
        click.echo(f"{values['output']}: {what}{'' if is_new else REPLACED}")
    return DONE


def _check_radii(values: Mapping[str, Any]) -> None:
    least, most = values["r_min"], values["r_max"]
    if None not in (least, most) and least > most:
        raise click.UsageError(f"--r-min: expected at most --r-max, which is {most:g}, got {least:g}")


def outputs_of(values: Mapping[str, Any], inputs: Sequence[Path] = ()) -> list[Path]:
    """Return the output of the spots; refuse paths that cannot be written or must not be replaced."""
    outputs = [values["output"]] if values["output"] is not None else []
    for output in outputs:
        check_output(output, inputs, overwrite=values["overwrite"])
    return [*outputs, *([STANDARD_OUTPUT] if values["as_json"] and STANDARD_OUTPUT not in outputs else [])]


def write_all(outputs: list[Path], records: list[SpotRecord], is_completed: bool = True) -> None:
    """Write the spots everywhere they go."""
    for output in outputs:
        write_spots(output, records, is_completed)


def _records(t: int, found: list[DetectedSpot]) -> list[SpotRecord]:
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
    if i >= IDS_PER_TIMEPOINT:
        raise InvalidInputError(
            f"timepoint {t} has more than {IDS_PER_TIMEPOINT} spots, most of them noise: train more, or raise "
            f"--p-thresh "
            "or --r-min"
        )
    return t * IDS_PER_TIMEPOINT + i
