"""Labelled timepoints, and pairs of them, that the shipped networks learn from; made ahead in other processes."""

import signal
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.pretraining_movies import VERSION, Scene, draw
from elephant.config import DisplacementParams, LabelParams, keep_axials_of, kept_poolings
from elephant.crops import LabelledPair
from elephant.crops.sample import LabelledVolume, anchors_of
from elephant.geometry import Ellipsoid, rasterise
from elephant.images import normalise
from elephant.labels import detection_labels, flow_labels
from elephant.models.unet import dividing_size
from elephant.simulation import Frame, simulate
from elephant.types import Label, Link, Shape, Spot, Tag, VoxelSize

Kind = Literal["detection", "flow"]
C_RATIO = 0.4
MAX_DISPLACEMENT = 80.0  # voxels
SHARE_OF_LATER = 0.25  # of timepoints that are not the first, so that some nuclei have just divided
AHEAD = 8  # samples that are made ahead
TRIES = 50
LEAST_VISIBLE, LEAST_THICK = 0.1, 2.0  # share and voxels of a nucleus that the edge cuts: less is a sliver


@dataclass(frozen=True, slots=True)
class Window:
    """How many crops are cut of a sample, on average, and from how many samples at a time and at first."""

    crops: int
    samples: int
    begin: int


WINDOWS = {"detection": Window(8, 32, 4), "flow": Window(96, 256, 64)}  # crops of flow are small


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """A labelled timepoint, or a pair of them, and how many poolings leave Z unchanged with its voxels."""

    volume: LabelledVolume | LabelledPair
    keep_axials: int


def make(seed: int, kind: Kind, n_dims: int, number: int) -> Sample:
    """Make the sample of a number; the same arguments give the same sample, bit by bit."""
    rng = np.random.default_rng([seed, VERSION, n_dims, kind == "flow", number])
    if kind == "flow":
        return flow_sample(draw(rng, n_dims, timepoints=2))
    timepoints = 3 if rng.uniform() < SHARE_OF_LATER else 1
    return detection_sample(draw(rng, n_dims, timepoints))


