"""Datasets and models as a person names them: paths, or names below a workspace."""

from pathlib import Path

from elephant.errors import InvalidInputError, NotFoundError

DATASETS, MODELS = "datasets", "models"
_USUAL = Path("workspace")


def find(kind: str, name: str, workspace: Path | None) -> Path:
    """Return the existing path of a name.

    Parameters
    ----------
    kind
        ``datasets`` or ``models``: the folder of the workspace.
    name
        What the person wrote. A name below the workspace wins over a path, unless it begins with ``/``, ``./`` or
        ``~``, or holds ``..``. That of a model may leave out ``.pth``.
    workspace
        The workspace; if none, the folder ``workspace``, if it exists.

    Raises
    ------
    NotFoundError
        There is neither; the message names the places searched, and a similar name.
    """
    candidates = _candidates(kind, name, workspace)
    for path in candidates:
        if path.exists():
            _check_kind(kind, path)
            return path
    places = " nor at ".join(str(path) for path in candidates)
    meant = _hint(kind, name, workspace)
    raise NotFoundError(
        f"there is no {kind.removesuffix('s')} {name}, neither at {places}: {meant}check the name, or give --workspace"
        if len(candidates) > 1
        else f"there is no {kind.removesuffix('s')} at {places}: {meant}check the path, or give --workspace and a name"
    )


def place(kind: str, name: str, workspace: Path | None) -> Path:
    """Return where something of a name is, or is going to be made.

    What is there already is found as by :func:`find`. Otherwise a path is one whose folder is there; anything else is
    a name below the workspace, if there is one.
    """
    candidates = _candidates(kind, name, workspace)
    there = next((path for path in candidates if path.exists()), None)
    if there is not None:
        _check_kind(kind, there)
        return there
    as_path = candidates[-1]
    if ".." in as_path.parts:  # making x/../.. would make x first
        as_path = as_path.resolve()
        if as_path.exists():
            _check_kind(kind, as_path)
        return as_path
    return as_path if "/" in name and as_path.parent.is_dir() else candidates[0]


def _check_kind(kind: str, path: Path) -> None:
    """Refuse a file where a dataset is expected, and a folder where a model is."""
    if kind == DATASETS and not path.is_dir():
        raise InvalidInputError(
            f"expected a dataset, which is a folder, got the file {path}: make a dataset from a movie with elephant "
            f"convert, and give its name"
        )
    if kind == MODELS and path.is_dir():
        raise InvalidInputError(f"expected a model file (.pth), got the folder {path}: name the file in it")


def folder_of(kind: str, workspace: Path | None) -> Path:
    """Return the folder of all datasets, or models, of the workspace.

    Raises
    ------
    InvalidInputError
        There is no workspace.
    """
    chosen = chosen_workspace(workspace)
    if chosen is None:
        raise InvalidInputError("there is no workspace here: give --workspace FOLDER, or set ELEPHANT_WORKSPACE")
    return chosen / kind


def chosen_workspace(workspace: Path | None) -> Path | None:
    """Return the given workspace, or else the folder ``workspace``, if it exists."""
    if workspace is not None:
        return workspace.expanduser()
    return _USUAL if _USUAL.is_dir() else None


def _candidates(kind: str, name: str, workspace: Path | None) -> list[Path]:
    from elephant.models.inspect import model_named

    if not name.strip():
        raise InvalidInputError(f"expected the name of a {kind.removesuffix('s')}, or its path, got nothing")
    as_path = Path(name).expanduser()
    chosen = chosen_workspace(workspace)
    is_path = as_path.is_absolute() or name.startswith(("./", "~")) or name == "." or ".." in as_path.parts
    candidates = [as_path] if chosen is None or is_path else [chosen / kind / name, as_path]
    return [model_named(path) for path in candidates] if kind == MODELS else candidates


def _hint(kind: str, name: str, workspace: Path | None) -> str:
    """Suggest a similar name; empty without one."""
    from elephant.models.inspect import nearest, nearest_model

    for path in _candidates(kind, name, workspace):
        chosen = chosen_workspace(workspace)
        folder = chosen / kind if chosen is not None and path.is_relative_to(chosen / kind) else path.parent
        found = nearest_model(path, folder) if kind == MODELS else nearest(path.name, _names_beside(path))
        if found is not None:
            return f"did you mean {found}? Otherwise "
    return ""


def _names_beside(path: Path) -> list[str]:
    try:
        return sorted(other.name for other in path.parent.iterdir() if other.is_dir() and other.name[0] != ".")
    except OSError:
        return []
