"""Nuclei as bright blobs of about one size: maxima of a difference of Gaussians."""

import numpy as np
from pydantic import Field
from scipy import ndimage

from elephant.methods.base import Detector
from elephant.types import DetectedSpot


class DifferenceOfGaussians(Detector):
    """Finds bright blobs; needs no training."""

    radius: float = Field(5.0, gt=0, description="radius of a nucleus, physical")
    threshold: float = Field(0.05, ge=0, le=1, description="least contrast of a nucleus, 0 to 1")

    def detect(self, image: np.ndarray, voxel_size: tuple[float, ...]) -> list[DetectedSpot]:
        """Find maxima of the difference between a narrow and a wide blur."""
        sigma = self.radius / np.sqrt(image.ndim) / np.array(voxel_size)
        response = ndimage.gaussian_filter(image, sigma) - ndimage.gaussian_filter(image, 1.6 * sigma)
        size = 2 * np.maximum(np.rint(sigma), 1).astype(int) + 1
        peaks = (response == ndimage.maximum_filter(response, size)) & (response > self.threshold)
        voxels = np.argwhere(peaks)
        return [DetectedSpot.ball(v * voxel_size, self.radius, float(min(response[tuple(v)], 1))) for v in voxels]
