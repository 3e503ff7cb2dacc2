"""Ellipsoids on the voxel grid: painting them, and measuring them from painted voxels."""

from elephant.geometry.ellipsoid import Ellipsoid
from elephant.geometry.moments import ComponentStatistics, component_statistics
from elephant.geometry.raster import Raster, rasterise

__all__ = ["ComponentStatistics", "Ellipsoid", "Raster", "component_statistics", "rasterise"]
