"""Drawings that are not made of data: what follows what, and the network."""

from typing import Any

from matplotlib.patches import FancyBboxPatch

from _pictures import drawing
from _pictures.drawing import FOUND, INK, SOFT, TRUE


def draw() -> None:
    """Draw all of them."""
    loop()
    unet()


def box(ax: Any, x: float, y: float, words: str, colour: str = TRUE, size: tuple[float, float] = (1.7, 0.7)) -> None:
    """Draw a rounded box with words in its middle, which is at (x, y)."""
    width, height = size
    corner = (x - width / 2, y - height / 2)
    style = "round,pad=0.02,rounding_size=0.12"
    ax.add_patch(FancyBboxPatch(corner, width, height, boxstyle=style, fc="#1b2229", ec=colour))
    ax.text(x, y, words, color=INK, ha="center", va="center", fontsize=9)


def arrow(ax: Any, begin: tuple[float, float], end: tuple[float, float], words: str = "", bend: float = 0.0) -> None:
    """Draw an arrow, with words above its middle."""
    style = {"arrowstyle": "-|>", "color": SOFT, "lw": 1.3, "connectionstyle": f"arc3,rad={bend}"}
    ax.annotate("", end, begin, arrowprops=style)
    if words:
        ax.text((begin[0] + end[0]) / 2, (begin[1] + end[1]) / 2 + 0.12, words, color=SOFT, ha="center", fontsize=8)


def loop() -> None:
    """Draw how data flows, and how corrections come back."""
    figure, (ax,) = drawing.panels(1, width=8.6, height=2.9)
    names = ("annotated\nnuclei", "labels", "network", "probabilities,\nflow", "found nuclei,\nlinks")
    xs = [1.0 + 2.3 * i for i in range(len(names))]
    for x, name in zip(xs, names, strict=True):
        box(ax, x, 1.5, name, FOUND if x in (xs[0], xs[-1]) else TRUE)
    for x, words in zip(xs[:-1], ("paint", "train", "predict", "extract"), strict=True):
        arrow(ax, (x + 0.87, 1.5), (x + 1.43, 1.5))
        ax.text(x + 1.15, 1.98, words, color=SOFT, ha="center", fontsize=8)
    box(ax, (xs[1] + xs[2]) / 2, 2.75, "the movie", size=(1.6, 0.5))
    arrow(ax, ((xs[1] + xs[2]) / 2 + 0.3, 2.5), (xs[2], 1.87))
    arrow(ax, ((xs[1] + xs[2]) / 2 - 0.3, 2.5), (xs[1], 1.87))
    arrow(ax, (xs[-1], 1.12), (xs[0], 1.12), bend=-0.18)
    ax.text((xs[0] + xs[-1]) / 2, 0.2, "a person corrects: tp, fp, fn", color=INK, ha="center", fontsize=9)
    ax.set_xlim(0, xs[-1] + 1.0)
    ax.set_ylim(0.0, 3.1)
    drawing.save(figure, "method-loop.svg")


def unet() -> None:
    """Draw the levels of the network with their channels and skips."""
    figure, (ax,) = drawing.panels(1, width=8.6, height=3.9)
    channels = (16, 32, 64, 128, 256)
    for level, n in enumerate(channels):
        y, left, right = 4.0 - level * 0.9, 1.2 + level * 0.85, 9.0 - level * 0.85
        is_base = level == len(channels) - 1
        for x in [(left + right) / 2] if is_base else [left, right]:
            box(ax, x, y, f"{n}", size=(0.9, 0.5))
        if is_base:
            continue
        arrow(ax, (left + 0.47, y), (right - 0.47, y))
        end = ((1.2 + 9.0) / 2, y - 0.9) if level == 3 else None
        arrow(ax, (left + 0.1, y - 0.28), (end[0] - 0.3, y - 0.62) if end else (left + 0.75, y - 0.62))
        arrow(ax, (end[0] + 0.3, y - 0.62) if end else (right - 0.75, y - 0.62), (right - 0.1, y - 0.28))
    ax.text(5.1, 4.12, "features are handed across", color=SOFT, ha="center", fontsize=8)
    ax.text(-0.8, 1.1, "pooling halves X and Y,\nand Z but for the first\nn_keep_axials levels", color=SOFT, fontsize=8)
    box(ax, -0.3, 4.0, "image", FOUND, (1.0, 0.5))
    box(ax, 10.55, 4.0, "3 classes\nor the flow", FOUND, (1.3, 0.6))
    arrow(ax, (0.23, 4.0), (0.73, 4.0))
    arrow(ax, (9.47, 4.0), (9.88, 4.0))
    ax.set_xlim(-1.0, 11.3)
    ax.set_ylim(0.0, 4.5)
    drawing.save(figure, "method-unet.svg")
