"""Files of annotations where a script may give spots, links or tracks."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from elephant.annotations.base import MovieFacts
from elephant.annotations.reading import read_annotations
from elephant.annotations.records import SpotRecord
from elephant.config import AnnotationParams
from elephant.dataset import Dataset
from elephant.keywords import params_of
from elephant.types import VoxelSize

AnnotationFile = Path | str
NAMES = frozenset(AnnotationParams.model_fields)


def split(given: object, params: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the keywords that are about a file of annotations, and the others.

    Parameters
    ----------
    given
        What the script gives: only where that is a path, keywords can be about it.
    """
    if not isinstance(given, Path | str):
        return {}, dict(params)
    about = {name: value for name, value in params.items() if name in NAMES}
    return about, {name: value for name, value in params.items() if name not in NAMES}


def records_in(
    file: AnnotationFile, about: Mapping[str, Any], dataset: Dataset | None, voxel_size: VoxelSize | None
) -> list[SpotRecord]:
    """Return the spots of a file.

    Raises
    ------
    elephant.errors.NotFoundError, elephant.errors.InvalidInputError
        The file is not there, or something in it or in the keywords is wrong.
    """
    movie = MovieFacts(voxel_size=voxel_size) if dataset is None else MovieFacts.of(dataset, voxel_size)
    return read_annotations(Path(file), params_of(AnnotationParams, about, movie.n_dims or 3), movie)
