"""The content of TrackMate's files, as it is streamed through a parser that resolves no entities."""

from array import array
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn
from xml.parsers import expat

import numpy as np
from numpy.typing import NDArray

from elephant.annotations.base import MOST_SPOTS
from elephant.annotations.cells import FARTHEST
from elephant.errors import InvalidInputError
from elephant.export.trackmate_names import COVARIANCE, TAGS
from elephant.progress import CancelToken
from elephant.types import FloatArray

NO_TRACK = -1
_BLOCK = 1 << 20
_POSITION = ("POSITION_X", "POSITION_Y", "POSITION_Z")
_OURS = (*COVARIANCE, TAGS.feature)
_PIXEL = ("pixelwidth", "pixelheight", "voxeldepth")

Attributes = Mapping[str, str]


@dataclass(frozen=True, slots=True, eq=False)
class TrackMateFile:
    """The N spots and E edges of a file.

    Attributes
    ----------
    unit
        Of lengths, as the file writes it.
    pixel
        Size of a voxel, (3,), X, Y, Z, if the file says.
    id, frame
        Of each spot, (N,).
    position
        X, Y, Z, (N, 3).
    radius, quality
        Of each spot, (N,); NaN if it has none.
    is_visible
        Whether the spot passes the filters, (N,).
    feature
        Of each spot, by the name of a feature that an export of ours adds, (N,); only those that the file has.
    edge
        IDs of the spots at its ends, (E, 2).
    edge_track
        ID of its track, (E,).
    shown_tracks
        IDs of the tracks that pass the filters.
    """

    unit: str
    pixel: FloatArray | None
    id: NDArray[np.int64]
    frame: NDArray[np.int64]
    position: FloatArray
    radius: FloatArray
    quality: FloatArray
    is_visible: NDArray[np.bool_]
    feature: Mapping[str, FloatArray]
    edge: NDArray[np.int64]
    edge_track: NDArray[np.int64]
    shown_tracks: tuple[int, ...]


def parse(path: Path, cancel: CancelToken) -> TrackMateFile:
    """Read a file.

    Raises
    ------
    InvalidInputError
        It is no XML, it is truncated, it has a document type, or a spot lacks something.
    """
    collected = _Collected(path.name)
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = collected.start
    parser.StartDoctypeDeclHandler = collected.refuse_document_type
    collected.parser = parser
    try:
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                cancel.check()
                parser.Parse(block, False)
            parser.Parse(b"", True)
    except expat.ExpatError as error:
        raise InvalidInputError(
            f"{path.name} is not whole: expected XML of TrackMate, got a file that breaks off or is damaged at line "
            f"{error.lineno} ({expat.errors.messages[error.code]}): save or copy it again"
        ) from error
    return collected.result()


