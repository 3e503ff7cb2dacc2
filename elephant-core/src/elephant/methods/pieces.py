"""What was annotated at a timepoint as its stored labels say it, and which part of it is held out of a training.

Each piece of centre is a nucleus, each piece of false background something that was found by mistake, whoever wrote the
labels. What is held out follows from where it lies: the volume is divided into cubes, which are taken in an order that
depends on their place alone. So a training repeated holds out the same, more annotations hold out more, and a nucleus
goes with its neighbours and with itself at other timepoints.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from elephant.components import labelled_components
from elephant.config import LabelParams
from elephant.types import FloatArray, Label, Shape

LEAST_NUCLEI = 8  # of which anything is held out
LEAST, MOST = 2, 100  # held out
_CUBE = 32  # edge in voxels along the finest axis
_CENTRES = (Label.CENTRE, Label.FALSE_CENTRE)
_FOREGROUND = (Label.BORDER, Label.FALSE_BORDER, *_CENTRES)
_FALSE = (Label.FALSE_CENTRE, Label.FALSE_BACKGROUND)
_REACH, _RIM = 1.3, 2  # how much further than its ellipsoid, and how many voxels, a nucleus is looked for

Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class LabelledPieces:
    """What was annotated at a timepoint, as its labels say.

    Attributes
    ----------
    centres
        Voxels, (N, n), (Z), Y, X.
    spread
        Of each ellipsoid: its semi-axes squared, in voxels, as a matrix, (N, n, n).
    is_nucleus
        Whether it is a nucleus, or else what was found by mistake, (N,).
    is_false
        Whether it corrects what a model did, (N,).
    """

    centres: FloatArray
    spread: FloatArray
    is_nucleus: Flags
    is_false: Flags

    def __len__(self) -> int:
        return len(self.centres)

    def positions(self, voxel_size: Sequence[float]) -> FloatArray:
        """Return the physical centres, (N, 3), Z, Y, X."""
        n = self.centres.shape[1]
        found = np.zeros((len(self), 3))
        found[:, 3 - n :] = self.centres * np.asarray(voxel_size)
        return found

    def radii(self, voxel_size: Sequence[float]) -> FloatArray:
        """Return the radius of a ball, or disk, as large as each, physical, (N,)."""
        edges, n = np.asarray(voxel_size), self.centres.shape[1]
        sizes = np.linalg.det(self.spread * edges[:, None] * edges)
        radii: FloatArray = np.maximum(sizes, 0) ** (1 / (2 * n))
        return radii

    def semi_axes(self, voxel_size: Sequence[float]) -> FloatArray:
        """Return the semi-axes of each, physical, (N, n), the smallest first."""
        edges = np.asarray(voxel_size)
        axes: FloatArray = np.sqrt(np.maximum(np.linalg.eigvalsh(self.spread * edges[:, None] * edges), 0))
        return axes

    def some(self, chosen: Sequence[int]) -> "LabelledPieces":
        """Return some of them."""
        of = np.array(chosen, dtype=np.intp)
        return LabelledPieces(self.centres[of], self.spread[of], self.is_nucleus[of], self.is_false[of])

    def distances(self, voxel: FloatArray) -> FloatArray:
        """Return how far a voxel, (n,), is from each, squared: 1 at the surface of its ellipsoid, (N,)."""
        offset = self.centres - voxel
        found: FloatArray = np.einsum("ij,ijk,ik->i", offset, np.linalg.inv(self.spread), offset)
        return found

    def are_in(self, earlier: "LabelledPieces") -> Flags:
        """Tell which were there in earlier labels of the timepoint: within a voxel, and of the same kind."""
        if not len(self) or not len(earlier):
            return np.zeros(len(self), dtype=bool)
        apart, _ = cKDTree(earlier.coordinates()).query(self.coordinates(), p=np.inf)
        return np.asarray(apart <= 1)

    def coordinates(self) -> FloatArray:
        """Return the centres with the kind as further coordinates, far apart."""
        return np.column_stack([self.centres, 9 * self.is_nucleus, 9 * self.is_false])


def labelled_pieces(labels: NDArray[np.uint8], params: LabelParams) -> LabelledPieces:
    """Find what was annotated in the labels of a timepoint, (Z), Y, X."""
    kept = np.zeros(256, dtype=np.uint8)
    for label in (*_CENTRES, Label.FALSE_BACKGROUND):
        kept[label] = label
    values, pieces = labelled_components(kept[labels])
    n = labels.ndim
    is_nucleus = np.isin(values, _CENTRES)
    # A solid ellipsoid with semi-axis r has the second moment r^2 / (n + 2); a voxel has 1/12 itself.
    spread = (n + 2) * (pieces.moments + np.eye(n) / 12)
    spread[is_nucleus] /= params.c_ratio**2
    return LabelledPieces(pieces.mean_index, spread, is_nucleus, np.isin(values, _FALSE))


def choose(
    pieces: Mapping[int, LabelledPieces], newest: Mapping[int, Flags], share: float, voxel_size: Sequence[float]
) -> dict[int, Flags]:
    """Choose what is held out.

    A share of the nuclei, at least two and at most a hundred, and what is annotated as none in the same cubes.

    Parameters
    ----------
    pieces
        What was annotated at each timepoint.
    newest
        Which of these are new corrections; they are not held out.
    share
        Of all nuclei, 0 to 0.5.
    voxel_size
        Physical, n values, (Z), Y, X.

    Returns
    -------
    dict
        For each timepoint what is held out, (N,); nothing where there are too few nuclei.
    """
    none = {t: np.zeros(len(found), dtype=bool) for t, found in pieces.items()}
    counted = [(t, i) for t, found in pieces.items() for i in np.flatnonzero(found.is_nucleus).tolist()]
    candidates = [(t, i) for t, i in counted if not newest[t][i]]
    n_wanted = min(max(round(share * len(counted)), LEAST), MOST, len(candidates) // 2)
    if share == 0 or len(counted) < LEAST_NUCLEI or n_wanted < LEAST:
        return none
    cubes = {t: _cubes(found.centres, voxel_size) for t, found in pieces.items()}
    places = {t: mixed(np.rint(found.centres).astype(np.int64), t + 1) for t, found in pieces.items()}
    candidates.sort(key=lambda one: (cubes[one[0]][one[1]], places[one[0]][one[1]], *one))
    for t, i in candidates[:n_wanted]:
        none[t][i] = True
    taken = {int(cubes[t][i]) for t, i in candidates[:n_wanted]}
    for t, found in pieces.items():
        is_there = np.isin(cubes[t], np.array(sorted(taken), dtype=np.uint64))
        none[t] |= is_there & ~found.is_nucleus & ~newest[t]
    return none


def _cubes(centres: FloatArray, voxel_size: Sequence[float]) -> NDArray[np.uint64]:
    """Return a number for the cube in which each centre lies, by which cubes are ordered, (N,)."""
    edges = np.asarray(voxel_size)
    return mixed(np.floor(centres * edges / (_CUBE * edges.min())).astype(np.int64), 0)


def mixed(places: NDArray[np.int64], seed: int) -> NDArray[np.uint64]:
    """Return a number that is as good as random for each place, (N, n): the same on every machine.

    References
    ----------
    Steele, Lea and Flood, OOPSLA 2014, doi:10.1145/2660193.2660195: SplitMix64.
    """
    found = np.full(len(places), seed, dtype=np.uint64)
    for column in places.astype(np.uint64).T:
        found = (found ^ column) + np.uint64(0x9E3779B97F4A7C15)
        found = (found ^ (found >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        found = (found ^ (found >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        found ^= found >> np.uint64(31)
    return found


@dataclass(frozen=True, slots=True, eq=False)
class Hidden:
    """The voxels of what is held out of a timepoint.

    Attributes
    ----------
    blocks
        For each piece where it lies, and which voxels are its own.
    """

    blocks: Sequence[tuple[tuple[slice, ...], Flags]] = field(default=())

    def hide(self, labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return labels, (Z), Y, X, without those of these voxels; the given ones stay as they are."""
        if not self.blocks:
            return labels
        labels = labels.copy()
        for slices, mask in self.blocks:
            labels[slices][mask] = Label.NOTHING
        return labels

    def holds(self, voxels: NDArray[np.int64]) -> Flags:
        """Tell which voxels, (N, n), belong to what is held out."""
        found = np.zeros(len(voxels), dtype=bool)
        for slices, mask in self.blocks:
            start, stop = (np.array([getattr(s, end) for s in slices]) for end in ("start", "stop"))
            is_near = ((voxels >= start) & (voxels < stop)).all(axis=1)
            found[is_near] |= mask[tuple((voxels[is_near] - start).T)]
        return found


