"""Detection and tracking of nuclei in 3D+t microscopy movies from sparse annotations.

Importing this package imports none of the heavy libraries: each room imports what it needs.
"""

import os

__version__ = "0.1.0"

# PyTorch's threads wait for each other in every operation, by default without letting go of their cores. Where
# something else wants a core, as a prediction beside a training does, or the viewer on the same laptop, all of them
# then wait for the one that has none, and everything takes ten times as long. This is read when PyTorch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
