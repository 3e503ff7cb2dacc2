"""Ellipsoids on the voxel grid: painting them, and measuring them from painted voxels."""

from elephant.geometry.ellipsoid import Ellipsoid
from elephant.geometry.moments import ComponentStatistics, component_statistics
from elephant.geometry.raster import Block, Raster, block_of, rasterise

__all__ = ["Block", "ComponentStatistics", "Ellipsoid", "Raster", "block_of", "component_statistics", "rasterise"]
