"""The nodes of a graph in the GEFF format: their times, positions and ellipsoids, in the movie's unit."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from elephant.annotations.base import MovieFacts
from elephant.annotations.geff_store import Axis, GeffStore, Property
from elephant.annotations.units import scale_of
from elephant.config import AnnotationParams
from elephant.errors import InvalidInputError
from elephant.types import FloatArray
from elephant.units import factor_between, unit_named
from elephant.words import counted

_TIMES = frozenset({"t", "time", "frame", "timepoint", "timepoints", "frames"})
_FRAMES = frozenset({"", "frame", "frames", "timepoint", "index"})

Integers = NDArray[np.int64]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Axes:
    """The axis of time, and those of space, (Z), Y, X."""

    time: Axis
    space: tuple[Axis, ...]
    order: tuple[int, ...]  # where each of Z, Y, X stands among the file's axes of space

    @classmethod
    def of(cls, store: GeffStore, movie: MovieFacts) -> "Axes":
        """Return the axes of a graph, by their types and names.

        Raises
        ------
        InvalidInputError
            An axis is missing, or too many are there.
        """
        name = store.name
        given = store.metadata.axes
        if not given:
            given = tuple(Axis(name=each) for each in "tzyx" if store.property("nodes", each, _n(store)) is not None)
        time = [a for a in given if a.type == "time" or (a.type is None and a.name.lower() in _TIMES)]
        space = [a for a in given if a.type == "space" or (a.type is None and a.name.lower() in ("z", "y", "x"))]
        if len(time) != 1 or len(space) not in (2, 3):
            said = ", ".join(f"{a.name} ({a.type or 'of no type'})" for a in given) or "none"
            raise InvalidInputError(
                f"expected {name} to have an axis of time and two or three of space, such as t, z, y, x, got {said}: "
                "export it again with axes"
            )
        if movie.n_dims == 3 and len(space) == 2:
            raise InvalidInputError(f"{name} is 2D (axes {space[0].name}, {space[1].name}), but the movie is 3D")
        wanted = "zyx"[-len(space) :]
        letters = [axis.name.lower() for axis in space]
        if sorted(letters) == sorted(wanted):
            order = tuple(letters.index(letter) for letter in wanted)
        else:
            order = tuple(range(len(space)))
            names = ", ".join(axis.name for axis in space)
            logger.warning("%s: the axes %s are taken as %s", name, names, ", ".join(wanted.upper()))
        return cls(time[0], tuple(space[i] for i in order), order)


def _n(store: GeffStore) -> int:
    return len(store.ids("nodes"))


@dataclass(frozen=True, slots=True)
class Nodes:
    """The properties of the N nodes of a graph."""

    store: GeffStore
    n: int

    def get(self, name: str | None) -> Property | None:
        """Return a property of numbers or text."""
        return None if name is None else self.store.property("nodes", name, self.n)

    def coordinate(self, axis: Axis) -> FloatArray:
        """Return the values of an axis, (N,), as they are stored."""
        name = self.store.name
        found = self.get(axis.name)
        if found is None:
            raise InvalidInputError(
                f"{name} has the axis {axis.name}, but no such property of its nodes: export it again"
            )
        if found.values.ndim != 1 or found.values.dtype.kind not in "iuf":
            raise InvalidInputError(
                f"expected {axis.name} of {name} to be a number for each node, got {found.values.dtype} of the shape "
                f"{found.values.shape}: export it again"
            )
        values = found.values.astype(np.float64)
        wrong = found.missing | ~np.isfinite(values)
        if wrong.any():
            raise InvalidInputError(
                f"{name} has {counted(int(wrong.sum()), 'node')} without a finite {axis.name}: expected a position and "
                "a timepoint of each: export it again"
            )
        return values

    def frames(self, axis: Axis) -> Integers:
        """Return the number of the frame of each node, (N,)."""
        values, name = self.coordinate(axis), self.store.name
        if (values != np.round(values)).any() or np.abs(values).max(initial=0) > 2**31:
            raise InvalidInputError(
                f"expected {axis.name} of {name} to count frames, got {_first(values, values != np.round(values))}"
                f"{' ' + axis.unit if axis.unit else ''}: export timepoints as whole numbers"
            )
        frames: Integers = values.astype(np.int64)
        if unit_named(axis.unit) not in _FRAMES and len(frames):
            step = int(np.gcd.reduce(frames))
            if step > 1:
                raise InvalidInputError(
                    f"expected {axis.name} of {name} to count frames, got times in {axis.unit} that are multiples of "
                    f"{step}: export timepoints as numbers of frames"
                )
            logger.warning("%s: %s is in %s, but whole numbers: read as frames", name, axis.name, axis.unit)
        return frames

    def positions(self, axes: Axes, params: AnnotationParams, movie: MovieFacts) -> tuple[FloatArray, FloatArray]:
        """Return where the nodes are in the unit of the movie, (N, n), (Z), Y, X, and what they were multiplied by."""
        stored = [self.coordinate(axis) for axis in axes.space]
        scaled = np.array([axis.scale if axis.scale is not None else 1.0 for axis in axes.space])
        if (scaled <= 0).any():
            raise InvalidInputError(f"expected the scale of the axes of {self.store.name} to be above 0, got {scaled}")
        offsets = np.array([axis.offset or 0.0 for axis in axes.space])
        raw = np.stack(stored, axis=1) if stored else np.zeros((self.n, 0))
        units = [axis.scaled_unit if axis.scale is not None and axis.scaled_unit else axis.unit for axis in axes.space]
        values: FloatArray = raw * scaled + offsets
        if movie.n_dims == 2 and len(units) == 3 and len(values) and np.ptp(values[:, 0]) > 0:
            raise InvalidInputError(
                f"{self.store.name} has nodes at different {axes.space[0].name}, but the movie is 2D: choose another "
                "movie, or export the graph without this axis"
            )
        factors = _factors(self.store, units, values, params, movie)
        return values * factors, scaled * factors

    def covariances(self, axes: Axes, scale: FloatArray, ids: Integers, params: AnnotationParams) -> FloatArray:
        """Return the covariances in the unit of the movie, (N, n, n), (Z), Y, X."""
        n_axes = len(axes.space)
        found, has = np.zeros((self.n, n_axes, n_axes)), np.zeros(self.n, dtype=bool)
        metadata = self.store.metadata
        ellipsoid = self.get(metadata.ellipsoid) or self._unnamed_ellipsoid(n_axes)
        if ellipsoid is not None:
            found, has = self._of_ellipsoids(ellipsoid, axes, scale)
        sphere = self.get(metadata.sphere) or self.get("radius")
        if sphere is not None:
            self._fill(found, has, _numbers(sphere, "radius", self.store.name), scale)
        if params.radius is not None:
            found[~has], has[~has] = np.eye(n_axes) * params.radius**2, True
        if not has.all():
            raise InvalidInputError(
                f"{self.store.name} has {counted(int((~has).sum()), 'node')} with a position alone, such as "
                f"{ids[np.argmin(has)]}: expected an ellipsoid or a radius of each: give `radius`"
            )
        return found

    def _unnamed_ellipsoid(self, n_axes: int) -> Property | None:
        """Return a property that is called as the specification's example, and looks like it."""
        found = self.get(f"covariance{n_axes}d")
        return found if found is not None and found.values.shape[1:] == (n_axes, n_axes) else None

    def _of_ellipsoids(self, found: Property, axes: Axes, scale: FloatArray) -> tuple[FloatArray, NDArray[np.bool_]]:
        name, n = self.store.name, len(axes.space)
        if found.values.shape[1:] != (n, n) or found.values.dtype.kind not in "iuf":
            raise InvalidInputError(
                f"expected the ellipsoids of {name} to be matrices of {n} x {n} numbers, got {found.values.dtype} of "
                f"the shape {found.values.shape}: export it again"
            )
        values = found.values.astype(np.float64)[:, axes.order][:, :, axes.order]
        has = ~found.missing
        values[~has] = np.eye(n)
        with np.errstate(invalid="ignore"):
            is_sound = np.isfinite(values).all(axis=(1, 2))
            difference, size = np.abs(values - values.swapaxes(1, 2)), np.abs(values)
            is_sound &= difference.max(axis=(1, 2)) <= 1e-4 * size.max(axis=(1, 2))
        values = np.where(is_sound[:, None, None], values, np.eye(n))
        is_positive = np.linalg.eigvalsh(values)[:, 0] > 0
        if not (is_sound & is_positive).all():
            raise InvalidInputError(
                f"{name} has {counted(int((~(is_sound & is_positive)).sum()), 'ellipsoid')} that is no symmetric "
                "positive definite matrix of finite numbers: export it again"
            )
        return values * scale[:, None] * scale, has

    def _fill(self, found: FloatArray, has: NDArray[np.bool_], radius: Property, scale: FloatArray) -> None:
        """Give spheres to the nodes that have no ellipsoid."""
        values = radius.values.astype(np.float64)
        here = ~has & ~radius.missing
        with np.errstate(invalid="ignore"):
            wrong = here & ~((values > 0) & (values < np.inf))
        if wrong.any():
            raise InvalidInputError(
                f"expected the radii of {self.store.name} to be above 0, got {values[np.argmax(wrong)]}: export it "
                "again"
            )
        found[here] = np.eye(len(scale)) * (values[here, None, None] * scale[-1]) ** 2  # pixels are those of X
        has |= here