@dataclass(slots=True)
class _Collected:
    """What was read so far."""

    name: str
    parser: expat.XMLParserType = field(init=False)
    unit: str = ""
    pixel: FloatArray | None = None
    ids: "array[int]" = field(default_factory=lambda: array("q"))
    frames: "array[int]" = field(default_factory=lambda: array("q"))
    numbers: "array[float]" = field(default_factory=lambda: array("d"))  # x, y, z, radius, quality, and ours
    visible: bytearray = field(default_factory=bytearray)
    edges: "array[int]" = field(default_factory=lambda: array("q"))
    edge_tracks: "array[int]" = field(default_factory=lambda: array("q"))
    shown: "array[int]" = field(default_factory=lambda: array("q"))
    has_ours: bool = False
    frame: str = ""
    track: int = NO_TRACK
    before: int = NO_TRACK

    def refuse_document_type(self, *_: object) -> NoReturn:
        """Refuse what may define entities, which TrackMate never writes."""
        raise InvalidInputError(f"{self.name} has a document type, which TrackMate never writes: save it again there")

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        """Take in an element."""
        handler = _HANDLERS.get(tag)
        if handler is not None:
            try:
                handler(self, attributes)
            except KeyError as error:
                self._fail(tag, attributes, f"expected {error.args[0]}, got none")
            except (ValueError, OverflowError) as error:
                self._fail(tag, attributes, f"expected numbers ({str(error)[:100]})")

    def _fail(self, tag: str, attributes: Attributes, words: str) -> NoReturn:
        which = f" {attributes['ID'][:40]}" if tag == "Spot" and "ID" in attributes else ""
        raise InvalidInputError(
            f"{self.name}, line {self.parser.CurrentLineNumber}: {tag}{which}: {words}: save it again in TrackMate"
        ) from None

    def model(self, attributes: Attributes) -> None:
        self.unit = attributes.get("spatialunits", "")

    def image(self, attributes: Attributes) -> None:
        sizes = np.array([float(attributes.get(name, "nan")) for name in _PIXEL])
        self.pixel = sizes if (sizes > 0).all() and np.isfinite(sizes).all() else None

    def in_frame(self, attributes: Attributes) -> None:
        self.frame = attributes.get("frame", "")

    def spot(self, attributes: Attributes) -> None:
        if len(self.ids) >= MOST_SPOTS:
            raise InvalidInputError(f"{self.name} has more than {MOST_SPOTS:,} spots: filter them in TrackMate")
        get = attributes.get
        position = [float(attributes[name]) for name in _POSITION]
        radius = float(get("RADIUS", "nan"))
        if not all(-FARTHEST < value < FARTHEST for value in position) or abs(radius) >= FARTHEST:
            raise ValueError(f"got POSITION {', '.join(map(str, position))} and RADIUS {radius}")
        self.ids.append(int(attributes["ID"]))
        self.frames.append(int(float(get("FRAME", self.frame))))
        self.numbers.extend(position)
        self.numbers.append(radius)
        self.numbers.append(float(get("QUALITY", "nan")))
        self.visible.append(get("VISIBILITY", "1") != "0")
        if TAGS.feature in attributes or COVARIANCE[0] in attributes:
            self.has_ours = True
        self.numbers.extend([float(get(name, "nan")) for name in _OURS])

    def in_track(self, attributes: Attributes) -> None:
        self.track = int(float(attributes["TRACK_ID"]))

    def edge(self, attributes: Attributes) -> None:
        self.edges.append(int(float(attributes["SPOT_SOURCE_ID"])))
        self.edges.append(int(float(attributes["SPOT_TARGET_ID"])))
        self.edge_tracks.append(self.track)

    def shown_track(self, attributes: Attributes) -> None:
        self.shown.append(int(float(attributes["TRACK_ID"])))

    def simple(self, attributes: Attributes) -> None:
        self.unit = attributes.get("spaceUnits", "")

    def particle(self, _: Attributes) -> None:
        self.track, self.before = self.track + 1, NO_TRACK

    def detection(self, attributes: Attributes) -> None:
        number = len(self.ids)
        named = {name: attributes[name[-1].lower()] for name in _POSITION[:2]}
        named |= {"POSITION_Z": attributes.get("z", "0"), "FRAME": attributes["t"], "ID": str(number)}
        self.spot(named)
        if self.before != NO_TRACK:
            self.edges.extend((self.before, number))
            self.edge_tracks.append(self.track)
        self.before = number

    def result(self) -> TrackMateFile:
        """Return what was read, as arrays."""
        numbers = np.frombuffer(self.numbers, dtype=np.float64).reshape(-1, 5 + len(_OURS))
        ours = {name: numbers[:, 5 + i] for i, name in enumerate(_OURS)} if self.has_ours else {}
        return TrackMateFile(
            unit=self.unit,
            pixel=self.pixel,
            id=np.frombuffer(self.ids, dtype=np.int64),
            frame=np.frombuffer(self.frames, dtype=np.int64),
            position=numbers[:, :3],
            radius=numbers[:, 3],
            quality=numbers[:, 4],
            is_visible=np.frombuffer(self.visible, dtype=np.bool_).copy(),
            feature=ours,
            edge=np.frombuffer(self.edges, dtype=np.int64).reshape(-1, 2),
            edge_track=np.frombuffer(self.edge_tracks, dtype=np.int64),
            shown_tracks=tuple(self.shown),
        )


_HANDLERS: Mapping[str, Callable[[_Collected, Attributes], None]] = {
    "Model": _Collected.model,
    "ImageData": _Collected.image,
    "SpotsInFrame": _Collected.in_frame,
    "Spot": _Collected.spot,
    "Track": _Collected.in_track,
    "Edge": _Collected.edge,
    "TrackID": _Collected.shown_track,
    "Tracks": _Collected.simple,
    "particle": _Collected.particle,
    "detection": _Collected.detection,
}
