"""What a method is that learns from annotations: its network, its labels, its crops, its loss.

Detection and flow are two of them. Everything that they share, from the first check of a training to the last epoch, is
in :mod:`elephant.methods.starting` and :mod:`elephant.methods.training`.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar, Generic, Literal, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from elephant.config import ImageParams, LoopParams
from elephant.dataset import Dataset
from elephant.models.cache import Network
from elephant.models.ensemble import Ensemble
from elephant.models.provenance import TrainedWith
from elephant.progress import CancelToken, ProgressReporter
from elephant.training.loop import Trainer
from elephant.types import FloatArray, Link, Shape, Spot


class TrainingParams(Protocol):
    """What the parameters of every training hold; see :mod:`elephant.config`."""

    @property
    def loop(self) -> LoopParams:
        """The training loop."""

    @property
    def image(self) -> ImageParams:
        """What happens to a timepoint before the network sees it."""

    @property
    def crop_size(self) -> Shape:
        """Voxels, (Z), Y, X."""


class Sample(Protocol):
    """A labelled timepoint, or a pair of them, ready for cutting crops."""

    @property
    def n_bytes(self) -> int:
        """Memory that it takes."""


A = TypeVar("A", Spot, Link)
P = TypeVar("P", bound=TrainingParams)
S = TypeVar("S", bound=Sample)


class Method(ABC, Generic[A, P, S]):
    """A method that learns from annotations `A`, with parameters `P`, from crops of samples `S`.

    Attributes
    ----------
    annotated
        What a person annotates for it.
    network
        The network that is trained.
    nothing_to_train
        What to say where no annotation labels a voxel.
    """

    annotated: ClassVar[Literal["spots", "links"]]
    network: ClassVar[Network]
    nothing_to_train: ClassVar[str]

    @abstractmethod
    def check(self, dataset: Dataset, annotations: Sequence[A]) -> Mapping[int, Sequence[A]]:
        """Check annotations before any label is written, and return them by their timepoints.

        Raises
        ------
        elephant.errors.InvalidInputError
            One is outside of the movie, or its covariance is not positive definite.
        """

    @abstractmethod
    def labels_any(self, dataset: Dataset, annotations: Sequence[A], params: P) -> bool:
        """Tell whether labels would come of the annotations."""

    @abstractmethod
    def update_labels(
        self, dataset: Dataset, annotations: Sequence[A], params: P, reporter: ProgressReporter, cancel: CancelToken
    ) -> None:
        """Replace the labels of every timepoint that has annotations, each timepoint at once."""

    @abstractmethod
    def is_labelled(self, dataset: Dataset, t: int) -> bool:
        """Tell whether a timepoint has labels."""

    @abstractmethod
    def positions(self, annotations: Sequence[A]) -> FloatArray:
        """Return where crops are cut, physical, (N, 3), Z, Y, X: the annotations that count."""

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
            Of its annotations, as from :meth:`positions`.
        images
            As from :meth:`images`.
        """

    @abstractmethod
    def trainer(self, model: Ensemble, samples: Callable[[int], S], params: P, dataset: Dataset) -> Trainer:
        """Return what trains a model on crops of samples."""

    @abstractmethod
    def n_keep_axials(self, params: P) -> int:
        """Return how many of the network's poolings leave Z alone."""

    @abstractmethod
    def trained_with(self, params: P, shape: Shape) -> TrainedWith:
        """Return what a prediction should be made with, too, after a training on images of a shape, (Z), Y, X."""
