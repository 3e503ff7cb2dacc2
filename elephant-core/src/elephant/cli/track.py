"""``elephant track``: lineages of a whole movie from its spots alone."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np
from click.core import ParameterSource

from elephant.cli import options
from elephant.cli.options import Command, Option
from elephant.cli.parameters import options_of, refuse_given
from elephant.cli.running import DONE, console
from elephant.config import AnnotationParams, LinkerParams
from elephant.errors import InvalidInputError
from elephant.words import counted

if TYPE_CHECKING:
    from elephant.annotations.records import SpotRecord
    from elephant.tracking.assignment import Indices
    from elephant.tracking.linkers import Corrections, Detections, GlobalLinker, Solution
    from elephant.tracking.linkers.registry import InstalledLinker
    from elephant.types import FloatArray

_HELP = """Join the spots of a whole movie to lineages, from their positions.

The spots are those of --spots, JSON or a table with the columns t, x, y, z and, where it is known, id and radius; no
dataset is needed. With DATASET, a folder, or a name below the workspace, the lineages are kept with it, where the
server and its dashboard show and correct them, and the output may be of other programs, too: .geff, .xml (TrackMate),
.tif (labels) or .zip (Cell Tracking Challenge). How far nuclei move, how often they divide and what a detector misses
is estimated from the spots themselves. The output adds `parent`, the id of the spot that it came from at an earlier
timepoint, `probability`, how sure that is, and `track`; a division begins two tracks. Where spots have `earlier`, as of
elephant link with a flow model, motions are expected from it. Spots that are tagged fp or tn are joined to nothing.

A run that was interrupted goes on where it was.

\b
Examples:
  elephant track --spots detections.csv -o tracks.csv
  elephant track --spots corrected.csv --keep-links -o tracks.csv
  elephant track --spots detections.csv --max-gap 0 --children 1 -o tracks.csv
  elephant track movie --spots detections.csv -o tracks.geff
"""

_DOUBTFUL = 0.9
_NO_NUCLEI = ("fp", "tn")
_OF_DATASETS = {"voxel_size"}


def track(dataset: str | None, spots: tuple[Path, ...], **values: Any) -> int:
    """Write the spots with their parents, and with their tracks; with a dataset, keep them with it."""
    from elephant.annotations import read_all
    from elephant.cli.files_write import SpotOutput
    from elephant.cli.parameters import build
    from elephant.cli.track_kept import check_without_dataset, track_kept

    if dataset is not None:
        return track_kept(dataset, spots, values)
    check_without_dataset(values["output"])
    refuse_given(_OF_DATASETS, "DATASET")
    if values["output"] is None and not values["as_json"]:
        raise click.UsageError("expected -o FILE, or --json for standard output")
    output = SpotOutput(values, spots)
    records = numbered(read_all(spots, build(AnnotationParams, values, 3)))
    if not records:
        raise InvalidInputError("expected at least one spot to track, got none: check --spots")
    solution = _linked(records, values)
    tracked = with_links(records, solution.parents, solution.probability)
    output.write(tracked)
    if values["output"] is not None:
        _saved_at(values["output"]).unlink(missing_ok=True)
    output.report(summary_of(tracked, solution.parents, solution.probability))
    return DONE


def numbered(records: "Sequence[SpotRecord]") -> "list[SpotRecord]":
    """Return the spots in the order of their timepoints, each with an id that no other has."""
    ids = Counter(record.id for record in records if record.id is not None)
    if not ids:
        records = [replace(record, id=i) for i, record in enumerate(records)]
    elif len(ids) < len(records):
        spot, n = ids.most_common(1)[0]
        got = f"{spot} {n} times" if n > 1 else f"{len(ids)} with one"
        raise InvalidInputError(
            f"expected an id for each of the {len(records)} spots, all different, or for none of them, got {got}: "
            "correct the column id, or remove it"
        )
    return sorted(records, key=lambda record: record.t)


def _linked(records: "Sequence[SpotRecord]", values: Mapping[str, Any]) -> "Solution":
    from elephant.tracking.linkers import GlobalLinker
    from elephant.tracking.linkers.registry import linker_named

    linker = linker_named(values["linker"], given_params(values))
    detections, corrections = detections_of(records), corrections_of(records, keeps_links=values["keep_links"])
    tell_of_gaps(records, linker)
    if isinstance(linker.linker, GlobalLinker) and values["output"] is not None:
        return _resumed(linker.linker, detections, corrections, _saved_at(values["output"]))
    with console().attend(lambda: "nothing is written") as (bars, cancel):
        return linker.link(detections, corrections, bars, cancel)


def tell_of_gaps(records: "Sequence[SpotRecord]", linker: "InstalledLinker") -> None:
    """Warn of timepoints over which no track goes.

    Raises
    ------
    InvalidInputError
        No spot is soon enough after another one.
    """
    from elephant.tracking.linkers import GlobalLinker
    from elephant.tracking.linkers.timepoints import check_near, described_gaps

    if not isinstance(linker.linker, GlobalLinker):
        return
    timepoints, max_gap = [record.t for record in records], linker.linker.params.max_gap
    check_near(timepoints, max_gap)
    words = described_gaps(timepoints, max_gap)
    if words is not None:
        click.echo(f"warning: {words} (--max-gap)", err=True)


def given_params(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of the linker that a person gave: other linkers have others, and defaults of their own."""
    source = click.get_current_context().get_parameter_source
    return {name: values[name] for name in LinkerParams.model_fields if source(name) is ParameterSource.COMMANDLINE}


