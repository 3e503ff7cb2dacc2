"""The list of places to look at: on a movie, in the command line, interrupted, and its order."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

import elephant
from core.cli.shell import Shell
from elephant.config import DetectionParams, PredictionParams, SpotParams
from elephant.dataset import Dataset
from elephant.errors import Cancelled
from elephant.methods.work import ModelWork
from elephant.models.ensemble import ModelCache
from elephant.progress import NeverCancelled, NoReporter
from elephant.quality import Scene, Sites
from elephant.quality.logistic import Logistic
from elephant.review.figures import reasons
from elephant.review.files import COLUMNS, UnfinishedReview, as_document
from elephant.review.ranking import Place, Review, ranked
from elephant.review.reviewing import review
from elephant.review.suspects import find_suspects
from elephant.types import DetectedSpot, Spot, VoxelSize

SHAPE, RADIUS = (12, 40, 40), 5.0
PLACES = [(6.0, 10.0, 10.0), (6.0, 28.0, 11.0), (6.0, 19.0, 30.0)]


def movie() -> np.ndarray:
    """Return three timepoints of balls, one of which is there at the first and the last only."""
    rng = np.random.default_rng(0)
    grid = np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij"), axis=-1)
    images = rng.normal(20, 4, (3, *SHAPE))
    for t in range(3):
        for i, place in enumerate(PLACES):
            if (t, i) != (1, 2):
                images[t] += 150 * (((grid - place) ** 2).sum(axis=-1) < RADIUS**2)
    return images.clip(0).astype(np.uint16)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with the dataset `movie` and the model `m.pth`, which is started from its intensities."""
    folder = tmp_path_factory.mktemp("review")
    dataset = elephant.open_dataset(movie(), voxel_size=(1, 1, 1), quiet=True)
    spots = [Spot(0, np.array(PLACES[0]), np.eye(3) * RADIUS**2, elephant.types.Tag.TP)]
    crop = {"crop_size": (12, 24, 24), "n_epochs": 0, "seed": 0, "n_keep_axials": 0}
    elephant.train(dataset, spots, model=folder / "m.pth", quiet=True, **crop)
    dataset.folder.rename(folder / "movie")
    return folder


def work_on(folder: Path) -> ModelWork:
    cache = ModelCache(elephant.device.choose_device("cpu"))
    return ModelWork(Dataset(folder / "movie"), folder / "m.pth", cache, NoReporter(), NeverCancelled())


PARAMS = DetectionParams(
    prediction=PredictionParams(), spots=SpotParams(voxel_size=VoxelSize(1, 1, 1), r_min=1, c_ratio=0.9)
)


def test_a_spot_that_is_missing_between_two_others_is_suspected(folder: Path) -> None:
    found = review(work_on(folder), [2, 0, 1], PARAMS)
    assert sorted(one.t for one in found.timepoints) == [0, 1, 2]
    places = [place for look in found.looks for place in look.places]
    near = [p for p in places if p.t == 1 and p.kind == "missed" and np.linalg.norm(p.pos - PLACES[2]) < RADIUS]
    assert near
    assert all(0 <= place.probability <= 1 and np.isfinite(place.errors) for place in places)
    for place in places:
        is_merged = place.kind == "spot" and place.errors > 2 * (1 - place.probability)
        assert (place.why == "perhaps more than one nucleus") == is_merged
    assert [look.places[0].errors for look in found.looks] == sorted(
        (look.places[0].errors for look in found.looks), reverse=True
    )


def test_a_reason_names_nothing_that_is_not_known_or_has_no_weight() -> None:
    names = ("room", "gap", "apart_centre", "alone")
    given = Logistic(names=names, shift=(1,) * 4, width=(1,) * 4, weights=(0, 0.5, 2, 0.3), offset=0)
    alone, accompanied = np.array([[0.2, 0.5, 0, 1]]), np.array([[0.2, 0.5, 0, 0]])
    assert reasons(given, accompanied) == ["an unsure spot there one timepoint away"]
    assert reasons(given, alone) == ["close to another spot"]
    assert reasons(given, np.array([[0.2, 1.5, 0, 1]])) == ["close to another spot"]
    assert reasons(given, np.empty((0, 4))) == []


def test_a_review_goes_on_where_it_was_interrupted(folder: Path, tmp_path: Path) -> None:
    whole, stopped = review(work_on(folder), range(3), PARAMS), 0
    kept = UnfinishedReview(tmp_path / "look.json", "digest")

    def stop_at_second(t: int, *done: object) -> None:
        nonlocal stopped
        kept.add(*done)  # type: ignore[arg-type]
        stopped += 1
        if stopped == 2:
            raise Cancelled("enough")

    with pytest.raises(Cancelled):
        review(work_on(folder), range(3), PARAMS, finished=kept.read(), on_timepoint=stop_at_second)
    again = kept.read()
    assert sorted(again.reviewed) == [0, 1]
    done: list[int] = []
    rest = review(work_on(folder), range(3), PARAMS, finished=again, on_timepoint=lambda t, *_: done.append(t))
    assert done == [2]
    assert as_document(rest) == as_document(whole)
    assert sorted(again.spots) == [1, 2]  # no more are held than are needed


