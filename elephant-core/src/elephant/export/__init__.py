"""Writing tracked nuclei for other programs: masks of the Cell Tracking Challenge, and formats of other packages."""

from elephant.export.archive import MaskArchive, beginning_of_archive
from elephant.export.masks import MarkedNucleus, ctc_mask

__all__ = ["MarkedNucleus", "MaskArchive", "beginning_of_archive", "ctc_mask"]
