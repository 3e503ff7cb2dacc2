"""A model that was trained, as a script or a notebook uses it."""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

from elephant.config import DEFAULT_MAX_DISPLACEMENT, DetectionParams, FlowParams, Params, keep_axials_of
from elephant.console import Console
from elephant.dataset import Dataset
from elephant.dataset.from_array import ArrayLike
from elephant.dataset.opening import Edges, MovieLike, chosen_voxel_size, open_dataset
from elephant.device import choose_device
from elephant.errors import InvalidInputError, ModelFileError, NotFoundError
from elephant.keywords import check_names, leaves, params_of
from elephant.methods.annotations import by_timepoint
from elephant.methods.compatibility import as_trained
from elephant.methods.detection import DETECTION
from elephant.methods.flow import FLOW
from elephant.methods.predict_detection import detect_all
from elephant.methods.work import ModelWork
from elephant.models.checkpoint import load_state_dicts
from elephant.models.ensemble import ModelCache
from elephant.models.inspect import NetworkKind, recognise
from elephant.models.lock import writing
from elephant.models.provenance import HeldOutScore, TrainedWith
from elephant.models.provenance_text import provenance_of, summary
from elephant.models.shipped import PACKAGE, is_shipped, origin_of, shipped_networks, shipped_weights
from elephant.models.versions import ModelFile
from elephant.progress import ProgressReporter
from elephant.types import DetectedSpot, EarlierSpot, Spot

P = TypeVar("P", bound=Params)

logger = logging.getLogger(__name__)


def _nothing_yet() -> str:
    return "nothing was found yet"


