"""Spots of consecutive timepoints joined to tracks."""

from elephant.tracking.joining import join
from elephant.tracking.tracks import Track, tracks_of

__all__ = ["Track", "join", "tracks_of"]
