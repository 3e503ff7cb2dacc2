"""What a request says of a parameter that the core has, too, is what the core says of it."""

from typing import Any

import pytest
from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel

from app.schemas.requests import bodies_of, client_of
from elephant import config
from elephant.config import AugmentationParams, Params, SpotParams
from elephant_server.schemas.dashboard import SpotsQuery
from elephant_server.schemas.fields import parameter

# They mean something else in a request, or are sent in another form.
OTHERWISE = {"n_keep_axials", "crop_box", "voxel_size", "t_start", "t_end"}


def core_descriptions(name: str) -> set[str]:
    models = [value for value in vars(config).values() if isinstance(value, type) and issubclass(value, Params)]
    found = {model.model_fields[name].description or "" for model in models if name in model.model_fields}
    return {text.replace("(Z), Y, X", "X, Y, Z").replace("Z, Y, X", "X, Y, Z") for text in found}


@pytest.mark.parametrize("model", [*bodies_of(client_of()), SpotsQuery], ids=lambda model: model.__name__)
def test_the_description_of_a_parameter_is_the_cores(model: type[BaseModel]) -> None:
    for name, field in model.model_fields.items():
        known = core_descriptions(name) - {""}
        if known and name not in OTHERWISE and model.__name__ != "ParamsBody":
            assert field.description in known, name


def test_bounds_of_a_request_take_the_place_of_those_at_the_same_end() -> None:
    def bounds(field: Any) -> set[Any]:
        return {limit for limit in field.metadata if isinstance(limit, Ge | Gt | Le | Lt)}

    assert bounds(parameter(SpotParams, "c_ratio", ge=0.001)) == {Ge(0.001), Le(1)}
    assert bounds(parameter(SpotParams, "c_ratio")) == {Gt(0), Le(1)}
    assert bounds(parameter(AugmentationParams, "aug_scale_factor_base")) == {Ge(0), Lt(1)}


def test_a_default_is_the_cores_unless_a_request_has_its_own() -> None:
    assert parameter(SpotParams, "c_ratio").default == SpotParams.model_fields["c_ratio"].default
    assert parameter(SpotParams, "c_ratio", 0.2).default == 0.2
    assert parameter(SpotParams, "voxel_size").is_required()
