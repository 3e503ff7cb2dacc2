"""The pictures of the tutorial of the command line: what came out of its commands."""

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from _pictures import drawing
from _pictures.drawing import FOUND, INK, SOFT, TRUE, Nucleus
from elephant.dataset import Dataset

VOXEL = (0.5, 0.5, 2.0)  # as the tutorial says, X, Y, Z


def draw(folder: Path) -> None:
    """Draw all of them."""
    dataset = Dataset(folder / "workspace" / "datasets" / "movie")
    annotated(dataset, drawing.read_spots(folder / "annotated.json"))
    labels(dataset, drawing.read_spots(folder / "annotated.json"))
    found(dataset, drawing.read_spots(folder / "found.json"))
    tracks(dataset, drawing.read_spots(folder / "tracked.json"))
    masks(folder / "masks.zip")


def busiest(nuclei: list[Nucleus], n_slices: int) -> int:
    """Return the slice that cuts the most nuclei."""
    cuts = [sum(nucleus.slice_at(z * VOXEL[2]) is not None for nucleus in nuclei) for z in range(n_slices)]
    return int(np.argmax(cuts))


def annotated(dataset: Dataset, nuclei: list[Nucleus]) -> None:
    """Draw the first timepoint from above, without and with the outlines of the nuclei that were marked."""
    image = dataset.read_image(0).max(axis=0)
    figure, axes = drawing.panels(2, titles=("the movie, from above", "the nuclei that are marked"))
    for ax in axes:
        drawing.show(ax, image, VOXEL)
    for nucleus in nuclei:
        drawing.outline(axes[1], nucleus.shadow(), TRUE)
    drawing.save(figure, "tutorial-annotated.webp")


def labels(dataset: Dataset, nuclei: list[Nucleus]) -> None:
    """Draw a slice beside its labels."""
    z = busiest(nuclei, dataset.shape[0])
    figure, axes = drawing.panels(2, titles=(f"slice {z} of timepoint 0", "its labels: background, border, centre"))
    drawing.show(axes[0], dataset.read_image(0)[z], VOXEL)
    drawing.show(axes[1], coloured(dataset.read_labels(0)[z], dataset.read_image(0)[z]), VOXEL)
    drawing.save(figure, "tutorial-labels.webp")


def coloured(labelled: drawing.Volume, image: drawing.Volume) -> drawing.Volume:
    """Return labels (Y, X) as colours over the image, (Y, X, 3), 0 to 1."""
    low, high = np.percentile(image, [1, 99.8])
    grey = np.clip((image - low) / (high - low), 0, 1)
    colours = [drawing.BACKGROUND, drawing.BORDER, drawing.CENTRE]
    picture = np.repeat(grey[..., None], 3, axis=-1)
    for value, colour in enumerate(colours, start=1):
        rgb = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
        share = 0.35 if value == 1 else 0.65
        inside = labelled == value
        picture[inside] = (1 - share) * picture[inside] + share * rgb
    return picture


def found(dataset: Dataset, nuclei: list[Nucleus]) -> None:
    """Draw a slice of the last timepoint, its probabilities, and the nuclei that are found in it."""
    t = dataset.n_timepoints - 1
    mine = [nucleus for nucleus in nuclei if nucleus.t == t]
    z = brightest(probabilities(dataset, t))
    titles = (f"slice {z} of timepoint {t}", "probability of a centre", "the nuclei that are found")
    figure, axes = drawing.panels(3, width=9.0, height=3.3, titles=titles)
    image = dataset.read_image(t)[z]
    drawing.show(axes[0], image, VOXEL)
    drawing.show(axes[1], probabilities(dataset, t)[z, ..., 2].astype(float), VOXEL, cmap="magma", vmin=0, vmax=1)
    drawing.show(axes[2], image, VOXEL)
    for nucleus in mine:
        drawing.outline(axes[2], nucleus.slice_at(z * VOXEL[2]), FOUND)
    drawing.save(figure, "tutorial-found.webp")


def probabilities(dataset: Dataset, t: int) -> drawing.Volume:
    """Return the probabilities that were kept of a timepoint, (Z, Y, X, 3)."""
    return dataset.read_probabilities(t)


def brightest(probability: drawing.Volume) -> int:
    """Return the slice that goes through the most centres."""
    return int(np.argmax((probability[..., 2] > 0.4).sum(axis=(1, 2))))


def tracks(dataset: Dataset, nuclei: list[Nucleus]) -> None:
    """Draw the last timepoint from above, and the way of each of its nuclei."""
    t = dataset.n_timepoints - 1
    figure, axes = drawing.panels(1, width=5.2, height=5.0)
    drawing.show(axes[0], dataset.read_image(t).max(axis=0), VOXEL, cmap="gray", alpha=0.75)
    by_id = {nucleus.entry["id"]: nucleus for nucleus in nuclei}
    for nucleus in (n for n in nuclei if n.t == t):
        drawing.outline(axes[0], nucleus.shadow(), SOFT, 0.7)
        draw_way(axes[0], nucleus, by_id)
    axes[0].text(0.01, 0.01, "bright: earlier", color=INK, fontsize=8, transform=axes[0].transAxes)
    drawing.save(figure, "tutorial-tracks.webp")


def draw_way(ax: Any, nucleus: Nucleus, by_id: dict[int, Nucleus]) -> None:
    """Draw a line from a nucleus to its mother, to hers, and so on, brighter the earlier."""
    widths, now = 1.2, nucleus
    while now.entry.get("parent") in by_id:
        mother = by_id[now.entry["parent"]]
        ends = np.stack([now.pos[:2], mother.pos[:2]])
        ax.plot(ends[:, 0], ends[:, 1], color=FOUND if widths < 2 else "#ffd9a0", lw=widths, scalex=False, scaley=False)
        widths, now = widths + 0.7, mother
    ax.plot(*now.pos[:2], ".", color="#ffffff", ms=3)


def masks(archive: Path) -> None:
    """Draw the masks of the first and the last timepoint, a colour a track."""
    with zipfile.ZipFile(archive) as opened:
        names = sorted(name for name in opened.namelist() if name.endswith(".tif"))
        volumes = [tifffile.imread(io.BytesIO(opened.read(name))) for name in (names[0], names[-1])]
    colours = np.random.default_rng(3).uniform(0.25, 1, (65536, 3))
    colours[0] = 0.06
    figure, axes = drawing.panels(2, titles=(names[0], names[-1]))
    for ax, volume in zip(axes, volumes, strict=True):
        drawing.show(ax, colours[volume.max(axis=0)], VOXEL)
    drawing.save(figure, "tutorial-masks.webp")
