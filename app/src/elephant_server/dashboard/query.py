"""Reading what an address asks for."""

from typing import TypeVar

from flask import request

from elephant.dataset import Dataset
from elephant_server.dashboard.schemas import DatasetQuery, Query
from elephant_server.services import services

Q = TypeVar("Q", bound=Query)


def read_query(model: type[Q]) -> Q:
    """Return the parameters of the request's address as `model`.

    Raises
    ------
    pydantic.ValidationError
        Something in them is not as it should be.
    """
    return model.model_validate(request.args.to_dict())


def asked_dataset(query: DatasetQuery) -> Dataset:
    """Return the dataset that is asked for.

    Raises
    ------
    elephant.errors.InvalidInputError, elephant.errors.NotFoundError, elephant.errors.DatasetError
        Its name leads out of the datasets, it does not exist, or it is damaged.
    """
    return Dataset.open(services().settings.datasets_dir, query.dataset)
