"""Detection and tracking of nuclei in 3D+t microscopy movies from sparse annotations.

Importing this package imports none of the heavy libraries: each room imports what it needs.
"""

__version__ = "0.1.0"
