"""What a method is: what a person annotates for it, its network, its labels, its crops, its loss and its prediction.

Detection and flow are two of them. Everything that they share, from the first check of a training to the last epoch, is
in :mod:`elephant.methods.starting` and :mod:`elephant.methods.training`.
"""

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Generic, Literal, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from elephant.config import ImageParams, Params, PredictionParams, StartParams
from elephant.dataset import Dataset
from elephant.geometry import Ellipsoid, blocks_of
from elephant.methods.annotations import by_timepoint, in_words, warn_of_outside
from elephant.methods.held_out import AnyHeldOut
from elephant.methods.starting import ModelStart
from elephant.methods.work import ModelWork, check_prediction
from elephant.models.ensemble import Ensemble, Network
from elephant.models.provenance import TrainedWith
from elephant.progress import CancelToken, ProgressReporter
from elephant.training.loop import Trainer
from elephant.training.networks import CropParams
from elephant.types import DetectedSpot, FloatArray, Link, Shape, Spot, VoxelSize

logger = logging.getLogger(__name__)


class Detector(Params):
    """What finds nuclei without being trained: the contract for a package that adds a method.

    A package adds a subclass under the entry-point group ``elephant.methods``. Its fields are its parameters, with
    defaults, bounds and descriptions, as those of :mod:`elephant.config`.
    """

    @abstractmethod
    def detect(self, image: NDArray[np.float32], voxel_size: tuple[float, ...]) -> Sequence[DetectedSpot]:
        """Find the nuclei of a timepoint, or of a part of it.

        Parameters
        ----------
        image
            Its intensities, (Z), Y, X, from 0 to 1 over the whole timepoint.
        voxel_size
            Physical size of a voxel, (Z), Y, X.

        Returns
        -------
        sequence of DetectedSpot
            Positions are physical, from the middle of the first voxel of `image`; see :meth:`.DetectedSpot.ball`.
        """


class LabelsParams(Protocol):
    """What the parameters of all labels hold; see :mod:`elephant.config`."""

    @property
    def voxel_size(self) -> VoxelSize:
        """Physical voxel size of the stored image."""


class TrainingParams(CropParams, Protocol):
    """What the parameters of every training hold; see :mod:`elephant.config`."""

    @property
    def image(self) -> ImageParams:
        """What happens to a timepoint before the network sees it."""


class PredictingParams(Protocol):
    """What the parameters of every prediction hold; see :mod:`elephant.config`."""

    @property
    def prediction(self) -> PredictionParams:
        """How the network is run over the image."""


class Sample(Protocol):
    """A labelled timepoint, or a pair of them, ready for cutting crops."""

    @property
    def n_bytes(self) -> int:
        """Memory that it takes."""


A = TypeVar("A", Spot, Link)
L = TypeVar("L", bound=LabelsParams)
P = TypeVar("P", bound=TrainingParams)
S = TypeVar("S", bound=Sample)
Q = TypeVar("Q", bound=PredictingParams)
F = TypeVar("F")


