"""Networks over whole images: tiles, blending, slices."""

from elephant.prediction.detection import predict_probabilities

__all__ = ["predict_probabilities"]
