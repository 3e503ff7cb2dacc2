"""Predictions to spots."""

from elephant.spots.detection import DetectedSpot, find_spots

__all__ = ["DetectedSpot", "find_spots"]
