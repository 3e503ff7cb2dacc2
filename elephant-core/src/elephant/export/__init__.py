"""Results in the form in which others read them: masks of the Cell Tracking Challenge."""

from elephant.export.archive import write_mask
from elephant.export.masks import Cell, ctc_mask

__all__ = ["Cell", "ctc_mask", "write_mask"]
