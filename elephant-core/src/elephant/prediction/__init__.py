"""Running networks over whole images: tiles, blending, slices."""

from elephant.prediction.network import predict_flow, predict_probabilities

__all__ = ["predict_flow", "predict_probabilities"]
