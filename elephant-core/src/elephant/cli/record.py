"""``elephant record``: what a dataset was taught, and repeating it."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from elephant.cli import options
from elephant.cli.options import Command, Option
from elephant.cli.running import DONE, FAILED, console, prepare_to_compute, print_json
from elephant.cli.workspace import DATASETS, MODELS, find, place
from elephant.errors import DatasetError, InvalidInputError, NotFoundError
from elephant.words import counted

_HELP = """Show what a dataset was taught, and repeat it.

A dataset keeps a record of all updates of its labels and of all trainings, from the first one on. DATASET is a folder,
or a name below the workspace.
"""
_LIST = """List the entries of a dataset's record, the oldest first.

\b
Example:
  elephant record list movie
"""
_SHOW = """Show an entry of a dataset's record, with its annotations, as JSON.

Positions, radii and covariances are in the order X, Y, Z.

\b
Example:
  elephant record show movie 12
"""
_REPLAY = """Write all labels of a dataset's record into another dataset.

They are the same to the last bit. NEW is a folder: where it holds no dataset yet, one is made with the same images.
Otherwise it must be a dataset of the same movie without labels.

\b
Examples:
  elephant record replay movie movie_again
  elephant record replay movie as_of_monday --until 120
"""
_TRAIN = """Repeat a training of a dataset's record.

The training is that of a model or of one of its versions, or an entry of the record. It begins with the weights that
it began with then, which are looked for in the model and its versions and in --from, or made again by repeating the
trainings before. On the same processor, with the same versions of programs, the weights are the same to the last bit.

\b
Examples:
  elephant record train movie --model nuclei.pth -o again.pth
  elephant record train movie --model nuclei.pth --version 3 -o again.pth
  elephant record train movie --entry 12 -o again.pth
