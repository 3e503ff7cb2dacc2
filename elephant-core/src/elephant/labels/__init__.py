"""Annotations to training targets."""

from elephant.labels.detection import detection_labels
from elephant.labels.flow import flow_labels

__all__ = ["detection_labels", "flow_labels"]
