"""``elephant predict``: the nuclei of a dataset."""

import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from elephant.cli import options
from elephant.cli.options import Command, Option
from elephant.cli.parameters import build, keep_axials, option_of, options_of
from elephant.cli.running import DONE, console, prepare_to_compute
from elephant.cli.variables import KEEP_PREDICTIONS, gibibytes
from elephant.cli.workspace import MODELS, chosen_workspace, find
from elephant.config import DetectionParams, PredictionParams, SpotParams
from elephant.errors import InvalidInputError, NotFoundError
from elephant.words import counted, in_ranges

if TYPE_CHECKING:
    from elephant.annotations.records import SpotRecord
    from elephant.console import Bars
    from elephant.dataset import Dataset
    from elephant.methods.known import KnownPredictions
    from elephant.progress import CancelToken
    from elephant.types import DetectedSpot

logger = logging.getLogger(__name__)

_IDS_PER_TIMEPOINT = 1_000_000
# Options of a network that count for a method of another package, too.
_COUNTED = ("use_median", "crop_box")

_HELP = """Find the nuclei of a dataset.

DATASET is a folder, or a name below the workspace. Without --model, the pretrained network of elephant-models finds the
nuclei, before anything was annotated. Spots are written with t, id, pos (X, Y, Z), covariance and quality,
as JSON or CSV: other commands read both. An interrupted prediction writes the finished timepoints; the JSON then
has "completed": false. What was found in a dataset of the workspace is kept there, so that the same command goes on
where it was.

\b
Examples:
  elephant predict movie -o found.json
  elephant predict movie --model nuclei.pth -o found.json
  elephant predict movie --model nuclei.pth -t 10-19 --json | jq '.spots | length'
  elephant predict movie --method dog --param radius=4 -o found.json
"""

_LEFT_OUT = ("voxel_size", "n_keep_axials", "output_prediction")


@dataclass(frozen=True, slots=True)
class _Search:
    """What finds nuclei: yields timepoints with theirs, and says why some have none."""

    find: "Callable[[Sequence[int], Bars, CancelToken], Iterator[tuple[int, list[DetectedSpot]]]]"
    why_none: Callable[[], str]


def predict(dataset: str, model: str | None, **values: Any) -> int:
    """Find the nuclei of the timepoints, and write them."""
    _check_choice(model, values)
    from elephant.annotations.records import all_of, record_of
    from elephant.cli.files_write import SpotOutput
    from elephant.cli.inputs import open_dataset, parse_timepoints
    from elephant.methods.trained_model import keep_each

    output = SpotOutput(values)
    opened = open_dataset(dataset, values["workspace"])
    search = _by_model(opened, model, values) if values["method"] is None else _by_method(opened, values)
    timepoints = parse_timepoints(values["timepoints"], opened.n_timepoints)
    found: dict[int, list[SpotRecord]] = {}

    def promise() -> str:
        output.write(all_of(found), is_completed=False)
        return f"{counted(len(found), 'timepoint')} of {len(timepoints)} done, with {_spots(found)}"

    def keep(t: int, spots: "Sequence[DetectedSpot]") -> None:
        found[t] = [record_of(t, _id(t, i), spot) for i, spot in enumerate(spots)]

    with console().attend(promise) as (bars, cancel):
        keep_each(search.find(timepoints, bars, cancel), len(timepoints), bars, keep)
    output.write(all_of(found))
    none = sorted(t for t, spots in found.items() if not spots)
    if none:
        where = in_ranges(none) if len(none) < len(found) else "any timepoint"
        logger.warning("no spots at %s: %s", where, search.why_none())
    output.report(f"{_spots(found)} at {counted(len(found), 'timepoint')}")
    return DONE


def _check_choice(model: str | None, values: Mapping[str, Any]) -> None:
    if model is not None and values["method"] is not None:
        raise click.UsageError("--model is for the networks of elephant, --method for another package: leave out one")
    if values["method"] is None and values["param"]:
        raise click.UsageError("--param: expected --method, whose parameters they are, got none")
    if values["output"] is None and not values["as_json"]:
        raise click.UsageError("expected -o FILE, or --json for standard output")


