"""A stored timepoint to what a network sees: median correction, normalisation, rescaling."""

from elephant.images.prepare import normalise, prepare, rescale, rescale_labels

__all__ = ["normalise", "prepare", "rescale", "rescale_labels"]
