"""``elephant evaluate``: how well found nuclei and tracks agree with true ones."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from elephant.cli import options
from elephant.cli.options import Command, Option
from elephant.cli.parameters import build, options_of
from elephant.cli.running import DONE, console, print_json
from elephant.config import AnnotationParams, EvaluationParams

if TYPE_CHECKING:
    from elephant.dataset import Dataset
    from elephant.evaluation import Evaluation
    from elephant.export.base import TrackedNucleus

_HELP = """Compare found nuclei and tracks with true ones.

FOUND and TRUTH are files of spots, of any kind that --spots of the other commands reads. At each timepoint, nuclei are
matched one to one: as many as possible within --distance, the nearest among those ways. Precision is the share of the
found nuclei that are true, recall the share of the true ones that were found, F1 their harmonic mean; links between
matched nuclei, and divisions, are counted in the same way where TRUTH has tracks.

By default, the timepoints count at which TRUTH has nuclei, and all nuclei of these should be in it: --truth-covers says
otherwise. What does not count is listed. Nuclei with the tags fp, tn, tb or fb never count.

\b
Examples:
  elephant evaluate found.json truth.csv
  elephant evaluate tracked.json truth.json --per-timepoint
  elephant evaluate found.json truth.csv --dataset movie --picture errors.png -t 3
  elephant evaluate 01_RES 01_GT --voxel-size 0.4 0.4 2 --ctc
