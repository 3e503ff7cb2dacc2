"""Annotations to training targets."""

from elephant.labels.detection import detection_labels

__all__ = ["detection_labels"]
