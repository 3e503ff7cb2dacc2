"""Options made from the core's parameters: their names, meanings, bounds and defaults are written once, there.

Sizes turn from X, Y, Z, as a person gives them, to (Z), Y, X here, and nowhere else on the command line.
"""

import json
import typing
from collections.abc import Collection, Mapping
from typing import Any, TypeVar

import annotated_types
import click
from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from elephant.cli.options import IMAGE_SECTION, Option
from elephant.config import LEAST_KEEP_AXIALS, MOST_KEEP_AXIALS, Params, PredictionParams
from elephant.keywords import is_size, leaves, nest, plain_type
from elephant.types import Box, VoxelSize

P = TypeVar("P", bound=Params)


class Numbers(click.ParamType[tuple[float, ...]]):
    """Numbers with commas between them."""

    name = "numbers"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, ...]:
        """Return the numbers."""
        if isinstance(value, tuple):
            return value
        try:
            return tuple(float(part) for part in str(value).split(","))
        except ValueError:
            self.fail(f"expected numbers with commas between them, such as 0.7,0.3, got {value!r}", param, ctx)


Vector = tuple[float, float, float]

_VECTOR = "X Y Z"
_BOX = "X Y Z SX SY SZ"


def options_of(
    model: type[Params], *, section: str, leave_out: Collection[str] = (), defaults: Mapping[str, Any] | None = None
) -> list[click.Parameter]:
    """Return an option for each parameter of a model and of the models within it.

    Parameters
    ----------
    model
        The parameters.
    section
        Heading in the help.
    leave_out
        Names that get no option.
    defaults
        Defaults that are better on the command line, or where the model has none; X, Y, Z.
    """
    fields = {name: field for name, field in leaves(model) if name not in leave_out}
    return [_option(name, field, section, defaults or {}) for name, field in fields.items()]


def option_of(model: type[Params], name: str, *, section: str) -> Option:
    """Return the option for one parameter of a model, which is not of a model within it."""
    return _option(name, model.model_fields[name], section, {})


def keep_axials() -> Option:
    """Return the option for how the network treats Z, which is better chosen by the voxel size than by a default."""
    words = _sentence(PredictionParams.model_fields["n_keep_axials"])
    return Option(
        ["--n-keep-axials"],
        type=int,
        metavar="N",
        section=IMAGE_SECTION,
        help=f"{words}, as in the client ({LEAST_KEEP_AXIALS} to {MOST_KEEP_AXIALS}); by default chosen by the voxel "
        "size.",
    )


def build(model: type[P], values: Mapping[str, Any], n_dims: int) -> P:
    """Return the parameters that options and other values by name stand for.

    Parameters
    ----------
    model
        The parameters wanted.
    values
        By name of the parameter, at any depth of the model; None if not given. Tuples of sizes and boxes are in the
        order X, Y, Z.
    n_dims
        3 or 2: whether Z counts.

    Raises
    ------
    click.UsageError
        A value is refused; the message names the option.
    """
    try:
        return model.model_validate(nest(model, _turned_all(model, values, n_dims)))
    except ValidationError as error:
        words = dict.fromkeys(_in_words(problem) for problem in error.errors(include_url=False))
        raise click.UsageError("; ".join(words)) from error


def as_voxel_size(vector: Vector, n_dims: int) -> VoxelSize:
    """Return the voxel size given as X, Y, Z; in 2D Z does not count."""
    return VoxelSize(vector[2] if n_dims == 3 else 1.0, vector[1], vector[0])


def flag(name: str) -> str:
    """Return the option of a parameter: ``--crop-size`` for ``crop_size``, ``--pad`` for ``is_pad``."""
    return "--" + name.removeprefix("is_").replace("_", "-")


def refuse_given(names: Collection[str], belongs_to: str) -> None:
    """Refuse options of the running command that mean nothing without another one.

    Raises
    ------
    click.UsageError
        One of them was given.
    """
    context = click.get_current_context()
    for name in sorted(names):
        if context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE:
            raise click.UsageError(f"{flag(name)} only applies with {belongs_to}: leave it out")


