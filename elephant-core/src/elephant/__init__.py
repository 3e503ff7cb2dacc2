"""Detection and tracking of nuclei in 3D+t microscopy movies from sparse annotations.

Importing this package imports none of the heavy libraries: each room imports what it needs.
"""

import os

__version__ = "0.1.0"

# PyTorch's threads wait for each other in every operation, by default without letting go of their cores. Where
# something else wants a core, as a prediction beside a training does, or the viewer on the same laptop, all of them
# then wait for the one that has none, and everything takes ten times as long. So they spin for a short while only:
# long enough for the next operation on a quiet machine. This is read when PyTorch is loaded.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
