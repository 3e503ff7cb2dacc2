"""Crops of labelled timepoints, chosen and augmented at random."""

from elephant.crops.cut import Crop, FlowCrop, LabelledPair, cut_crop, cut_flow_crop
from elephant.crops.sample import LabelledVolume

__all__ = ["Crop", "FlowCrop", "LabelledPair", "LabelledVolume", "cut_crop", "cut_flow_crop"]
