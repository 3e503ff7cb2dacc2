"""Parameters of a stage from keywords: every name once, wherever it is within them, and unknown names refused.

Descriptions, bounds and defaults stand in :mod:`elephant.config`.
"""

import types
import typing
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from elephant.config import Params, Size
from elephant.errors import InvalidInputError

P = TypeVar("P", bound=Params)


def leaves(model: type[Params]) -> Iterator[tuple[str, FieldInfo]]:
    """Yield the parameters of a model and of the models within it, by name."""
    for name, field in model.model_fields.items():
        inner = model_in(field)
        if inner is None:
            yield name, field
        else:
            yield from leaves(inner)


def nest(model: type[Params], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values by name as the model is built from: each in the model, or models, that it belongs to.

    Parameters
    ----------
    values
        By name; None stands for the default.
    """
    found: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        inner = model_in(field)
        if inner is not None:
            found[name] = nest(inner, values)
        elif values.get(name) is not None:
            found[name] = values[name]
    return found


def params_of(model: type[P], values: Mapping[str, Any], n_dims: int) -> P:
    """Return the parameters that keywords stand for.

    Parameters
    ----------
    model
        The parameters wanted.
    values
        By name; sizes and boxes are (Z), Y, X. NumPy's numbers and arrays are taken, too.
    n_dims
        3 or 2: how many numbers a size has.

    Raises
    ------
    InvalidInputError
        A name is unknown, or a value is refused; the message names it.
    """
    fields = dict(leaves(model))
    check_names(values, fields)
    plain = {name: value.tolist() if hasattr(value, "tolist") else value for name, value in values.items()}
    for name, value in plain.items():
        if is_size(fields[name]) and value is not None and len(value) != n_dims:
            axes = ", ".join("ZYX"[3 - n_dims :])
            raise InvalidInputError(f"{name}: expected {n_dims} numbers, ({axes}), got {value}")
    try:
        return model.model_validate(nest(model, plain))
    except ValidationError as error:
        words = dict.fromkeys(map(_in_words, error.errors(include_url=False)))
        raise InvalidInputError("; ".join(words)) from error


def check_names(given: Mapping[str, Any], known: Mapping[str, Any]) -> None:
    """Refuse keywords that are not known.

    Raises
    ------
    InvalidInputError
        One is not; the message names the one that was perhaps meant.
    """
    for name in given:
        if name not in known:
            near = get_close_matches(name, known, 1, 0.5)
            hint = f"did you mean {near[0]}?" if near else "leave it out."
            there = f"There are {', '.join(known)}" if known else "There are none"
            raise InvalidInputError(f"there is no parameter {name!r}: {hint} {there}")


def plain_type(field: FieldInfo) -> Any:
    """Return the type of a parameter without None and without its bounds."""
    kind = field.annotation
    if isinstance(kind, types.UnionType) or typing.get_origin(kind) is typing.Union:
        kind = next(part for part in typing.get_args(kind) if part is not type(None))
    return typing.get_args(kind)[0] if typing.get_origin(kind) is typing.Annotated else kind


def is_size(field: FieldInfo) -> bool:
    """Tell whether a parameter is a size in voxels, (Z), Y, X."""
    return bool(plain_type(field) == Size)


def model_in(field: FieldInfo) -> type[Params] | None:
    """Return the model that a parameter is; None where it is a value."""
    kind = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, Params) else None


def _in_words(problem: ErrorDetails) -> str:
    names = [part for part in problem["loc"] if isinstance(part, str)]
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "missing":
        return f"expected a value for {names[-1]}, got none"
    return f"{names[-1]}: {message[:1].lower()}{message[1:]}, got {problem['input']!r}" if names else message
