"""Lineages that are kept with a dataset: tracked, looked at, corrected, and solved again where a correction counts.

To look at them needs no solver: what tracks and corrects is in :mod:`elephant.lineages.tracking`.
"""

from elephant.lineages.corrections import CorrectionEntry
from elephant.lineages.files import read_lineage, voxel_size_of_lineage
from elephant.lineages.lineage import Doubt, Lineage, LineageSpots, LineageTrack

__all__ = [
    "CorrectionEntry",
    "Doubt",
    "Lineage",
    "LineageSpots",
    "LineageTrack",
    "read_lineage",
    "voxel_size_of_lineage",
]