def _turned_all(model: type[Params], values: Mapping[str, Any], n_dims: int) -> dict[str, Any]:
    found = ((name, field, values.get(name)) for name, field in leaves(model))
    return {name: _turned(field, value, n_dims) for name, field, value in found if value is not None}


def _turned(field: FieldInfo, value: Any, n_dims: int) -> Any:
    if plain_type(field) is VoxelSize and isinstance(value, tuple):
        return as_voxel_size(value, n_dims)
    if is_size(field):
        return tuple(reversed(value[:n_dims]))
    if _is_box(field) and not isinstance(value, Box):
        return Box(tuple(reversed(value[:3][:n_dims])), tuple(reversed(value[3:][:n_dims])))
    return value


def _option(name: str, field: FieldInfo, section: str, defaults: Mapping[str, Any]) -> Option:
    default = defaults.get(name, None if field.is_required() else field.default)
    kind = plain_type(field)
    settings: dict[str, Any] = {"help": _help(field), "default": default, "show_default": default is not None}
    if kind is bool:
        names = f"{flag(name)}/--no-{flag(name)[2:]}" if default is not False else flag(name)
        settings |= {"is_flag": True, "show_default": False}
        return Option([names, name], section=section, **settings)
    if is_size(field):
        settings |= {"nargs": 3, "type": int, "metavar": _VECTOR}
    elif _is_box(field):
        settings |= {"nargs": 6, "type": int, "metavar": _BOX}
    elif typing.get_origin(kind) is typing.Literal:
        settings |= {"type": click.Choice(typing.get_args(kind))}
    elif typing.get_origin(kind) is tuple and typing.get_args(kind)[-1] is Ellipsis:
        settings |= {"type": Numbers(), "metavar": "NUMBER,NUMBER,..."}
    elif typing.get_origin(kind) is tuple:
        count = len(typing.get_args(kind))
        settings |= {"nargs": count, "type": float, "metavar": " ".join(["NUMBER"] * count)}
    else:
        settings |= {"type": kind, "metavar": _metavar(name, kind)}
    return Option([flag(name), name], section=section, **settings)


def _metavar(name: str, kind: Any) -> str:
    """Return the placeholder of a value in the help; for text that is the parameter's own name."""
    if kind is str:
        return name.upper()
    return "N" if kind is int else "NUMBER"


def _help(field: FieldInfo) -> str:
    bounds = _bounds(field)
    return _sentence(field) + (f" ({bounds})." if bounds else ".")


def _sentence(field: FieldInfo) -> str:
    words = (field.description or "").replace("(Z), Y, X", "X Y Z").replace("Z, Y, X", "X Y Z")
    return words[:1].upper() + words[1:]


def _bounds(field: FieldInfo) -> str:
    low = high = ""
    for limit in field.metadata:
        match limit:
            case annotated_types.Ge(ge):
                low = f"at least {ge}"
            case annotated_types.Gt(gt):
                low = f"above {gt}"
            case annotated_types.Le(le):
                high = f"at most {le}"
            case annotated_types.Lt(lt):
                high = f"below {lt}"
    if low.startswith("at least") and high.startswith("at most"):
        return f"{low.removeprefix('at least ')} to {high.removeprefix('at most ')}"
    return ", ".join(filter(None, (low, high)))


def _in_words(problem: ErrorDetails) -> str:
    names = [part for part in problem["loc"] if isinstance(part, str)]
    message = problem["msg"].removeprefix("Value error, ")
    if not names:
        return message
    came = json.dumps(problem["input"], default=str)
    return f"{flag(names[-1])}: {message[:1].lower()}{message[1:]}, got {came}"


def _is_box(field: FieldInfo) -> bool:
    return plain_type(field) is Box
