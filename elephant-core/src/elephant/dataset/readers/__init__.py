"""Readers: what gives the voxels of the timepoints of a movie."""
