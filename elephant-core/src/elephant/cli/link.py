"""``elephant link``: where nuclei were, and their tracks."""

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from elephant.cli import options
from elephant.cli.options import Command, Option
from elephant.cli.parameters import build, keep_axials, option_of, options_of, refuse_given
from elephant.cli.running import DONE, console, prepare_to_compute
from elephant.cli.workspace import MODELS, find
from elephant.config import DEFAULT_MAX_DISPLACEMENT, AnnotationParams, DisplacementParams, FlowParams, PredictionParams
from elephant.errors import InvalidInputError
from elephant.words import counted

if TYPE_CHECKING:
    from elephant.annotations.records import SpotRecord
    from elephant.cli.files_write import SpotOutput
    from elephant.dataset import Dataset
    from elephant.types import EarlierSpot

    Groups = Mapping[int, Sequence[SpotRecord]]

logger = logging.getLogger(__name__)

_HELP = """Find where nuclei were at the previous timepoint, and join them to tracks.

DATASET is a folder, or a name below the workspace; the spots are those of --spots, JSON or a table, or - for standard
input. The output adds `earlier`, the earlier position of each (X, Y, Z), and `sqdisp`, the squared distance.
With --join each also gets `parent`, the id of the spot at the previous timepoint that is nearest to `earlier`, one to
one, and `track`. A division begins two tracks. Without a flow model, spots are joined by the `earlier` that they
already have, or else by their own positions: to their nearest neighbours. --pretrained takes the flow network of the
package elephant-models.

\b
Examples:
  elephant link movie --spots found.json --model flow.pth --join 3 -o tracked.json
  elephant link movie --spots found.json --pretrained --join 3 -o tracked.json
  elephant link movie --spots found.json --join 5 -o tracked.json
  elephant link movie --spots a.json --spots b.json --join 5 -o tracked.json
"""

_LEFT_OUT = ("voxel_size", "n_keep_axials", "is_pad", "use_2d", "use_median", "auto_scale")

_of_flow = [
    *options_of(
        DisplacementParams,
        section=options.IMAGE_SECTION,
        leave_out=_LEFT_OUT,
        defaults={"max_displacement": DEFAULT_MAX_DISPLACEMENT},
    ),
    *options_of(PredictionParams, section=options.IMAGE_SECTION, leave_out=_LEFT_OUT),
    keep_axials(),
    option_of(FlowParams, "output_prediction", section=options.IMAGE_SECTION),
    options.device(),
]
_OF_FLOW = {str(option.name) for option in _of_flow}


def link(dataset: str, spots: tuple[Path, ...], model: str | None, **values: Any) -> int:
    """Write the spots with their earlier positions, and with their tracks if requested."""
    _check_usage(model, values)
    from elephant.annotations.records import all_of
    from elephant.cli.files_write import SpotOutput
    from elephant.cli.inputs import open_dataset, parse_timepoints, read_spots

    output = SpotOutput(values, spots)
    largest = values["join"]
    if largest is not None and not 0 < largest < math.inf:
        raise click.UsageError(f"--join: expected a distance above 0, got {largest}")
    opened = open_dataset(dataset, values["workspace"])
    path = _model_file(model, opened, values)
    groups = _numbered(read_spots(spots, values, opened), opened)
    timepoints = parse_timepoints(values["timepoints"], opened.n_timepoints)
    chosen = {t: groups[t] for t in timepoints if t in groups}
    n_others = sum(len(records) for t, records in groups.items() if t not in chosen)
    if n_others:
        logger.warning("%s at other timepoints left out", counted(n_others, "spot"))
    if path is None:
        _tell_by_what(all_of(chosen))
        records = all_of(chosen)
    else:
        records = all_of(_displaced(opened, path, chosen, output, values))
    if largest is not None:
        records = _joined(records, largest, values["children"])
    output.write(records)
    output.report(_summary(records, largest is not None))
    return DONE


def _model_file(model: str | None, dataset: "Dataset", values: Mapping[str, Any]) -> Path | None:
    from elephant.cli.inputs import pretrained

    if values["pretrained"]:
        return pretrained("flow", dataset.n_dims)
    return None if model is None else find(MODELS, model, values["workspace"])


def _check_usage(model: str | None, values: Mapping[str, Any]) -> None:
    if model is not None and values["pretrained"]:
        raise click.UsageError("--model and --pretrained each name a flow model: leave out one")
    if model is None and not values["pretrained"]:
        if values["join"] is None:
            raise click.UsageError(
                "expected --model (a flow model) or --pretrained, --join (how far to join spots), or both"
            )
        refuse_given(_OF_FLOW, "--model")
    if values["output"] is None and not values["as_json"]:
        raise click.UsageError("expected -o FILE, or --json for standard output")


