"""What shines besides nuclei: cells and their membranes, sheets in the background, fragments. None of it by default."""

import numpy as np
from scipy.spatial import cKDTree

from elephant.simulation.fields import Image, grid, stretched
from elephant.simulation.nucleus import RandomField
from elephant.simulation.parameters import SimulationParameters
from elephant.types import FloatArray

STREAM = 6  # id of an independent random stream
CELL = 1.7  # radius of a cell without neighbours, times that of its nucleus
SHEET = 0.15  # thickness of a sheet, of the standard deviation of the field whose zeros it covers
MOST_FRAGMENTS = 400


class Surroundings:
    """What shines besides the nuclei of a movie, at any timepoint; it drifts with the sample."""

    def __init__(self, parameters: SimulationParameters) -> None:
        self._parameters = parameters
        rng = np.random.default_rng([parameters.seed, STREAM])
        n_dims, radius = parameters.n_dims, parameters.radius
        wavelengths = radius * rng.uniform((3, 6), (16, 30))
        self._sheets, self._where = (RandomField.draw(rng, n_dims, width, 12) for width in wavelengths)
        n_fragments = min(int(rng.poisson(parameters.debris * parameters.nuclei)), MOST_FRAGMENTS)
        self._fragments = rng.uniform(0, parameters.extent, size=(n_fragments, n_dims))
        self._spreads = radius * rng.uniform(0.08, 0.3, size=n_fragments)
        self._lights = parameters.brightness * np.exp(rng.normal(0.7, 0.6, size=n_fragments))

    def light(self, centres: FloatArray, offset: FloatArray) -> Image | None:
        """Return their light, counts, ((Z), Y, X), or none where there is none.

        Parameters
        ----------
        centres
            Of the cells, physical, (N, n).
        offset
            How far the sample has drifted, physical, (n,).
        """
        parameters = self._parameters
        if not (parameters.membranes or parameters.cytoplasm or parameters.structures or len(self._fragments)):
            return None
        step = max(1, round(parameters.radius / 5 / min(parameters.edges)))
        steps = [max(1, round(step * min(parameters.edges) / edge)) for edge in parameters.edges]
        points = grid(parameters.plane, steps) * np.array(parameters.edges)
        light = np.zeros(points.shape[:-1])
        if parameters.membranes or parameters.cytoplasm:
            light += self._cells(points, centres)
        if parameters.structures:
            ridge = np.exp(-np.square(self._sheets.at(points - offset) / SHEET))
            light += parameters.structures * ridge * np.clip(self._where.at(points - offset), 0, 2)
        image = stretched(light, parameters.plane, steps)
        self._add_fragments(image, offset)
        return image

    def _cells(self, points: FloatArray, centres: FloatArray) -> FloatArray:
        """Return the light of cells, which fill what is nearest to their nucleus up to a radius."""
        parameters = self._parameters
        stretch, radius = np.array(parameters.stretch), parameters.radius
        found, _ = cKDTree(centres / stretch).query(points / stretch, k=2)
        nearest, second = found[..., 0] / radius, np.minimum(found[..., 1] / radius, 1e3)
        inside = 1 / (1 + np.exp((nearest - CELL) / 0.08))
        wall = inside * np.exp(-np.square((second - nearest) / 0.25))
        outer = np.exp(-np.square((nearest - CELL) / 0.15)) * (second - nearest > 0.1)
        hole = 1 - np.exp(-(nearest**6))
        light: FloatArray = parameters.membranes * np.maximum(wall, outer) + parameters.cytoplasm * inside * hole
        return light

    def _add_fragments(self, image: Image, offset: FloatArray) -> None:
        edges = np.array(self._parameters.edges)
        for place, spread, light in zip(self._fragments + offset, self._spreads, self._lights, strict=True):
            low = np.maximum(np.floor((place - 2.5 * spread) / edges).astype(int), 0)
            high = np.minimum(np.ceil((place + 2.5 * spread) / edges).astype(int) + 1, image.shape)
            if np.any(low >= high):
                continue
            axes = [np.arange(a, b) * edge - at for a, b, edge, at in zip(low, high, edges, place, strict=True)]
            squares = sum(np.square(axis) for axis in np.meshgrid(*axes, indexing="ij", sparse=True))
            where = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
            image[where] += light * np.exp(-np.asarray(squares) / (2 * spread**2))