SHORT = (
    b'{"review": "digest"}\n{"t": 0, "n_spots": 1, "wrong": 0, "missed": 0, "n_places": 0, "places": [], '
    b'"spots": [[[1, 2], [1, 0, 0, 0, 1, 0, 0, 0, 1], 0.5]]}\n'
)


@pytest.mark.parametrize(
    "damage", [b"", b"{", b'{"review": "digest"}\n{"t": 1', b'{"review": "other"}\n', b"[1]\n", SHORT]
)
def test_a_damaged_unfinished_review_is_begun_anew(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / "look.json.unfinished").write_bytes(damage)
    kept = UnfinishedReview(tmp_path / "look.json", "digest")
    assert kept.read().reviewed == {}
    assert (tmp_path / "look.json.unfinished").read_text() == '{"review": "digest"}\n'


def test_the_command_prints_a_table_and_writes_files(folder: Path, shell: Shell) -> None:
    given = ("review", folder / "movie", "--model", folder / "m.pth", "--r-min", 1, "--c-ratio", 0.9, "-q")
    shown = shell(*given)
    assert (shown.status, shown.err) == (0, "")
    words = r"\d+ spots? at 3 timepoints; expect about \d+ wrong spots? and \d+ missed nucle(us|i)"
    assert re.fullmatch(words, shown.out.splitlines()[0])
    assert tuple(shown.out.splitlines()[1].split()) == COLUMNS
    assert shell(*given, "-o", "look.csv").status == 0
    assert shell(*given, "-o", "look.json", "-t", "0-1", "--n-places", 3).status == 0
    written = json.loads(Path("look.json").read_text())
    assert len(written["places"]) == 3
    assert [one["t"] for one in written["timepoints"]] == sorted(
        (0, 1), key=lambda t: -next(o["wrong"] + o["missed"] for o in written["timepoints"] if o["t"] == t)
    )
    assert not list(Path().glob("*.unfinished"))
    assert shell(*given, "-o", "look.csv").status == 0  # its own output is replaced
    Path("mine.csv").write_text("mine")
    assert "no review" in shell(*given, "-o", "mine.csv").err


def test_blobs_border_and_neighbours_are_suspected_where_no_spot_is() -> None:
    grid = np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij"), axis=-1)
    balls = [((grid - place) ** 2).sum(axis=-1) < RADIUS**2 for place in PLACES]
    image = (0.1 + 0.8 * (balls[0] | balls[1])).astype(np.float32)
    border = (0.7 * balls[2]).astype(np.float32)
    scene = Scene(image, np.zeros(SHAPE, np.float32), np.ones(3), np.zeros(3), border)
    found = Sites.of([DetectedSpot.ball(PLACES[0], RADIUS)], 3)
    before = Sites.of([DetectedSpot.ball(place, RADIUS) for place in (PLACES[0], (6.0, 4.0, 34.0))], 3)

    suspects = find_suspects(scene, found, [before], NeverCancelled())

    def at(place: tuple[float, ...]) -> list[tuple[bool, bool]]:
        near = np.linalg.norm(suspects.sites.centres - place, axis=1) < RADIUS / 2
        return list(zip(suspects.foreground[near].tolist(), suspects.blob[near].tolist(), strict=True))

    assert at(PLACES[0]) == []
    assert at(PLACES[1]) == [(False, True)]
    assert at(PLACES[2]) == [(True, False)]
    assert at((6.0, 4.0, 34.0)) == [(False, False)]


def place(errors: float, pos: tuple[float, ...], t: int = 0) -> Place:
    return Place(t, "spot", np.array(pos), np.eye(3), 1 - errors, errors, "", 0.0)


def test_near_places_share_a_look_and_the_worst_come_first() -> None:
    places = [place(0.9, (0, 0, 0)), place(0.8, (0, 30, 0)), place(0.7, (0, 0, 2)), place(0.2, (0, 0, 1))]
    found: Review = ranked(places, [], 4)
    assert [[p.errors for p in look.places] for look in found.looks] == [[0.9, 0.7], [0.8], [0.2]]
    assert found.looks[0].errors == pytest.approx(1.6)


def test_places_of_other_timepoints_are_other_looks() -> None:
    assert len(ranked([place(0.9, (0, 0, 0)), place(0.9, (0, 0, 0), t=1)], [], 2).looks) == 2
