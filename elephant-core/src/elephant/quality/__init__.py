"""How probable it is that a found spot is a nucleus, from what the network says and what the image shows.

The network's own probability is near 1 for nearly all that it finds, right or wrong. :mod:`measures` takes a few more
figures of each spot, :mod:`logistic` turns figures into a probability, and :mod:`calibration` holds the weights, fitted
on simulated movies, and the correction of them that a model has from what a person judged.
"""

from elephant.quality.calibration import Calibration, calibrated, probability_of
from elephant.quality.logistic import Logistic, fit
from elephant.quality.measures import NAMES, logit, measure
from elephant.quality.scene import Scene, Sites

__all__ = [
    "NAMES", "Calibration", "Logistic", "Scene", "Sites", "calibrated", "fit", "logit", "measure", "probability_of",
]  # fmt: skip
