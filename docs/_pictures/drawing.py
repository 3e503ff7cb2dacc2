"""What all pictures have in common: their size, colours, slices and outlines."""

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

PAPER, INK, SOFT = "#101418", "#e8e8e8", "#8b96a3"
TRUE, FOUND = "#4cc9f0", "#ff9f1c"
BACKGROUND, BORDER, CENTRE = "#e5484d", "#46a758", "#3e8ef7"  # as labels are shown: red, green, blue
IMAGES = Path(__file__).parents[1] / "images"

Volume = NDArray[Any]

# Drawings stay text, and are the same each time.
mpl.rcParams |= {"svg.fonttype": "none", "svg.hashsalt": "pictures", "font.family": ["DejaVu Sans"]}


class Nucleus:
    """An ellipsoid of a file of spots, X, Y, Z."""

    def __init__(self, entry: dict[str, Any]) -> None:
        self.t = int(entry["t"])
        self.pos = np.array(entry["pos"], float)
        self.covariance = np.array(entry["covariance"], float).reshape(3, 3)
        self.entry = entry

    def slice_at(self, z: float, scale: float = 1.0) -> NDArray[np.float64] | None:
        """Return the outline of the cut at the height `z`, (n, 2) X, Y; None where it does not get there."""
        across = np.linalg.inv(self.covariance * scale**2)
        a, b = across[:2, :2], across[:2, 2] * (z - self.pos[2])
        shift = -np.linalg.solve(a, b)
        left = 1 - across[2, 2] * (z - self.pos[2]) ** 2 + shift @ a @ shift
        return None if left <= 0 else self.pos[:2] + shift + _ellipse(np.linalg.inv(a) * left)

    def shadow(self) -> NDArray[np.float64]:
        """Return the outline as seen from above, (n, 2) X, Y."""
        return self.pos[:2] + _ellipse(self.covariance[:2, :2])


def _ellipse(covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    values, vectors = np.linalg.eigh(covariance)
    angle = np.linspace(0, 2 * np.pi, 73)
    around: NDArray[np.float64] = (np.stack([np.cos(angle), np.sin(angle)]).T * np.sqrt(values)) @ vectors.T
    return around


def read_spots(path: Path) -> list[Nucleus]:
    """Return the nuclei of a file of spots."""
    return [Nucleus(entry) for entry in json.loads(path.read_text(encoding="utf-8"))["spots"]]


def panels(n: int, width: float = 8.0, height: float = 4.2, titles: Sequence[str] = ()) -> tuple[Figure, list[Any]]:
    """Return a figure with `n` dark panels side by side, without axes."""
    figure = Figure(figsize=(width, height), facecolor=PAPER)
    axes = list(np.atleast_1d(figure.subplots(1, n)))
    for ax, title in zip(axes, [*titles, *[""] * n], strict=False):
        ax.set_axis_off()
        ax.set_title(title, color=INK, fontsize=9, loc="left")
    figure.subplots_adjust(left=0.01, right=0.99, bottom=0.02, top=0.92 if titles else 0.98, wspace=0.04)
    return figure, axes


def show(ax: Any, plane: Volume, voxel: Sequence[float], **how: Any) -> None:
    """Show a plane (Y, X) in physical units, voxels centred on their positions."""
    height, width = plane.shape[:2]
    x, y = voxel[0], voxel[1]
    extent = (-x / 2, (width - 0.5) * x, (height - 0.5) * y, -y / 2)
    if plane.ndim == 2 and "cmap" not in how:
        low, high = np.percentile(plane, [1, 99.8])
        how = {"cmap": "gray", "vmin": low, "vmax": max(high, low + 1e-6), **how}
    ax.imshow(plane, extent=extent, interpolation="nearest", **how)
    ax.set_xlim(extent[:2])
    ax.set_ylim(extent[2:])


def outline(ax: Any, points: NDArray[np.float64] | None, colour: str, width: float = 1.1) -> None:
    """Draw an outline, where there is one."""
    if points is not None:
        ax.plot(points[:, 0], points[:, 1], color=colour, lw=width, scalex=False, scaley=False)


def save(figure: Figure, name: str, dpi: int = 130) -> Path:
    """Write a picture as WebP, small enough to travel with the repository; or as SVG, where its name says so."""
    path = IMAGES / name
    if path.suffix == ".svg":
        figure.savefig(path, facecolor=figure.get_facecolor(), metadata={"Date": None, "Creator": None})
    else:
        buffer = io.BytesIO()
        figure.savefig(buffer, dpi=dpi, facecolor=figure.get_facecolor(), format="png")
        Image.open(buffer).convert("RGB").save(path, quality=80, method=6)
    print(f"{path.name}: {path.stat().st_size / 1024:.0f} KiB")
    return path
