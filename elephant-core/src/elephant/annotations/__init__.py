"""Annotations and tracks in: from our own files and those of other programs to spots.

Each format is an :class:`.AnnotationReader`; packages add others under the entry-point group ``elephant.annotations``.
"""

from elephant.annotations.base import AnnotationReader, MovieFacts
from elephant.annotations.merging import read_all
from elephant.annotations.reading import read_annotations
from elephant.annotations.records import SpotRecord, links_of, nuclei_of, nucleus_of, spot_of
from elephant.config import AnnotationParams

__all__ = [
    "AnnotationParams", "AnnotationReader", "MovieFacts", "SpotRecord", "links_of", "nuclei_of", "nucleus_of",
    "read_all", "read_annotations", "spot_of",
]  # fmt: skip
