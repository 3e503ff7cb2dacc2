"""From an array to nuclei and their tracks in a few lines: what a script or a notebook calls.

All of it is at hand in the package itself: ``import elephant`` and then ``elephant.train(...)``. Everything is in the
order Z, Y, X and in physical units; a 2D movie has no Z.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from elephant.annotations import MovieFacts, links_of, nuclei_of, read_annotations, spot_of
from elephant.annotations.scripts import NAMES, AnnotationFile, records_in, split
from elephant.config import (
    DEFAULT_CROP_SIZE,
    DEFAULT_MAX_DISPLACEMENT,
    DEFAULT_N_EPOCHS,
    DetectionTrainingParams,
    EvaluationParams,
    FlowTrainingParams,
    Params,
    keep_axials_of,
)
from elephant.console import Console
from elephant.dataset import Dataset
from elephant.dataset.opening import Edges, MovieLike, chosen_voxel_size, open_dataset
from elephant.dataset.record import recorded_as
from elephant.errors import InvalidInputError
from elephant.evaluation import Evaluation, evaluate_nuclei
from elephant.export.base import ExportParams, TrackedMovie, TrackedNucleus
from elephant.export.output import CTC, check_name, check_output, export_to, exporter_named
from elephant.io.atomic import TemporaryFolder
from elephant.keywords import check_names, leaves, params_of
from elephant.methods.annotations import Found, annotated_spots, found_spots
from elephant.methods.detection import DETECTION
from elephant.methods.flow import FLOW
from elephant.methods.outcome import Outcome
from elephant.methods.registry import detect
from elephant.methods.starting import start_model, start_unnamed
from elephant.methods.trained_model import Model, load_model, pretrained
from elephant.methods.training import TrainingRun, prepare_training
from elephant.methods.work import ModelWork
from elephant.tracking import Tracks, join_spots
from elephant.types import Link, Spot, Tag, VoxelSize

__all__ = [
    "Evaluation", "Model", "Tracks", "TrainingInterrupted", "detect", "evaluate", "export_ctc", "export_tracks", "link",
    "load_model", "open_dataset", "pretrained", "train", "train_flow",
]  # fmt: skip

P = TypeVar("P", bound=Params)
Compared = Found | Tracks | NDArray[np.number] | Sequence[TrackedNucleus] | Path | str


class TrainingInterrupted(KeyboardInterrupt):
    """Ctrl-C ended a training; the message says what is left.

    Attributes
    ----------
    model
        What the last finished epoch has made; None where there is no such model.
    """

    def __init__(self, message: str, model: Model | None) -> None:
        super().__init__(message)
        self.model = model


def train(
    images: MovieLike,
    spots: Sequence[Spot] | NDArray[np.number] | AnnotationFile,
    *,
    model: Model | Path | str | None = None,
    voxel_size: Edges | None = None,
    device: str = "auto",
    quiet: bool = False,
    **params: Any,
) -> Model:
    """Train a model that finds nuclei.

    The labels of the timepoints of the spots are written into the dataset. The model is saved after each epoch.

    Parameters
    ----------
    images
        A dataset, its folder, or an array, (T, (Z), Y, X) or ((Z), Y, X); see :func:`open_dataset`.
    spots
        Annotated nuclei: spots with a tag, or an array, (N, 5), of t, z, y, x and the radius; in 2D (N, 4), without z;
        or a file of any format that :mod:`elephant.annotations` reads. Physical units; not all nuclei of a timepoint
        need be there.
    model
        A model, or a file (``.pth``), to train on; a file that is not there is made. By default a new model, in a
        temporary file that goes with it: see :meth:`Model.save`. A new model starts from the network of
        :func:`pretrained`, where there is one, or else from the intensities of the images.
    voxel_size
        Physical size of a voxel, (Z), Y, X; by default the dataset's.
    device
        What computes: ``cpu``, ``cuda``, ``cuda:1``, ``mps``, or ``auto`` for the best.
    quiet
        Whether to show no progress.
    **params
        Others of :class:`elephant.config.DetectionTrainingParams`, such as ``n_epochs`` (10 by default), ``lr`` and
        ``crop_size`` ((16, 96, 96) by default). With a file, also those of
        :class:`elephant.config.AnnotationParams`, such as ``radius``.

    Raises
    ------
    elephant.errors.InvalidInputError
        A parameter is unknown or wrong, something in the file is, or no spot labels a voxel.
    elephant.errors.DivergedError, elephant.errors.MemoryLimitError
        The loss exploded, or there is too little memory; the model holds its last good epoch.
    TrainingInterrupted
        Ctrl-C; it has the model of the last finished epoch.
    """
    about, params = split(spots, params)
    dataset = _dataset(images, voxel_size, quiet, DetectionTrainingParams, params)
    if isinstance(spots, Path | str):
        records = records_in(spots, about, dataset, _voxel(voxel_size, dataset))
        spots = [spot_of(record, Tag.TP) for record in records]
    annotated = annotated_spots(spots, dataset.n_dims)
    wanted = _params(DetectionTrainingParams, dataset, voxel_size, params)
    return _trained(
        dataset,
        model,
        lambda work: prepare_training(DETECTION, work, annotated, wanted),
        device,
        quiet,
    )


def train_flow(
    images: MovieLike,
    links: Sequence[Link] | Tracks | AnnotationFile,
    *,
    model: Model | Path | str | None = None,
    voxel_size: Edges | None = None,
    device: str = "auto",
    quiet: bool = False,
    **params: Any,
) -> Model:
    """Train a model that finds where nuclei were at the timepoint before.

    Parameters
    ----------
    images
        A dataset, its folder, or a movie as an array, (T, (Z), Y, X).
    links
        Where nuclei were, or tracks, of which all links are taken; or a file of any format that
        :mod:`elephant.annotations` reads.
    model, voxel_size, device, quiet
        As for :func:`train`.
    **params
        Others of :class:`elephant.config.FlowTrainingParams`, such as ``n_epochs`` (10 by default), ``crop_size``
        ((16, 96, 96) by default) and ``max_displacement`` (80 voxels by default). With a file, also those of
        :class:`elephant.config.AnnotationParams`.

    Raises
    ------
    elephant.errors.InvalidInputError
        A parameter is unknown or wrong, or no link has a spot in the image.
    elephant.errors.DivergedError, elephant.errors.MemoryLimitError, TrainingInterrupted
        As for :func:`train`.
    """
    about, params = split(links, params)
    dataset = _dataset(images, voxel_size, quiet, FlowTrainingParams, params)
    if isinstance(links, Path | str):
        links = links_of(records_in(links, about, dataset, _voxel(voxel_size, dataset)))
    annotated = links.links() if isinstance(links, Tracks) else list(links)
    wanted = _params(FlowTrainingParams, dataset, voxel_size, {"max_displacement": DEFAULT_MAX_DISPLACEMENT} | params)
    return _trained(
        dataset,
        model,
        lambda work: prepare_training(FLOW, work, annotated, wanted),
        device,
        quiet,
    )


def link(
    spots: Found | AnnotationFile,
    *,
    max_distance: float,
    model: Model | None = None,
    images: MovieLike | None = None,
    n_children: int = 2,
    quiet: bool = False,
    **params: Any,
) -> Tracks:
    """Join spots of consecutive timepoints to tracks.

    Parameters
    ----------
    spots
        Spots, or nuclei that a model has found: by timepoint, as of :meth:`Model.predict_all`, or a list with those of
        each timepoint from 0; or a file of any format that :mod:`elephant.annotations` reads.
    max_distance
        How far apart two spots may be, physical: a spot and where the flow says that the later one was, or where the
        later one is without a flow model.
    model
        A flow model. Without one, nearest neighbours are joined.
    images
        What the flow model looks at: a dataset, its folder, or a movie as an array, (T, (Z), Y, X).
    n_children
        How many spots may come from one: 2 allows divisions, 1 does not.
    quiet
        Whether to show no progress.
    **params
        What else :meth:`Model.displace` takes, and with a file those of :class:`elephant.config.AnnotationParams`.

    Raises
    ------
    elephant.errors.InvalidInputError
        A parameter is unknown or wrong, or `max_distance` is so large that nearly every spot is near to every other.
    """
    if not 0 < max_distance < np.inf:
        raise InvalidInputError(f"max_distance: expected a number above 0, got {max_distance!r}")
    if n_children not in (1, 2):
        raise InvalidInputError(f"n_children: expected 1 or 2, got {n_children!r}")
    about, params = split(spots, params)
    if isinstance(spots, Path | str):
        dataset = None if images is None else open_dataset(images, quiet=quiet)
        spots = [spot_of(record, Tag.TP) for record in records_in(spots, about, dataset, None)]
    found = found_spots(spots)
    if model is None:
        if images is not None or params:
            first = "images" if images is not None else next(iter(params))
            raise InvalidInputError(f"{first} has a meaning with a flow model only: give model=, or leave it out")
        earlier = [spot.pos for spot in found]
    elif images is None:
        raise InvalidInputError("expected images= for the flow model, got none: give the movie of the spots")
    else:
        earlier = [was.pos for was in model.displace(images, found, quiet=quiet, **params)]
    return join_spots(found, np.array(earlier).reshape(-1, 3), max_distance, n_children)


def evaluate(
    found: Compared,
    truth: Compared,
    *,
    images: Dataset | Path | str | None = None,
    timepoints: Collection[int] | None = None,
    **params: Any,
) -> Evaluation:
    """Compare found nuclei, and their tracks, with true ones.

    Parameters
    ----------
    found, truth
        Nuclei as for :func:`link`, tracks, an array as for :func:`train`, nuclei with their parents, or a file of any
        format that :func:`elephant.annotations.read_annotations` reads.
    images
        The dataset, or its folder, if a file's positions are in voxels.
    timepoints
        Which count; by default those that `truth_covers` says.
    **params
        Those of :class:`elephant.config.EvaluationParams`: ``distance`` (the median radius of the true nuclei by
        default), ``overlap`` in its place, ``truth_covers`` (``"timepoints"`` by default) and ``division_tolerance``.

    Returns
    -------
    Evaluation
        ``print`` shows it as a table. It has the scores of ``spots``, ``links`` and ``divisions``, and of each
        timepoint.

    Raises
    ------
    elephant.errors.InvalidInputError
        A parameter is unknown or wrong, or the truth has no nuclei there.
    """
    wanted = params_of(EvaluationParams, params, 3)
    movie = None if images is None else MovieFacts.of(open_dataset(images))
    n_dims = None if movie is None else movie.n_dims
    return evaluate_nuclei(_compared(found, movie), _compared(truth, movie), wanted, timepoints, n_dims)


def _compared(nuclei: Compared, movie: MovieFacts | None) -> list[TrackedNucleus]:
    if isinstance(nuclei, Path | str):
        return nuclei_of(read_annotations(Path(nuclei), movie=movie))
    if isinstance(nuclei, Tracks):
        return _tracked(nuclei)
    if isinstance(nuclei, np.ndarray):
        nuclei = annotated_spots(nuclei, nuclei.shape[-1] - 2)
    tracked = [each for each in nuclei if isinstance(each, TrackedNucleus)]
    if tracked and len(tracked) == len(nuclei):
        return tracked
    return [TrackedNucleus(spot) for spot in found_spots(nuclei)]  # type: ignore[arg-type]


def _tracked(tracks: Tracks) -> list[TrackedNucleus]:
    return [
        TrackedNucleus(spot, id=i, parent=parent if parent >= 0 else None, track=number)
        for i, (spot, parent, number) in enumerate(zip(tracks.spots, tracks.parents, tracks.numbers, strict=True))
    ]


def export_ctc(
    tracks: Tracks | AnnotationFile,
    images: Dataset | Path | str,
    path: Path | str,
    *,
    voxel_size: Edges | None = None,
    overwrite: bool = False,
    quiet: bool = False,
) -> None:
    """Write tracks as masks of the Cell Tracking Challenge, with ``res_track.txt``, into a ``.zip`` or a folder.

    Parameters
    ----------
    tracks, images, path, voxel_size, overwrite, quiet
        As for :func:`export_tracks`.

    Raises
    ------
    elephant.errors.InvalidInputError, KeyboardInterrupt
        As for :func:`export_tracks`.
    """
    export_tracks(tracks, images, path, format=CTC, voxel_size=voxel_size, overwrite=overwrite, quiet=quiet)


def export_tracks(
    tracks: Tracks | AnnotationFile,
    images: Dataset | Path | str,
    path: Path | str,
    *,
    format: str,  # noqa: A002 - what the command line calls it
    voxel_size: Edges | None = None,
    overwrite: bool = False,
    quiet: bool = False,
    **params: Any,
) -> None:
    """Write tracks for another program, whole or not at all.

    Parameters
    ----------
    tracks
        As of :func:`link`, or a file of any format that :mod:`elephant.annotations` reads.
    images
        The dataset, whose size and timepoints are exported, or its folder.
    path
        The file or the folder.
    format
        Name of an exporter that is installed: ``ctc``, ``labels``, ``geff``, ``trackmate``, ``napari``, or another
        package's.
    voxel_size
        Physical size of a voxel, (Z), Y, X; by default the dataset's.
    overwrite
        Whether an earlier export is replaced; nothing else ever is.
    quiet
        Whether to show no progress.
    **params
        With a file, those of :class:`elephant.config.AnnotationParams`, such as ``radius``.

    Raises
    ------
    elephant.errors.InvalidInputError
        There is something at `path`, the voxel size is not known, or a spot is outside of the movie's timepoints.
    KeyboardInterrupt
        Ctrl-C; nothing was written.
    """
    about, others = split(tracks, params)
    check_names(others, {name: name for name in NAMES} if isinstance(tracks, Path | str) else {})
    target, dataset, exporter = Path(path).absolute(), open_dataset(images), exporter_named(format)
    check_name(target, exporter)
    check_output(target, exporter, overwrite=overwrite)
    voxel = chosen_voxel_size(voxel_size, dataset) if exporter.kind.needs_voxel_size else _voxel(voxel_size, dataset)
    nuclei = _tracked(tracks) if isinstance(tracks, Tracks) else nuclei_of(records_in(tracks, about, dataset, voxel))
    for nucleus in nuclei:
        dataset.check_timepoint(nucleus.t)
    wanted = ExportParams(voxel_size=voxel, t_end=dataset.n_timepoints - 1)
    export_to(target, exporter, TrackedMovie(dataset, nuclei, wanted), Console(quiet), overwrite=overwrite)


def _voxel(given: Edges | None, dataset: Dataset) -> VoxelSize | None:
    """Return the voxel size if it is known."""
    known = dataset.source is not None and dataset.source.voxel_size is not None
    return chosen_voxel_size(given, dataset) if known or given is not None else None


def _dataset(
    images: MovieLike, voxel_size: Edges | None, quiet: bool, model: type[Params], given: Mapping[str, Any]
) -> Dataset:
    """Return a dataset to train on, after a look at the names of parameters, which takes no time."""
    check_names(given, {name: field for name, field in leaves(model) if name != "voxel_size"})
    if isinstance(images, Dataset | Path | str):
        return open_dataset(images, quiet=quiet)
    return open_dataset(images, voxel_size=voxel_size, quiet=quiet)


def _params(model: type[P], dataset: Dataset, voxel_size: Edges | None, given: Mapping[str, Any]) -> P:
    voxel = chosen_voxel_size(voxel_size, dataset)
    values = {
        "crop_size": DEFAULT_CROP_SIZE[-dataset.n_dims :],
        "n_epochs": DEFAULT_N_EPOCHS,
        **{name: value for name, value in given.items() if value is not None},
        "voxel_size": voxel,
    }
    values.setdefault("n_keep_axials", keep_axials_of(voxel, dataset.shape, values.get("input_size")))
    return params_of(model, values, dataset.n_dims)


def _trained(
    dataset: Dataset,
    model: Model | Path | str | None,
    prepare: Callable[[ModelWork], TrainingRun],
    device: str,
    quiet: bool,
) -> Model:
    """Train a model in its place, or a new one in a temporary file."""
    if isinstance(model, Model) and not model.is_shipped:
        _run(dataset, model.path, prepare, device, quiet)
        return model
    if isinstance(model, Path | str):
        return _run(dataset, Path(model).absolute(), prepare, device, quiet)
    with TemporaryFolder() as temporary:
        try:
            path = temporary.path / "model.pth"
            if model is not None:
                model.save(path)
            return temporary.keep_for(_run(dataset, path, prepare, device, quiet, is_named=False))
        except TrainingInterrupted as stop:
            if stop.model is not None:
                temporary.keep_for(stop.model)
            raise


def _run(
    dataset: Dataset,
    path: Path,
    prepare: Callable[[ModelWork], TrainingRun],
    device: str,
    quiet: bool,
    *,
    is_named: bool = True,
) -> Model:
    def start(training: TrainingRun) -> None:
        if is_named:
            start_model(training.work, training.start())
        else:
            start_unnamed(path, training.start())

    outcome = Outcome(path)
    try:
        with recorded_as("Python"):
            outcome.run(dataset, prepare, start, device, Console(quiet))
    except KeyboardInterrupt as stop:
        raise TrainingInterrupted(str(stop), Model(path, device) if outcome.n_epochs else None) from None
    return Model(path, device)
