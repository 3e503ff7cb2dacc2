"""Spots joined with motile, which has to be installed."""

import networkx as nx
import numpy as np
from motile import Solver, TrackGraph
from motile.constraints import MaxChildren, MaxParents
from motile.costs import EdgeDistanceCost, NodeAppearCost, NodeSelectedCost, NodeSplitCost
from scipy.spatial import cKDTree

from benchmarks.lineage_detections import NONE
from elephant.tracking.assignment import Indices
from elephant.tracking.linkers import Detections

_SPLIT = 0.3  # of the threshold: the better one of 0 and 0.3 on a part of Pm09


def motile(spots: Detections, threshold: float) -> Indices:
    """Join spots with motile, solved as a whole: a link costs its distance, an end of a track the threshold.

    A spot saves what it costs to begin a track with it, so that spots that are joined to nothing are free. There are no
    links over gaps: with them, or with a threshold of the spacing, a movie takes many minutes. 0.6 of the spacing made
    fewest errors on Pm09.
    """
    graph = nx.DiGraph()
    for i, (t, place) in enumerate(zip(spots.timepoints, spots.positions, strict=True)):
        graph.add_node(i, t=int(t), z=place[0], y=place[1], x=place[2])
    for t in range(int(spots.timepoints[0]), int(spots.timepoints[-1])):
        before, now = (np.flatnonzero(spots.timepoints == u) for u in (t, t + 1))
        near = cKDTree(spots.positions[now]).query_ball_point(spots.positions[before], threshold)
        graph.add_edges_from((int(i), int(now[j])) for i, found in zip(before, near, strict=True) for j in found)
    solver = Solver(TrackGraph(graph, frame_attribute="t"))
    solver.add_cost(EdgeDistanceCost(position_attribute=("z", "y", "x"), weight=1.0))
    solver.add_cost(NodeSelectedCost(constant=-threshold))
    solver.add_cost(NodeAppearCost(constant=threshold))
    solver.add_cost(NodeSplitCost(constant=_SPLIT * threshold))
    solver.add_constraint(MaxParents(1))
    solver.add_constraint(MaxChildren(2))
    solver.solve(verbose=False)
    parents = np.full(len(spots), NONE, dtype=np.intp)
    for i, j in solver.get_selected_subgraph().edges:
        parents[j] = i
    return parents
