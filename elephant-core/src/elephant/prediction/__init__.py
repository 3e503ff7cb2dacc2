"""Networks over whole images: tiles, blending, slices."""

from elephant.prediction.detection import predict_probabilities
from elephant.prediction.flow import predict_flow

__all__ = ["predict_flow", "predict_probabilities"]
