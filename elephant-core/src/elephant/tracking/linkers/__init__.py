"""Joining the detections of a whole movie to lineages: candidates, their worth, and the best choice among them."""

from elephant.config import LinkerParams
from elephant.tracking.linkers.base import Corrections, Detections, Linker, Solution
from elephant.tracking.linkers.global_linker import GlobalLinker
from elephant.tracking.linkers.problem import Problem
from elephant.tracking.suspected import SuspectedDivision, SuspectedDivisions

__all__ = [
    "Corrections", "Detections", "GlobalLinker", "Linker", "LinkerParams", "Problem", "Solution", "SuspectedDivision",
    "SuspectedDivisions",
]  # fmt: skip
