"""Bodies of requests as a client makes them: what the core has in Z, Y, X is X, Y, Z here."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from elephant.config import DEFAULT_CROP_SIZE, DEFAULT_MAX_DISPLACEMENT, DEFAULT_N_EPOCHS
from elephant.errors import InvalidInputError
from elephant.keywords import check_names, plain_type
from elephant.types import Box, Link, Spot
from elephant_server.schemas.detection import (
    MoviePredictBody,
    SegPredictBody,
    SegResetBody,
    SegTrainBody,
    SegUpdateBody,
)
from elephant_server.schemas.fields import CropBox, Sizes, covariance_xyz, xyz
from elephant_server.schemas.flow import FlowPredictBody, FlowTrainBody, FlowUpdateBody
from elephant_server.schemas.lineages import CorrectionBody, MovieTrackBody
from elephant_server.schemas.review import ReviewAnswersBody, ReviewBody, ReviewPlace

if TYPE_CHECKING:
    from elephant.tracking import Tracks

Json = dict[str, Any]

# A second training waits for its turn, which the requests of Mastodon do not.
WAITING: Json = {"wait": True}


@dataclass(frozen=True, slots=True)
class MovieRequests:
    """Makes the bodies of requests about one dataset.

    Further parameters of the methods are fields of the request by name; None stands for the server's default. Sizes are
    (Z), Y, X, and a `crop_box` is a :class:`elephant.types.Box`. Values are checked by the server.

    Attributes
    ----------
    dataset
        Its name on the server.
    voxel_size
        Physical edges of a voxel, Z, Y, X, or Y, X for a 2D movie.

    Raises
    ------
    InvalidInputError
        There are neither two nor three edges, or one is not above 0. The methods raise it where there is no such
        parameter, or a size has another number of axes.
    """

    dataset: str
    voxel_size: tuple[float, ...]

    def __post_init__(self) -> None:
        edges = self.voxel_size
        if len(edges) not in (2, 3) or not all(0 < edge < math.inf for edge in edges):
            raise InvalidInputError(
                f"voxel_size: expected edges above 0, (Z, Y, X), or (Y, X) for a 2D movie, got {tuple(edges)}"
            )

    @property
    def n_dims(self) -> int:
        """3, or 2 for a movie of planes."""
        return len(self.voxel_size)

    def predict(self, model: str, timepoint: int, **params: Any) -> Json:
        """``seg/predict``."""
        return self._filled(SegPredictBody, params, model_name=model, timepoint=timepoint)

    def predict_movie(self, model: str, t_start: int, t_end: int, **params: Any) -> Json:
        """``movie/predict``."""
        return self._filled(MoviePredictBody, params, model_name=model, t_start=t_start, t_end=t_end)

    def review(self, model: str, t_start: int, t_end: int, **params: Any) -> Json:
        """``review``."""
        return self._filled(ReviewBody, params, model_name=model, t_start=t_start, t_end=t_end)

    def update(self, spots: Iterable[Spot], **params: Any) -> Json:
        """``seg/update``."""
        return self._filled(SegUpdateBody, params, spots=[*map(_annotation, spots)], reset=False)

    def answer(self, model: str, answers: Iterable[tuple[ReviewPlace, bool]], **params: Any) -> Json:
        """``review/answers``."""
        spots = [
            place.model_dump(include={"t", "pos", "covariance", "kind", "log_odds"}) | {"is_nucleus": is_nucleus}
            for place, is_nucleus in answers
        ]
        return self._filled(ReviewAnswersBody, params, model_name=model, spots=spots)

    def train(self, model: str, spots: Iterable[Spot], **params: Any) -> Json:
        """``seg/train``; without a size of crops and a number of epochs with those of :func:`elephant.train`."""
        given = self._of_training() | params
        return self._filled(SegTrainBody, given, model_name=model, spots=[*map(_annotation, spots)])

    def reset(self, model: str, **params: Any) -> Json:
        """``seg/reset``."""
        return self._filled(SegResetBody, WAITING | params, model_name=model)

    def predict_flow(self, model: str, timepoint: int, spots: Mapping[int, Spot], **params: Any) -> Json:
        """``flow/predict``, for spots of a timepoint by the number under which each is answered."""
        asked = [{"id": number, **_ellipsoid(spot)} for number, spot in spots.items()]
        given = {"max_displacement": DEFAULT_MAX_DISPLACEMENT} | params
        return self._filled(FlowPredictBody, given, model_name=model, timepoint=timepoint, spots=asked)

    def update_flow(self, links: Iterable[Link], **params: Any) -> Json:
        """``flow/update``."""
        given = {"max_displacement": DEFAULT_MAX_DISPLACEMENT} | params
        return self._filled(FlowUpdateBody, given, spots=[*map(_link, links)], reset=False)

    def train_flow(self, model: str, links: Iterable[Link], **params: Any) -> Json:
        """``flow/train``; without sizes and a number of epochs with those of :func:`elephant.train_flow`."""
        given = self._of_training() | {"max_displacement": DEFAULT_MAX_DISPLACEMENT} | params
        return self._filled(FlowTrainBody, given, model_name=model, spots=[*map(_link, links)])

    def export_ctc(self, spots: Iterable[Spot], values: Sequence[int], t_start: int, t_end: int) -> Json:
        """``download/ctc``, with the value that marks each spot."""
        marked = [{"t": s.t, "value": value, **_ellipsoid(s)} for s, value in zip(spots, values, strict=True)]
        return {**self._about(), "spots": marked, "t_start": t_start, "t_end": t_end}

    def export_tracks(self, tracks: "Tracks", chosen: str) -> Json:
        """``download/tracks``, with the place of each spot as its id."""
        rows = enumerate(zip(tracks.spots, tracks.parents, tracks.numbers, strict=True))
        spots = [
            {"t": spot.t, "id": i, "track": number, "tag": spot.tag.value, **_ellipsoid(spot)}
            | ({"parent": parent} if parent >= 0 else {})
            for i, (spot, parent, number) in rows
        ]
        return {**self._about(), "spots": spots, "format": chosen}

    def track(
        self, spots: Sequence[Spot] | None, confirmed: Iterable[tuple[int, int]], model: str | None, **params: Any
    ) -> Json:
        """``movie/track``, with the place of each spot as its id where not all have one."""
        own: Json = {} if model is None else {"model_name": model}
        if spots is not None:
            is_named = all(spot.id >= 0 for spot in spots)
            own["spots"] = [_annotation(spot) | ({} if is_named else {"id": i}) for i, spot in enumerate(spots)]
        return self._filled(MovieTrackBody, params, **own, links=[*map(list, confirmed)])

    def correct_lineage(self, version: int, **decided: Any) -> Json:
        """``movie/lineage/corrections``."""
        own = {"dataset_name": self.dataset, "version": version}
        return own | sent_params(CorrectionBody, decided, self.n_dims, own)

    def _of_training(self) -> Json:
        return {"crop_size": DEFAULT_CROP_SIZE[-self.n_dims :], "n_epochs": DEFAULT_N_EPOCHS} | WAITING

    def _filled(self, model: type[BaseModel], params: Mapping[str, Any], **own: Any) -> Json:
        own = {**self._about(), **own}
        return own | sent_params(model, params, self.n_dims, own)

    def _about(self) -> Json:
        is_3d = self.n_dims == 3
        scales = [*map(float, self.voxel_size[::-1]), *([] if is_3d else [1.0])]
        return {"dataset_name": self.dataset, "is_3d": is_3d, "scales": scales}


def sent_params(model: type[BaseModel], params: Mapping[str, Any], n_dims: int, own: Iterable[str]) -> Json:
    """Return parameters as they are sent: sizes the other way round.

    Parameters
    ----------
    model
        The request.
    params
        By name; None stands for the default.
    n_dims
        3 or 2: how many numbers a size has.
    own
        Names of fields that are no parameters here.

    Raises
    ------
    InvalidInputError
        There is no such parameter, or a size has another number of axes.
    """
    known = {name: field for name, field in model.model_fields.items() if name not in set(own)}
    check_names(params, known)
    return {name: _sent(name, known[name], value, n_dims) for name, value in params.items() if value is not None}


def _sent(name: str, field: FieldInfo, value: Any, n_dims: int) -> Any:
    value = value.tolist() if hasattr(value, "tolist") else value
    kind = plain_type(field)
    if kind == CropBox:
        if not isinstance(value, Box):
            raise InvalidInputError(f"{name}: expected an elephant.types.Box, got {value!r}")
        return [*_sizes(name, value.origin, n_dims, 0), *_sizes(name, value.size, n_dims, 1)]
    return _sizes(name, value, n_dims, 1) if kind == Sizes else value


def _sizes(name: str, sizes: Any, n_dims: int, flat: int) -> list[int]:
    """Return sizes, (Z), Y, X, the other way round; in 2D with what stands for Z."""
    if len(sizes) != n_dims:
        raise InvalidInputError(f"{name}: expected {n_dims} numbers, ({', '.join('ZYX'[3 - n_dims :])}), got {sizes}")
    return [*sizes[::-1], *([] if n_dims == 3 else [flat])]


def _annotation(spot: Spot) -> Json:
    return {"t": spot.t, "id": spot.id, "tag": str(spot.tag), **_ellipsoid(spot)}


def _link(link: Link) -> Json:
    return {"t": link.t, "displacement": xyz(link.displacement), **_ellipsoid(link)}


def _ellipsoid(spot: Spot | Link) -> Json:
    return {"pos": xyz(spot.pos), "covariance": covariance_xyz(spot.covariance)}
