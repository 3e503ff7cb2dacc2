"""``dashboard/api/models``: model files, their kinds and their earlier versions."""

import os
import re
from collections.abc import Iterator
from functools import lru_cache
from itertools import islice
from pathlib import Path

from flask import Blueprint, Response, jsonify

from elephant.models.inspect import ModelKind, inspect_model
from elephant.models.provenance import ProvenanceEntry, is_told, provenance_file, read_provenance
from elephant.models.provenance_text import ModelProvenance, details, summary
from elephant_server.api.endpoint import endpoint
from elephant_server.dashboard.admission import admitted
from elephant_server.dashboard.schemas import ModelAnswer, VersionAnswer, WorkAnswer
from elephant_server.services import services

blueprint = Blueprint("dashboard_models", __name__)

MOST = 200
DEEPEST = 3
# As elephant.models.versions names them; it is the workers', since it loads weights.
GENERATIONS = ".generations"
_GENERATION = re.compile(r"(\d{6,})(-interim)?\.pth")


@blueprint.get("/dashboard/api/models")
@endpoint(ModelAnswer, is_list=True)
@admitted
def get_models() -> Response:
    """List the model files, the newest first."""
    root = services().settings.models_dir
    found = [answer for path in islice(_files(root), MOST) if (answer := _describe(root, path)) is not None]
    found.sort(key=lambda model: model.saved, reverse=True)
    return jsonify([model.model_dump() for model in found])


def _files(root: Path) -> Iterator[Path]:
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
    told = _told(path)
    held = told.held()
    return ModelAnswer(
        name=path.relative_to(root).as_posix(),
        kind=kind.kind if kind else None,
        n_dims=kind.n_dims if kind else None,
        n_members=kind.n_members if kind else None,
        n_bytes=status.st_size,
        saved=status.st_mtime,
        generations=_versions(path, told),
        held=None if held is None else _work(held, told),
        history=[_work(entry, told) for entry in reversed(told.entries)],
    )


@lru_cache(maxsize=2 * MOST)
def _kind(path: Path, changed: int, size: int) -> ModelKind | None:
    del changed, size  # another file of the same name is looked at anew
    return inspect_model(path)


def _told(path: Path) -> ModelProvenance:
    try:
        status = provenance_file(path).stat()
    except OSError:  # it has none
        return ModelProvenance((), is_current=False)
    entries = _entries(path, status.st_mtime_ns, status.st_size)
    return ModelProvenance(entries, is_told(path, entries))


@lru_cache(maxsize=MOST)
def _entries(path: Path, changed: int, size: int) -> tuple[ProvenanceEntry, ...]:
    del changed, size  # as above; what is damaged is said once
    return tuple(read_provenance(path))


def _work(entry: ProvenanceEntry, told: ModelProvenance) -> WorkAnswer:
    known = entry.model_dump(include=set(WorkAnswer.model_fields))
    return WorkAnswer(**known, text=summary(entry), details=details(entry), is_in=told.is_in(entry))


def _versions(path: Path, told: ModelProvenance) -> list[VersionAnswer]:
    """Return what a model's file held before, the newest first."""
    found = []
    for file in path.parent.joinpath(GENERATIONS, path.name).glob("*.pth"):
        match = _GENERATION.fullmatch(file.name)
        if match and file.is_file():
            status = file.stat()
            number, held = int(match[1]), told.held(int(match[1]))
            found.append(
                VersionAnswer(
                    number=number,
                    saved=status.st_mtime,
                    n_bytes=status.st_size,
                    is_interim=match[2] is not None,
                    text=None if held is None else summary(held),
                )
            )
    return sorted(found, key=lambda version: version.number, reverse=True)
