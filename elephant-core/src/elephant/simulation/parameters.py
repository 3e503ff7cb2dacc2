"""Everything that can be chosen about a simulated movie, in one frozen object, and presets of it."""

from collections.abc import Mapping
from math import pi, prod
from types import MappingProxyType
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from elephant.errors import InvalidInputError

MAX_FILL = 0.4  # of the volume; above this, nuclei cannot avoid overlaps
LOOSE_PACKING = 0.92  # nuclei that may come closer than that fill more


class SimulationParameters(BaseModel):
    """The content of a simulated movie, and the quality of the microscope.

    Lengths are in the physical unit of `voxel` (usually micrometres), times in timepoints, brightness in counts of the
    camera. A movie with one Z plane is two-dimensional: its nuclei are discs, and depth has no effect.

    Raises
    ------
    pydantic.ValidationError
        A value is out of its range, a name is unknown, or the nuclei would not fit into the volume.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int = Field(
        0, ge=0, description="decides every random choice; the same seed gives the same movie, bit by bit"
    )
    timepoints: int = Field(4, ge=1, description="length of the movie, timepoints")
    shape: tuple[int, int, int] = Field((32, 128, 128), description="size of a timepoint, voxels, Z, Y, X")
    voxel: tuple[float, float, float] = Field((2.0, 0.5, 0.5), description="edges of a voxel, physical, Z, Y, X")

    nuclei: int = Field(40, ge=1, description="how many nuclei the first timepoint holds")
    max_nuclei: int = Field(400, ge=1, description="no nucleus divides any more once there are so many")
    clustering: float = Field(0.4, ge=0, le=1, description="share of nuclei that start in contact with another one")
    radius: float = Field(3.0, gt=0, description="typical radius of a nucleus, physical")
    radius_spread: float = Field(0.12, ge=0, le=0.4, description="standard deviation of the log of the radius")
    elongation: float = Field(1.45, ge=1, le=3, description="largest ratio of a nucleus' longest to shortest semi-axis")
    deformation: float = Field(0.2, ge=0, le=0.3, description="depth of dents and bulges, as a share of the radius")
    packing: float = Field(
        0.92,
        gt=0.5,
        le=1.5,
        description="least distance of neighbours, as a share of the sum of their reaches",
    )

    height: float = Field(
        1.0, ge=0.1, le=8, description="size of nuclei along Z, as a share of what it is across; no effect in 2D"
    )
    pressed: bool = Field(
        False, description="whether nuclei that overlap flatten each other, in place of the brighter one being seen"
    )
    hollow: float = Field(0.0, ge=0, le=1, description="share of the light that is missing in the middle of nuclei")
    nucleoli: float = Field(0.0, ge=0, le=10, description="typical number of dark nucleoli in a nucleus")
    dying: float = Field(0.0, ge=0, le=1, description="share of nuclei that are dying: small, smooth and bright")
    unstained: float = Field(0.0, ge=0, le=1, description="share of nuclei that are not stained, and not in the truth")
    metaphase: float = Field(0.0, ge=0, le=1, description="how far a condensed mother becomes a flat plate")

    speed: float = Field(0.8, ge=0, description="root mean square of a nucleus' own motion, physical per timepoint")
    persistence: float = Field(0.8, ge=0, lt=1, description="correlation of that motion between timepoints")
    flow: float = Field(0.4, ge=0, description="speed of the common motion of the tissue, physical per timepoint")
    drift: float = Field(0.3, ge=0, description="root mean square drift of the whole sample, physical per timepoint")
    turning: float = Field(8.0, ge=0, description="typical turn of a nucleus, degrees per timepoint")

    cycle: float = Field(30.0, gt=0, description="timepoints from one division to the next")
    mitosis: float = Field(2.0, gt=0, description="timepoints for which a mother is condensed before she divides")
    growth: float = Field(4.0, gt=0, description="timepoints in which a daughter makes up most of her growth")
    birth_size: float = Field(0.72, gt=0.3, le=1, description="radius of a newborn daughter over that of her mother")

    brightness: float = Field(180.0, gt=0, description="signal of a typical nucleus at the surface, counts")
    brightness_spread: float = Field(0.28, ge=0, le=1, description="standard deviation of the log of the brightness")
    texture: float = Field(0.3, ge=0, le=0.6, description="contrast of the chromatin, standard deviation over mean")
    grain: float = Field(0.6, gt=0, description="size of the chromatin's grains, as a share of the radius")

    background: float = Field(20.0, ge=0, description="the camera's offset and the medium's glow, counts")
    autofluorescence: float = Field(5.0, ge=0, description="glow of the tissue, unevenly spread, counts")
    haze: float = Field(0.1, ge=0, le=1, description="share of the light that is scattered widely")
    attenuation: float = Field(0.6, ge=0, description="light lost from surface to bottom, exponent; 0 is none")
    blur: tuple[float, float, float] = Field(
        (1.6, 0.35, 0.35),
        description="standard deviation of the point spread at the surface, physical, Z, Y, X",
    )
    blur_growth: float = Field(0.6, ge=0, description="by how much the point spread widens from surface to bottom")
    gain: float = Field(0.6, gt=0, description="counts per photon: the larger, the noisier")
    read_noise: float = Field(5.0, ge=0, description="standard deviation of the camera's own noise, counts")

    membranes: float = Field(0.0, ge=0, description="light of the membranes between cells, counts")
    cytoplasm: float = Field(0.0, ge=0, description="light of the cells outside of their nuclei, counts")
    structures: float = Field(0.0, ge=0, description="light of sheets and fibres in the background, counts")
    debris: float = Field(0.0, ge=0, description="number of bright fragments that are no nuclei, per nucleus")
    ghosts: float = Field(0.0, ge=0, le=1, description="share of the light that is seen again in another place")
    flicker: float = Field(0.0, ge=0, le=1, description="standard deviation of the log of light, plane to plane")
    flash: float = Field(0.0, ge=0, le=3, description="standard deviation of its log from timepoint to timepoint")
    dead_pixels: float = Field(0.0, ge=0, le=0.1, description="share of the camera's pixels that see nothing")
    hot_pixels: float = Field(0.0, ge=0, le=0.1, description="share of the camera's pixels that see too much")
    saturation: float = Field(0.0, ge=0, description="counts above which the camera sees no difference; 0: 65535")
    gamma: float = Field(1.0, gt=0, le=5, description="exponent that is applied to what is recorded")
    smoothing: float = Field(0.0, ge=0, le=3, description="standard deviation of a blur after the camera, voxels")
    bits: int = Field(16, ge=4, le=16, description="bits that the recorded values are reduced to; 16: as they are")

    @property
    def n_dims(self) -> int:
        """3, or 2 for a movie of one plane."""
        return 2 if self.shape[0] == 1 else 3

    @property
    def plane(self) -> tuple[int, ...]:
        """Size of a timepoint without the Z axis of a 2D movie, (Z), Y, X."""
        return self.shape[3 - self.n_dims :]

    @property
    def edges(self) -> tuple[float, ...]:
        """Edges of a voxel along the axes of `plane`."""
        return self.voxel[3 - self.n_dims :]

    @property
    def extent(self) -> tuple[float, ...]:
        """Physical size of a timepoint along the axes of `plane`."""
        return tuple(n * edge for n, edge in zip(self.plane, self.edges, strict=True))

    @property
    def stretch(self) -> tuple[float, ...]:
        """Factors of the size of nuclei along the axes of `plane`."""
        return (self.height, 1.0, 1.0)[3 - self.n_dims :]

    @property
    def nucleus_volume(self) -> float:
        """Volume of a typical nucleus, in 2D its area."""
        unit = (4 / 3 * pi, pi)[3 - self.n_dims]
        return unit * self.radius**self.n_dims * prod(self.stretch)

    @model_validator(mode="after")
    def _geometry(self) -> Self:
        if min(self.shape) < 1 or min(self.voxel) <= 0 or min(self.blur) < 0:
            raise ValueError("expected sizes of at least 1, voxel edges above 0 and a blur of at least 0")
        fill = self.nuclei * self.nucleus_volume / prod(self.extent)
        most = MAX_FILL * max(1.0, LOOSE_PACKING / self.packing) ** self.n_dims
        if fill > most:
            raise ValueError(
                f"{self.nuclei} nuclei of radius {self.radius} would fill {fill:.0%} of a volume of "
                f"{self.extent}, but at most {most:.0%} can be filled: choose fewer or smaller nuclei, "
                "or a larger shape"
            )
        return self


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
