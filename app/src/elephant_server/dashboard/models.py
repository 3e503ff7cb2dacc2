"""``dashboard/api/models``, ``runs`` and ``curves``: model files, their versions, and the curves of trainings."""

import os
import re
import stat
import threading
from collections import OrderedDict
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from flask import Blueprint, Response, jsonify

from elephant.io.paths import resolve_inside
from elephant.models.inspect import ModelKind, inspect_model
from elephant.models.provenance import ProvenanceEntry, is_current, provenance_file, read_provenance
from elephant.models.provenance_text import ModelProvenance, details, summary
from elephant.training.event_files import PATTERN, EventFile, Series
from elephant.training.scalars import SCALAR_NAMES, UNNAMED
from elephant_server.api.endpoint import endpoint
from elephant_server.dashboard.views import admitted, read_query
from elephant_server.schemas.dashboard import (
    Curve,
    CurvesAnswer,
    ModelAnswer,
    RunAnswer,
    RunQuery,
    VersionAnswer,
    WorkAnswer,
)
from elephant_server.services import services

blueprint = Blueprint("dashboard_models", __name__)

MOST_MODELS = 200
DEEPEST = 3
# As elephant.models.versions names them, which only workers import: it loads weights.
GENERATIONS = ".generations"
_GENERATION = re.compile(r"(\d{6,})(-interim|-last)?\.pth")


_DETECTION, _FLOW = "detection", "flow"
# Of scalars that only one kind of training has.
_KINDS = {"nll_loss": _DETECTION, "center_dice_loss": _DETECTION, "instance_loss": _FLOW, "SSIM_loss": _FLOW}
# Below these, an earlier version of this server wrote the values by their own names: `seg/loss` for `train_loss`.
_PREFIXES = {"seg": _DETECTION, "flow": _FLOW}
_NO_CURVES = frozenset({"seg/epoch", "flow/epoch"})

MOST_RUNS, MOST_FILES = 200, 50
MOST_POINTS = 300
# Bytes that are read for one request, about a fifth of a second's work; the page asks again for the rest.
MOST_BYTES = 1 << 20
_kept: OrderedDict[tuple[Path, int], EventFile] = OrderedDict()
# Guards `_kept`: several requests are answered at once.
_lock = threading.Lock()


@blueprint.get("/dashboard/api/models")
@endpoint(ModelAnswer, is_list=True)
@admitted
def get_models() -> Response:
    """List the model files, the newest first."""
    root = services().settings.models_dir
    found = [answer for path in islice(model_files(root), MOST_MODELS) if (answer := _describe(root, path)) is not None]
    found.sort(key=lambda model: model.saved, reverse=True)
    return jsonify([model.model_dump() for model in found])


def model_files(root: Path) -> Iterator[Path]:
    """Yield the model files below a folder, in order."""
    for folder, folders, names in os.walk(root):
        depth = len(Path(folder).relative_to(root).parts)
        folders[:] = sorted(f for f in folders if not f.startswith(".")) if depth < DEEPEST else []
        yield from (Path(folder, name) for name in sorted(names) if name.endswith(".pth") and not name.startswith("."))


def _describe(root: Path, path: Path) -> ModelAnswer | None:
    try:
        status = path.stat()
    except FileNotFoundError:  # gone meanwhile
        return None
    kind = _kind(path, status.st_mtime_ns, status.st_size)
    provenance = provenance_known(path)
    held = provenance.held()
    return ModelAnswer(
        name=path.relative_to(root).as_posix(),
        kind=kind.kind if kind else None,
        n_dims=kind.n_dims if kind else None,
        n_members=kind.n_members if kind else None,
        n_bytes=status.st_size,
        saved=status.st_mtime,
        generations=_versions(path, provenance),
        held=None if held is None else _work(held, provenance),
        history=[_work(entry, provenance) for entry in reversed(provenance.entries)],
    )


@lru_cache(maxsize=2 * MOST_MODELS)
def _kind(path: Path, changed: int, size: int) -> ModelKind | None:
    del changed, size  # another file of the same name is read again
    return inspect_model(path)


def provenance_known(path: Path) -> ModelProvenance:
    """Return the provenance of a model's file, read once for each change."""
    try:
        status = provenance_file(path).stat()
    except OSError:  # it has none
        return ModelProvenance((), is_current=False)
    entries = _entries(path, status.st_mtime_ns, status.st_size)
    return ModelProvenance(entries, is_current(path, entries))


@lru_cache(maxsize=MOST_MODELS)
def _entries(path: Path, changed: int, size: int) -> tuple[ProvenanceEntry, ...]:
    del changed, size  # as above; damage is reported once
    return tuple(read_provenance(path))


def _work(entry: ProvenanceEntry, provenance: ModelProvenance) -> WorkAnswer:
    known = entry.model_dump(include=set(WorkAnswer.model_fields)) | held_out(entry)
    return WorkAnswer(**known, text=summary(entry), details=details(entry), is_in=provenance.is_in(entry))


def held_out(entry: ProvenanceEntry) -> dict[str, Any]:
    """Return how good a training was on what was held out of it, and how much that was, where it is known."""
    found = getattr(entry, "held_out", None)
    if found is None:
        return {"f1": None, "distance_left": None, "n_held_out": 0}
    return {"f1": found.f1, "distance_left": found.distance_left, "n_held_out": found.n_nuclei}


