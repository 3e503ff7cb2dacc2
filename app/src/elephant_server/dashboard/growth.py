"""``dashboard/api/growth``: how the annotations of a dataset grew, and the models that were trained on it."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice
from pathlib import Path

from flask import Blueprint, Response, jsonify

from elephant.dataset.record import FILE, ClearedEntry, read_record
from elephant.dataset.record.entries import AnyEntry, TaughtEntry, WrittenEntry
from elephant.errors import ElephantError, NotFoundError
from elephant.io.paths import resolve_inside
from elephant_server.api.endpoint import endpoint
from elephant_server.dashboard.models import MOST_MODELS, held_out, model_files, provenance_known
from elephant_server.dashboard.views import admitted, read_query
from elephant_server.schemas.dashboard import DatasetQuery
from elephant_server.schemas.models import GrowthAnswer, GrowthPoint, LabelsPoint
from elephant_server.services import services

blueprint = Blueprint("dashboard_growth", __name__)

MOST_POINTS = 300
MOST_BYTES = 64 << 20  # some seconds' work
_KEPT = 32


@blueprint.get("/dashboard/api/growth")
@endpoint(GrowthAnswer, query=DatasetQuery)
@admitted
def get_growth() -> Response:
    """Tell how the annotations of a dataset grew, and how good the models were that were trained on it."""
    name, settings = read_query(DatasetQuery).dataset, services().settings
    folder = resolve_inside(settings.datasets_dir, name)
    if not folder.is_dir():
        raise NotFoundError(f"there is no dataset {name}: check its name")
    taught = _taught(folder)
    answer = GrowthAnswer(
        trainings=list(_trainings(settings.models_dir, name)),
        detection=thinned(taught.points["detection"]),
        flow=thinned(taught.points["flow"]),
        people=dict(taught.people),
        note=taught.note,
    )
    return jsonify(answer.model_dump())


def _trainings(models: Path, dataset: str) -> Iterator[GrowthPoint]:
    """Yield the trainings on a dataset, the oldest first."""
    found = [
        (entry, path)
        for path in islice(model_files(models), MOST_MODELS)
        for entry in provenance_known(path).entries
        if entry.dataset == dataset and entry.what in ("training", "live session") and entry.epochs
    ]
    for entry, path in sorted(found, key=lambda one: one[0].saved):
        yield GrowthPoint(
            model=path.relative_to(models).as_posix(),
            method="flow" if entry.annotated == "links" else "detection",
            **entry.model_dump(include={"saved", "n_annotations", "epochs", "loss"}),
            **held_out(entry),
        )


@dataclass
class Taught:
    """How many annotations there were over time, of each method, and who gave them."""

    points: dict[str, list[LabelsPoint]] = field(default_factory=lambda: {"detection": [], "flow": []})
    people: Counter[str] = field(default_factory=Counter)
    note: str = ""


def _taught(folder: Path) -> Taught:
    try:
        status = (folder / FILE).stat()
    except OSError:  # nothing was recorded
        return Taught()
    return _read(folder, status.st_mtime_ns, status.st_size)


@lru_cache(_KEPT)
def _read(folder: Path, changed: int, size: int) -> Taught:
    del changed  # a record that has grown is read again
    taught, record = Taught(), read_record(folder)
    if size > MOST_BYTES:
        taught.note = "The record is too long to be shown here: `elephant record list` shows it."
        return taught
    there: dict[str, dict[int, int]] = {"detection": {}, "flow": {}}
    try:
        for entry in record.entries():
            _add(taught, there, entry)
    except ElephantError as error:
        record.damage.append(str(error))
    taught.note = record.damage[0] if record.damage else ""
    return taught


def _add(taught: Taught, there: dict[str, dict[int, int]], entry: AnyEntry) -> None:
    """Take note of an entry; `there` has the number of annotations of each method and timepoint."""
    if isinstance(entry, TaughtEntry):
        n_new = entry.n if entry.n_labelling is None else entry.n_labelling
        there[entry.method][entry.t] = n_new + (there[entry.method].get(entry.t, 0) if entry.over else 0)
        if entry.who:
            taught.people[entry.who] += 1
        methods: Sequence[str] = [entry.method]
    elif isinstance(entry, ClearedEntry):
        methods = [entry.method] if entry.method else list(there)
        for method in methods:
            there[method].clear()
    elif isinstance(entry, WrittenEntry):
        there[entry.method].pop(entry.t, None)
        methods = [entry.method]
    else:
        return
    for method in methods:
        n = sum(there[method].values())
        taught.points[method].append(LabelsPoint(at=entry.when, n_annotations=n, who=entry.who or ""))


def thinned(points: Sequence[LabelsPoint], most: int = MOST_POINTS) -> list[LabelsPoint]:
    """Return at most so many points: of each run of neighbours the last one."""
    step = -(-len(points) // most)
    return list(reversed(points[::-1][::step])) if step > 1 else list(points)
