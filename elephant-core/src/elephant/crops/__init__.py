"""Crops of labelled timepoints, chosen and augmented at random."""

from elephant.crops.augment import Crop, cut_crop
from elephant.crops.volume import LabelledVolume

__all__ = ["Crop", "LabelledVolume", "cut_crop"]
