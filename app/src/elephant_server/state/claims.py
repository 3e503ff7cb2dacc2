"""What a job needs of a dataset, and which jobs cannot work on the same one at the same time.

Several workers answer at once. Predictions do not mind each other; but labels of a timepoint have to be those of the
update that was asked for last, and a dataset that is made anew is nobody else's meanwhile. Of jobs that clash the one
that was entered first comes first.
"""

from enum import StrEnum
from pathlib import PurePosixPath


class Access(StrEnum):
    """How a job uses a dataset."""

    READ = "r"  # predictions and exports: beside each other and beside changes of labels
    LABELS = "l"  # one after the other
    ALL = "a"  # alone


def claim(access: Access, dataset_name: str) -> str:
    """Return what is entered in the job store for a use of a dataset."""
    return f"{access.value}:{PurePosixPath(dataset_name)}"


def clash(one: str, other: str) -> bool:
    """Tell whether two claims exclude each other; empty ones exclude nothing."""
    if not one or not other or one[1:] != other[1:]:
        return False
    return Access.ALL.value in (one[0], other[0]) or one[0] == other[0] == Access.LABELS.value
