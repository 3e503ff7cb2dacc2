"""``elephant track DATASET``: lineages that are kept with a dataset, and exported as the output's name says."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from elephant.cli.running import DONE, console
from elephant.errors import InvalidInputError
from elephant.words import counted

if TYPE_CHECKING:
    from elephant.annotations.records import SpotRecord
    from elephant.dataset import Dataset
    from elephant.export.output import InstalledExporter
    from elephant.lineages import CorrectionEntry, Lineage
    from elephant.lineages.tracking import TrackingRequest
    from elephant.tracking.linkers import Corrections

# What other programs read, by how the output's name ends.
_FORMATS = {".geff.zip": "geff", ".geff": "geff", ".xml": "trackmate", ".zip": "ctc", ".tif": "labels"}


def format_of(output: Path) -> str | None:
    """Return the format of other programs that an output's name stands for; None for .json, .csv and others."""
    name = output.name.lower()
    return next((chosen for ending, chosen in _FORMATS.items() if name.endswith(ending)), None)


def check_without_dataset(output: Path | None) -> None:
    """Refuse an output that needs a dataset.

    Raises
    ------
    click.UsageError
        It does; the message says what is missing.
    """
    chosen = None if output is None else format_of(output)
    if output is not None and chosen is not None:
        raise click.UsageError(
            f"--output: expected a dataset for the format {chosen}, got none: elephant track DATASET --spots FILE -o "
            f"{output.name}; without a dataset, write a .csv or .json"
        )


def track_kept(dataset: str, spots: tuple[Path, ...], values: Mapping[str, Any]) -> int:
    """Track the spots of a dataset, keep the lineages with it, and write them where there is an output."""
    from elephant.cli.files_write import SpotOutput
    from elephant.cli.inputs import chosen_voxel_size, known_voxel_size, open_dataset, read_spots
    from elephant.cli.track import given_params, numbered, summary_of, tell_of_gaps, with_links
    from elephant.tracking.linkers.registry import linker_named

    opened, output = open_dataset(dataset, values["workspace"]), values["output"]
    exporter = None if output is None or format_of(output) is None else _exporter(output, values)
    table = SpotOutput(values if exporter is None else {**values, "output": None}, spots)
    records = numbered(read_spots(spots, values, opened))
    tell_of_gaps(records, linker_named(values["linker"], given_params(values)))
    given = values["voxel_size"]
    voxel = known_voxel_size(opened) if given is None else chosen_voxel_size(given, opened)
    lineage = _tracked(opened, replace(_request(records, spots, values), voxel_size=voxel))
    tracked = with_links(records, lineage.parents, lineage.probability)
    table.write(tracked)
    if exporter is not None:
        click.echo(f"{output}: {_export(opened, exporter, tracked, values)}")
    if lineage.dropped is not None:
        click.echo(lineage.dropped, err=True)
    if not values["as_json"]:
        summary = summary_of(tracked, lineage.parents, lineage.probability)
        click.echo(f"{summary}; kept with {opened.name}, version {lineage.version}")
    return DONE


def _exporter(output: Path, values: Mapping[str, Any]) -> "InstalledExporter":
    """Return what writes an output; refuse one that cannot be written before the work begins."""
    from elephant.export.output import check_name, check_output, exporter_named

    exporter = exporter_named(format_of(output) or "")
    try:
        check_name(output, exporter)
    except InvalidInputError as error:
        raise click.UsageError(f"--output: {error}") from error
    check_output(output, exporter, overwrite=values["overwrite"])
    return exporter


def _request(records: "Sequence[SpotRecord]", files: Sequence[Path], values: Mapping[str, Any]) -> "TrackingRequest":
    from elephant.annotations.records import spot_of
    from elephant.cli.track import corrections_of, detections_of, given_params
    from elephant.geometry import mean_radii
    from elephant.lineages import LineageSpots
    from elephant.lineages.tracking import TrackingRequest

    detections = detections_of(records)
    ids = np.array([record.id for record in records], dtype=np.int64)
    radii = mean_radii(np.array([spot_of(record).covariance for record in records]).reshape(-1, 3, 3))
    motions = "the common motion of neighbours" if detections.earlier is None else "where the spots were before"
    return TrackingRequest(
        spots=LineageSpots(ids, detections.timepoints, detections.positions, radii),
        detections=detections,
        given=_given(ids.tolist(), corrections_of(records, keeps_links=values["keep_links"])),
        made_from=f"{', '.join(path.name for path in files)}: {counted(len(records), 'spot')} at timepoints "
        f"{records[0].t} to {records[-1].t}; linker {values['linker']}, motions from {motions}",
        linker=values["linker"],
        params=given_params(values),
    )


def _given(ids: Sequence[int], known: "Corrections") -> "CorrectionEntry":
    """Return what is known of the spots, by their ids."""
    from elephant.lineages import CorrectionEntry

    links = tuple(sorted((ids[i], ids[j]) for i, j in known.links))
    wrong = tuple(sorted(ids[i] for i in known.wrong))
    return CorrectionEntry(confirm=links, wrong=wrong, when=time.time(), came_with_spots=True)


def _tracked(dataset: "Dataset", request: "TrackingRequest") -> "Lineage":
    from elephant.lineages.tracking import track

    last = request.spots.timepoints[-1]
    dataset.check_timepoint(int(last))
    with console().attend(lambda: "what is solved is kept: the same command goes on from there") as (bars, cancel):
        return track(dataset, request, bars, cancel)


def _export(
    dataset: "Dataset", exporter: "InstalledExporter", records: "Sequence[SpotRecord]", values: Mapping[str, Any]
) -> str:
    """Write the tracks for another program, and return words about it."""
    from elephant.annotations.records import nuclei_of
    from elephant.cli.inputs import chosen_voxel_size, known_voxel_size
    from elephant.export.base import ExportParams, TrackedMovie
    from elephant.export.output import export_to

    given = values["voxel_size"]
    is_wanted = exporter.kind.needs_voxel_size or given is not None or known_voxel_size(dataset) is not None
    voxel = chosen_voxel_size(given, dataset) if is_wanted else None
    params = ExportParams(voxel_size=voxel, t_start=0, t_end=dataset.n_timepoints - 1)
    movie = TrackedMovie(dataset, nuclei_of(records), params)
    return export_to(values["output"], exporter, movie, console(), overwrite=values["overwrite"]).words
