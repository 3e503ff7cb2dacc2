"""``elephant models``: listing, describing, taking over and restoring models."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from elephant.cli import options
from elephant.cli.options import Command, Option
from elephant.cli.running import DONE, print_json
from elephant.cli.workspace import MODELS, find, folder_of, place
from elephant.errors import ElephantError, InvalidInputError, ModelFileError, NotFoundError
from elephant.words import counted, in_bytes

if TYPE_CHECKING:
    from elephant.models.checkpoint import StateDict
    from elephant.models.provenance import ProvenanceEntry
    from elephant.models.provenance_text import ModelProvenance
    from elephant.models.versions import ModelVersion

_REPLACED = "unknown: the file was replaced by other means"

_HELP = """List, inspect, import and restore models.

A model is a .pth file: a path, or a name below the workspace's folder models.
"""
_LIST = """List the models of the workspace, and the pretrained networks of the package elephant-models.

Those are what new models start from. They were trained on simulated nuclei of the radii shown, in voxels.

\b
Example:
  elephant models list --workspace /data/elephant
"""
_INFO = """Show what is in a model file.

\b
Example:
  elephant models info nuclei.pth
"""
_IMPORT = """Copy a model file into the workspace, from the original server or elsewhere.

Only weights are read from FILE: nothing in it is run. It is refused if it is damaged, has a different architecture, or
contains NaN or infinite values. NAME is a name below the workspace, or a path; by default FILE's name, below the
workspace.

\b
Example:
  elephant models import ~/Downloads/detection.pth user/detection.pth
"""

_RESTORE = """Go back to an earlier version of a model.

A version is what a model held before a training, a reset or an import; `elephant models info` lists them. The
current version is kept as well, so that this can be undone.

\b
Examples:
  elephant models restore nuclei.pth
  elephant models restore nuclei.pth --version 3
