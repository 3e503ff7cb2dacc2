"""Joining spots of consecutive timepoints to tracks, and labels of tracks in masks."""

from elephant.tracking.labelling import Change, Reason, TrackLabels
from elephant.tracking.lineage import Lineage, TrackedSpot, lineage_of
from elephant.tracking.linking import Track, Tracks, join, join_spots, parents_of, tracks_of

__all__ = [
    "Change", "Lineage", "Reason", "Track", "TrackLabels", "TrackedSpot", "Tracks", "join", "join_spots", "lineage_of",
    "parents_of", "tracks_of",
]  # fmt: skip