def hidden(labels: NDArray[np.uint8], pieces: LabelledPieces, is_held: Flags) -> Hidden:
    """Find the voxels of what is held out.

    Parameters
    ----------
    labels
        Of the timepoint, (Z), Y, X.
    pieces, is_held
        What was annotated there, and what of it is held out.
    """
    return Hidden([_voxels(labels, pieces, i) for i in np.flatnonzero(is_held).tolist()])


def block_of(pieces: LabelledPieces, i: int, shape: Shape) -> tuple[slice, ...]:
    """Return where a piece lies in an image, and a little around it."""
    reach = _REACH * np.sqrt(np.diagonal(pieces.spread[i])) + _RIM
    start = np.clip(np.floor(pieces.centres[i] - reach), 0, np.asarray(shape) - 1).astype(int)
    stop = np.clip(np.ceil(pieces.centres[i] + reach) + 1, start + 1, shape).astype(int)
    return tuple(slice(int(a), int(b)) for a, b in zip(start, stop, strict=True))


def _voxels(labels: NDArray[np.uint8], pieces: LabelledPieces, i: int) -> tuple[tuple[slice, ...], Flags]:
    """Return the voxels of a piece: those of its kind of label to which no other piece is nearer."""
    slices = block_of(pieces, i, labels.shape)
    kind = _FOREGROUND if pieces.is_nucleus[i] else (Label.FALSE_BACKGROUND,)
    mask = np.isin(labels[slices], kind)
    offsets = np.argwhere(mask) + [s.start for s in slices]
    own = _distances(offsets, pieces, i)
    reach = np.sqrt(pieces.spread[i].trace())
    apart = np.linalg.norm(pieces.centres - pieces.centres[i], axis=1)
    near = apart < 2 * _REACH * (reach + np.sqrt(np.trace(pieces.spread, axis1=1, axis2=2))) / 2 + 2 * _RIM
    for j in np.flatnonzero(near & (pieces.is_nucleus == pieces.is_nucleus[i])).tolist():
        if j != i:
            own[_distances(offsets, pieces, j) < own] = np.inf
    mask[mask] = np.isfinite(own)
    return slices, mask


def _distances(voxels: NDArray[np.int64], pieces: LabelledPieces, i: int) -> FloatArray:
    """Return the squared distances of voxels, (N, n), from a piece, 1 at the surface of its ellipsoid."""
    offset = voxels - pieces.centres[i]
    found: FloatArray = np.einsum("ij,jk,ik->i", offset, np.linalg.inv(pieces.spread[i]), offset)
    return found
