"""A dataset to read from and write to."""

import hashlib
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from elephant.dataset import layout
from elephant.dataset.arrays import TimeSeries, metadata_of
from elephant.dataset.check import READY, check_arrays
from elephant.dataset.in_place import MovieImages, find_images, open_images
from elephant.dataset.layout import labels_as_rgb, steady
from elephant.dataset.record.log import AnnotationLog, Event, LabelsOf, Taught
from elephant.dataset.record.packing import Method
from elephant.dataset.source import DatasetSource
from elephant.dataset.transaction import Journal, labels_journal, outputs_journal, reading
from elephant.errors import DatasetError, InvalidInputError, NotFoundError
from elephant.io.atomic import explained_storage, sync_files
from elephant.io.paths import resolve_inside
from elephant.slabs import in_slabs
from elephant.types import Box, Label, Shape

# Stored probabilities are for viewing, and no one sees smaller steps.
_PROBABILITY_STEP = 1 / 64


class Dataset:
    """The image, labels and predictions of one movie.

    Open one for each piece of work: what is read after the dataset was generated again means nothing. It may be used
    from several threads and sent to other processes.

    Parameters
    ----------
    folder
        The dataset's folder.
    name
        Its name in messages; by default that of its folder.

    Raises
    ------
    NotFoundError
        There is no such folder.
    DatasetError
        It is incomplete or damaged.
    """

    def __init__(self, folder: Path, name: str | None = None) -> None:
        check_is_there(folder)
        message = check_arrays(folder)
        if message != READY:
            raise DatasetError(message)
        images = find_images(folder)
        self._folder = folder
        self._name = folder.name if name is None else name
        self._specs = layout.array_specs(images.shape[0], images.shape[1:], images.dtype)
        self._opened = self._identity()

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Keep the dataset from being replaced inside the block.

        Raises
        ------
        elephant.errors.InUseError
            It is being replaced.
        DatasetError
            It has been replaced since it was opened.
        """
        with reading(self._folder):
            self.check_not_replaced()
            yield

    def check_not_replaced(self) -> None:
        """Check that the dataset is still the one that was opened.

        Raises
        ------
        DatasetError
            It was generated again or removed meanwhile, with its labels; or it reads its images from a movie that is
            gone or has changed.
        """
        if self._identity() != self._opened:
            raise DatasetError(
                f"the dataset {self._name} was replaced while it was in use, and the labels written to it are gone: "
                "start again with the dataset as it is now"
            )
        if isinstance(self._images, MovieImages):
            self._images.check_unchanged()

    def _identity(self) -> tuple[int, int] | None:
        """Return what identifies the folder of the images; a conversion replaces it by a new one."""
        try:
            status = (self._folder / layout.IMAGES).stat()
        except FileNotFoundError:
            return None
        return status.st_dev, status.st_ino

    @classmethod
    def open(cls, root: Path, name: str) -> Self:
        """Open a dataset by its name below the folder of all datasets.

        Raises
        ------
        InvalidInputError
            The name leads out of the root.
        NotFoundError
            There is no such folder.
        DatasetError
            The dataset is incomplete or damaged.
        """
        return cls(resolve_inside(root, name), name)

    @property
    def folder(self) -> Path:
        """The dataset's folder."""
        return self._folder

    @property
    def name(self) -> str:
        """Its name in messages."""
        return self._name

    @property
    def n_timepoints(self) -> int:
        """T."""
        return self._specs[layout.IMAGES].n_timepoints

    @property
    def shape(self) -> Shape:
        """Shape of a timepoint's image, (Z, Y, X) or (Y, X)."""
        return self._specs[layout.IMAGES].spatial

    @property
    def n_dims(self) -> int:
        """3 or 2."""
        return len(self.shape)

    @property
    def is_3d(self) -> bool:
        """Whether timepoints are volumes."""
        return self.n_dims == 3

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the image, uint8 or uint16."""
        return np.dtype(self._specs[layout.IMAGES].dtype)

    @property
    def is_in_place(self) -> bool:
        """Whether images are read from the movie, of which the dataset holds no copy."""
        return self.source is not None and self.source.in_place

    @cached_property
    def source(self) -> DatasetSource | None:
        """What it was made from; None if its folder has no ``source.json``."""
        return DatasetSource.read(self._folder)

    def check_timepoint(self, t: int) -> None:
        """Check that a timepoint exists.

        Raises
        ------
        InvalidInputError
            It does not.
        """
        if not 0 <= t < self.n_timepoints:
            raise InvalidInputError(
                f"expected a timepoint of 0 to {self.n_timepoints - 1} in {self._folder.name}, got {t}: choose the "
                "dataset that was made from this movie"
            )

    def read_image(self, t: int, box: Box | None = None) -> NDArray[Any]:
        """Return the image of a timepoint, or of a box of it, ((Z), Y, X)."""
        return self._images.read(t, box)

    def image_fingerprint(self, t: int, image: NDArray[Any] | None = None) -> str:
        """Return a text that is another one when a timepoint's image may be another one.

        Of an image that the dataset holds, the stamps of its files tell. Where the movie is read in place, its values
        do: not every movie says by its files whether it has changed.

        Parameters
        ----------
        image
            What :meth:`read_image` returned, where the caller has it: it is read for this otherwise, in place.
        """
        digest = hashlib.blake2b(repr((self.shape, self.dtype.str)).encode(), digest_size=20)
        if isinstance(self._images, MovieImages):
            values = self.read_image(t) if image is None else image
            parts = in_slabs(
                lambda slab: hashlib.sha256(np.ascontiguousarray(values[slab]).data).digest(), values.shape
            )
            digest.update(b"".join(parts))
        else:
            digest.update(metadata_of(self._folder / layout.IMAGES))
            digest.update(repr((self._identity(), self._images.stamps(t))).encode())
        return digest.hexdigest()

    def read_probabilities(self, t: int, box: Box | None = None) -> NDArray[np.float16]:
        """Return the stored probabilities of background, border and centre, ((Z), Y, X, 3)."""
        return _read_settled(self._probabilities, self._outputs_journal, t, box)

    def write_probabilities(self, t: int, values: NDArray[np.floating[Any]], box: Box | None = None) -> None:
        """Store probabilities, ((Z), Y, X, 3), of a timepoint or of a box of it, in steps of 1/64."""
        kept = np.moveaxis(steady(np.moveaxis(values, -1, 0), _PROBABILITY_STEP), 0, -1)
        self._write(self._outputs_journal, t, {self._probabilities: kept}, box)

    def read_flow(self, t: int, box: Box | None = None) -> NDArray[np.float16]:
        """Return the stored flow from `t` + 1 back to `t`, (n, (Z), Y, X), channels X, Y(, Z), normalised."""
        return _read_settled(self._flow, self._outputs_journal, t, box)

    def write_flow(
        self, t: int, values: NDArray[np.floating[Any]], box: Box | None = None, steps: Sequence[float] | None = None
    ) -> None:
        """Store the flow, (n, (Z), Y, X), of the earlier timepoint `t` or of a box of it.

        Parameters
        ----------
        t
            The earlier timepoint.
        values
            Channels X, Y(, Z), normalised.
        box
            The part that `values` cover; None for the whole timepoint.
        steps
            The step to which each channel is rounded; None for no rounding.
        """
        if steps is not None:
            values = np.stack([steady(channel, step) for channel, step in zip(values, steps, strict=True)])
        self._write(self._outputs_journal, t, {self._flow: values}, box)

    def read_labels(self, t: int, box: Box | None = None) -> NDArray[np.uint8]:
        """Return the labels of a timepoint, or of a box of it, ((Z), Y, X), 0 to 6."""
        return _read_settled(self._labels, self._labels_journal, t, box)

    def write_labels(self, t: int, labels: NDArray[np.uint8], source: LabelsOf | None = None) -> int:
        """Replace the labels of a timepoint, ((Z), Y, X), 0 to 6, and their colours; return their CRC-32.

        Parameters
        ----------
        source
            The annotations that they come from, for the record; without them, labels cannot be repeated from it.
        """
        if labels.dtype != np.uint8 or labels.max(initial=0) > max(Label):
            raise InvalidInputError(
                f"expected labels of type uint8 from 0 to {max(Label)}, got {labels.dtype} up to "
                f"{labels.max(initial=0)}: give labels as they are stored"
            )
        arrays = {self._labels: labels, self._labels_rgb: labels_as_rgb(labels)}
        checksum = zlib.crc32(np.ascontiguousarray(labels).data)
        news = _labels_news("detection", t, self.shape, source, checksum)
        self._write(self._labels_journal, t, arrays, news=news)
        return checksum

    def clear_labels(self) -> None:
        """Set the labels of all timepoints to 0."""
        self._clear("detection", self._labels, self._labels_rgb)

    def labelled_timepoints(self) -> list[int]:
        """Return the timepoints that have labels, in order."""
        return self._labels.filled_timepoints()

    def read_flow_labels(self, t: int, box: Box | None = None) -> NDArray[np.float32]:
        """Return the flow labels of the earlier timepoint `t`, (n + 1, (Z), Y, X): X, Y(, Z), weight."""
        return _read_settled(self._flow_labels, self._labels_journal, t, box)

    def write_flow_labels(self, t: int, labels: NDArray[np.float32], source: LabelsOf | None = None) -> int:
        """Replace the flow labels of the earlier timepoint `t`, (n + 1, (Z), Y, X); `source` as for labels."""
        checksum = zlib.crc32(np.ascontiguousarray(labels).data)
        news = _labels_news("flow", t, self.shape, source, checksum)
        self._write(self._labels_journal, t, {self._flow_labels: labels}, news=news)
        return checksum

    def clear_flow_labels(self) -> None:
        """Set the flow labels of all timepoints to 0."""
        self._clear("flow", self._flow_labels)

    def flow_labelled_timepoints(self) -> list[int]:
        """Return the earlier timepoints that have flow labels, in order."""
        return self._flow_labels.filled_timepoints()

    @contextmanager
    def labels_lock(self) -> Iterator[None]:
        """Make every other writer of this dataset's labels wait; may be nested."""
        with self._labels_journal.lock():
            yield

    @property
    def record(self) -> AnnotationLog:
        """The record of what it was taught, to append to with its lock held."""
        return AnnotationLog(self._folder, self._labelled)

    def record_event(self, event: Event) -> tuple[int, str]:
        """Append something to the record; return the number of its entry, and the digest of all up to it.

        Raises
        ------
        elephant.errors.StorageError
            It cannot be written.
        DatasetError
            The file in its place is no record of annotations.
        """
        record = self.record
        with explained_storage("the record of annotations", self._folder, 0), self.labels_lock():
            record.append(event)
            sync_files([record.path])
            return record.position()

    def _labelled(self) -> dict[str, list[int]]:
        return {"detection": self.labelled_timepoints(), "flow": self.flow_labelled_timepoints()}

    def _recorder(self, news: Taught | Event) -> Callable[[Path], Path]:
        """Return what a transaction of labels appends to the record."""
        record = self.record

        def append(undo_in: Path) -> Path:
            record.append(news, undo_in)
            return record.path

        return append

    def _write(
        self,
        journal: Journal,
        t: int,
        values: Mapping[TimeSeries, NDArray[Any]],
        box: Box | None = None,
        news: Taught | Event | None = None,
    ) -> None:
        """Replace a timepoint, or a box of it, in all of some arrays or in none."""
        what = f"timepoint {t} of {' and '.join(series.name for series in values)}"
        needed = sum(array.nbytes for array in values.values())
        with explained_storage(what, self._folder, needed), journal.transaction() as changes:
            changes.record = None if news is None else self._recorder(news)
            for series, array in values.items():
                series.stage(changes, t, array, box)

    def _clear(self, method: str, *arrays: TimeSeries) -> None:
        what = f"cleared {' and '.join(series.name for series in arrays)}"
        with explained_storage(what, self._folder, 0), self._labels_journal.transaction() as changes:
            changes.record = self._recorder(Event("cleared", {"method": method}))
            for series in arrays:
                series.stage_clear(changes)

    def __reduce__(self) -> tuple[type["Dataset"], tuple[Path]]:
        return (type(self), (self._folder,))

    @cached_property
    def _labels_journal(self) -> Journal:
        return labels_journal(self._folder)

    @cached_property
    def _outputs_journal(self) -> Journal:
        return outputs_journal(self._folder)

    @cached_property
    def _images(self) -> TimeSeries | MovieImages:
        return open_images(self._folder, self._specs[layout.IMAGES])

    @cached_property
    def _probabilities(self) -> TimeSeries:
        return self._series(layout.PROBABILITIES)

    @cached_property
    def _labels(self) -> TimeSeries:
        return self._series(layout.LABELS)

    @cached_property
    def _labels_rgb(self) -> TimeSeries:
        return self._series(layout.LABELS_RGB)

    @cached_property
    def _flow(self) -> TimeSeries:
        return self._series(layout.FLOW)

    @cached_property
    def _flow_labels(self) -> TimeSeries:
        return self._series(layout.FLOW_LABELS)

    def _series(self, name: str) -> TimeSeries:
        return TimeSeries(self._folder / name, self._specs[name])


def _labels_news(method: Method, t: int, shape: Shape, source: LabelsOf | None, checksum: int) -> Taught | Event:
    """Return what the record says of labels that are written."""
    if source is None:
        return Event("written", {"method": method, "t": t, "checksum": checksum})
    return Taught(method, t, source, shape, checksum)


def check_is_there(folder: Path) -> None:
    """Check that there is a folder of a dataset, whatever is in it.

    Raises
    ------
    NotFoundError
        There is none.
    """
    if not folder.is_dir():
        raise NotFoundError(f"the dataset {folder} is not there: generate it, or check its name")


def _read_settled(series: TimeSeries, journal: Journal, t: int, box: Box | None) -> NDArray[Any]:
    """Read a timepoint when no writer is replacing it."""
    if series.is_read_at_once(box):
        return series.read(t, box)
    with journal.lock():
        return series.read(t, box)
