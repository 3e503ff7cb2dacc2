"""Movies that are not part of the project, as a user opens them, and what one who annotates them draws."""

from pathlib import Path

import h5py
import numpy as np
from scipy import ndimage
from scipy.spatial.distance import cdist

from client.movies import Movie
from elephant.simulation import TrueNucleus, read_truth
from elephant.types import Spot

DATA = Path(__file__).parents[3] / "shared" / "data"
NEAR = 10.0  # physical: a nucleus of the 2D movie moves less from timepoint to timepoint
LEAST_RADIUS = 2.0


def embryo() -> Movie:
    """Return the simulated embryo, with its true nuclei."""
    truth = read_truth(DATA / "embryo.truth.json")
    z, y, x = truth.voxel
    return Movie(DATA / "embryo.h5", truth.shape, (x, y, z), truth.frames, True, 2)


def fake_tracks() -> Movie:
    """Return the 2D movie of Mastodon's tests; a bright blob is what a user takes for a nucleus."""
    file = DATA / "FakeTracksBDV.h5"
    with h5py.File(file) as movie:
        names = sorted(name for name in movie if name.startswith("t"))
        planes = [movie[f"{name}/s00/0/cells"][0].view(np.uint16) for name in names]
    frames, earlier = [], tuple[TrueNucleus, ...]()
    for t, plane in enumerate(planes):
        earlier = _named(_blobs(t, plane), earlier)
        frames.append(earlier)
    return Movie(file, (1, *planes[0].shape), (1.0, 1.0, 1.0), tuple(frames), False, 0)


def _blobs(t: int, plane: np.ndarray) -> list[Spot]:
    """Return the blobs of a plane, (Y, X), as discs."""
    smooth = ndimage.gaussian_filter(plane.astype(float), 1)
    bright, n = ndimage.label(smooth > (smooth.min() + smooth.max()) / 2)
    labels = range(1, n + 1)
    areas = ndimage.sum_labels(bright > 0, bright, labels)
    centres = ndimage.center_of_mass(bright > 0, bright, labels)
    radii = np.maximum(np.sqrt(np.array(areas) / np.pi), LEAST_RADIUS)
    return [
        Spot(t, np.array([0.0, *centre]), np.diag([1.0, r**2, r**2])) for centre, r in zip(centres, radii, strict=True)
    ]


def _named(spots: list[Spot], earlier: tuple[TrueNucleus, ...]) -> tuple[TrueNucleus, ...]:
    """Give spots the ids of those at the timepoint before that they are nearest to, and others new ones."""
    free = 1 + max((nucleus.spot.id for nucleus in earlier), default=-1)
    taken: set[int] = set()
    named = []
    for spot in spots:
        name = _nearest(spot, [nucleus.spot for nucleus in earlier if nucleus.spot.id not in taken])
        if name is None:
            name, free = free, free + 1
        taken.add(name)
        named.append(TrueNucleus(Spot(spot.t, spot.pos, spot.covariance, id=name)))
    return tuple(named)


def _nearest(spot: Spot, others: list[Spot]) -> int | None:
    if not others:
        return None
    apart = cdist([spot.pos], [other.pos for other in others])[0]
    return others[int(apart.argmin())].id if apart.min() < NEAR else None
