"""What killed processes left in the folders of datasets."""

import logging
import os
from pathlib import Path

from elephant.dataset.transaction import recover

logger = logging.getLogger(__name__)


def sweep(datasets: Path) -> None:
    """Bring to its end, or throw away, what was interrupted in any dataset; leave alone what is at work.

    Only what this package's own writers put there is touched.

    Parameters
    ----------
    datasets
        The folder of all datasets, at any depth; it need not exist.
    """
    for folder, names, _ in os.walk(datasets):
        if any(name.endswith(".zarr") or name == ".conversion" for name in names):
            recover(Path(folder))
        names[:] = [name for name in names if not name.endswith(".zarr") and not name.startswith(".")]
