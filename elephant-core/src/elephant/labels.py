"""Painting training targets from annotations: detection labels from spots, flow labels from links."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from elephant.config import DisplacementParams, LabelParams
from elephant.geometry import Ellipsoid, Raster, rasterise, rasterise_each
from elephant.images import darker_than
from elephant.progress import CancelToken, NeverCancelled
from elephant.types import Label, Link, Shape, Spot, Tag

Labels = NDArray[np.uint8]

# What the voxels of a later spot leave as it is.
_CENTRES = tuple(label for label in Label if label.channel == Label.CENTRE.channel)
_PAINTED = tuple(label for label in Label if label.channel != Label.BACKGROUND.channel)
_NUCLEUS_TAGS = frozenset({Tag.TP, Tag.FN})
_BORDER_TAGS = frozenset({Tag.TB, Tag.FB})


def detection_labels(
    shape: Shape,
    spots: Iterable[Spot],
    params: LabelParams,
    image: NDArray[np.generic] | None = None,
    cancel: CancelToken | None = None,
) -> Labels:
    """Paint the labels of one timepoint.

    Parameters
    ----------
    shape
        Size of the image, (Z), Y, X.
    spots
        The timepoint's spots; later ones are painted over earlier ones. Those tagged `unlabeled` are left out.
    params
        Voxel size, `c_ratio` and `auto_bg_thresh`.
    image
        The image as stored, (Z), Y, X; needed if `auto_bg_thresh` is above 0.
    cancel
        Asked before each spot, and within large ones.

    Returns
    -------
    numpy.ndarray
        uint8, (Z), Y, X; values of :class:`elephant.types.Label`.

    Raises
    ------
    elephant.errors.Cancelled
        From `cancel`.

    References
    ----------
    Sugawara, Çevrim and Averof, eLife 2022, doi:10.7554/eLife.69380.
    """
    kept = _automatic_background(shape, params, image)
    labels: Labels = kept.astype(np.uint8)  # 1 is `Label.BACKGROUND`
    scale, token = params.voxel_size.last(len(shape)), cancel or NeverCancelled()
    used = [spot for spot in spots if spot.tag is not Tag.UNLABELED]
    ellipsoids = Ellipsoid.from_spots(used, len(shape))
    outers = rasterise_each(ellipsoids, scale, shape, token)
    nuclei = (e.scaled(params.c_ratio) for s, e in zip(used, ellipsoids, strict=True) if s.tag in _NUCLEUS_TAGS)
    inners = rasterise_each(nuclei, scale, shape, token)
    for spot, outer in zip(used, outers, strict=True):
        token.check()
        inner = next(inners) if spot.tag in _NUCLEUS_TAGS else None
        if outer.is_empty:
            continue
        kept[outer.slices] |= outer.mask
        _paint_spot(labels, spot.tag, outer)
        if inner is not None:
            _paint_centre(labels, spot.tag, inner)
    labels *= kept
    return labels


def _automatic_background(shape: Shape, params: LabelParams, image: NDArray[np.generic] | None) -> NDArray[np.bool_]:
    if params.auto_bg_thresh <= 0:
        return np.zeros(shape, dtype=bool)
    if image is None:
        raise ValueError("expected an image for the automatic background")
    return darker_than(image, params.auto_bg_thresh)


def _paint_spot(labels: Labels, tag: Tag, outer: Raster) -> None:
    block = labels[outer.slices]
    if tag in _NUCLEUS_TAGS or tag in _BORDER_TAGS:
        spared, value = _CENTRES, Label.BORDER.of(tag)
    else:
        spared, value = _PAINTED, Label.BACKGROUND.of(tag)
    free = outer.mask.copy()
    for label in spared:
        free &= block != np.uint8(label)
    np.copyto(block, np.uint8(value), where=free)


def _paint_centre(labels: Labels, tag: Tag, inner: Raster) -> None:
    """Paint the inner ellipsoid as centre, and a rim of one voxel around it as border."""
    if inner.is_empty:
        return
    around = [slice(max(s.start - 1, 0), min(s.stop + 1, n)) for s, n in zip(inner.slices, labels.shape, strict=True)]
    inside = [slice(a.start - s.start + 1, a.stop - s.start + 1) for a, s in zip(around, inner.slices, strict=True)]
    np.copyto(labels[tuple(around)], np.uint8(Label.BORDER.of(tag)), where=_with_neighbours(inner.mask)[tuple(inside)])
    np.copyto(labels[inner.slices], np.uint8(Label.CENTRE.of(tag)), where=inner.mask)


def _with_neighbours(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Dilate a mask by the voxels that touch it by a face, an edge or a corner: one voxel more on each side."""
    grown = np.zeros([n + 2 for n in mask.shape], dtype=bool)
    grown[(slice(1, -1),) * mask.ndim] = mask
    # As one line, which is faster: the empty margin keeps its rows apart.
    line = grown.reshape(-1)
    for step in grown.strides:
        wider = line.copy()
        wider[step:] |= line[:-step]
        wider[:-step] |= line[step:]
        line = wider
    return line.reshape(grown.shape)


def flow_labels(
    shape: Shape, links: Iterable[Link], params: DisplacementParams, cancel: CancelToken | None = None
) -> NDArray[np.float32]:
    """Paint the flow labels of one earlier timepoint.

    Parameters
    ----------
    shape
        Size of the image, (Z), Y, X.
    links
        Those that begin at the timepoint; later ones are painted over earlier ones.
    params
        Voxel size, `max_displacement` and `n_keep_axials`.
    cancel
        Asked before each link, and within large spots.

    Returns
    -------
    numpy.ndarray
        float32, (n + 1, (Z), Y, X): at the voxels of the later spot its displacement in voxels divided by the norm,
        X, Y(, Z), then a weight of 1; 0 elsewhere.

    Raises
    ------
    elephant.errors.InvalidInputError
        A covariance is not positive definite.
    elephant.errors.Cancelled
        From `cancel`.

    References
    ----------
    Sugawara, Çevrim and Averof, eLife 2022, doi:10.7554/eLife.69380.
    """
    n_dims, token = len(shape), cancel or NeverCancelled()
    scale = params.voxel_size.last(n_dims)
    unit = np.asarray(scale[::-1]) * params.norm(n_dims)
    labels: NDArray[np.float32] = np.zeros((n_dims + 1, *shape), dtype=np.float32)
    for link in links:
        token.check()
        raster = rasterise(Ellipsoid.from_spot(link, n_dims), scale, shape, cancel=token)
        if raster.is_empty:
            continue
        values = np.append(link.displacement[::-1][:n_dims] / unit, 1.0)
        labels[(slice(None), *raster.slices)][:, raster.mask] = values[:, None]
    return labels
