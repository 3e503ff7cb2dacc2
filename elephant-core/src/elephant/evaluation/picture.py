"""Draws true and found nuclei over projections of the image, and the scores beside them.

It needs matplotlib, which is imported here only when something is drawn.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from elephant.dataset import Dataset
from elephant.errors import InvalidInputError
from elephant.evaluation.counts import Counts, shown
from elephant.evaluation.matching import Nucleus, TimepointScores
from elephant.types import Box, FloatArray, Shape, VoxelSize

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TRUE, FOUND, PAPER, INK = "#4cc9f0", "#ff9f1c", "#101418", "#e8e8e8"
Z, Y, X = 0, 1, 2
WIDTH = 12.0  # inches
MARGINS = {"left": 0.05, "right": 0.985, "top": 0.97, "bottom": 0.05, "wspace": 0.04, "hspace": 0.04}
PLANES = ((Y, X), (Z, X), (Y, Z))  # of each view: the axis downwards, and the one across
_AT_ONCE = 1 << 26  # voxels of an image that are in memory


@dataclass(frozen=True, slots=True, eq=False)
class Views:
    """The brightest voxels of an image, seen from above and from two sides.

    Attributes
    ----------
    shape
        Size of the image, Z, Y, X; Z is 1 in 2D.
    projections
        For each of :data:`PLANES`, the maxima along the axis that it leaves out.
    """

    shape: Shape
    projections: Sequence[NDArray[Any]]

    @classmethod
    def of(cls, read: Callable[[slice], NDArray[Any]], shape: Shape) -> "Views":
        """Project an image that is read piece by piece.

        Parameters
        ----------
        read
            Returns the planes of a slice along Z, (planes, Y, X).
        shape
            Size of the image, Z, Y, X.
        """
        step = max(1, _AT_ONCE // (shape[Y] * shape[X]))
        above: list[NDArray[Any]] = []
        front: list[NDArray[Any]] = []
        side: list[NDArray[Any]] = []
        for first in range(0, shape[Z], step):
            part = read(slice(first, min(first + step, shape[Z])))
            above = [np.max([*above, part.max(axis=Z)], axis=0)]
            front.append(part.max(axis=Y))
            side.append(part.max(axis=X))
        return cls(shape, (above[0], np.concatenate(front), np.concatenate(side).T))

    @classmethod
    def of_timepoint(cls, dataset: Dataset, t: int) -> "Views":
        """Project a timepoint of a dataset."""
        shape = (1,) * (3 - dataset.n_dims) + tuple(dataset.shape)

        def read(planes: slice) -> NDArray[Any]:
            if dataset.n_dims == 2:
                return dataset.read_image(t)[None]
            return dataset.read_image(t, Box((planes.start, 0, 0), (planes.stop - planes.start, *shape[1:])))

        return cls.of(read, shape)


def draw(
    path: Path,
    views: Views,
    voxel: VoxelSize,
    scores: TimepointScores,
    title: str,
    *,
    has_precision: bool = True,
) -> None:
    """Write a PNG with projections of an image, from above and, in 3D, from two sides.

    True nuclei and found ones have a colour each; bold are those that the other one lacks.

    Parameters
    ----------
    path
        Where to; its folder is made.
    scores
        The true and the found ones, and which of them are the same.
    has_precision
        Whether a found nucleus without a partner is wrong.

    Raises
    ------
    InvalidInputError
        matplotlib is not installed.
    """
    drawing = _matplotlib()
    extent = np.array(views.shape) * np.array(voxel.zyx)
    panels, figure, corner = _layout(extent, is_2d=views.shape[Z] == 1)
    for axes, plane, projection in zip(panels, PLANES, views.projections, strict=False):
        _show(axes, projection, voxel, plane)
        _outline(axes, scores.true, plane, TRUE, scores.matching.missed)
        _outline(axes, scores.found, plane, FOUND, scores.matching.wrong)
    _explain(corner, scores.matching.counts, title, has_precision=has_precision)
    path.parent.mkdir(parents=True, exist_ok=True)
    drawing(figure).print_figure(path, dpi=130, facecolor=PAPER)


def check_can_draw() -> None:
    """Refuse to draw where matplotlib is missing.

    Raises
    ------
    InvalidInputError
        It is.
    """
    _matplotlib()


def _matplotlib() -> Any:
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 - slow, and often not wanted
    except ImportError as error:
        raise InvalidInputError("a picture needs the package matplotlib: pip install matplotlib") from error
    return FigureCanvasAgg


def outline(spot: Nucleus, plane: tuple[int, int], points: int = 64) -> FloatArray:
    """Return the outline of an ellipsoid's shadow on the `plane` of two axes (of Z, Y, X), (points, 2), physical.

    The shadow of the one-sigma surface is the ellipse of the covariance's rows and columns of these two axes.
    """
    shadow = spot.covariance[np.ix_(plane, plane)]
    eigenvalues, eigenvectors = np.linalg.eigh(shadow)
    angle = np.linspace(0, 2 * np.pi, points)
    circle = np.stack([np.cos(angle), np.sin(angle)])
    ellipse: FloatArray = (eigenvectors * np.sqrt(eigenvalues)) @ circle
    return spot.pos[list(plane)] + ellipse.T


def _layout(extent: FloatArray, *, is_2d: bool) -> tuple[list[Any], "Figure", Any]:
    """Return a panel for each view, to one scale, and the corner for the text."""
    from matplotlib.figure import Figure  # noqa: PLC0415

    if is_2d:
        side = 0.42 * float(extent[X])
        figure = Figure(figsize=(WIDTH, WIDTH * float(extent[Y]) / (float(extent[X]) + side)), facecolor=PAPER)
        grid = figure.add_gridspec(1, 2, width_ratios=[extent[X], side], **MARGINS)
        return [figure.add_subplot(grid[0])], figure, figure.add_subplot(grid[1])
    side = max(0.42 * float(extent[X]), float(extent[Z]))  # room for the text where the movie is shallow
    height = WIDTH * float(extent[Y] + side) / float(extent[X] + side)
    figure = Figure(figsize=(WIDTH, height), facecolor=PAPER)
    ratios = {"width_ratios": [extent[X], side], "height_ratios": [extent[Y], side]}
    grid = figure.add_gridspec(2, 2, **ratios, **MARGINS)
    above = figure.add_subplot(grid[0, 0])
    below = figure.add_subplot(grid[1, 0], sharex=above)
    beside = figure.add_subplot(grid[0, 1], sharey=above)
    above.tick_params(labelbottom=False)
    beside.tick_params(labelleft=False)
    return [above, below, beside], figure, figure.add_subplot(grid[1, 1])


def _show(axes: Any, projection: NDArray[Any], voxel: VoxelSize, plane: tuple[int, int]) -> None:
    """Show a projection in physical units."""
    down, across = (n * voxel.zyx[axis] for n, axis in zip(projection.shape, plane, strict=True))
    half_down, half_across = (voxel.zyx[axis] / 2 for axis in plane)
    low, high = np.percentile(projection, [2, 99.7])
    box = (-half_across, across - half_across, down - half_down, -half_down)
    axes.imshow(projection, cmap="gray", vmin=low, vmax=max(high, low + 1), extent=box, interpolation="nearest")
    axes.tick_params(colors=INK, labelsize=7)
    axes.text(0.01, 0.01, "ZYX"[plane[1]] + "ZYX"[plane[0]], color=INK, transform=axes.transAxes, va="bottom")


def _outline(axes: Any, spots: Sequence[Nucleus], plane: tuple[int, int], colour: str, alone: Collection[int]) -> None:
    """Draw the outlines of `spots`, bold where they have no partner."""
    from matplotlib.collections import LineCollection  # noqa: PLC0415

    lines = [outline(spot, plane)[:, ::-1] for spot in spots]
    widths = [2.2 if index in alone else 0.9 for index in range(len(spots))]
    alphas = [1.0 if index in alone else 0.55 for index in range(len(spots))]
    axes.add_collection(LineCollection(lines, colors=colour, linewidths=widths, alpha=alphas), autolim=False)


def _explain(axes: Any, counts: Counts, title: str, *, has_precision: bool) -> None:
    """Write title, scores and legend."""
    from matplotlib.lines import Line2D  # noqa: PLC0415

    axes.set_axis_off()
    axes.text(0, 0.95, title, color=INK, fontsize=11, va="top", transform=axes.transAxes)
    rows = [("recall", counts.recall)]
    if has_precision:
        rows = [("F1", counts.f1), ("precision", counts.precision), *rows]
    numbers = "\n".join(f"{name:<10}{shown(value)}" for name, value in rows)
    anchor = {"va": "top", "transform": axes.transAxes}
    axes.text(0, 0.75, numbers, color=INK, fontsize=14, family="monospace", **anchor)
    lines = [(TRUE, 1.2, f"true: {counts.n_true}"), (TRUE, 3, f"missed: {counts.n_missed}")]
    if has_precision:
        lines += [(FOUND, 1.2, f"found: {counts.n_found}"), (FOUND, 3, f"wrong: {counts.n_wrong}")]
    handles = [Line2D([], [], color=colour, lw=width, label=label) for colour, width, label in lines]
    axes.legend(handles=handles, loc="lower left", frameon=False, labelcolor=INK, fontsize=10, borderaxespad=0)
