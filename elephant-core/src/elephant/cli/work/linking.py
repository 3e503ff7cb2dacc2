"""Finding where nuclei were, and joining them to tracks."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np

from elephant.cli.files_read import read_all_spots
from elephant.cli.inputs import as_trained, chosen_keep_axials, chosen_voxel_size, open_dataset, parse_timepoints
from elephant.cli.parameters import build
from elephant.cli.running import DONE, current
from elephant.cli.spot_records import SpotRecord, spot_of
from elephant.cli.work.prediction import REPLACED, STANDARD_OUTPUT, outputs_of, write_all
from elephant.cli.workspace import MODELS, find
from elephant.config import FlowParams
from elephant.console import Bars, interruptible
from elephant.dataset import Dataset
from elephant.device import choose_device
from elephant.errors import InvalidInputError
from elephant.methods.annotations import by_timepoint
from elephant.methods.flow import FLOW
from elephant.methods.work import ModelWork
from elephant.models.cache import ModelCache
from elephant.tracking import parents_of, tracks_of
from elephant.words import counted

logger = logging.getLogger(__name__)

Groups = Mapping[int, Sequence[SpotRecord]]


def link_spots(name: str, files: Sequence[Path], model: str | None, values: Mapping[str, Any]) -> int:
    """Write the spots with their earlier positions, and with their tracks if requested."""
    outputs = outputs_of(values, files)
    is_new = not any(output.exists() for output in outputs)
    largest = values["join"]
    if largest is not None and not 0 < largest < float("inf"):
        raise click.UsageError(f"--join: expected a distance above 0, got {largest}")
    dataset = open_dataset(name, values["workspace"])
    path = None if model is None else find(MODELS, model, values["workspace"])
    groups = _numbered(read_all_spots(files), dataset)
    timepoints = [t for t in parse_timepoints(values["timepoints"], dataset.n_timepoints) if t in groups]
    work_on = {t: groups[t] for t in timepoints}
    n_others = sum(len(records) for t, records in groups.items() if t not in work_on)
    if n_others:
        logger.warning("%s at other timepoints left out", counted(n_others, "spot"))
    if path is None:
        found = {t: list(records) for t, records in work_on.items()}
        _tell_by_what(_all(found))
    else:
        found = _linked(dataset, path, work_on, outputs, values)
    records = _all(found) if largest is None else _joined(found, largest, values["children"])
    write_all(outputs, records)
    if STANDARD_OUTPUT not in outputs:
        click.echo(f"{values['output']}: {_summary(records, largest is not None)}{'' if is_new else REPLACED}")
    return DONE


def _linked(
    dataset: Dataset, path: Path, groups: Groups, outputs: list[Path], values: Mapping[str, Any]
) -> dict[int, list[SpotRecord]]:
    """Return the spots with where they were, as a flow model says."""
    found: dict[int, list[SpotRecord]] = {}
    values = as_trained(values, path, dataset)

    def promise() -> str:
        write_all(outputs, _all(found), is_completed=False)
        return f"{counted(len(found), 'timepoint')} of {len(groups)} done, not joined to tracks"

    with dataset.in_use(), Bars(quiet=current().quiet) as bars, interruptible(promise) as cancel:
        model_cache = ModelCache(choose_device(values["device"]))
        work = ModelWork(dataset, path, model_cache, bars, cancel)
        params = _params(values, dataset)
        for t, records in groups.items():
            found[t] = _displaced(work, t, records, params)
            bars.progress("timepoint", len(found), len(groups))
    return found


def _tell_by_what(records: Sequence[SpotRecord]) -> None:
    n_known = sum(record.earlier is not None for record in records)
    if n_known:
        logger.warning(
            "%s joined by the `earlier` in the file, %s by their own positions: to the nearest neighbours",
            counted(n_known, "spot"),
            len(records) - n_known,
        )


def _params(values: Mapping[str, Any], dataset: Dataset) -> FlowParams:
    voxel = chosen_voxel_size(values["voxel_size"], dataset)
    fixed = {"voxel_size": voxel, "n_keep_axials": chosen_keep_axials(values, voxel, dataset.shape)}
    return build(FlowParams, {**values, **fixed}, dataset.n_dims)


def _numbered(records: Sequence[SpotRecord], dataset: Dataset) -> Groups:
    """Return the spots by timepoint, each with an id that no other has."""
    ids = [record.id for record in records if record.id is not None]
    if len(ids) < len(records):
        if ids:
            logger.warning("%s without an id: all spots got new ones", counted(len(records) - len(ids), "spot"))
        new: dict[int | None, int] = {record.id: i for i, record in enumerate(records) if record.id is not None}
        records = [r.model_copy(update={"id": i, "parent": new.get(r.parent)}) for i, r in enumerate(records)]
    elif len(set(ids)) < len(ids):
        raise InvalidInputError(
            "spots have ids, but some are duplicates: give each spot a unique id, or none of them any"
        )
    groups: dict[int, list[SpotRecord]] = {}
    for record in records:
        groups.setdefault(record.t, []).append(record)
    by_timepoint([spot_of(record) for record in records], dataset.n_timepoints)  # refuses what is outside
    return dict(sorted(groups.items()))


def _displaced(work: ModelWork, t: int, records: Sequence[SpotRecord], params: FlowParams) -> list[SpotRecord]:
    earlier = FLOW.predict(work, t, params, [spot_of(record) for record in records])
    return [
        record.model_copy(update={"earlier": tuple(was.pos[::-1].tolist()), "sqdisp": was.sqdisp})
        for record, was in zip(records, earlier, strict=True)
    ]


def _joined(found: Groups, largest: float, n_children: int) -> list[SpotRecord]:
    records = _all(found)
    positions, earlier = (
        np.array(v).reshape(-1, 3) for v in ([r.pos for r in records], [r.earlier or r.pos for r in records])
    )
    places = parents_of([r.t for r in records], positions, earlier, largest, n_children)
    parents = {_id(r): _id(records[place]) for r, place in zip(records, places, strict=True) if place >= 0}
    numbers, _ = tracks_of({_id(r): r.t for r in records}, parents)
    return [r.model_copy(update={"parent": parents.get(_id(r)), "track": numbers[_id(r)]}) for r in records]


def _summary(records: Sequence[SpotRecord], is_joined: bool) -> str:
    text = counted(len(records), "spot")
    return f"{text}, {counted(len({r.track for r in records}), 'track')}" if is_joined else text


def _all(found: Groups) -> list[SpotRecord]:
    return [record for t in sorted(found) for record in found[t]]


def _id(record: SpotRecord) -> int:
    return -1 if record.id is None else record.id
