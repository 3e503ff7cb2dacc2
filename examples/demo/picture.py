"""Draws true and found nuclei over projections of the image, and the scores beside them."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from examples.demo.scoring import Nucleus, Scores
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from elephant.types import FloatArray

TRUE, FOUND, PAPER, INK = "#4cc9f0", "#ff9f1c", "#101418", "#e8e8e8"
Z, Y, X = 0, 1, 2
WIDTH = 12.0  # inches
MARGINS = {"left": 0.05, "right": 0.985, "top": 0.97, "bottom": 0.05, "wspace": 0.04, "hspace": 0.04}


def draw(
    path: Path,
    image: NDArray[np.integer],
    voxel: Sequence[float],
    true: Sequence[Nucleus],
    found: Sequence[Nucleus],
    scores: Scores,
    title: str,
) -> None:
    """Write a PNG to `path` with the projections of `image` (Z, Y, X), from above and, in 3D, from two sides."""
    extent = np.array(image.shape) * np.array(voxel)
    panels, figure, corner = _layout(extent, is_2d=image.shape[0] == 1)
    for axes, (down, across) in panels:
        _show(axes, image, voxel, (down, across))
        _outline(axes, true, (down, across), TRUE, scores.missed)
        _outline(axes, found, (down, across), FOUND, scores.wrong)
    _explain(corner, scores, title)
    path.parent.mkdir(parents=True, exist_ok=True)
    FigureCanvasAgg(figure).print_figure(path, dpi=130, facecolor=PAPER)


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


def _layout(extent: FloatArray, *, is_2d: bool) -> tuple[list[tuple[Any, tuple[int, int]]], Figure, Any]:
    """Return panels with the axes (down, across) that each shows, to one scale, and the corner for the text."""
    if is_2d:
        side = 0.42 * float(extent[X])
        figure = Figure(figsize=(WIDTH, WIDTH * float(extent[Y]) / (float(extent[X]) + side)), facecolor=PAPER)
        grid = figure.add_gridspec(1, 2, width_ratios=[extent[X], side], **MARGINS)
        return [(figure.add_subplot(grid[0]), (Y, X))], figure, figure.add_subplot(grid[1])
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
    return [(above, (Y, X)), (below, (Z, X)), (beside, (Y, Z))], figure, figure.add_subplot(grid[1, 1])


def _show(axes: Any, image: NDArray[np.integer], voxel: Sequence[float], plane: tuple[int, int]) -> None:
    """Show the brightest voxels along the axis that `plane` (down, across) leaves out."""
    hidden = ({Z, Y, X} - set(plane)).pop()
    projection = image.max(axis=hidden)
    if plane[0] > plane[1]:
        projection = projection.T
    down, across = (image.shape[axis] * voxel[axis] for axis in plane)
    half_down, half_across = (voxel[axis] / 2 for axis in plane)
    low, high = np.percentile(projection, [2, 99.7])
    box = (-half_across, across - half_across, down - half_down, -half_down)
    axes.imshow(projection, cmap="gray", vmin=low, vmax=max(high, low + 1), extent=box, interpolation="nearest")
    axes.tick_params(colors=INK, labelsize=7)
    axes.text(0.01, 0.01, "ZYX"[plane[1]] + "ZYX"[plane[0]], color=INK, transform=axes.transAxes, va="bottom")


def _outline(axes: Any, spots: Sequence[Nucleus], plane: tuple[int, int], colour: str, alone: Collection[int]) -> None:
    """Draw the outlines of `spots`, bold where they have no partner."""
    lines = [outline(spot, plane)[:, ::-1] for spot in spots]
    widths = [2.2 if index in alone else 0.9 for index in range(len(spots))]
    axes.add_collection(LineCollection(lines, colors=colour, linewidths=widths), autolim=False)


def _explain(axes: Any, scores: Scores, title: str) -> None:
    """Write title, scores and legend."""
    axes.set_axis_off()
    axes.text(0, 0.95, title, color=INK, fontsize=11, va="top", transform=axes.transAxes)
    rows = [("F1", scores.f1), ("precision", scores.precision), ("recall", scores.recall)]
    numbers = "\n".join(f"{name:<10}{value:.3f}" for name, value in rows)
    anchor = {"va": "top", "transform": axes.transAxes}
    axes.text(0, 0.75, numbers, color=INK, fontsize=14, family="monospace", **anchor)
    handles = [
        Line2D([], [], color=TRUE, lw=1.2, label=f"true: {scores.n_true}"),
        Line2D([], [], color=FOUND, lw=1.2, label=f"found: {scores.n_found}"),
        Line2D([], [], color=TRUE, lw=3, label=f"missed: {len(scores.missed)}"),
        Line2D([], [], color=FOUND, lw=3, label=f"wrong: {len(scores.wrong)}"),
    ]
    axes.legend(handles=handles, loc="lower left", frameon=False, labelcolor=INK, fontsize=10, borderaxespad=0)
