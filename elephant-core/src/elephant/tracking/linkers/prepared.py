"""A prepared problem on disk: all that was estimated of a movie, so that another process can solve it again at once.

Arrays are files of their own and mapped into memory: of a large movie only what the windows need is read.
"""

from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from elephant.config import LinkerParams
from elephant.errors import StorageError
from elephant.tracking.linkers.model import LinkModel, Rates, Shape
from elephant.tracking.linkers.motion import Motion, Tendencies
from elephant.tracking.linkers.movie import Movie
from elephant.tracking.linkers.prior import Prior
from elephant.tracking.linkers.problem import Problem

FACTS = "problem.json"


class _Facts(BaseModel):
    """What of a problem is no array."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    part_names: tuple[str, ...]
    shape: dict[str, float]
    rates: dict[str, float]
    prior: Prior
    params: LinkerParams


def write_problem(problem: Problem, folder: Path) -> None:
    """Write a problem into a folder that is there; what is solved of it is not written.

    Raises
    ------
    OSError
        It cannot be written.
    """
    movie, model = problem.movie, problem.model
    arrays = {f"movie-{name}": array for name, array in movie.arrays().items()}
    arrays |= {f"tendencies-{field.name}": getattr(model.tendencies, field.name) for field in fields(Tendencies)}
    arrays |= {f"motion-{field.name}": getattr(model.motion, field.name) for field in fields(Motion)}
    for name, array in {**arrays, "dividing": model.rates.dividing}.items():
        np.save(folder / f"{name}.npy", array, allow_pickle=False)
    rates = asdict(model.rates)
    del rates["dividing"]
    facts = _Facts(
        part_names=movie.part_names, shape=asdict(model.shape), rates=rates, prior=model.prior, params=problem.params
    )
    (folder / FACTS).write_text(facts.model_dump_json(), encoding="utf-8")


def read_problem(folder: Path) -> Problem:
    """Return the problem that :func:`write_problem` wrote.

    Raises
    ------
    StorageError
        It is not there, damaged, or of another version.
    """
    try:
        facts = _Facts.model_validate_json((folder / FACTS).read_bytes())
        found = {path.stem: _mapped(path) for path in folder.glob("*.npy")}
        movie = Movie.restored(_named("movie-", found), facts.part_names)
        tendencies, motion = Tendencies(**_named("tendencies-", found)), Motion(**_named("motion-", found))
        rates = Rates(found["dividing"], **facts.rates)
        model = LinkModel(tendencies, motion, Shape(**facts.shape), rates, facts.prior)
    except (OSError, ValidationError, ValueError, KeyError, TypeError) as error:
        raise StorageError(
            f"what was prepared in {folder.name} cannot be read ({error}): track the movie again"
        ) from error
    return Problem(movie, model, facts.params)


def _mapped(path: Path) -> NDArray[Any]:
    # A memmap takes several times as long to slice as the plain array over the same file.
    return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))


def _named(prefix: str, arrays: dict[str, NDArray[Any]]) -> dict[str, Any]:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
