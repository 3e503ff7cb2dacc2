"""Crops of labelled timepoints, chosen and augmented at random."""

from elephant.crops.detection import Crop, cut_crop
from elephant.crops.flow import FlowCrop, LabelledPair, cut_flow_crop
from elephant.crops.volume import LabelledVolume

__all__ = ["Crop", "FlowCrop", "LabelledPair", "LabelledVolume", "cut_crop", "cut_flow_crop"]