def detections_of(records: "Sequence[SpotRecord]") -> "Detections":
    """Return spots, in the order of their timepoints, as linkers know them."""
    from elephant.annotations.records import spot_of
    from elephant.tracking.linkers import Detections

    nowhere = (np.nan,) * 3
    earlier = np.array([(record.earlier or nowhere)[::-1] for record in records]).reshape(-1, 3)
    is_known = any(record.earlier is not None for record in records)
    return Detections.of([spot_of(record) for record in records], earlier if is_known else None)


def corrections_of(records: "Sequence[SpotRecord]", *, keeps_links: bool) -> "Corrections":
    """Return what the file says: spots that are no nuclei, and its links if they are to be kept."""
    from elephant.tracking.linkers import Corrections

    index = {record.id: i for i, record in enumerate(records)}
    parents = [(record.parent, i) for i, record in enumerate(records) if record.parent is not None]
    unknown = [parent for parent, _ in parents if parent not in index]
    if keeps_links and unknown:
        raise InvalidInputError(
            f"{counted(len(unknown), 'parent')}, such as {unknown[0]}, are not among the ids of the spots: correct the "
            "column parent, or leave out --keep-links"
        )
    links = frozenset((index[parent], i) for parent, i in parents) if keeps_links else frozenset()
    wrong = frozenset(i for i, record in enumerate(records) if record.tag in _NO_NUCLEI)
    return Corrections(links=links, wrong=wrong)


def _resumed(
    linker: "GlobalLinker", detections: "Detections", corrections: "Corrections", saved_at: Path
) -> "Solution":
    """Return the solution, from where an interrupted run of the same spots and settings was."""
    from elephant.tracking.linkers.saved import SavedWindows, fingerprint_of

    with console().attend(lambda: "nothing is solved yet") as (bars, cancel):
        problem = linker.prepare(detections, bars, cancel).taught(corrections)
    prior = problem.model.prior
    if prior != linker.prior:
        click.echo(prior.made_from, err=True)
    saved = SavedWindows(saved_at, fingerprint_of(detections, linker.params, prior))
    before = saved.load()
    if before:
        click.echo(f"{counted(len(before), 'window')} solved by an interrupted run", err=True)
        problem.resume(dict(enumerate(before)))

    def promise() -> str:
        saved.write()
        return f"{counted(saved.n_windows, 'window')} solved and kept: the same command goes on from there"

    with console().attend(promise) as (bars, cancel):
        return problem.solve(corrections, bars, cancel, saved.keep)


def _saved_at(output: Path) -> Path:
    return output.with_name(f".{output.name}.windows")


def with_links(records: "Sequence[SpotRecord]", parents: "Indices", probability: "FloatArray") -> "list[SpotRecord]":
    """Return the spots with their parents, (N,) indices or -1, how probable these are, (N,), and their tracks."""
    from elephant.tracking import tracks_of

    known = {i: int(parent) for i, parent in enumerate(parents) if parent >= 0}
    numbers, _ = tracks_of({i: record.t for i, record in enumerate(records)}, known)
    return [
        replace(
            record,
            parent=records[known[i]].id if i in known else None,
            probability=None if math.isnan(p) else round(float(p), 4),
            track=numbers[i],
        )
        for i, (record, p) in enumerate(zip(records, probability, strict=True))
    ]


def summary_of(records: "Sequence[SpotRecord]", parents: "Indices", probability: "FloatArray") -> str:
    """Return how many spots, tracks and divisions there are, in words."""
    n_tracks = len({record.track for record in records})
    n_children = np.bincount(parents[parents >= 0], minlength=1)
    words = f"{counted(len(records), 'spot')}, {counted(n_tracks, 'track')}, "
    words += counted(int((n_children == 2).sum()), "division")
    n_doubtful = int((probability < _DOUBTFUL).sum())
    return f"{words}; {n_doubtful} with a probability below {_DOUBTFUL}" if n_doubtful else words


command = Command(
    "track",
    callback=track,
    help=_HELP,
    params=[
        click.Argument(["dataset"], metavar="[DATASET]", required=False),
        options.spots("The spots of all timepoints."),
        *options_of(AnnotationParams, section=options.SPOTS_SECTION),
        Option(
            ["-o", "--output"],
            type=click.Path(path_type=Path),
            metavar="FILE",
            help="Output file for the spots, .json or .csv; with DATASET also .geff, .xml, .tif or .zip.",
        ),
        options.overwrite(),
        options.as_json("Write the spots to standard output as JSON."),
        *options_of(LinkerParams, section="Tracks", leave_out=("n_children",)),
        options.children("n_children"),
        Option(
            ["--keep-links"],
            is_flag=True,
            section="Tracks",
            help="Take the links of the file, its column parent, as confirmed: they stay, and the rest is solved with "
            "them.",
        ),
        Option(
            ["--linker"],
            default="global",
            show_default=True,
            metavar="NAME",
            section="Tracks",
            help="What joins the spots: global, nearest (each timepoint to the one before, with --max-distance), or "
            "that of an installed package.",
        ),
        options.voxel_size(),
        options.workspace(),
    ],
)
