"""Reviews as tables and JSON, and what an interrupted one had done, in a file beside its output.

Positions are in the order X, Y, Z, as in all files.
"""

import csv
import hashlib
import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from elephant.config import DetectionParams
from elephant.dataset.summary import image_version
from elephant.methods.work import ModelWork
from elephant.quality.calibration import read_correction
from elephant.review.ranking import Kind, Place, Review, Timepoint
from elephant.review.reviewing import Finished, Reviewed
from elephant.types import DetectedSpot

logger = logging.getLogger(__name__)

COLUMNS = ("look", "t", "x", "y", "z", "radius", "kind", "probability", "errors", "why")
_LONGEST_LINE = 64 << 20
_ENDING = ".unfinished"

_Vector = tuple[float, float, float]
_Matrix = Annotated[tuple[float, ...], Field(min_length=9, max_length=9)]


def place_fields(place: Place, look: int) -> dict[str, Any]:
    """Return a place as JSON has it; `look` counts the groups from 1."""
    return {
        "look": look,
        "t": place.t,
        "pos": place.pos[::-1].tolist(),
        "covariance": place.covariance[::-1, ::-1].ravel().tolist(),
        "kind": place.kind,
        "probability": round(place.probability, 4),
        "errors": round(place.errors, 4),
        "why": place.why,
        "log_odds": round(place.log_odds, 4),
    }


def as_document(review: Review) -> dict[str, Any]:
    """Return a review as JSON has it."""
    return {
        "places": [
            place_fields(place, number) for number, look in enumerate(review.looks, start=1) for place in look.places
        ],
        "timepoints": [
            {"t": one.t, "n_spots": one.n_spots, "wrong": round(one.wrong, 3), "missed": round(one.missed, 3)}
            for one in review.timepoints
        ],
        "n_places": review.n_places,
    }


def rows(review: Review) -> Iterator[tuple[Any, ...]]:
    """Yield a row for each place, with the `COLUMNS`."""
    for number, look in enumerate(review.looks, start=1):
        for place in look.places:
            x, y, z = place.pos[::-1].tolist()
            figures = (round(place.radius, 4), place.kind, round(place.probability, 4), round(place.errors, 4))
            yield (number, place.t, round(x, 4), round(y, 4), round(z, 4), *figures, place.why)


def as_csv(review: Review) -> str:
    """Return a review as a table."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(rows(review))
    return text.getvalue()


def fingerprint(work: ModelWork, params: DetectionParams, n_places: int) -> str:
    """Return what a review depends on: model, images, parameters and what was judged, as a digest."""
    stat = work.model_path.stat()
    facts = (
        stat.st_mtime_ns,
        stat.st_size,
        str(image_version(work.dataset.folder)),
        params.model_dump_json(),
        n_places,
    )
    return hashlib.sha256(repr((*facts, read_correction(work.model_path).changed)).encode()).hexdigest()


class _Line(BaseModel):
    """A timepoint in the file of an unfinished review; vectors are Z, Y, X."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    t: int
    n_spots: int
    wrong: float
    missed: float
    n_places: int
    places: tuple[tuple[Kind, _Vector, _Matrix, float, float, str, float], ...]
    spots: tuple[tuple[_Vector, _Matrix, float], ...]

    @classmethod
    def of(cls, reviewed: Reviewed, spots: list[DetectedSpot]) -> "_Line":
        one = reviewed.timepoint
        return cls(
            t=one.t,
            n_spots=one.n_spots,
            wrong=one.wrong,
            missed=one.missed,
            n_places=reviewed.n_places,
            places=tuple(
                (p.kind, tuple(p.pos), tuple(p.covariance.ravel()), p.probability, p.errors, p.why, p.log_odds)
                for p in reviewed.places
            ),
            spots=tuple((tuple(s.pos), tuple(s.covariance.ravel()), s.quality) for s in spots),
        )

    def reviewed(self) -> Reviewed:
        places = tuple(
            Place(self.t, kind, np.array(pos), np.array(covariance).reshape(3, 3), probability, errors, why, log_odds)
            for kind, pos, covariance, probability, errors, why, log_odds in self.places
        )
        return Reviewed(Timepoint(self.t, self.n_spots, self.wrong, self.missed), places, self.n_places)

    def found(self) -> list[DetectedSpot]:
        return [DetectedSpot(np.array(pos), np.array(covariance).reshape(3, 3), q) for pos, covariance, q in self.spots]


class UnfinishedReview:
    """What a review has done, a line for each timepoint, beside its output; it is gone when the review is finished.

    Parameters
    ----------
    output
        The file of the review.
    digest
        What it depends on, as of :func:`fingerprint`: a file with another one is begun anew.
    """

    def __init__(self, output: Path, digest: str) -> None:
        self._path, self._digest = output.with_name(output.name + _ENDING), digest

    def read(self) -> Finished:
        """Return what is done; nothing where the file is of another review, and what is whole where it is damaged."""
        finished = Finished()
        try:
            with self._path.open("rb") as file:
                if json.loads(file.readline(_LONGEST_LINE)) != {"review": self._digest}:
                    raise ValueError("it is of another review")
                while text := file.readline(_LONGEST_LINE):
                    line = _Line.model_validate_json(text)
                    finished.reviewed[line.t], finished.spots[line.t] = line.reviewed(), line.found()
        except FileNotFoundError:
            return finished
        except (OSError, ValueError, TypeError, ValidationError):
            logger.info("%s is of another review, or ends early: the rest is done anew", self._path.name)
        self._write(finished)
        return finished

    def add(self, reviewed: Reviewed, spots: list[DetectedSpot]) -> None:
        """Keep a timepoint that is done."""
        if not self._path.exists():
            self._write(Finished())
        with self._path.open("ab") as file:
            file.write(_Line.of(reviewed, spots).model_dump_json().encode() + b"\n")

    def remove(self) -> None:
        """Remove the file: the review is finished."""
        self._path.unlink(missing_ok=True)

    def _write(self, finished: Finished) -> None:
        """Write the file anew, with what is whole."""
        lines = [json.dumps({"review": self._digest})]
        lines += [_Line.of(one, finished.spots[t]).model_dump_json() for t, one in finished.reviewed.items()]
        self._path.write_text("\n".join(lines) + "\n", encoding="utf-8")
