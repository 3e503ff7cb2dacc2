"""Predictions to spots."""

from elephant.spots.detection import DetectedSpot, find_spots
from elephant.spots.flow import EarlierSpot, FlowField

__all__ = ["DetectedSpot", "EarlierSpot", "FlowField", "find_spots"]