def _factors(
    store: GeffStore, units: Sequence[str | None], values: FloatArray, params: AnnotationParams, movie: MovieFacts
) -> FloatArray:
    """Return by what positions are multiplied to be in the unit of the movie, (n,), (Z), Y, X."""
    name, n, names = store.name, len(units), [unit_named(unit) for unit in units]
    if params.spots_unit != "auto" or all(each in ("", "pixel") for each in names):
        stated = "pixel" if "pixel" in names else None
        if store.metadata.is_ours:  # always physical, also if the movie calls its unit so
            stated = "physical"
        full = np.zeros((len(values), 3))
        full[:, :n] = values[:, ::-1]
        return scale_of(name, stated, full, params, movie)[:n][::-1]
    if movie.unit is None:
        logger.warning(
            "%s: positions are in %s; the unit of the movie is not known, and taken to be the same", name, names[-1]
        )
        return np.array([_factor(name, each, names[-1]) for each in names])
    return np.array([_factor(name, each, movie.unit) for each in names])


def _factor(name: str, unit: str, wanted: str) -> float:
    found = factor_between(unit, wanted)
    if found is None:
        raise InvalidInputError(
            f"{name} has positions in {unit or 'no unit'}, and the movie's voxels are measured in {wanted}: expected a "
            "unit that can be converted: correct the file, or say what it is (`spots_unit`: pixel or physical)"
        )
    return found


def _numbers(found: Property, what: str, name: str) -> Property:
    if found.values.ndim != 1 or found.values.dtype.kind not in "iuf":
        raise InvalidInputError(
            f"expected {what} of {name} to be a number for each node, got {found.values.dtype} of the shape "
            f"{found.values.shape}: export it again"
        )
    return found


def _first(values: FloatArray, wrong: NDArray[np.bool_]) -> float:
    return float(values[np.argmax(wrong)]) if wrong.any() else float(np.abs(values).max())
