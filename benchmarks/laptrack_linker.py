"""Spots joined with LapTrack, which has to be installed."""

from collections.abc import Callable

import numpy as np
from laptrack import LapTrack

from benchmarks.lineage_detections import NONE
from elephant.tracking.assignment import Indices
from elephant.tracking.linkers import Detections

Method = Callable[[Detections, float], Indices]


def laptrack(n_frames: int) -> Method:
    """Return LapTrack with divisions, and with gaps of up to `n_frames` timepoints."""

    def join(spots: Detections, threshold: float) -> Indices:
        square = threshold**2
        tracker = LapTrack(
            cutoff=square,
            splitting_cutoff=square,
            gap_closing_cutoff=square if n_frames else False,
            gap_closing_max_frame_count=n_frames,
        )
        times = range(int(spots.timepoints[0]), int(spots.timepoints[-1]) + 1)
        members = [np.flatnonzero(spots.timepoints == t) for t in times]
        graph = tracker.predict([spots.positions[here] for here in members])
        parents = np.full(len(spots), NONE, dtype=np.intp)
        for (t, i), (u, j) in graph.edges:
            parents[members[u][j]] = members[t][i]
        return parents

    return join