def _versions(path: Path, provenance: ModelProvenance) -> list[VersionAnswer]:
    """Return what a model's file held before, the newest first."""
    found = []
    for file in path.parent.joinpath(GENERATIONS, path.name).glob("*.pth"):
        match = _GENERATION.fullmatch(file.name)
        if match and file.is_file():
            status = file.stat()
            number, held = int(match[1]), provenance.held(int(match[1]))
            found.append(
                VersionAnswer(
                    number=number,
                    saved=status.st_mtime,
                    n_bytes=status.st_size,
                    is_interim=match[2] == "-interim",
                    is_last=match[2] == "-last",
                    text=None if held is None else summary(held),
                    **({} if held is None else held.model_dump(include={"n_annotations", "epochs", "loss"})),
                    **({} if held is None else held_out(held)),
                )
            )
    return sorted(found, key=lambda version: version.number, reverse=True)


def curve_names(files: Sequence[Collection[str]]) -> list[Mapping[str, str]]:
    """Return, for each file, which of its scalars belongs to which curve.

    Earlier names continue in today's. Detection and flow share some names: where both wrote into one folder, the name
    of each curve tells the two apart.

    Parameters
    ----------
    files
        The names of the scalars in each file.
    """
    kinds = [_kind_of(tags) for tags in files]
    are_mixed = len(set(filter(None, kinds))) > 1
    return [
        {
            tag: f"{_current(tag)} ({kind})" if are_mixed and kind else _current(tag)
            for tag in tags
            if tag not in _NO_CURVES
        }
        for tags, kind in zip(files, kinds, strict=True)
    ]


def _kind_of(tags: Collection[str]) -> str:
    """Return the kind of training that wrote a file; empty if unknown."""
    found = (_PREFIXES.get(tag.partition("/")[0], "") if "/" in tag else _KINDS.get(tag, "") for tag in sorted(tags))
    return next(filter(None, found), "")


def _current(tag: str) -> str:
    prefix, _, name = tag.partition("/")
    return SCALAR_NAMES.get(name, tag) if prefix in _PREFIXES else tag


@blueprint.get("/dashboard/api/runs")
@endpoint(RunAnswer, is_list=True)
@admitted
def get_runs() -> Response:
    """List the folders with scalars of trainings, the last one first."""
    root = services().settings.logs_dir
    found = []
    for folder, folders, _ in os.walk(root):
        name = Path(folder).relative_to(root)
        is_unnamed = name.parts[:1] == (UNNAMED,)
        deepest = DEEPEST + is_unnamed
        shown = (f for f in folders if not f.startswith(".") or (f == UNNAMED and not name.parts))
        folders[:] = sorted(shown) if len(name.parts) < deepest else []
        files = _event_files(Path(folder))
        if files and name.parts:
            found.append(
                RunAnswer(
                    name=name.as_posix(),
                    title=name.relative_to(UNNAMED if is_unnamed else "").as_posix(),
                    is_named=not is_unnamed,
                    changed=files[-1][0],
                    n_trainings=len(files),
                )
            )
    found.sort(key=lambda run: run.changed, reverse=True)
    return jsonify([run.model_dump() for run in found[:MOST_RUNS]])


@blueprint.get("/dashboard/api/curves")
@endpoint(CurvesAnswer, query=RunQuery)
@admitted
def get_curves() -> Response:
    """Send the curves of a folder, thinned out."""
    folder = _folder(read_query(RunQuery).run)
    files = [path for _, path in _event_files(folder)[-MOST_FILES:]]
    with _lock:
        read = [_file(path) for path in files]
        is_complete = [file.read(MOST_BYTES // max(1, len(read))) for file in read]
        starts = {min(series.steps[0] for series in file.series.values()) for file in read if file.series}
        curves = [curve(name, parts) for name, parts in sorted(_parts(read).items())]
    answer = CurvesAnswer(curves=curves, starts=sorted(starts), is_complete=all(is_complete))
    return jsonify(answer.model_dump())


def curve(tag: str, parts: Sequence[Series], most: int = MOST_POINTS) -> Curve:
    """Return the parts of a scalar as one curve of at most so many points, each the mean of its neighbours."""
    steps = np.concatenate([np.asarray(part.steps, dtype=np.int64) for part in parts])
    values = np.concatenate([np.asarray(part.values, dtype=np.float64) for part in parts])
    order = np.argsort(steps, kind="stable")
    pieces = np.array_split(order, min(most, len(order)))
    means = [float(values[piece].mean()) for piece in pieces]
    return Curve(
        tag=tag,
        steps=[int(steps[piece[-1]]) for piece in pieces],
        values=[round(mean, 6) if np.isfinite(mean) else None for mean in means],
    )


def _parts(files: Sequence[EventFile]) -> dict[str, list[Series]]:
    """Return the parts of each curve, by its name."""
    found: dict[str, list[Series]] = {}
    for file, names in zip(files, curve_names([file.series.keys() for file in files]), strict=True):
        for tag, name in names.items():
            found.setdefault(name, []).append(file.series[tag])
    return found


def _folder(run: str) -> Path:
    """Return the folder of a run: of logs, or of a model whose trainings have none."""
    logs, unnamed = services().settings.logs_dir, f"{UNNAMED}/"
    if run.startswith(unnamed):
        return resolve_inside(logs / UNNAMED, run.removeprefix(unnamed))
    return resolve_inside(logs, run)


def _event_files(folder: Path) -> list[tuple[float, Path]]:
    """Return a folder's files of scalars and when each was changed, the newest last; broken links are left out."""
    found = []
    for path in folder.glob(PATTERN):
        with suppress(OSError):
            status = path.stat()
            if stat.S_ISREG(status.st_mode):
                found.append((status.st_mtime, path))
    return sorted(found)


def _file(path: Path) -> EventFile:
    """Return a file with what was read of it before; the least recently used are dropped."""
    key = (path, path.stat().st_ino)
    file = _kept.pop(key, None) or EventFile(path)
    _kept[key] = file
    while len(_kept) > 2 * MOST_FILES:
        _kept.popitem(last=False)
    return file