"""


def list_models(workspace: Path | None, as_json: bool) -> int:
    """List the models of a workspace, those that cannot be read too, and the shipped networks."""
    folder, shipped = folder_of(MODELS, workspace), _shipped()
    files = sorted(path for path in folder.rglob("*.pth") if not _is_hidden(path.relative_to(folder)))
    found = [_summary(path) | {"name": path.relative_to(folder).as_posix()} for path in files]
    if as_json:
        print_json({"folder": str(folder), "models": found, "pretrained": shipped})
        return DONE
    if found:
        headings = ("model", "kind", "axes", "members", "size", "changed", "versions")
        _print_table(headings, [_row(model) for model in found])
    else:
        click.echo(f"no models in {folder}")
    if shipped:
        click.echo()
        headings = ("pretrained", "kind", "axes", "trained on", "of nuclei with", "size", "SHA-256")
        _print_table(headings, [_pretrained_row(network) for network in shipped])
    return DONE


def _shipped() -> list[dict[str, Any]]:
    from elephant.models.shipped import shipped_networks

    return [
        {
            "name": network.name,
            "model": str(network.path),
            "kind": network.kind,
            "n_dims": network.n_dims,
            "package": network.version,
            "steps": network.steps,
            "seed": network.seed,
            "radii": network.radii,
            "c_ratio": network.c_ratio,
            "max_displacement": network.max_displacement,
            "bytes": network.path.stat().st_size,
            "sha256": network.sha256,
        }
        for network in shipped_networks()
    ]


def _pretrained_row(network: dict[str, Any]) -> tuple[object, ...]:
    least, largest = network["radii"]
    means = ("c_ratio", "max_displacement")
    facts = [f"radius {least:g} to {largest:g}", *(f"{m} {network[m]:g}" for m in means if network[m] is not None)]
    trained = f"{network['steps']:,} crops of simulated movies"
    size, digest = in_bytes(network["bytes"]), network["sha256"][:12]
    return network["name"], network["kind"], _axes(network), trained, ", ".join(facts), size, digest


def info(model: str, workspace: Path | None, as_json: bool) -> int:
    """Print what is in a model file."""
    from elephant.models.checkpoint import load_state_dicts
    from elephant.models.provenance_text import provenance_of

    path = find(MODELS, model, workspace)
    members = load_state_dicts(path)
    found = _summary(path) | {
        "parameters": sum(value.numel() for value in members[0].values()),
        "finite": all(map(_is_finite, members)),
    }
    if as_json:
        print_json(found)
        return DONE
    provenance = provenance_of(path)
    click.secho(str(path), bold=True)
    rows = {
        "kind": found["kind"] or "unknown: another architecture",
        "axes": _axes(found),
        "members": found["members"],
        "parameters": f"{found['parameters']:,} each",
        "numbers": "all finite" if found["finite"] else "some are NaN or infinite: its training diverged",
        "size": in_bytes(found["bytes"]),
        "changed": found["changed"],
        "holds": found["holds"] or (_REPLACED if provenance.entries else "not known"),
        "versions": len(found["generations"]) or "none",
    }
    for label, value in rows.items():
        click.echo(f"  {label:13}{value}")
    for version in found["generations"]:
        held = f", {version['holds']}" if version["holds"] else ""
        click.echo(f"    {version['number']:3}  saved {version['saved']}, {in_bytes(version['bytes'])}{held}")
    _echo_provenance(provenance)
    return DONE


def _echo_provenance(provenance: "ModelProvenance") -> None:
    from elephant.models.provenance_text import details, summary

    entries = provenance.entries
    click.echo(f"  {'provenance':13}{counted(len(entries), 'entry', 'entries') if entries else 'none'}")
    for entry in reversed(entries):
        gone = "" if provenance.is_in(entry) or entry.what == "restored" else " (no longer in it)"
        click.echo(f"    {_at(entry.saved)}  {summary(entry)}{gone}")
        for more in filter(None, (details(entry), *entry.said)):
            click.echo(f"    {'':22}  {more}")


def restore(model: str, generation: int | None, workspace: Path | None, as_json: bool) -> int:
    """Go back to an earlier version of a model, even if its file is gone."""
    from elephant.models.versions import restore as restore_version
    from elephant.models.versions import versions

    path = place(MODELS, model, workspace)
    if not path.exists() and not versions(path):
        find(MODELS, model, workspace)  # says where it was looked for
    chosen = restore_version(path, generation)
    if as_json:
        print_json({"restored": chosen.number} | _summary(path))
    else:
        click.echo(f"{path} restored to {chosen}; what it held before is kept")
    return DONE


def import_model(file: Path, name: str | None, workspace: Path | None, overwrite: bool, as_json: bool) -> int:
    """Check a model file and copy it into the workspace."""
    from elephant.models.checkpoint import load_state_dicts
    from elephant.models.lock import writing
    from elephant.models.provenance import ProvenanceEntry
    from elephant.models.versions import ModelFile

    path = folder_of(MODELS, workspace) / file.name if name is None else place(MODELS, name, workspace)
    if path.suffix != ".pth":
        raise InvalidInputError(f"expected a model name that ends with .pth, got {path.name!r}")
    if path.exists() and not overwrite:
        raise InvalidInputError(f"there is already a model at {path}: give --overwrite, or another name")
    if not file.is_file():
        raise NotFoundError(f"there is no file {file}: check the path")
    members = load_state_dicts(file)
    _check(members, file.name)
    with writing(path, "an import"):
        ModelFile(path).save(members, ProvenanceEntry(what="import", source=file.name))
    found = _summary(path)
    if as_json:
        print_json(found)
    else:
        click.echo(f"{path}: {found['kind']}, {_axes(found)}, {counted(found['members'], 'member')}")
    return DONE


def _check(members: "Sequence[StateDict]", name: str) -> None:
    from elephant.models.inspect import recognise

    kinds = {recognise(member) for member in members}
    if None in kinds or len(kinds) > 1:
        raise ModelFileError(
            f"{name} has a different architecture from the detection and flow networks in 3D and 2D, or mixes "
            f"several: choose a file of this server or of the original one"
        )
    if not all(map(_is_finite, members)):
        raise ModelFileError(f"{name} contains NaN or infinite values: its training diverged; choose an earlier file")


def _summary(path: Path) -> dict[str, Any]:
    from elephant.models.checkpoint import load_state_dicts
    from elephant.models.inspect import recognise
    from elephant.models.provenance_text import provenance_of
    from elephant.models.versions import versions

    status, provenance = path.stat(), provenance_of(path)
    found: dict[str, Any] = {
        "model": str(path),
        "bytes": status.st_size,
        "changed": _in_local_time(datetime.fromtimestamp(status.st_mtime, UTC)),
        "generations": [_version_as_json(version, provenance) for version in versions(path)],
        "holds": _in_words(provenance.held()),
        "history": [_entry_as_json(entry, provenance) for entry in reversed(provenance.entries)],
    }
    try:
        members = load_state_dicts(path)
    except ElephantError as error:
        return found | {"kind": None, "n_dims": None, "members": 0, "error": str(error)}
    kind = recognise(members[0])
    return found | {
        "kind": kind.name if kind else None,
        "n_dims": kind.n_dims if kind else None,
        "members": len(members),
        "error": None,
    }


def _version_as_json(version: "ModelVersion", provenance: "ModelProvenance") -> dict[str, Any]:
    return {
        "number": version.number,
        "saved": _in_local_time(version.saved),
        "interim": version.is_interim,
        "bytes": version.path.stat().st_size,
        "holds": _in_words(provenance.held(version.number)),
    }


def _entry_as_json(entry: "ProvenanceEntry", provenance: "ModelProvenance") -> dict[str, Any]:
    times = {"began": _at(entry.began), "saved": _at(entry.saved)}
    return entry.model_dump(mode="json", exclude={"changed"}) | times | {"is_in": provenance.is_in(entry)}


def _in_words(entry: "ProvenanceEntry | None") -> str | None:
    from elephant.models.provenance_text import summary

    return None if entry is None else summary(entry)


def _at(seconds: float) -> str:
    return _in_local_time(datetime.fromtimestamp(seconds, UTC))


def _in_local_time(moment: datetime) -> str:
    return moment.astimezone().isoformat(" ", "minutes")


def _print_table(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print rows under headings, in columns of equal width."""
    cells = [[str(value) for value in row] for row in [headings, *rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(headings))]
    for number, row in enumerate(cells):
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        click.secho(line, bold=number == 0)


