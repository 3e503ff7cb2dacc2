"""What the shipped networks learn from: movies of the simulator in which everything is drawn at random."""

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from elephant.simulation import SimulationParameters

VERSION = 3  # of what is drawn: it changes with every change here and in the simulator
RADII = (2.6, 15.0)  # of nuclei, voxels of Y and X
DEEPEST, FLATTEST = 14.0, 1.1  # half of a nucleus along Z, planes
MOST_NUCLEI = 600
FULLEST = 0.7  # share of the volume

Rng = np.random.Generator


def between(rng: Rng, low: float, high: float) -> float:
    """Draw a number whose logarithm is evenly spread."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def sometimes(rng: Rng, share: float, low: float, high: float, otherwise: float = 0.0) -> float:
    """Draw a number as :func:`between` does in a share of all cases."""
    drawn, is_drawn = between(rng, low, high), rng.uniform() < share
    return drawn if is_drawn else otherwise


@dataclass(frozen=True)
class Scene:
    """A movie to simulate, of which a part is seen, so that nuclei lie across its edges.

    Attributes
    ----------
    parameters
        The movie.
    margin
        Voxels that are cut off on each side, (Z), Y, X.
    """

    parameters: SimulationParameters
    margin: tuple[int, ...]


def draw(rng: Rng, n_dims: int = 3, timepoints: int = 1) -> Scene:
    """Draw a movie: its geometry, its nuclei and how they live, and what the microscope makes of them."""
    is_crowded = rng.uniform() < 0.45
    geometry, margin = _volume(rng) if n_dims == 3 else _plane(rng)
    radius = geometry["radius"]
    packing = float(rng.uniform(0.6, 0.85) if is_crowded else rng.uniform(0.75, 1.05))
    most = min(0.39 * max(1, 0.92 / packing) ** n_dims, FULLEST)
    fill = float(rng.uniform(0.3, 1) * most) if is_crowded else min(between(rng, 0.004, 0.6), most)
    volume = prod(n * edge for n, edge in zip(geometry["shape"], geometry["voxel"], strict=True))
    one = SimulationParameters(nuclei=1, **geometry).nucleus_volume
    nuclei = int(np.clip(fill * volume / one, 1, MOST_NUCLEI))
    parameters = SimulationParameters(
        seed=int(rng.integers(2**31)),
        timepoints=timepoints,
        nuclei=nuclei,
        max_nuclei=2 * nuclei + 2,
        packing=packing,
        pressed=bool(rng.uniform() < (0.85 if is_crowded else 0.4)),
        **geometry,
        **_nuclei(rng, is_crowded),
        **_life(rng, radius),
        **_microscope(rng, radius, n_dims),
    )
    return Scene(parameters, margin)


Geometry = tuple[dict[str, Any], tuple[int, ...]]


def _plane(rng: Rng) -> Geometry:
    """Draw size of image and nuclei of a movie in 2D, and its margin."""
    radius = between(rng, *RADII)
    cut = int(rng.uniform(0, 1.5) * radius)
    side = int(np.clip(14 * radius, 144, 256)) + 2 * cut
    return {"shape": (1, side, side), "voxel": (1.0, 1.0, 1.0), "radius": radius, "height": 1.0}, (cut, cut)


def _volume(rng: Rng) -> Geometry:
    """Draw size of image, voxels and nuclei of a movie in 3D, and its margin."""
    radius = between(rng, *RADII)
    anisotropy = between(rng, 1, 8) if rng.uniform() < 0.8 else 1.0
    height = sometimes(rng, 0.5, 0.35, 5, 1.0)
    deep = float(np.clip(radius * height / anisotropy, FLATTEST, DEEPEST))  # half of a nucleus, planes
    cut, cut_z = int(rng.uniform(0, 1.2) * radius), int(rng.uniform(0, 1.5) * deep)
    side, planes = int(np.clip(8 * radius, 96, 128)) + 2 * cut, int(np.clip(4 * deep, 16, 36)) + 2 * cut_z
    geometry = {
        "shape": (planes, side, side),
        "voxel": (anisotropy, 1.0, 1.0),
        "radius": radius,
        "height": float(np.clip(deep * anisotropy / radius, 0.1, 8)),
    }
    return geometry, (cut_z, cut, cut)


def _nuclei(rng: Rng, is_crowded: bool) -> dict[str, Any]:
    return {
        "clustering": float(rng.uniform(0, 1)),
        "radius_spread": float(rng.uniform(0.03, 0.3)),
        "elongation": float(rng.uniform(1, 1.8 if is_crowded else 2.4)),
        "deformation": float(rng.uniform(0, 0.25)),
        "hollow": sometimes(rng, 0.2, 0.2, 0.95),
        "nucleoli": sometimes(rng, 0.35, 0.5, 4),
        "dying": sometimes(rng, 0.2, 0.02, 0.15),
        "unstained": 1.0 if rng.uniform() < 0.06 else sometimes(rng, 0.15, 0.05, 0.6),
        "metaphase": float(rng.uniform(0, 1)),
        "brightness_spread": float(rng.uniform(0.03, 0.6)),
        "texture": float(rng.uniform(0, 0.6)),
        "grain": float(rng.uniform(0.15, 1.0)),
    }


def _life(rng: Rng, radius: float) -> dict[str, Any]:
    return {
        "speed": between(rng, 0.02, 0.4) * radius,
        "persistence": float(rng.uniform(0, 0.95)),
        "flow": between(rng, 0.02, 0.4) * radius,
        "drift": sometimes(rng, 0.6, 0.02, 0.5) * radius,
        "turning": between(rng, 1, 25),
        "cycle": float(rng.uniform(8, 60)),
        "mitosis": float(rng.uniform(1, 4)),
        "birth_size": float(rng.uniform(0.6, 0.9)),
        "growth": float(rng.uniform(1.5, 8)),
    }


def _microscope(rng: Rng, radius: float, n_dims: int) -> dict[str, Any]:
    background, gain, read_noise = between(rng, 3, 250), between(rng, 0.05, 4), between(rng, 0.3, 12)
    noise = float(np.sqrt(background * gain + read_noise**2))
    brightness = max(30.0, between(rng, 4 + 10 / radius, 80) * noise)
    sharp = between(rng, 0.4, max(0.6, 0.3 * radius))
    return {
        "background": background,
        "gain": gain,
        "read_noise": read_noise,
        "brightness": brightness,
        "autofluorescence": between(rng, 0.005, 0.4) * brightness,
        "haze": float(rng.uniform(0, 0.5)),
        "attenuation": sometimes(rng, 0.7, 0.1, 1.6),
        "blur": (sharp * float(rng.uniform(1, 4)), sharp, sharp),
        "blur_growth": float(rng.uniform(0, 1)),
        "membranes": sometimes(rng, 0.15, 0.1, 1.5) * brightness,
        "cytoplasm": sometimes(rng, 0.15, 0.05, 0.6) * brightness,
        "structures": sometimes(rng, 0.2, 0.1, 1.5) * brightness,
        "debris": sometimes(rng, 0.25, 0.05, 1.5),
        "ghosts": sometimes(rng, 0.1, 0.03, 0.2),
        "flicker": sometimes(rng, 0.15, 0.02, 0.15),
        "flash": sometimes(rng, 0.2, 0.05, 0.5),
        "dead_pixels": sometimes(rng, 0.05, 1e-4, 0.01),
        "hot_pixels": sometimes(rng, 0.05, 1e-4, 0.003),
        "saturation": background + level * brightness if (level := sometimes(rng, 0.15, 0.6, 2)) else 0.0,
        "gamma": sometimes(rng, 0.2, 0.5, 2, 1.0),
        "smoothing": sometimes(rng, 0.25, 0.3, 1.0 if n_dims == 3 else 1.5),
        "bits": 8 if rng.uniform() < 0.3 else 16,
    }
