"""An evaluation as a table for people, and as values for scripts."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from elephant.evaluation.counts import Counts, shown
from elephant.evaluation.evaluation import BOX, NUCLEI, Evaluation
from elephant.words import counted, in_ranges

_HEADER = ("", "true", "found", "matched", "missed", "wrong", "precision", "recall", "F1")
_MANY_RANGES = 6


def values_of(evaluation: Evaluation, *, per_timepoint: bool = False) -> dict[str, Any]:
    """Return the scores by name, as JSON holds them; what is not defined, or not known, is None.

    Parameters
    ----------
    per_timepoint
        Whether to add those of each timepoint.
    """
    params, divisions = evaluation.params, evaluation.divisions
    found: dict[str, Any] = {
        "distance": evaluation.distance,
        "overlap": params.overlap,
        "truth_covers": params.truth_covers,
        "timepoints": [each.t for each in evaluation.timepoints],
        "left_out": {
            "found_at_other_timepoints": evaluation.left_out.at_other_timepoints,
            "found_without_truth": evaluation.left_out.without_truth,
            "true_at_other_timepoints": evaluation.left_out.true_at_other_timepoints,
            "no_nuclei": evaluation.left_out.no_nuclei,
        },
        "spots": _values(evaluation, evaluation.spots) | _distances(evaluation.distances),
        "links": None if evaluation.links is None else _values(evaluation, evaluation.links),
        "divisions": None,
        "ctc": None if evaluation.ctc is None else dict(evaluation.ctc),
    }
    if divisions is not None:
        found["divisions"] = _values(evaluation, divisions.counts) | {
            "tolerance": params.division_tolerance,
            "shifted": divisions.n_shifted,
            "wrong_daughters": divisions.n_wrong_daughters,
        }
    if per_timepoint:
        found["per_timepoint"] = [
            {"t": each.t} | _values(evaluation, each.matching.counts) | _distances(each.matching.distances)
            for each in evaluation.timepoints
        ]
    return found


def _values(evaluation: Evaluation, counts: Counts) -> dict[str, Any]:
    known = {"true": counts.n_true, "matched": counts.n_matched, "missed": counts.n_missed}
    shares = {"recall": counts.recall}
    if evaluation.has_precision:
        known |= {"found": counts.n_found, "wrong": counts.n_wrong}
        shares |= {"precision": counts.precision, "f1": counts.f1}
    names = ("found", "wrong", "precision", "f1")
    return dict.fromkeys(names) | known | {name: _number(value) for name, value in shares.items()}


def _distances(distances: Sequence[float] | np.ndarray) -> dict[str, float | None]:
    if not len(distances):
        return {"mean_distance": None, "median_distance": None}
    return {"mean_distance": float(np.mean(distances)), "median_distance": float(np.median(distances))}


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value


def table_of(evaluation: Evaluation, *, per_timepoint: bool = False) -> str:
    """Return the scores as lines of aligned columns, after what was compared and how.

    Parameters
    ----------
    per_timepoint
        Whether to add a line for each timepoint.
    """
    rows = [("nuclei", evaluation.spots)]
    if evaluation.links is not None:
        rows.append(("links", evaluation.links))
    if evaluation.divisions is not None:
        rows.append(("divisions", evaluation.divisions.counts))
    if per_timepoint:
        rows = [(f"t = {each.t}", each.matching.counts) for each in evaluation.timepoints] + rows
    cells = [_HEADER, *(_cells(name, counts, evaluation) for name, counts in rows)]
    return "\n".join([*_facts(evaluation), "", *_aligned(cells), *_remarks(evaluation), *_ctc(evaluation)])


def _cells(name: str, counts: Counts, evaluation: Evaluation) -> tuple[str, ...]:
    is_known = evaluation.has_precision
    n_found, n_wrong = (str(n) if is_known else "" for n in (counts.n_found, counts.n_wrong))
    precision, f1 = (shown(value) if is_known else "" for value in (counts.precision, counts.f1))
    whole = (str(counts.n_true), n_found, str(counts.n_matched), str(counts.n_missed), n_wrong)
    return (name, *whole, precision, shown(counts.recall), f1)


def _aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for name, *cells in rows:
        yield "  ".join([name.ljust(widths[0]), *map(str.rjust, cells, widths[1:])]).rstrip()


def _facts(evaluation: Evaluation) -> Iterator[str]:
    """Yield lines that say how nuclei were matched, and which count."""
    params = evaluation.params
    if evaluation.distance is None:
        yield f"matched   by overlap, at least {params.overlap:g} of the union"
    else:
        why = "" if params.distance else ", the median radius of the true nuclei"
        yield f"matched   within {evaluation.distance:.3g}{why}"
    timepoints = [each.t for each in evaluation.timepoints]
    where = {BOX: ", in the box around the true nuclei", NUCLEI: ", of single nuclei: no precision"}
    words = in_ranges(timepoints, _MANY_RANGES)
    yield f"counted   {counted(len(timepoints), 'timepoint')} ({words}){where.get(params.truth_covers, '')}"
    left_out = ", ".join(_left_out(evaluation))
    if left_out:
        yield f"left out  {left_out}"


def _left_out(evaluation: Evaluation) -> Iterator[str]:
    left_out = evaluation.left_out
    if left_out.at_other_timepoints:
        yield f"{left_out.at_other_timepoints} found at other timepoints"
    if left_out.true_at_other_timepoints:
        yield f"{left_out.true_at_other_timepoints} true at other timepoints"
    if left_out.without_truth:
        yield f"{left_out.without_truth} found where the truth is not complete"
    if left_out.no_nuclei:
        yield f"{left_out.no_nuclei} tagged as something else than a nucleus"


def _remarks(evaluation: Evaluation) -> Iterator[str]:
    distances, divisions = evaluation.distances, evaluation.divisions
    if len(distances):
        yield ""
        yield f"distance of matched nuclei: mean {distances.mean():.3g}, median {np.median(distances):.3g}"
    if divisions is not None and divisions.n_shifted:
        yield f"{counted(divisions.n_shifted, 'division')} matched at another timepoint"
    if divisions is not None and divisions.n_wrong_daughters:
        yield f"{counted(divisions.n_wrong_daughters, 'division')} found with a wrong daughter"


def _ctc(evaluation: Evaluation) -> Iterator[str]:
    """Yield the scores of the challenge; a row each for those of nuclei and links, and of tracks."""
    scores = evaluation.ctc
    if scores is None:
        return
    yield ""
    yield "scores of the Cell Tracking Challenge"
    for names in (("DET", "SEG", "TRA", "LNK"), ("CT", "TF", "BC", "CCA", "BIO")):
        row = ((name, scores.get(name)) for name in names)
        yield "  ".join(f"{name:3} {shown(math.nan if score is None else score):5}" for name, score in row).rstrip()