class Method(ABC, Generic[A, L, P, S, Q, F]):
    """A method that learns from annotations.

    Its types: annotations `A` become labels with parameters `L`; a training has parameters `P` and cuts crops out of
    samples `S`; a prediction has parameters `Q` and finds `F`.

    Attributes
    ----------
    name
        What it is called.
    annotated
        What a person annotates for it.
    network
        The network that is trained.
    n_seen
        How many timepoints the network sees at once.
    nothing_to_train
        What to say where no annotation labels a voxel.
    """

    name: ClassVar[Literal["detection", "flow"]]
    annotated: ClassVar[Literal["spots", "links"]]
    network: ClassVar[Network]
    n_seen: ClassVar[int]
    nothing_to_train: ClassVar[str]

    @abstractmethod
    def start(self, params: P | Q | StartParams, work: ModelWork | None = None) -> ModelStart:
        """Return how a model begins.

        Parameters
        ----------
        params
            Those of a training or a prediction for which the model is missing, or of a start that was asked for.
        work
            The dataset and the model; may be left out where a model begins without images.
        """

    # Labels.

    def check(self, dataset: Dataset, annotations: Sequence[A]) -> Mapping[int, Sequence[A]]:
        """Check annotations before any label is written, and return them by their timepoints.

        Raises
        ------
        elephant.errors.InvalidInputError
            One is outside of the movie, or its covariance is not positive definite.
        """
        groups = by_timepoint(annotations, dataset.n_timepoints)
        Ellipsoid.from_spots(self.counted(annotations), dataset.n_dims)
        return groups

    def counted(self, annotations: Sequence[A]) -> Sequence[A]:
        """Return the annotations that label something."""
        return annotations

    def labels_any(self, dataset: Dataset, annotations: Sequence[A], params: L) -> bool:
        """Tell whether labels would come of the annotations."""
        edges = params.voxel_size.last(dataset.n_dims)
        ellipsoids = Ellipsoid.from_spots(self.counted(annotations), dataset.n_dims)
        return any(not block.is_empty for block in blocks_of(ellipsoids, edges, dataset.shape))

    def update_labels(
        self, dataset: Dataset, annotations: Sequence[A], params: L, reporter: ProgressReporter, cancel: CancelToken
    ) -> list[int]:
        """Replace the labels of every timepoint that has annotations, each timepoint at once.

        All annotations are checked before the first timepoint is written.

        Returns
        -------
        list of int
            The timepoints, in order; of links the earlier ones.

        Raises
        ------
        elephant.errors.InvalidInputError
            As for :meth:`check`.
        elephant.errors.Cancelled
            `cancel` asked for the end: each timepoint has its old or its new labels.
        """
        groups = self.check(dataset, annotations)
        warn_of_outside(self.counted(annotations), params.voxel_size, dataset.shape, "label nothing")
        for done, (t, group) in enumerate(groups.items(), start=1):
            cancel.check()
            self.write_labels(dataset, t, group, params, cancel)
            reporter.progress("timepoint", done, len(groups))
        logger.info("Labels of %d %s written at %s", len(annotations), self.annotated, in_words(list(groups)))
        return list(groups)

    @abstractmethod
    def write_labels(self, dataset: Dataset, t: int, annotations: Sequence[A], params: L, cancel: CancelToken) -> int:
        """Replace the labels of a timepoint by those of its annotations; return their CRC-32."""

    @abstractmethod
    def clear_labels(self, dataset: Dataset) -> None:
        """Remove the labels of all timepoints."""

    @abstractmethod
    def is_labelled(self, dataset: Dataset, t: int) -> bool:
        """Tell whether a timepoint has labels."""

    @abstractmethod
    def labelled_timepoints(self, dataset: Dataset) -> list[int]:
        """Return the timepoints that have labels, or may have, in order."""

    @abstractmethod
    def labelled_positions(self, dataset: Dataset, t: int, params: P) -> FloatArray:
        """Return where a timepoint is labelled, physical, (N, 3), Z, Y, X, as its labels say."""

    # Training.

    @abstractmethod
    def held_out(self, dataset: Dataset, params: P) -> AnyHeldOut | None:
        """Return what chooses the part of the annotations that is held out of a training; None where none is."""

    @abstractmethod
    def labels_of(self, params: P) -> L:
        """Return how annotations become labels in a training."""

    def positions(self, annotations: Sequence[A]) -> FloatArray:
        """Return where crops are cut, physical, (N, 3), Z, Y, X: the annotations that count."""
        return np.array([one.pos for one in self.counted(annotations)]).reshape(-1, 3)

    @abstractmethod
    def n_images(self, n_dims: int) -> int:
        """Return how many channels of the size of an image one sample holds."""

    @abstractmethod
    def images(self, dataset: Dataset, t: int, params: P) -> NDArray[np.float32]:
        """Return what the network sees of a timepoint: normalised, rescaled, ([n], (Z), Y, X)."""

    @abstractmethod
    def sample(self, dataset: Dataset, t: int, positions: FloatArray, images: NDArray[np.float32], params: P) -> S:
        """Return a timepoint ready for cutting crops, with its labels as they are now.

        Parameters
        ----------
        positions
            Of its annotations, as from :meth:`elephant.methods.base.Method.positions`.
        images
            As from :meth:`images`.
        """

    @abstractmethod
    def trainer(self, model: Ensemble, samples: Callable[[int], S], params: P, dataset: Dataset) -> Trainer:
        """Return what trains a model on crops of samples."""

    def resolved(self, params: P, model: Ensemble) -> P:
        """Return parameters of a training with what follows from the history of its model; here as they are.

        The record keeps these, so that the training can be repeated from the weights alone.
        """
        del model
        return params

    def is_relative(self, params: P) -> bool:
        """Tell whether the learning rate of resolved parameters is relative to the size of the weights; here never."""
        del params
        return False

    def training_at_scale(self, params: P, work: ModelWork, annotations: Sequence[A]) -> P:
        """Return parameters of a training at the scale at which its model sees the dataset; here as they are.

        The scale of a model that was not trained yet is chosen by the annotations.
        """
        del work, annotations
        return params

    @abstractmethod
    def n_keep_axials(self, params: P) -> int:
        """Return how many of the network's poolings leave Z alone."""

    @abstractmethod
    def trained_with(self, params: P | Q, shape: Shape) -> TrainedWith:
        """Return on what a training, or a prediction, depends; the image is stored in a shape, (Z), Y, X."""

    def adapt(self, model: Ensemble, work: ModelWork, params: P) -> None:
        """Make a model that was just loaded give what a training expects, where its file means something else by it."""

    # Prediction.

    @abstractmethod
    def n_outputs(self, n_dims: int) -> int:
        """Return how many channels the network gives."""

    def check_prediction(self, dataset: Dataset, t: int, params: Q) -> None:
        """Check that a prediction can be done, before a model is started for it.

        Raises
        ------
        elephant.errors.InvalidInputError
            The timepoint or the box is outside of the movie, or memory cannot hold what it needs.
        """
        check_prediction(dataset, t, params.prediction, self.n_seen, self.n_outputs(dataset.n_dims))

    @abstractmethod
    def predict(self, work: ModelWork, t: int, params: Q, spots: Sequence[Spot] = ()) -> list[F]:
        """Use the model at a timepoint.

        Parameters
        ----------
        spots
            What is asked about, where the method finds something of given spots.

        Raises
        ------
        elephant.errors.InvalidInputError
            The timepoint or the box is outside of the movie, or a covariance is not positive definite.
        elephant.errors.ModelFileError
            The model is none of such a network, or is ruined.
        elephant.errors.Cancelled
            The work was ended; nothing was written.
        """

    @abstractmethod
    def predict_ahead(self, work: ModelWork, t: int, params: Q) -> bool:
        """Use the model at a timepoint that nobody has asked for yet, so that what it finds is known.

        Other work on the dataset is not kept from anything: what changes meanwhile is noticed, and nothing is kept.

        Returns
        -------
        bool
            Whether there was something to do: False where it is known, or nothing is kept.

        Raises
        ------
        elephant.errors.InvalidInputError, elephant.errors.ModelFileError, elephant.errors.Cancelled
            As for :meth:`predict`.
        """


AnyMethod = Method[Any, Any, Any, Any, Any, Any]
