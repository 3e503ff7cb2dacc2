"""A model that is started because it is asked for and its file is not there."""

import logging
from pathlib import Path

from elephant.models.ensemble import Ensemble
from elephant.models.names import nearest_model, shown_name
from elephant.models.provenance import ProvenanceEntry
from elephant.models.provenance_text import summary

logger = logging.getLogger(__name__)


def save_started(model: Ensemble, path: Path, entry: ProvenanceEntry, models: Path) -> None:
    """Save a new model where its file is still missing, and warn that there was none.

    Whoever asked may have misspelt the name of another model. Where somebody else has started the model meanwhile,
    theirs stays.

    Parameters
    ----------
    path
        The model file.
    entry
        What its history says of this start.
    models
        Folder of all models.
    """
    if path.is_file():
        return
    model.save(path, entry)
    warn_of_start(path, entry, models)


def warn_of_start(path: Path, entry: ProvenanceEntry, models: Path) -> None:
    """Say that a model's file was not there, from what it was started, and which model was perhaps meant."""
    other = nearest_model(path, models)
    hint = "" if other is None else f". There is a model {other}: if you meant that one, correct the name"
    logger.warning(
        "%s did not exist: %s%s", shown_name(path, models), summary(entry).replace("started", "started anew", 1), hint
    )