def _by_model(dataset: "Dataset", model: str | None, values: Mapping[str, Any]) -> _Search:
    """Return the search by the network of a model, or else by the pretrained one."""
    from elephant.cli.inputs import as_trained, pretrained, seen_voxels
    from elephant.device import choose_device
    from elephant.methods.predict_detection import detect_all, why_none
    from elephant.methods.work import ModelWork
    from elephant.models.ensemble import ModelCache

    prepare_to_compute()
    if model is None:
        path = pretrained("detection", 2 if values["use_2d"] else dataset.n_dims)
    else:
        path = _model_of(model, values)
    values = as_trained(values, path, dataset)
    _check_radii(values)
    params = build(DetectionParams, {**values, **seen_voxels(values, dataset)}, dataset.n_dims)
    model_cache = ModelCache(choose_device(values["device"]))
    none: dict[int, float] = {}

    known = _known(dataset, values["workspace"])

    def search(
        timepoints: Sequence[int], bars: "Bars", cancel: "CancelToken"
    ) -> "Iterator[tuple[int, list[DetectedSpot]]]":
        work = ModelWork(dataset, path, model_cache, bars, cancel, known=known)
        return detect_all(work, timepoints, params, none.__setitem__)

    return _Search(search, lambda: why_none(max(none.values()), params))


def _known(dataset: "Dataset", workspace: Path | None) -> "KnownPredictions | None":
    """Return what was found before; None where the dataset is in no workspace, or nothing is to be kept."""
    from elephant.methods.known import DEFAULT_GIB, FOLDER, KnownPredictions

    chosen, most_bytes = chosen_workspace(workspace), gibibytes(KEEP_PREDICTIONS, DEFAULT_GIB)
    if chosen is None or not most_bytes or not dataset.folder.resolve().is_relative_to(chosen.resolve()):
        return None
    return KnownPredictions(chosen.resolve() / FOLDER, most_bytes)


def _model_of(model: str, values: Mapping[str, Any]) -> Path:
    try:
        return find(MODELS, model, values["workspace"])
    except NotFoundError as error:
        raise NotFoundError(f"{error}; without --model, the pretrained network finds the nuclei") from error


def _by_method(dataset: "Dataset", values: Mapping[str, Any]) -> _Search:
    """Return the search by a method of another package; refuse options that say nothing to it."""
    from elephant.cli.inputs import check_of_no_effect, chosen_voxel_size
    from elephant.methods.registry import detector_named

    check_of_no_effect((SpotParams, PredictionParams), _COUNTED, f"with --method {values['method']}")
    voxel = chosen_voxel_size(values["voxel_size"], dataset)
    method = detector_named(values["method"], _params_given(values["param"]), dataset.n_dims)
    params = build(PredictionParams, {**values, "n_keep_axials": 0}, dataset.n_dims)
    return _Search(
        lambda timepoints, _, cancel: method.predict_all(dataset, timepoints, params, voxel, cancel),
        lambda: f"{method.plugin.title} found none; try other parameters (--param)",
    )


def _params_given(given: Sequence[str]) -> dict[str, Any]:
    """Return parameters by name; their values as JSON would be read, else as text."""
    found: dict[str, Any] = {}
    for item in given:
        name, sign, value = item.partition("=")
        if not name or not sign:
            raise click.UsageError(f"--param: expected NAME=VALUE, got {item!r}")
        try:
            found[name] = json.loads(value)
        except ValueError:
            found[name] = value
    return found


def _check_radii(values: Mapping[str, Any]) -> None:
    least, most = values["r_min"], values["r_max"]
    if None not in (least, most) and least > most:
        raise click.UsageError(f"--r-min: expected at most --r-max, which is {most:g}, got {least:g}")


def _spots(found: "Mapping[int, Sequence[SpotRecord]]") -> str:
    return counted(sum(map(len, found.values())), "spot")


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
        options.model(
            "Detection model: a path, or a name below the workspace; by default the pretrained network.", required=False
        ),
        Option(
            ["--method"],
            metavar="NAME",
            help="Method of another package that finds the nuclei in place of a model, such as dog.",
        ),
        Option(
            ["--param"],
            multiple=True,
            metavar="NAME=VALUE",
            help="Parameter of the method; may be given several times.",
        ),
        options.voxel_size("that of the dataset, or else that of the model's training"),
        options.timepoints(),
        options.output("Output file for the spots, .json or .csv."),
        options.overwrite(),
        options.as_json("Write the spots to standard output as JSON."),
        *options_of(SpotParams, section="Spots", leave_out=_LEFT_OUT),
        *options_of(PredictionParams, section=options.IMAGE_SECTION, leave_out=_LEFT_OUT),
        keep_axials(),
        option_of(DetectionParams, "output_prediction", section=options.IMAGE_SECTION),
        option_of(DetectionParams, "raw_quality", section="Spots"),
        options.workspace(),
        options.device(),
    ],
)