class Model:
    """A trained model: of detection, which finds nuclei, or of flow, which finds where they were.

    What a prediction is not told, it takes from the training of the model: sizes, `c_ratio` and the like. Where it is
    told something else, a warning says so.

    Parameters
    ----------
    path
        The model file.
    device
        What computes: ``cpu``, ``cuda``, ``cuda:1``, ``mps``, or ``auto`` for the best.

    Attributes
    ----------
    path
        The model file. A file that is replaced is read again.
    kind
        ``detection`` or ``flow``.
    n_dims
        3, or 2 for a network that sees planes.

    Raises
    ------
    elephant.errors.NotFoundError, elephant.errors.ModelFileError
        The file is not there, is damaged, or holds something else.
    InvalidInputError
        There is no such device.
    """

    def __init__(self, path: Path | str, device: str = "auto") -> None:
        self.path = Path(path).absolute()
        kinds = {recognise(member) for member in load_state_dicts(self.path)}
        found = kinds.pop()
        if found is None or kinds:
            raise ModelFileError(
                f"{self.path.name} holds other networks than those of detection and flow in 3D and 2D: choose a model "
                "that was trained here"
            )
        self.kind = cast("Literal['detection', 'flow']", found.name)
        self.n_dims = found.n_dims
        self.device = device
        self._cache = ModelCache(choose_device(device))

    def __repr__(self) -> str:
        return f"<{self.kind} model for {self.n_dims}D, {self.path}, {summary(origin_of(self.path))}>"

    @property
    def is_shipped(self) -> bool:
        """Whether the file is one of the package elephant-models, which training leaves as it is."""
        return is_shipped(self.path)

    @property
    def trained_with(self) -> TrainedWith | None:
        """What it was trained with; None where nobody knows."""
        return provenance_of(self.path).trained_with()

    @property
    def held_out(self) -> HeldOutScore | None:
        """How good it is on nuclei that were held out of its training; None where nothing was."""
        held = provenance_of(self.path).held()
        return None if held is None else held.held_out

    def predict(
        self,
        images: MovieLike,
        *,
        voxel_size: Edges | None = None,
        timepoint: int | None = None,
        quiet: bool = False,
        **params: Any,
    ) -> list[DetectedSpot]:
        """Find the nuclei of one timepoint.

        Parameters
        ----------
        images
            A dataset, its folder, or an array: a timepoint, ((Z), Y, X), or a movie, (T, (Z), Y, X).
        voxel_size
            Physical size of a voxel, (Z), Y, X. By default the dataset's, else that of the training.
        timepoint
            Which one, from 0, where there are several.
        quiet
            Whether to show no progress.
        **params
            Others of :class:`elephant.config.DetectionParams`, such as ``p_thresh=0.4`` or ``patch=(16, 256, 256)``.

        Raises
        ------
        InvalidInputError
            A parameter is unknown or wrong, several timepoints are there and none was chosen, or it is a flow model.
        elephant.errors.MemoryLimitError
            There is too little memory.
        KeyboardInterrupt
            Ctrl-C.
        """
        self._check(DetectionParams, "detection", params)
        dataset, t = self._one(images, timepoint, is_volume=self.n_dims == 3 or bool(params.get("use_2d")))
        wanted = self._params(DetectionParams, dataset, voxel_size, params)
        with Console(quiet).attend(_nothing_yet) as (bars, cancel):
            return DETECTION.predict(ModelWork(dataset, self.path, self._cache, bars, cancel), t, wanted)

    def predict_all(
        self,
        images: MovieLike,
        *,
        voxel_size: Edges | None = None,
        timepoints: Sequence[int] | None = None,
        quiet: bool = False,
        **params: Any,
    ) -> dict[int, list[DetectedSpot]]:
        """Find the nuclei of many timepoints, faster than one after the other.

        Parameters
        ----------
        images
            A dataset, its folder, or a movie as an array, (T, (Z), Y, X).
        timepoints
            Which ones; by default all.
        voxel_size, quiet, **params
            As for :meth:`predict`.

        Returns
        -------
        dict
            The nuclei of each timepoint: what :func:`elephant.link` takes.

        Raises
        ------
        InvalidInputError, elephant.errors.MemoryLimitError, KeyboardInterrupt
            As for :meth:`predict`.
        """
        self._check(DetectionParams, "detection", params)
        is_volume = self.n_dims == 3 or bool(params.get("use_2d"))
        dataset = open_dataset(images, axes=_axes(images, is_volume), quiet=quiet)
        chosen = range(dataset.n_timepoints) if timepoints is None else timepoints
        for t in chosen:
            dataset.check_timepoint(t)
        wanted = self._params(DetectionParams, dataset, voxel_size, params)
        found: dict[int, list[DetectedSpot]] = {}
        said = lambda: f"{len(found)} of {len(chosen)} timepoints were done"  # noqa: E731
        with Console(quiet).attend(said) as (bars, cancel):
            work = ModelWork(dataset, self.path, self._cache, bars, cancel)
            keep_each(detect_all(work, list(chosen), wanted), len(chosen), bars, found.__setitem__)
        return found

    def displace(
        self,
        images: MovieLike,
        spots: Sequence[Spot],
        *,
        voxel_size: Edges | None = None,
        quiet: bool = False,
        **params: Any,
    ) -> list[EarlierSpot]:
        """Find where spots were at the timepoint before.

        Parameters
        ----------
        images
            A dataset, its folder, or a movie as an array, (T, (Z), Y, X).
        spots
            Of any timepoints.
        voxel_size, quiet
            As for :meth:`predict`.
        **params
            Others of :class:`elephant.config.FlowParams`, such as ``patch=(16, 256, 256)``.

        Returns
        -------
        list of EarlierSpot
            One for each spot, in their order.

        Raises
        ------
        InvalidInputError
            A parameter is unknown or wrong, a spot is outside of the movie, or it is a detection model.
        elephant.errors.MemoryLimitError, KeyboardInterrupt
            As for :meth:`predict`.
        """
        self._check(FlowParams, "flow", params)
        dataset = open_dataset(images, axes=_axes(images, self.n_dims == 3), quiet=quiet)
        given = {"max_displacement": DEFAULT_MAX_DISPLACEMENT} if self.trained_with is None else {}
        wanted = self._params(FlowParams, dataset, voxel_size, given | params)
        groups = by_timepoint(spots, dataset.n_timepoints)
        found: dict[int, EarlierSpot] = {}

        def keep(t: int, earlier: Sequence[EarlierSpot]) -> None:
            found.update({id(spot): was for spot, was in zip(groups[t], earlier, strict=True)})

        with Console(quiet).attend(_nothing_yet) as (bars, cancel):
            displace_each(ModelWork(dataset, self.path, self._cache, bars, cancel), groups, wanted, keep)
        return [found[id(spot)] for spot in spots]

    def save(self, path: Path | str) -> None:
        """Write the model to another file, with what is known of its training.

        Parameters
        ----------
        path
            Ends with ``.pth``. What the file held is kept beside it as a version.

        Raises
        ------
        InvalidInputError
            The name has another ending.
        elephant.errors.StorageError, elephant.errors.InUseError
            The file cannot be written, or somebody else is changing it.
        """
        target = Path(path).absolute()
        if target.suffix != ".pth":
            raise InvalidInputError(f"expected a model's name that ends with .pth, got {target.name!r}")
        entry = origin_of(self.path)
        with writing(target, "a copy"):
            ModelFile(target).save(load_state_dicts(self.path), entry)

    def _check(self, model: type[Params], kind: str, given: Mapping[str, Any]) -> None:
        """Refuse work of the other kind, and unknown parameters."""
        if self.kind != kind:
            other = "predict" if self.kind == "detection" else "displace"
            raise InvalidInputError(f"expected a {kind} model, got {self!r}: use {other}, or load another one")
        check_names(given, {name: field for name, field in leaves(model) if name != "voxel_size"})

    def _one(self, images: MovieLike, timepoint: int | None, *, is_volume: bool) -> tuple[Dataset, int]:
        """Return a dataset that holds a timepoint, and which one it is there; of an array only that one is stored."""
        axes = _axes(images, is_volume)
        if axes is not None and "T" in axes and timepoint is not None:
            array = cast("ArrayLike", images)
            n = array.shape[0]
            if not 0 <= timepoint < n:
                raise InvalidInputError(f"expected a timepoint from 0 to {n - 1}, got {timepoint}")
            return open_dataset(array[timepoint], axes=axes[1:], quiet=True), 0
        dataset = open_dataset(images, axes=axes, quiet=True)
        if timepoint is None and dataset.n_timepoints > 1:
            raise InvalidInputError(
                f"expected timepoint=, one of 0 to {dataset.n_timepoints - 1}, got none: choose one, or use predict_all"
            )
        dataset.check_timepoint(timepoint or 0)
        return dataset, timepoint or 0

    def _params(self, model: type[P], dataset: Dataset, voxel_size: Edges | None, given: Mapping[str, Any]) -> P:
        """Return parameters as they were given, else as in the training, else their defaults."""
        fields = dict(leaves(model))
        given = {name: value for name, value in given.items() if value is not None}
        taken = {name: v for name, v in as_trained(self.path, dataset).items() if name in fields and name not in given}
        trained = taken.pop("voxel_size", None)
        voxel = chosen_voxel_size(trained if voxel_size is None and trained is not None else voxel_size, dataset)
        if taken:
            logger.info("as %s was trained: %s", self.path.name, ", ".join(f"{k} {v}" for k, v in taken.items()))
        values = {**taken, **given, "voxel_size": voxel}
        values.setdefault("n_keep_axials", keep_axials_of(voxel, dataset.shape, values.get("input_size")))
        return params_of(model, values, dataset.n_dims)


