"""The pictures of how the method works, made by the code that does it."""

from pathlib import Path

import numpy as np

from _pictures import drawing
from _pictures.drawing import BACKGROUND, BORDER, CENTRE, FOUND, INK, PAPER, TRUE, Nucleus
from _pictures.tutorial import VOXEL, brightest, busiest, coloured, probabilities
from elephant.config import LabelParams
from elephant.dataset import Dataset
from elephant.labels import detection_labels
from elephant.types import Spot, Tag, VoxelSize

C_RATIO, P_THRESH = 0.5, 0.4  # of the tutorial
FEW = 6
LONGER = 4  # than the ways are, so that their arrows can be seen


def draw(folder: Path) -> None:
    """Draw all of them."""
    dataset = Dataset(folder / "workspace" / "datasets" / "movie")
    labels(dataset, drawing.read_spots(folder / "annotated.json"))
    spots(dataset, drawing.read_spots(folder / "found.json"))
    flow(dataset, drawing.read_spots(folder / "tracked.json"))
    blending()


def labels(dataset: Dataset, nuclei: list[Nucleus]) -> None:
    """Draw a slice, a few annotated nuclei, and the labels that are made of them alone."""
    z = busiest(nuclei, dataset.shape[0])
    cut = [nucleus for nucleus in nuclei if nucleus.slice_at(z * VOXEL[2]) is not None]
    few = sorted(cut, key=lambda nucleus: nucleus.pos[0])[:FEW]
    image = dataset.read_image(0)
    params = LabelParams(voxel_size=VoxelSize(*VOXEL[::-1]), c_ratio=C_RATIO, auto_bg_thresh=0.1)
    made = detection_labels(dataset.shape, map(as_spot, few), params, image)
    figure, axes = drawing.panels(2, titles=("some nuclei are marked", "what the network learns from"))
    drawing.show(axes[0], image[z], VOXEL)
    drawing.show(axes[1], coloured(made[z], image[z]), VOXEL)
    for nucleus in few:
        drawing.outline(axes[0], nucleus.slice_at(z * VOXEL[2]), TRUE)
        drawing.outline(axes[0], nucleus.slice_at(z * VOXEL[2], C_RATIO), TRUE, 0.7)
    legend = {"grey: nothing": INK, "background": BACKGROUND, "border": BORDER, "centre": CENTRE}
    plate = {"fc": PAPER, "lw": 0, "pad": 2.5}
    for i, (words, colour) in enumerate(legend.items()):
        axes[1].text(0.02 + 0.22 * i, 0.02, words, color=colour, fontsize=8, transform=axes[1].transAxes, bbox=plate)
    drawing.save(figure, "method-labels.webp")


def as_spot(nucleus: Nucleus) -> Spot:
    """Return an annotated nucleus as the code knows it, Z, Y, X."""
    return Spot(nucleus.t, nucleus.pos[::-1].copy(), nucleus.covariance[::-1, ::-1].copy(), tag=Tag("tp"))


def spots(dataset: Dataset, nuclei: list[Nucleus]) -> None:
    """Draw probabilities, what is above the threshold, and the ellipsoids that follow."""
    t = dataset.n_timepoints - 1
    mine = [nucleus for nucleus in nuclei if nucleus.t == t]
    z = brightest(probabilities(dataset, t))
    probability = probabilities(dataset, t)[z, ..., 2].astype(float)
    titles = ("probability of a centre", f"above p_thresh = {P_THRESH}", "its second moments / c_ratio")
    figure, axes = drawing.panels(3, width=9.0, height=3.3, titles=titles)
    drawing.show(axes[0], probability, VOXEL, cmap="magma", vmin=0, vmax=1)
    drawing.show(axes[1], (probability > P_THRESH).astype(float), VOXEL, cmap="magma", vmin=0, vmax=1.3)
    drawing.show(axes[2], dataset.read_image(t)[z], VOXEL)
    for nucleus in mine:
        drawing.outline(axes[2], nucleus.slice_at(z * VOXEL[2], C_RATIO), "#ffd9a0", 0.8)
        drawing.outline(axes[2], nucleus.slice_at(z * VOXEL[2]), FOUND)
    drawing.save(figure, "method-spots.webp")


def flow(dataset: Dataset, nuclei: list[Nucleus]) -> None:
    """Draw a timepoint in one colour over the one before it in another, and arrows to where nuclei were."""
    t = dataset.n_timepoints - 1
    now, before = (np.asarray(dataset.read_image(i).max(axis=0), float) for i in (t, t - 1))
    low, high = np.percentile(now, [1, 99.8])
    both = [np.clip((plane - low) / (high - low), 0, 1) for plane in (now, before)]
    figure, axes = drawing.panels(1, width=5.2, height=5.0)
    picture = np.stack([both[0], 0.55 * both[0] + 0.45 * both[1], both[1]], axis=-1)
    drawing.show(axes[0], picture, VOXEL)
    for nucleus in (n for n in nuclei if n.t == t and n.entry.get("earlier")):
        arrow = {"arrowstyle": "->", "color": "#ffffff", "lw": 1.1, "shrinkA": 0, "shrinkB": 0}
        way = nucleus.entry["earlier"][:2] - nucleus.pos[:2]
        axes[0].annotate("", nucleus.pos[:2] + LONGER * way, nucleus.pos[:2], arrowprops=arrow)
    axes[0].text(
        0.01, 0.07, f"arrows: {LONGER} times as long as the way", color=INK, fontsize=8, transform=axes[0].transAxes
    )
    axes[0].text(0.01, 0.04, f"orange: timepoint {t}", color="#ffb366", fontsize=8, transform=axes[0].transAxes)
    axes[0].text(0.01, 0.01, f"blue: timepoint {t - 1}", color="#66aaff", fontsize=8, transform=axes[0].transAxes)
    drawing.save(figure, "method-flow.webp")


def blending() -> None:
    """Draw the weights of three overlapping tiles in a row."""
    figure, (ax,) = drawing.panels(1, width=7.0, height=1.9)
    ramp, starts, length = 24, (0, 72, 144), 96
    x = np.arange(0, 241, 8)
    for start, colour in zip(starts, (TRUE, FOUND, "#b48ef0"), strict=True):
        rise = np.ones(x.size) if start == 0 else np.clip((x - start) / ramp, 0, 1)
        fall = np.ones(x.size) if start == starts[-1] else np.clip((start + length - x) / ramp, 0, 1)
        inside = (x >= start) & (x <= start + length)
        weight = np.where(inside, np.minimum(rise, fall), 0)
        ax.fill_between(x, weight, color=colour, alpha=0.35, lw=0)
        ax.plot(x[inside], weight[inside], color=colour, lw=1.4)
        ax.text(start + length / 2, 0.45, "tile", color=INK, ha="center", fontsize=9)
    ax.plot(x, np.ones(x.size), color=INK, lw=1, ls=":")
    ax.text(240, 1.06, "sum of the weights", color=INK, ha="right", fontsize=8)
    ax.set_ylim(-0.03, 1.25)
    drawing.save(figure, "method-blending.svg")