"""


def evaluate(found: Path, truth: Path, dataset: str | None, **values: Any) -> int:
    """Print the scores, and draw where the errors are."""
    _check_usage((found, truth), dataset, values)
    from elephant.cli.inputs import open_dataset
    from elephant.evaluation import evaluate_nuclei

    opened = None if dataset is None else open_dataset(dataset, values["workspace"])
    params = build(EvaluationParams, values, 3)
    both = _nuclei(found, values, opened), _nuclei(truth, values, opened)
    timepoints = _timepoints(values["timepoints"], both, opened)
    evaluation = evaluate_nuclei(*both, params, timepoints, None if opened is None else opened.n_dims)
    if values["ctc"]:
        scores = _ctc(evaluation, [(found, both[0]), (truth, both[1])], opened, values)
        evaluation = replace(evaluation, ctc=scores)
    if opened is not None and values["picture"] is not None:
        _draw(evaluation, opened, f"{found.name}\nagainst {truth.name}", values)
    if values["as_json"]:
        print_json(_values(evaluation, found, truth, values))
    else:
        _print_table(evaluation, found, truth, values)
    return DONE


def _check_usage(files: tuple[Path, ...], dataset: str | None, values: Mapping[str, Any]) -> None:
    if values["distance"] is not None and values["overlap"] is not None:
        raise click.UsageError("expected --distance or --overlap, got both")
    if values["ctc"]:
        _check_ctc(files, dataset, values)
    if values["picture"] is None:
        return
    if dataset is None:
        raise click.UsageError("--picture needs --dataset: nuclei are drawn over its image")
    if values["picture"].suffix.lower() != ".png":
        raise click.UsageError(f"--picture: expected a name that ends with .png, got {values['picture'].name!r}")
    from elephant.evaluation.picture import check_can_draw

    check_can_draw()


def _check_ctc(files: tuple[Path, ...], dataset: str | None, values: Mapping[str, Any]) -> None:
    from elephant.evaluation.ctc import check_can_score
    from elephant.evaluation.masks import tracking_folder

    is_folder = [tracking_folder(path) is not None for path in files]
    if dataset is None and not all(is_folder):
        raise click.UsageError("--ctc needs --dataset: nuclei are painted into masks of its size")
    if values["timepoints"] is not None and any(is_folder):
        raise click.UsageError("--timepoints has no effect on the masks of a folder with --ctc: leave it out")
    check_can_score()


def _nuclei(path: Path, values: Mapping[str, Any], dataset: "Dataset | None") -> "list[TrackedNucleus]":
    from elephant.annotations import MovieFacts, nuclei_of, read_all
    from elephant.cli.parameters import as_voxel_size

    n_dims = 3 if dataset is None else dataset.n_dims
    voxel = None if values["voxel_size"] is None else as_voxel_size(values["voxel_size"], n_dims)
    movie = MovieFacts(voxel_size=voxel) if dataset is None else MovieFacts.of(dataset, voxel)
    return nuclei_of(read_all([path], build(AnnotationParams, values, n_dims), movie))


def _timepoints(
    text: str | None, nuclei: "tuple[list[TrackedNucleus], ...]", dataset: "Dataset | None"
) -> list[int] | None:
    from elephant.cli.inputs import parse_timepoints

    if text is None:
        return None
    n_timepoints = 1 + max((nucleus.t for each in nuclei for nucleus in each), default=0)
    return parse_timepoints(text, n_timepoints if dataset is None else dataset.n_timepoints)


def _ctc(
    evaluation: "Evaluation",
    files: "Sequence[tuple[Path, list[TrackedNucleus]]]",
    dataset: "Dataset | None",
    values: Mapping[str, Any],
) -> "Mapping[str, float | None]":
    """Return the scores of the challenge: of masks in folders as they are, of other nuclei as they are painted."""
    from elephant.cli.inputs import chosen_voxel_size
    from elephant.evaluation.ctc import ctc_scores
    from elephant.evaluation.masks import CtcFolder, MaskMovie, painted, tracking_folder

    with console().attend(lambda: "nothing was written") as (bars, cancel):
        folders = [None if tracking_folder(path) is None else CtcFolder(path, cancel) for path, _ in files]
        counted = [each.t for each in evaluation.timepoints]
        timepoints = next((each.timepoints for each in folders if each), range(counted[0], counted[-1] + 1))
        found: list[MaskMovie] = []
        for folder, (_, nuclei) in zip(folders, files, strict=True):
            if folder is not None or dataset is None:
                found += [folder] if folder else []
            else:
                voxel = chosen_voxel_size(values["voxel_size"], dataset)
                found.append(painted(nuclei, dataset, voxel, timepoints, (bars, cancel)))
        return ctc_scores(found[0], found[1], evaluation.params.division_tolerance)


def _draw(evaluation: "Evaluation", dataset: "Dataset", files: str, values: Mapping[str, Any]) -> None:
    from elephant.cli.inputs import chosen_voxel_size
    from elephant.evaluation.picture import Views, draw

    worst, voxel = evaluation.worst(), chosen_voxel_size(values["voxel_size"], dataset)
    dataset.check_timepoint(worst.t)
    title = f"{dataset.name}, timepoint {worst.t}\n{files}"
    views = Views.of_timepoint(dataset, worst.t)
    draw(values["picture"], views, voxel, worst, title, has_precision=evaluation.has_precision)


def _values(evaluation: "Evaluation", found: Path, truth: Path, values: Mapping[str, Any]) -> dict[str, Any]:
    from elephant.evaluation.report import values_of

    picture = values["picture"]
    drawn = {} if picture is None else {"picture": str(picture), "picture_timepoint": evaluation.worst().t}
    scores = values_of(evaluation, per_timepoint=values["per_timepoint"])
    return {"found": str(found), "truth": str(truth), **scores, **drawn}


def _print_table(evaluation: "Evaluation", found: Path, truth: Path, values: Mapping[str, Any]) -> None:
    from elephant.evaluation.report import table_of

    click.echo(f"found     {found}\ntruth     {truth}")
    click.echo(table_of(evaluation, per_timepoint=values["per_timepoint"]))
    if values["picture"] is not None:
        which = "" if len(evaluation.timepoints) == 1 else ", which has the most errors"
        click.echo(f"\n{values['picture']}: timepoint {evaluation.worst().t}{which}")


_FILE = click.Path(path_type=Path, allow_dash=True)

command = Command(
    "evaluate",
    callback=evaluate,
    help=_HELP,
    params=[
        click.Argument(["found"], metavar="FOUND", type=_FILE),
        click.Argument(["truth"], metavar="TRUTH", type=_FILE),
        *options_of(EvaluationParams, section="Options"),
        Option(
            ["-t", "--timepoints"],
            metavar="LIST",
            help="Timepoints that count, from 0: 3, 0-9, or 0,2,5-7. By default those that --truth-covers says.",
        ),
        Option(["--per-timepoint"], is_flag=True, help="Add the scores of each timepoint."),
        Option(
            ["--ctc"],
            is_flag=True,
            help="Add the scores of the Cell Tracking Challenge (DET, SEG, TRA, LNK, CT, TF, BC, CCA, BIO). Nuclei are "
            "painted into masks of --dataset, unless FOUND or TRUTH is a folder of the challenge. It needs the package "
            "py-ctcmetrics.",
        ),
        options.as_json("Print the scores as JSON."),
        Option(
            ["--dataset"],
            metavar="DATASET",
            section="Image",
            help="Dataset of the nuclei: a folder, or a name below the workspace.",
        ),
        Option(
            ["--picture"],
            type=click.Path(path_type=Path, dir_okay=False),
            metavar="FILE.png",
            section="Image",
            help="Draw missed and wrong nuclei over the image of the timepoint that has the most of them. It needs the "
            "package matplotlib.",
        ),
        *options_of(AnnotationParams, section=options.SPOTS_SECTION, leave_out=["spots_format"]),
        options.voxel_size(),
        options.workspace(),
    ],
)