"""


def list_entries(dataset: str, workspace: Path | None, as_json: bool) -> int:
    """Print what is in a record, without annotations."""
    from elephant.dataset.record import read_record

    record = read_record(find(DATASETS, dataset, workspace))
    found = [entry.model_dump(mode="json", exclude={"packed", "kept"}) for entry in record.entries()]
    if as_json:
        print_json({"record": str(record.path), "entries": found, "damage": record.damage, "digest": record.digest})
        return DONE
    for entry in found:
        if entry["what"] != "part":
            by = " · ".join(filter(None, (entry["who"], entry["request"])))
            click.echo(f"{entry['entry']:6}  {_at(entry['when'])}  {_in_words(entry)}{f'  ({by})' if by else ''}")
    _say(record.damage)
    return DONE


def show(dataset: str, entry: int, workspace: Path | None) -> int:
    """Print an entry of a record with its annotations."""
    from elephant.dataset.record import read_record

    record = read_record(find(DATASETS, dataset, workspace))
    for found, annotations in record.taught():
        if found.entry == entry:
            shown = found.model_dump(mode="json", exclude={"packed", "n_packed", "kept", "base", "parts"})
            print_json(shown | {"digest": record.digest, "annotations": [_as_json(one) for one in annotations]})
            return DONE
    raise NotFoundError(f"there is no entry {entry} in {record.path}: elephant record list shows those that there are")


def replay(dataset: str, new: str, until: int | None, workspace: Path | None, as_json: bool) -> int:
    """Write the labels of a record into another dataset."""
    from elephant.cli.inputs import open_dataset
    from elephant.dataset import Dataset
    from elephant.dataset.layout import IMAGES
    from elephant.methods.repeating_labels import make_like, replay_labels

    source, folder = open_dataset(dataset, workspace), place(DATASETS, new, workspace)
    _check_there(source.folder)
    target = Dataset(folder) if (folder / IMAGES).exists() else make_like(source, folder)
    if target.labelled_timepoints() or target.flow_labelled_timepoints():
        raise InvalidInputError(f"expected a dataset without labels, got {folder}, which has some: choose another one")
    with console().attend(lambda: f"{folder} has a part of the labels") as (bars, cancel):
        done = replay_labels(source.folder, target, bars, cancel, None if until is None else until + 1)
    if as_json:
        print_json(
            {"dataset": str(folder), "updates": done.n_updates, "unlike": done.unlike} | _notes(done.sentences())
        )
    else:
        _say(done.sentences())
        click.echo(f"{folder}: {counted(done.n_updates, 'update')} of labels repeated")
    return FAILED if done.unlike else DONE


def train(
    dataset: str,
    output: str,
    model: str | None,
    version: int | None,
    entry: int | None,
    weights: str | None,
    **values: Any,
) -> int:
    """Repeat a training, and say whether the weights are those of then."""
    if (model is None) == (entry is None):
        raise click.UsageError("expected one of --model and --entry")
    from elephant.cli.inputs import open_dataset
    from elephant.device import choose_device
    from elephant.methods.repeating_trainings import repeat_training
    from elephant.methods.work import ModelWork
    from elephant.models.ensemble import ModelCache

    prepare_to_compute()
    workspace = values["workspace"]
    opened, path = open_dataset(dataset, workspace), place(MODELS, output, workspace)
    if path.exists() or path.suffix != ".pth":
        raise InvalidInputError(f"expected the name of a new model that ends with .pth, got {path}: choose another one")
    known = [find(MODELS, name, workspace) for name in (model, weights) if name is not None]
    number = _entry_of(known[0], version, opened.folder) if entry is None else entry
    with console().attend(lambda: f"{path} holds a part of the training") as (bars, cancel):
        work = ModelWork(opened, path, ModelCache(choose_device(values["device"])), bars, cancel)
        done = repeat_training(opened, number, work, known)
    if values["as_json"]:
        found = {"model": str(path), "entry": number, "trainings": done.n_trainings, "epochs": done.n_epochs}
        print_json(found | {"same": done.is_same} | _notes([*done.sentences, *done.differences]))
    else:
        _say([*done.sentences, *done.differences])
        state = {
            True: "the same to the last bit",
            False: "other weights than those of then",
            None: "nothing to compare",
        }
        click.echo(f"{path}: {counted(done.n_epochs, 'epoch')} repeated, {state[done.is_same]}")
    return FAILED if done.is_same is False else DONE


def _entry_of(path: Path, version: int | None, folder: Path) -> int:
    """Return the entry of the training that made a model, or a version of it."""
    from elephant.dataset.record import read_record
    from elephant.models.provenance_text import provenance_of

    held = provenance_of(path).held(version)
    if held is None or held.record is None:
        what = path.name if version is None else f"version {version} of {path.name}"
        raise NotFoundError(
            f"{what} comes from no training that is in a record: elephant models info {path} shows more"
        )
    record = read_record(folder)
    for entry in record.entries():
        if entry.entry == held.record.entry and record.digest == held.record.digest:
            return entry.entry
    raise DatasetError(
        f"the training of {path.name} is not in the record of {folder.name}: it was of the dataset {held.dataset}, or "
        "the record was changed"
    )


def _check_there(folder: Path) -> None:
    from elephant.dataset.record import read_record

    next(read_record(folder).entries(), None)


def _in_words(entry: dict[str, Any]) -> str:
    method = entry.get("method") or "all"
    kind = "spot" if method == "detection" else "link"
    words: dict[str, Callable[[], str]] = {
        "begin": lambda: "the record begins",
        "labels": lambda: f"{method} labels of timepoint {entry['t']}: {counted(entry['n'], kind)}",
        "answers": lambda: f"answers to a review of timepoint {entry['t']}: {counted(entry['n'], 'place')}",
        "written": lambda: f"{method} labels of timepoint {entry['t']} written by a program",
        "cleared": lambda: f"{method} labels cleared",
        "training": lambda: f"{entry['kind']} of {entry['model']}, {method}, {_seed(entry)}",
        "epoch": lambda: f"epoch {entry['epoch']} of the training of entry {entry['training']}",
        "trained": lambda: f"the training of entry {entry['training']} ended after {counted(entry['epochs'], 'epoch')}",
    }
    return words[entry["what"]]()


def _seed(entry: dict[str, Any]) -> str:
    return f"seed {entry['params'].get('loop', {}).get('seed', 'unknown')}"


def _as_json(one: Any) -> dict[str, Any]:
    found: dict[str, Any] = {"t": one.t, "pos": one.pos[::-1].tolist()}
    found["covariance"] = one.covariance[::-1, ::-1].ravel().tolist()
    if hasattr(one, "displacement"):
        return found | {"displacement": one.displacement[::-1].tolist()}
    found |= {"tag": str(one.tag), "id": one.id}
    return found | ({"log_odds": one.log_odds} if hasattr(one, "log_odds") else {})


def _at(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).astimezone().isoformat(" ", "seconds")[:19]


def _say(sentences: list[str]) -> None:
    for sentence in sentences:
        click.secho(sentence, fg="yellow", err=True)


def _notes(sentences: list[str]) -> dict[str, Any]:
    return {"notes": sentences}


command = click.Group(
    "record",
    help=_HELP,
    commands=[
        Command(
            "list",
            callback=list_entries,
            help=_LIST,
            params=[options.dataset_argument(), options.as_json("Print the entries as JSON."), options.workspace()],
        ),
        Command(
            "show",
            callback=show,
            help=_SHOW,
            params=[
                options.dataset_argument(),
                click.Argument(["entry"], type=click.IntRange(min=0), metavar="ENTRY"),
                options.workspace(),
            ],
        ),
        Command(
            "replay",
            callback=replay,
            help=_REPLAY,
            params=[
                options.dataset_argument(),
                click.Argument(["new"], metavar="NEW"),
                Option(["--until"], type=click.IntRange(min=0), metavar="ENTRY", help="Last entry to repeat."),
                options.as_json("Print the result as JSON."),
                options.workspace(),
            ],
        ),
        Command(
            "train",
            callback=train,
            help=_TRAIN,
            params=[
                options.dataset_argument(),
                Option(["-o", "--output"], required=True, metavar="NAME.pth", help="Model to make."),
                Option(["--model"], metavar="NAME.pth", help="Model whose training is repeated."),
                Option(["--version"], type=int, metavar="N", help="Version of that model; by default what it holds."),
                Option(["--entry"], type=click.IntRange(min=0), metavar="ENTRY", help="Entry of the training."),
                Option(["--from", "weights"], metavar="NAME.pth", help="Model that it began with."),
                options.as_json("Print the result as JSON."),
                options.workspace(),
                options.device(),
            ],
        ),
    ],
)
