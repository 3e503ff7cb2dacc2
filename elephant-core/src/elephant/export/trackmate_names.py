"""The features that our files for TrackMate add to its own, which must be numbers."""

from dataclasses import dataclass, field

from elephant.types import Tag

COVARIANCE = ("ELEPHANT_CXX", "ELEPHANT_CXY", "ELEPHANT_CXZ", "ELEPHANT_CYY", "ELEPHANT_CYZ", "ELEPHANT_CZZ")
UNKNOWN_QUALITY = -1.0  # TrackMate's own for spots that a person made


@dataclass(frozen=True, slots=True)
class TagFeature:
    """Tags as numbers: 0 is unlabeled, and -1 none, since readers expect each spot to have all features."""

    feature: str = "ELEPHANT_TAG"
    order: tuple[Tag, ...] = field(default=(Tag.UNLABELED, Tag.TP, Tag.FP, Tag.TN, Tag.FN, Tag.TB, Tag.FB))

    def number_of(self, tag: Tag | None) -> int:
        """Return the number of a tag, or of none."""
        return -1 if tag is None else self.order.index(tag)

    def tag_of(self, number: float) -> Tag | None:
        """Return the tag of a number; None for a number that is none."""
        return self.order[int(number)] if number in range(len(self.order)) else None


TAGS = TagFeature()
