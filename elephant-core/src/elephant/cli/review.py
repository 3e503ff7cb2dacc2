"""``elephant review``: where a person should look next."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from elephant.cli import options
from elephant.cli.options import Command, Option
from elephant.cli.parameters import build, keep_axials, options_of
from elephant.cli.running import DONE, console, prepare_to_compute, print_json
from elephant.cli.workspace import MODELS, find
from elephant.config import DetectionParams, PredictionParams, SpotParams
from elephant.errors import InvalidInputError, NotFoundError
from elephant.words import counted

if TYPE_CHECKING:
    from elephant.methods.work import ModelWork
    from elephant.review.ranking import Review

_HELP = """List where errors are expected, worst first: spots that may be wrong, nuclei that may be missing.

DATASET is a folder, or a name below the workspace. The table has the place (X, Y, Z), the probability that a nucleus is
there, how many errors are expected, and why. Places of one look are near each other. An interrupted review with -o goes
on where it was.

\b
Examples:
  elephant review movie --model nuclei.pth
  elephant review movie --model nuclei.pth -t 10-19 -o look.csv
"""

_LEFT_OUT = ("voxel_size", "n_keep_axials", "output_prediction")
_KINDS = (".json", ".csv")
_SHOWN = 20


def review(dataset: str, model: str, **values: Any) -> int:
    """Review the timepoints, and print or write the list."""
    output: Path | None = values["output"]
    _check_output(output, overwrite=values["overwrite"])
    from elephant.cli.inputs import as_trained, open_dataset, parse_timepoints, seen_voxels
    from elephant.device import choose_device
    from elephant.methods.work import ModelWork
    from elephant.models.ensemble import ModelCache

    prepare_to_compute()
    opened, path = open_dataset(dataset, values["workspace"]), find(MODELS, model, values["workspace"])
    values = as_trained(values, path, opened)
    params = build(DetectionParams, {**values, **seen_voxels(values, opened)}, opened.n_dims)
    timepoints = parse_timepoints(values["timepoints"], opened.n_timepoints)
    n_done = 0

    def promise() -> str:
        kept = f"; the same command with -o {output} goes on" if output is not None else ""
        return f"{n_done} of {counted(len(timepoints), 'timepoint')} done{kept}"

    def count(done: int) -> None:
        nonlocal n_done
        n_done = done

    with console().attend(promise) as (bars, cancel):
        work = ModelWork(opened, path, ModelCache(choose_device(values["device"])), bars, cancel)
        found = _reviewed(work, timepoints, params, values["n_places"], output, count)
    _show(found, output, as_json=values["as_json"])
    return DONE


def _reviewed(
    work: "ModelWork", timepoints: Any, params: DetectionParams, n_places: int, output: Path | None, count: Any
) -> "Review":
    from elephant.review.files import UnfinishedReview, fingerprint
    from elephant.review.reviewing import review as run

    if output is None:
        return run(work, timepoints, params, n_places, on_timepoint=lambda *_: count(_[0]))
    unfinished = UnfinishedReview(output, fingerprint(work, params, n_places))
    finished = unfinished.read()
    count(len(finished.reviewed))

    def keep(_t: int, reviewed: Any, spots: Any) -> None:
        unfinished.add(reviewed, spots)
        count(len(finished.reviewed))

    found = run(work, timepoints, params, n_places, finished, keep)
    _write(found, output)
    unfinished.remove()
    return found


def _check_output(path: Path | None, *, overwrite: bool) -> None:
    if path is None:
        return
    if path.suffix.lower() not in _KINDS:
        raise click.UsageError(f"--output: expected a name that ends with .json or .csv, got {path.name!r}")
    if not path.parent.is_dir():
        raise NotFoundError(f"there is no folder {path.parent} for {path.name}: create it first")
    if path.exists() and not overwrite and not _is_review(path):
        raise InvalidInputError(
            f"there is a file at {path} that is no review: give --overwrite to replace it, or another name"
        )


def _is_review(path: Path) -> bool:
    """Return whether a file begins as a review does; what a person marked in one is theirs."""
    from elephant.review.files import COLUMNS

    with path.open(encoding="utf-8", errors="replace") as file:
        beginning = file.read(200)
    return not beginning or beginning.startswith((",".join(COLUMNS) + "\n", '{\n "places": ['))


def _write(found: "Review", path: Path) -> None:
    from elephant.io.atomic import explained_storage, replacing
    from elephant.review.files import as_csv, as_document

    text = as_csv(found) if path.suffix.lower() == ".csv" else json.dumps(as_document(found), indent=1) + "\n"
    with explained_storage(f"the review {path.name}", path.parent, len(text)), replacing(path) as file:
        file.write(text.encode())


def _show(found: "Review", output: Path | None, *, as_json: bool) -> None:
    from elephant.review.files import COLUMNS, as_document, rows

    if as_json:
        print_json(as_document(found))
        return
    shown = list(rows(found))
    n_spots = sum(one.n_spots for one in found.timepoints)
    wrong, missed = (sum(getattr(one, name) for one in found.timepoints) for name in ("wrong", "missed"))
    where = counted(len(found.timepoints), "timepoint")
    expected = (
        f"about {counted(round(wrong), 'wrong spot')} and {counted(round(missed), 'missed nucleus', 'missed nuclei')}"
    )
    click.echo(f"{counted(n_spots, 'spot')} at {where}; expect {expected}")
    if output is not None:
        click.echo(f"{output}: {counted(len(shown), 'place')} in {counted(len(found.looks), 'look')}, the worst first")
        return
    table = [COLUMNS, *([f"{c:g}" if isinstance(c, float) else str(c) for c in row] for row in shown[:_SHOWN])]
    widths = [max(len(row[i]) for row in table) for i in range(len(COLUMNS))]
    for row in table:
        click.echo("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip())
    if len(shown) > _SHOWN:
        click.echo(f"... and {counted(len(shown) - _SHOWN, 'place')} more: -o FILE writes all")


command = Command(
    "review",
    callback=review,
    help=_HELP,
    params=[
        options.dataset_argument(),
        options.model("Detection model: a path, or a name below the workspace."),
        options.voxel_size("that of the dataset, or else that of the model's training"),
        options.timepoints(),
        Option(
            ["--n-places"],
            type=click.IntRange(1, 100_000),
            default=200,
            show_default=True,
            help="How many places the list has at most.",
        ),
        options.output("Output file for the list, .json or .csv."),
        options.overwrite(),
        options.as_json("Write the list to standard output as JSON."),
        *options_of(SpotParams, section="Spots", leave_out=_LEFT_OUT),
        *options_of(PredictionParams, section=options.IMAGE_SECTION, leave_out=_LEFT_OUT),
        keep_axials(),
        options.workspace(),
        options.device(),
    ],
)
