"""Detection and tracking of nuclei in 3D+t microscopy movies from sparse annotations.

From an array to nuclei::

    movie = elephant.open_dataset(array, voxel_size=(2, 0.5, 0.5))
    nuclei = elephant.pretrained().predict(movie, timepoint=3)     # before anything is annotated
    model = elephant.train(movie, spots)
    nuclei = model.predict(movie, timepoint=3)

Importing this package imports none of the heavy libraries: each room imports what it needs, and the functions above
are loaded when they are first used.
"""

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from elephant.pipeline import (
        Evaluation,
        Model,
        Tracks,
        TrainingInterrupted,
        detect,
        evaluate,
        export_ctc,
        export_tracks,
        link,
        load_model,
        open_dataset,
        pretrained,
        train,
        train_flow,
    )

__version__ = "0.1.0"
__all__ = [
    "Evaluation",
    "Model",
    "Tracks",
    "TrainingInterrupted",
    "detect",
    "evaluate",
    "export_ctc",
    "export_tracks",
    "link",
    "load_model",
    "open_dataset",
    "pretrained",
    "train",
    "train_flow",
]

# PyTorch's threads wait for each other in every operation, by default without letting go of their cores. Where
# something else wants a core, as a prediction beside a training does, or the viewer on the same laptop, all of them
# then wait for the one that has none, and everything takes ten times as long. So they spin for a short while only:
# long enough for the next operation on a quiet machine. This is read when PyTorch is loaded.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")


def __getattr__(name: str) -> Any:
    """Load the functions of :mod:`elephant.pipeline` when they are first used."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from elephant import pipeline  # noqa: PLC0415 - it loads PyTorch

    return getattr(pipeline, name)


def __dir__() -> list[str]:
    """Return what is here, with what was not loaded yet."""
    return sorted({*globals(), *__all__})
