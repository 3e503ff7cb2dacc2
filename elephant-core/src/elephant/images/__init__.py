"""A stored timepoint to what a network sees: median correction, normalisation, rescaling."""

from elephant.images.prepare import darker_than, normalise, prepare, rescale, rescale_labels

__all__ = ["darker_than", "normalise", "prepare", "rescale", "rescale_labels"]