def _row(model: dict[str, Any]) -> tuple[object, ...]:
    kind = "damaged" if model["error"] else model["kind"] or "unknown"
    size, changed = in_bytes(model["bytes"]), model["changed"][:16]
    return model["name"], kind, _axes(model), model["members"] or "-", size, changed, len(model["generations"])


def _axes(model: dict[str, Any]) -> str:
    return f"{model['n_dims']}D" if model["n_dims"] else "-"


def _is_finite(member: "StateDict") -> bool:
    from elephant.models.checkpoint import is_finite

    return all(map(is_finite, member.values()))


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _model() -> click.Argument:
    return click.Argument(["model"], metavar="NAME.pth")


def _as_json() -> Option:
    return options.as_json("Print the result as JSON.")


command = click.Group(
    "models",
    help=_HELP,
    commands=[
        Command("list", callback=list_models, help=_LIST, params=[_as_json(), options.workspace()]),
        Command("info", callback=info, help=_INFO, params=[_model(), _as_json(), options.workspace()]),
        Command(
            "import",
            callback=import_model,
            help=_IMPORT,
            params=[
                click.Argument(["file"], type=click.Path(path_type=Path, dir_okay=False), metavar="FILE.pth"),
                click.Argument(["name"], required=False, metavar="[NAME.pth]"),
                Option(["--overwrite"], is_flag=True, help="Replace an existing model."),
                _as_json(),
                options.workspace(),
            ],
        ),
        Command(
            "restore",
            callback=restore,
            help=_RESTORE,
            params=[
                _model(),
                Option(
                    ["--version", "--generation", "generation"],
                    type=int,
                    metavar="N",
                    help="Number of the version; by default the newest that is not damaged.",
                ),
                options.as_json("Print what the model now holds as JSON."),
                options.workspace(),
            ],
        ),
    ],
)
