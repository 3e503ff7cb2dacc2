"""The way from annotations of one timepoint to lineages, as it is measured."""

import numpy as np
from benchmarks.annotations_to_tracks import numbered

from elephant.simulation import TrueNucleus, Truth
from elephant.types import Spot


def nucleus(t: int, id_: int, x: float, parent: int | None = None) -> TrueNucleus:
    return TrueNucleus(Spot(t, np.array([0.0, 0.0, x]), np.eye(3), id=id_), parent)


def test_each_true_nucleus_knows_the_one_that_it_was() -> None:
    frames = (
        (nucleus(0, 7, 1.0), nucleus(0, 8, 5.0)),
        (nucleus(1, 8, 5.5), nucleus(1, 9, 0.5, parent=7), nucleus(1, 10, 1.5, parent=7), nucleus(1, 11, 9.0)),
    )
    spots = numbered(Truth((1.0, 1.0, 1.0), (4, 8, 16), frames))
    assert [(spot["t"], spot["id"], spot["parent"], spot["pos"][0]) for spot in spots] == [
        (0, 0, None, 1.0),
        (0, 1, None, 5.0),
        (1, 2, 1, 5.5),
        (1, 3, 0, 0.5),
        (1, 4, 0, 1.5),
        (1, 5, None, 9.0),
    ]