def keep_each(
    found: Iterable[tuple[int, list[DetectedSpot]]],
    n_timepoints: int,
    reporter: ProgressReporter,
    keep: Callable[[int, list[DetectedSpot]], None],
) -> None:
    """Keep the nuclei of timepoints as soon as they are found, and report each of these.

    Parameters
    ----------
    found
        Timepoints with their nuclei.
    keep
        Gets a timepoint and its nuclei.
    """
    n_spots = 0
    for done, (t, spots) in enumerate(found, start=1):
        keep(t, spots)
        n_spots += len(spots)
        reporter.progress("timepoint", done, n_timepoints, spots=n_spots)


def displace_each(
    work: ModelWork,
    groups: Mapping[int, Sequence[Spot]],
    params: FlowParams,
    keep: Callable[[int, list[EarlierSpot]], None],
) -> None:
    """Find where the spots of some timepoints were before, and report each of these.

    Parameters
    ----------
    groups
        The spots of each timepoint.
    keep
        Gets a timepoint and where its spots were, in their order, as soon as they are found.
    """
    with work.dataset.in_use():
        for done, (t, spots) in enumerate(groups.items(), start=1):
            keep(t, FLOW.predict(work, t, params, spots))
            work.reporter.progress("timepoint", done, len(groups))


def load_model(path: Path | str, device: str = "auto") -> Model:
    """Load a model.

    Parameters
    ----------
    path
        The model file: of `elephant train`, of the server, or of :meth:`Model.save`.
    device
        What computes: ``cpu``, ``cuda``, ``cuda:1``, ``mps``, or ``auto`` for the best.

    Raises
    ------
    elephant.errors.NotFoundError, elephant.errors.ModelFileError
        The file is not there, is damaged, or holds something else.
    """
    return Model(path, device)


def pretrained(kind: Literal["detection", "flow"] = "detection", n_dims: int = 3, device: str = "auto") -> Model:
    """Load a network that was trained on simulated movies, to use before anything is annotated, or to train further.

    Parameters
    ----------
    kind
        ``detection``, which finds nuclei, or ``flow``, which finds where they were.
    n_dims
        3 for volumes, 2 for planes.
    device
        What computes: ``cpu``, ``cuda``, ``cuda:1``, ``mps``, or ``auto`` for the best.

    Raises
    ------
    InvalidInputError
        There is no such kind.
    elephant.errors.NotFoundError
        The package elephant-models is not installed, or holds no such network.
    elephant.errors.ModelFileError
        Its file is damaged.
    """
    return Model(pretrained_file(kind, n_dims), device)


def pretrained_file(kind: Literal["detection", "flow"], n_dims: int) -> Path:
    """Return the model file of :func:`pretrained`, with the same errors."""
    if kind not in ("detection", "flow") or n_dims not in (2, 3):
        raise InvalidInputError(f'expected "detection" or "flow", and 2 or 3 axes, got {kind!r} and {n_dims!r}')
    weights = shipped_weights(NetworkKind(kind, n_dims))
    if weights is None:
        others = ", ".join(network.name for network in shipped_networks())
        remedy = f"{PACKAGE} holds {others}" if others else f"install {PACKAGE}, which is beside elephant-core"
        raise NotFoundError(f"there is no pretrained {kind} network for {n_dims}D: {remedy}")
    return weights.path


def _axes(images: MovieLike, is_volume: bool) -> str | None:
    """Return what the axes of an array are, which the network tells; None where it is no array."""
    if isinstance(images, Dataset | Path | str) or not hasattr(images, "shape"):
        return None
    spatial = "ZYX" if is_volume else "YX"
    return spatial if len(images.shape) == len(spatial) else f"T{spatial}"
