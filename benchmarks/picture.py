"""The picture of the page: how what a person waits for grows with what is asked."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

Json = dict[str, Any]
_COLOURS = ("#0077b6", "#e07a1f", "#3a7d44", "#8d4fa8", "#b3263a")
_LINE = "#8b96a3"


def draw(path: Path, curves: Mapping[str, Sequence[Json]]) -> None:
    """Draw curves with their straight lines, those of one kind together.

    Parameters
    ----------
    curves
        By the names of the machines that they were measured on.
    """
    import matplotlib as mpl  # noqa: PLC0415 - slow, and for this picture alone
    from matplotlib.figure import Figure  # noqa: PLC0415

    mpl.rcParams |= {"svg.fonttype": "none", "svg.hashsalt": "benchmarks", "font.size": 9}
    keys = list(dict.fromkeys(curve["key"] for found in curves.values() for curve in found))
    columns = min(len(keys), 2)
    rows = -(-len(keys) // columns)
    figure = Figure((3.6 * columns, 2.6 * rows), layout="constrained", facecolor="white")
    for i, key in enumerate(keys, start=1):
        _draw_one(figure.add_subplot(rows, columns, i), key, curves)
    if len(curves) > 1:
        marks = [
            mpl.lines.Line2D([], [], color=colour, marker="o", linewidth=0, label=name)
            for name, colour in zip(curves, _colours(len(curves)), strict=True)
        ]
        figure.legend(handles=marks, loc="outside lower center", frameon=False)
    figure.savefig(path, metadata={"Date": None})


def _draw_one(axes: Any, key: str, curves: Mapping[str, Sequence[Json]]) -> None:
    highest = 0.0
    for colour, found in zip(_colours(len(curves)), curves.values(), strict=True):
        for curve in (c for c in found if c["key"] == key):
            xs, ys = zip(*curve["points"], strict=True)
            ends = [0, max(xs)]
            axes.plot(ends, [curve["intercept"] + curve["slope"] * x for x in ends], color=_LINE, linewidth=1)
            axes.plot(xs, ys, "o", color=colour, markersize=4)
            axes.set(title=curve["title"].replace("`", ""), xlabel=curve["x_label"], ylabel=curve["y_label"])
            highest = max(highest, *ys)
    axes.set(xlim=(0, None), ylim=(0, 1.15 * highest))
    axes.spines[["top", "right"]].set_visible(False)


def _colours(n: int) -> list[str]:
    return [_COLOURS[i % len(_COLOURS)] for i in range(n)]