def _displaced(
    dataset: "Dataset", path: Path, groups: "Groups", output: "SpotOutput", values: Mapping[str, Any]
) -> "Groups":
    """Return the spots with where they were, as a flow model says."""
    from elephant.annotations.records import all_of, spot_of
    from elephant.cli.inputs import as_trained, seen_voxels
    from elephant.device import choose_device
    from elephant.methods.trained_model import displace_each
    from elephant.methods.work import ModelWork
    from elephant.models.ensemble import ModelCache

    prepare_to_compute()
    values = as_trained(values, path, dataset)
    params = build(FlowParams, {**values, **seen_voxels(values, dataset)}, dataset.n_dims)
    found: dict[int, list[SpotRecord]] = {}

    def promise() -> str:
        output.write(all_of(found), is_completed=False)
        return f"{counted(len(found), 'timepoint')} of {len(groups)} done, not joined to tracks"

    def keep(t: int, earlier: "Sequence[EarlierSpot]") -> None:
        found[t] = [
            replace(record, earlier=tuple(was.pos[::-1].tolist()), sqdisp=was.sqdisp)
            for record, was in zip(groups[t], earlier, strict=True)
        ]

    spots = {t: [spot_of(record) for record in records] for t, records in groups.items()}
    model_cache = ModelCache(choose_device(values["device"]))
    with console().attend(promise) as (bars, cancel):
        displace_each(ModelWork(dataset, path, model_cache, bars, cancel), spots, params, keep)
    return found


def _tell_by_what(records: "Sequence[SpotRecord]") -> None:
    n_known = sum(record.earlier is not None for record in records)
    if n_known:
        logger.warning(
            "%s joined by the `earlier` in the file, %s by their own positions: to the nearest neighbours",
            counted(n_known, "spot"),
            len(records) - n_known,
        )


def _numbered(records: "Sequence[SpotRecord]", dataset: "Dataset") -> "Groups":
    """Return the spots by timepoint, each with an id that no other has."""
    from elephant.annotations.records import spot_of
    from elephant.methods.annotations import by_timepoint

    ids = [record.id for record in records if record.id is not None]
    if len(ids) < len(records):
        if ids:
            logger.warning("%s without an id: all spots got new ones", counted(len(records) - len(ids), "spot"))
        new: dict[int | None, int] = {record.id: i for i, record in enumerate(records) if record.id is not None}
        records = [replace(r, id=i, parent=new.get(r.parent)) for i, r in enumerate(records)]
    elif len(set(ids)) < len(ids):
        raise InvalidInputError(
            "spots have ids, but some are duplicates: give each spot a unique id, or none of them any"
        )
    groups: dict[int, list[SpotRecord]] = {}
    for record in records:
        groups.setdefault(record.t, []).append(record)
    by_timepoint([spot_of(record) for record in records], dataset.n_timepoints)  # refuses what is outside
    return dict(sorted(groups.items()))


def _joined(records: "Sequence[SpotRecord]", largest: float, n_children: int) -> "list[SpotRecord]":
    """Return the spots, which are in the order of their timepoints, with their parents and tracks."""
    from elephant.annotations.records import spot_of
    from elephant.tracking import join_spots

    earlier = np.array([(record.earlier or record.pos)[::-1] for record in records]).reshape(-1, 3)
    tracks = join_spots([spot_of(record) for record in records], earlier, largest, n_children)
    return [
        replace(record, parent=records[parent].id if parent >= 0 else None, track=number)
        for record, parent, number in zip(records, tracks.parents, tracks.numbers, strict=True)
    ]


def _summary(records: "Sequence[SpotRecord]", is_joined: bool) -> str:
    text = counted(len(records), "spot")
    return f"{text}, {counted(len({record.track for record in records}), 'track')}" if is_joined else text


command = Command(
    "link",
    callback=link,
    help=_HELP,
    params=[
        options.dataset_argument(),
        options.spots("The nuclei."),
        *options_of(AnnotationParams, section=options.SPOTS_SECTION),
        options.model("Flow model: a path, or a name below the workspace.", required=False),
        Option(["--pretrained"], is_flag=True, help="Use the pretrained flow network in place of --model."),
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
        options.children(),
        *_of_flow,
        options.workspace(),
    ],
)
