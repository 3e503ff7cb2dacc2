"""Movies worth naming. Any field of a preset can be changed: ``preset("demo", seed=3, timepoints=10)``."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from elephant.errors import InvalidInputError
from elephant.simulation.parameters import SimulationParameters

PRESETS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        # Small and sparse enough to simulate within seconds and to learn within a minute without a GPU.
        "demo": {"clustering": 0.1},
        # A part of an embryo under a light sheet; docs/simulator.md compares it with a reference movie.
        "embryo": {
            "timepoints": 8,
            "shape": (32, 256, 256),
            "nuclei": 150,
            "cycle": 40.0,
            "brightness": 180.0,
            "attenuation": 0.7,
        },
        # A culture dish under a wide-field microscope: one plane, flat nuclei, much haze.
        "flat": {
            "timepoints": 10,
            "shape": (1, 256, 256),
            "voxel": (1.0, 0.5, 0.5),
            "nuclei": 60,
            "radius": 4.5,
            "elongation": 1.7,
            "packing": 1.0,
            "clustering": 0.3,
            "haze": 0.2,
            "brightness": 110.0,
        },
    }
)


def preset(name: str, **changes: Any) -> SimulationParameters:
    """Return the parameters of the movie called `name`, with `changes` applied.

    Raises
    ------
    InvalidInputError
        There is no preset of that name.
    pydantic.ValidationError
        A changed field is unknown or out of its range.
    """
    if name not in PRESETS:
        raise InvalidInputError(f"there is no preset {name!r}: choose one of {', '.join(sorted(PRESETS))}")
    return SimulationParameters(**{**PRESETS[name], **changes})
