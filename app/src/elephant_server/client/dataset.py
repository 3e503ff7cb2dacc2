"""A dataset of a server: its labels, trainings on it, and what its models find in it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import wait
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elephant.errors import InvalidInputError
from elephant.methods.annotations import Found, annotated_spots, found_spots
from elephant.tracking import Tracks, join_spots
from elephant.types import DetectedSpot, EarlierSpot, Link, Spot
from elephant_server.client.following import PAUSE_S, Follower, in_thread
from elephant_server.client.transport import AbortedError, ServerError, Transport
from elephant_server.schemas.answers import EarlierSpots, FoundSpots, Message, MovieTimepoint
from elephant_server.schemas.dashboard import DatasetAnswer
from elephant_server.schemas.lineage_answers import (
    CorrectedAnswer,
    LineageAnswer,
    LineageSpot,
    LineageSpotsAnswer,
    TrackEnd,
)
from elephant_server.schemas.requests import MovieRequests
from elephant_server.schemas.review import ReviewAnswer, ReviewPlace

DETECTION, FLOW = "detection.pth", "flow.pth"
_UNKNOWN_PATH = (404, 405)  # an older server's answer to what it does not know; or there is no such dataset

Annotations = Sequence[Spot] | NDArray[np.number]


class RemoteDataset:
    """A dataset of a server, as :meth:`elephant_server.client.Client.open_dataset` returns it.

    Models are named by their files on the server. Further parameters of the methods are the fields of the request (see
    the reference of the HTTP API), with sizes in the order (Z), Y, X and the server's defaults; an unknown name is
    refused. Ctrl-C leaves a method; a training goes on until :meth:`elephant_server.client.Client.abort`.

    Attributes
    ----------
    name
        Its name on the server.
    voxel_size
        Physical edges of a voxel, Z, Y, X, or Y, X for a 2D movie.
    """

    def __init__(self, transport: Transport, follower: Follower, name: str, voxel_size: Sequence[float]) -> None:
        self.name, self.voxel_size = name, tuple(voxel_size)
        self._transport, self._follower = transport, follower
        self._requests = MovieRequests(name, self.voxel_size)

    def describe(self) -> DatasetAnswer:
        """Return its size and type, and which timepoints have labels or predictions."""
        return self._transport.read("dashboard/api/dataset", DatasetAnswer, dataset=self.name)

    def check(self, shape: Sequence[int] | None = None) -> str:
        """Return ``ready``, or the first thing that is wrong.

        Parameters
        ----------
        shape
            Size of the movie that it should be, T, (Z), Y, X.
        """
        asked = {"dataset_name": self.name, **({} if shape is None else {"shape": list(shape)})}
        return self._transport.parsed("dataset/check", self._transport.post("dataset/check", asked), Message).message

    # Labels

    def annotate(self, spots: Annotations, **params: Any) -> None:
        """Replace the labels of every timepoint that has one of the spots.

        Parameters
        ----------
        spots
            Spots with a tag, or an array, (N, 5), of t, z, y, x and the radius; in 2D (N, 4), without z.
        """
        self._follower.post("seg/update", self._requests.update(self._annotated(spots), **params))

    def annotate_links(self, links: Sequence[Link] | Tracks, **params: Any) -> None:
        """Replace the flow labels of every timepoint at which one of the links, or of the links of tracks, begins."""
        self._follower.post("flow/update", self._requests.update_flow(_links_of(links), **params))

    def clear_labels(self) -> None:
        """Clear the labels of all timepoints."""
        self._follower.post("seg/update", {"dataset_name": self.name, "reset": True})

    def clear_flow_labels(self) -> None:
        """Clear the flow labels of all timepoints."""
        self._follower.post("flow/update", {"dataset_name": self.name, "reset": True})

    # Trainings

    def reset(self, model: str = DETECTION, *, file: Path | str | None = None, **params: Any) -> None:
        """Start a detection model anew, by default from the intensities of the dataset.

        Parameters
        ----------
        file
            A model file (``.pth``) to start from.
        **params
            Such as ``url="Versatile"`` for the pretrained model, and ``crop_size``.
        """
        self._follower.reset("seg/reset", self._requests.reset(model, **params), file)

    def train(self, spots: Annotations, *, model: str = DETECTION, **params: Any) -> None:
        """Label the timepoints of the spots and train a detection model on them; one that is not there is started.

        While another training runs, it waits for its turn; with ``wait=False`` it is refused.

        Parameters
        ----------
        spots
            As for :meth:`annotate`.
        **params
            Such as ``n_epochs`` (10 by default), ``lr`` and ``crop_size`` ((16, 96, 96) by default).

        Raises
        ------
        AbortedError
            Somebody aborted it. The model holds the last finished epoch.
        """
        self._follower.post("seg/train", self._requests.train(model, self._annotated(spots), **params))

    def train_flow(self, links: Sequence[Link] | Tracks, *, model: str = FLOW, **params: Any) -> None:
        """Label the links, or all of some tracks, and train a flow model on them.

        Parameters
        ----------
        **params
            As for :meth:`train`, and ``max_displacement`` (80 voxels by default).

        Raises
        ------
        AbortedError
            As for :meth:`train`.
        """
        self._follower.post("flow/train", self._requests.train_flow(model, _links_of(links), **params))

    @contextmanager
    def live(self, spots: Annotations = (), *, model: str = DETECTION, **params: Any) -> Iterator[None]:
        """Train as long as the block runs: an epoch on `spots`, then one for each :meth:`annotate`.

        The session is ended by an abort, which at the end of the block ends everything else that the server does, too.
        """
        annotated = self._annotated(spots) if len(spots) else []
        # It does not wait: the block would not begin before others have done with their trainings.
        body = self._requests.train(model, annotated, **({"wait": False} | params)) | {"is_livemode": True}
        session = in_thread(lambda: self._transport.post("seg/train", body))
        try:
            while not (session.done() or self._has_begun(body)):
                wait([session], PAUSE_S)
            if session.done():
                session.result()  # it was refused
            yield
        finally:
            while not session.done():
                self._transport.post("state/process", {"state": 0})
                wait([session], PAUSE_S)
        error = session.exception()
        if error is not None and not isinstance(error, AbortedError):
            raise error

    def _has_begun(self, body: dict[str, Any]) -> bool:
        """Tell whether a live session is there and has labelled what it was given, which it would have refused before.

        An end before that would hide why it was refused.
        """
        job = self._follower.job("seg/train", body)
        return job is not None and (not body["spots"] or job.stage is not None)

    # Predictions

    def predict(self, timepoint: int, *, model: str = DETECTION, **params: Any) -> list[DetectedSpot]:
        """Find the nuclei of a timepoint.

        Parameters
        ----------
        **params
            Such as ``p_thresh=0.4``, ``r_min=1`` or ``patch=(16, 256, 256)``.
        """
        found = self._follower.post("seg/predict", self._requests.predict(model, timepoint, **params))
        return [spot.detected() for spot in self._transport.parsed("seg/predict", found, FoundSpots).spots]

    def predict_all(
        self, timepoints: Sequence[int] | None = None, *, model: str = DETECTION, **params: Any
    ) -> dict[int, list[DetectedSpot]]:
        """Find the nuclei of many timepoints, by default of all; parameters as for :meth:`predict`.

        The timepoints spread over all workers of the server. What was found is known there: asked again, also after an
        interruption, it is answered at once while neither image, model nor parameters have changed.
        """
        chosen = range(self.describe().n_timepoints) if timepoints is None else timepoints
        found: dict[int, list[DetectedSpot]] = {}
        for first, last in _runs(chosen):
            found |= self._predict_run(first, last, model, params)
        return {t: found[t] for t in chosen}

    def _predict_run(
        self, first: int, last: int, model: str, params: Mapping[str, Any]
    ) -> dict[int, list[DetectedSpot]]:
        """Find the nuclei of consecutive timepoints; one by one where the server is an older one."""
        body = self._requests.predict_movie(model, first, last, **params)
        found: dict[int, list[DetectedSpot]] = {}
        try:
            for line in self._follower.lines("movie/predict", body, last - first + 1):
                answer = self._transport.parsed("movie/predict", line, MovieTimepoint)
                found[answer.t] = [spot.detected() for spot in answer.spots]
        except ServerError as error:
            if error.status not in _UNKNOWN_PATH or found:
                raise
            return {t: self.predict(t, model=model, **params) for t in range(first, last + 1)}
        return found

    def review(
        self, timepoints: tuple[int, int] | None = None, *, model: str = DETECTION, **params: Any
    ) -> ReviewAnswer:
        """Return the places where errors are expected, worst first, and what is expected of each timepoint.

        Parameters
        ----------
        timepoints
            The first and the last; by default all.
        **params
            As for :meth:`predict`, and ``n_places`` (200 by default).
        """
        first, last = (0, self.describe().n_timepoints - 1) if timepoints is None else timepoints
        found = self._follower.post("review", self._requests.review(model, first, last, **params))
        return self._transport.parsed("review", found, ReviewAnswer)

    def answer_review(
        self, answers: Sequence[tuple[ReviewPlace, bool]], *, model: str = DETECTION, **params: Any
    ) -> None:
        """Say of places whether a nucleus is there: it is written into the labels, and joined to the next trainings.

        Parameters
        ----------
        answers
            Places of :meth:`review`, each with what is seen there.
        **params
            ``c_ratio``.
        """
        self._follower.post("review/answers", self._requests.answer(model, answers, **params))

    def displace(self, spots: Sequence[Spot], *, model: str = FLOW, **params: Any) -> list[EarlierSpot]:
        """Find where spots of any timepoints were at the timepoint before.

        Returns
        -------
        list of EarlierSpot
            One for each spot, in their order.
        """
        found: dict[int, EarlierSpot] = {}
        for t in sorted({spot.t for spot in spots}):
            of_t = {number: spot for number, spot in enumerate(spots) if spot.t == t}
            answer = self._follower.post("flow/predict", self._requests.predict_flow(model, t, of_t, **params))
            for was in self._transport.parsed("flow/predict", answer, EarlierSpots).spots:
                found[was.id] = was.earlier(of_t[was.id].id)
        return [found[number] for number in range(len(spots))]

    def link(
        self, spots: Found, *, max_distance: float, model: str | None = None, n_children: int = 2, **params: Any
    ) -> Tracks:
        """Join spots of consecutive timepoints to tracks.

        Parameters
        ----------
        spots
            Spots, or nuclei by timepoint, as of :meth:`predict_all`.
        max_distance
            How far apart two spots may be, physical: a spot and where the flow says that the later one was, or where
            the later one is without a flow model.
        model
            A flow model. Without one, nearest neighbours are joined, on this machine.
        n_children
            How many spots may come from one: 2 allows divisions, 1 does not.
        **params
            What else :meth:`displace` takes.

        Raises
        ------
        InvalidInputError
            There are parameters without a model, or `max_distance` is so large that nearly every spot is near to every
            other.
        """
        found = found_spots(spots)
        if model is None and params:
            raise InvalidInputError(f"{next(iter(params))} has a meaning with a flow model only: give model=")
        earlier = [spot.pos for spot in (found if model is None else self.displace(found, model=model, **params))]
        return join_spots(found, np.array(earlier).reshape(-1, 3), max_distance, n_children)

    # Lineages that are kept with the dataset

    def track(
        self,
        spots: Found | None = None,
        *,
        confirmed: Iterable[tuple[int, int]] = (),
        model: str | None = None,
        **params: Any,
    ) -> TrackEnd:
        """Join spots to lineages on the server, which keeps them with the dataset.

        An interrupted run goes on where it was when it is asked for again. What persons corrected before is kept, as
        far as its spots are still there.

        Parameters
        ----------
        spots
            Spots, or nuclei by timepoint, as of :meth:`predict_all`; by default what the newest predictions found. If
            all have an id other than -1, they are known by it; else by their place in the list.
        confirmed
            Links that stay, as pairs of the ids of parent and child.
        model
            A flow model; by default motions are expected to be those of the neighbours.
        **params
            Such as ``max_gap``, ``children`` and ``max_distance``.

        Raises
        ------
        AbortedError
            Somebody aborted it.
        """
        found = None if spots is None else found_spots(spots)
        body = self._requests.track(found, confirmed, model, **params)
        return self._transport.parsed("movie/track", self._follower.ended("movie/track", body), TrackEnd)

    def lineage(self) -> LineageAnswer:
        """Return the tracks that are kept with the dataset, and what is doubtful of them."""
        return self._transport.read("movie/lineage", LineageAnswer, dataset_name=self.name)

    def lineage_spots(self, timepoint: int) -> list[LineageSpot]:
        """Return the spots of a timepoint with their tracks."""
        query = {"dataset_name": self.name, "timepoint": timepoint}
        return self._transport.read("movie/lineage/spots", LineageSpotsAnswer, **query).spots

    def correct_lineage(self, version: int, **decided: Any) -> CorrectedAnswer:
        """Say what is right and wrong of the lineages; what follows from it is solved again, and returned.

        Parameters
        ----------
        version
            Of the lineages that were looked at.
        **decided
            ``confirm``, ``cut`` and ``join``: pairs of ids; ``starts``, ``ends``, ``wrong`` and ``undivided``: ids; or
            ``undo=True``.
        """
        path = "movie/lineage/corrections"
        found = self._follower.post(path, self._requests.correct_lineage(version, **decided))
        return self._transport.parsed(path, found, CorrectedAnswer)

    def export_ctc(self, tracks: Tracks, path: Path | str) -> None:
        """Write tracks as masks of the Cell Tracking Challenge, one for each timepoint, into a ``.zip``.

        Voxels hold the number of the track. The file is there when the export is done, and not before.
        """
        last = self.describe().n_timepoints - 1
        body = self._requests.export_ctc(tracks.spots, tracks.numbers, 0, last)
        ask = partial(self._transport.download, "download/ctc", body, Path(path).absolute())
        if not self._follower.follow("download/ctc", body, ask):
            raise AbortedError("download/ctc")

    def export_tracks(self, tracks: Tracks, path: Path | str, *, format: str) -> None:  # noqa: A002 - as elsewhere
        """Write tracks for another program: ``geff``, ``trackmate``, ``napari``, ``json``, or what the server has more.

        The file is there when the export is done, and not before.
        """
        body = self._requests.export_tracks(tracks, format)
        ask = partial(self._transport.download, "download/tracks", body, Path(path).absolute())
        if not self._follower.follow("download/tracks", body, ask):
            raise AbortedError("download/tracks")

    def _annotated(self, spots: Annotations) -> list[Spot]:
        return annotated_spots(spots, len(self.voxel_size))


def _runs(timepoints: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Yield the first and the last of consecutive timepoints, in order."""
    first = last = -1
    for t in sorted(set(timepoints)):
        if first >= 0 and t != last + 1:
            yield first, last
            first = t
        first, last = (t if first < 0 else first), t
    if first >= 0:
        yield first, last


def _links_of(links: Sequence[Link] | Tracks) -> Sequence[Link]:
    return links if isinstance(links, Sequence) else links.links()
