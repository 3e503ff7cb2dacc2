"""Results in the form in which others read them: masks of the Cell Tracking Challenge."""

from elephant.export.archive import MaskArchive, beginning_of_archive
from elephant.export.masks import MarkedNucleus, ctc_mask

__all__ = ["MarkedNucleus", "MaskArchive", "beginning_of_archive", "ctc_mask"]