def detection_sample(scene: Scene) -> Sample:
    """Simulate a timepoint and label each voxel: all nuclei, and background between them.

    A nucleus that the edge of the image cuts is labelled by what is seen of it, as a person would draw it. The image is
    continued beyond its edges as a prediction does it with `is_pad`, and has no labels there.
    """
    *_, frame = simulate(scene.parameters)
    image = _seen(frame, scene)
    voxel = VoxelSize(*scene.parameters.voxel)
    whole = [replace(_moved(nucleus.spot, scene), tag=Tag.TP) for nucleus in frame.nuclei]
    spots = [part for spot in whole if (part := visible_part(spot, voxel, image.shape)) is not None]
    params = LabelParams(voxel_size=voxel.zyx, c_ratio=C_RATIO)
    labels = detection_labels(image.shape, spots, params)
    labels[(labels == Label.NOTHING) & (detection_labels(image.shape, whole, params) == Label.NOTHING)] = (
        Label.BACKGROUND
    )
    keep = kept_poolings(keep_axials_of(voxel, image.shape))
    around = [n // 2 for n in dividing_size(image.ndim, keep)]
    pad = [(n, n) for n in around]
    anchors = _anchors(spots, voxel, image.shape) + np.array(around)
    continued = np.pad(normalise(image), pad, mode="edge"), np.pad(labels, pad)
    return Sample(LabelledVolume(*continued, anchors, voxel.last(image.ndim)), keep)


def visible_part(spot: Spot, voxel: VoxelSize, shape: Shape) -> Spot | None:
    """Return the ellipsoid of the part of a nucleus that an image shows; None where that is a sliver, or nothing.

    It has the mean and the covariance of the voxels that are seen. A nucleus that the edge leaves whole is returned as
    it is.

    Parameters
    ----------
    shape
        Size of the image, (Z), Y, X.
    """
    n_dims = len(shape)
    edges = np.array(voxel.last(n_dims))
    ellipsoid = Ellipsoid.from_spot(spot, n_dims)
    ends = np.stack([ellipsoid.centre - ellipsoid.reach, ellipsoid.centre + ellipsoid.reach]) / edges
    if (ends[0] >= -0.5).all() and (ends[1] <= np.array(shape) - 0.5).all():
        return spot
    indices = rasterise(ellipsoid, edges.tolist(), shape, min_voxels=0).indices()
    ball = 4 / 3 * np.pi if n_dims == 3 else np.pi
    if len(indices) < max(LEAST_VISIBLE * ball * np.prod(ellipsoid.radii / edges), 1):
        return None
    if (np.ptp(indices, axis=0) + 1 < np.minimum(LEAST_THICK, 2 * ellipsoid.reach / edges)).any():
        return None
    seen = indices * edges
    pos, covariance = spot.pos.copy(), spot.covariance.copy()
    pos[3 - n_dims :] = seen.mean(axis=0)
    # A solid ellipsoid of n axes has variances of its squared semi-axes over n + 2; a voxel is no point.
    found = (n_dims + 2) * (np.cov(seen.T, bias=True) + np.diag(edges**2) / 12)
    covariance[3 - n_dims :, 3 - n_dims :] = found
    return replace(spot, pos=pos, covariance=covariance)


def flow_sample(scene: Scene) -> Sample:
    """Simulate two timepoints and label where the nuclei of the later one were, daughters at their mother's place."""
    before, now = simulate(scene.parameters)
    images = np.stack([normalise(_seen(frame, scene)) for frame in (before, now)])
    shape, voxel = images.shape[1:], VoxelSize(*scene.parameters.voxel)
    earlier = {nucleus.spot.id: nucleus.spot.pos for nucleus in before.nuclei}
    links = []
    for nucleus in now.nuclei:
        name = nucleus.spot.id if nucleus.spot.id in earlier else nucleus.parent
        if name in earlier:
            spot = _moved(nucleus.spot, scene)
            links.append(Link(0, spot.pos, spot.covariance, earlier[name] - nucleus.spot.pos))
    keep = keep_axials_of(voxel, shape)
    params = DisplacementParams(voxel_size=voxel.zyx, max_displacement=MAX_DISPLACEMENT, n_keep_axials=keep)
    anchors = _anchors(links, voxel, shape)
    labels = flow_labels(shape, links, params)
    pair = LabelledPair(images, labels, anchors, voxel.last(len(shape)), params.norm(len(shape)))
    return Sample(pair, kept_poolings(keep))


def _seen(frame: Frame, scene: Scene) -> NDArray[np.uint16]:
    """Return the image without the margin, (Z), Y, X."""
    image = frame.image.reshape(scene.parameters.plane)
    return image[tuple(slice(cut, size - cut) for cut, size in zip(scene.margin, image.shape, strict=True))]


def _moved(spot: Spot, scene: Scene) -> Spot:
    pos = spot.pos.copy()
    pos[3 - scene.parameters.n_dims :] -= np.array(scene.margin) * scene.parameters.edges
    return replace(spot, pos=pos)


def _anchors(spots: list[Any], voxel: VoxelSize, shape: Shape) -> NDArray[np.int64]:
    n_dims = len(shape)
    positions = np.array([spot.pos for spot in spots]).reshape(-1, 3)[:, 3 - n_dims :]
    return anchors_of(positions, voxel.last(n_dims), shape)


class Samples:
    """Gives the sample of each crop, which depends on the crop's number alone.

    Parameters
    ----------
    seed, kind, n_dims
        What they are made from.
    workers
        Processes that make them ahead; 0: they are made when they are asked for.
    """

    def __init__(self, seed: int, kind: Kind, n_dims: int, workers: int) -> None:
        self._given = (seed, kind, n_dims)
        self._pool = ProcessPoolExecutor(workers, initializer=_begin) if workers else None
        self._kept: dict[int, Sample | Future[Sample]] = {}

    def of(self, crop: int, rng: np.random.Generator) -> Sample:
        """Return a labelled sample for a crop.

        Raises
        ------
        RuntimeError
            None of many has a label.
        """
        window = WINDOWS[self._given[1]]
        front = crop // window.crops + window.begin
        first = max(0, front - window.samples)
        for old in [number for number in self._kept if number < first]:
            del self._kept[old]
        for _ in range(TRIES):
            sample = self._sample(int(rng.integers(first, front + 1)), front)
            if sample.volume.annotated.any():
                return sample
        raise RuntimeError(f"expected labels in one of the samples {first} to {front}")

    def close(self) -> None:
        """End the processes."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def _sample(self, number: int, front: int) -> Sample:
        if self._pool is not None:
            for ahead in (number, *range(front + 1, front + AHEAD)):
                if ahead not in self._kept:
                    self._kept[ahead] = self._pool.submit(make, *self._given, ahead)
        kept = self._kept.get(number) or make(*self._given, number)
        sample = kept.result() if isinstance(kept, Future) else kept
        self._kept[number] = sample
        return sample


def _begin() -> None:
    """Leave an interruption to the training, and do not compete with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
