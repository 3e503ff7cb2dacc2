"""Crops of labelled timepoints, chosen and augmented at random."""

from elephant.crops.cut import Crop, LabelledPair, cut_crop
from elephant.crops.sample import LabelledVolume

__all__ = ["Crop", "LabelledPair", "LabelledVolume", "cut_crop"]
