"""Lineages that are kept with a dataset: tracked, corrected, solved again, and made anew."""

import json
import shutil
from collections import Counter
from dataclasses import astuple, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import elephant
from core.tracking.walkers import NONE, Walk, walk
from elephant.dataset import Dataset
from elephant.errors import Cancelled, ConflictError, InvalidInputError, NotFoundError, StorageError
from elephant.lineages import CorrectionEntry, Lineage, LineageSpots, read_lineage, voxel_size_of_lineage
from elephant.lineages.files import FOLDER, LineageFolder
from elephant.lineages.tracking import Corrected, TrackingRequest, correct, track
from elephant.lineages.weights import read_weights, weights_beside
from elephant.progress import NeverCancelled, NoReporter
from elephant.tracking import tracks_of
from elephant.tracking.linkers import Corrections, Detections, GlobalLinker
from elephant.tracking.linkers.prior import shipped_prior
from elephant.types import VoxelSize

MOVIE = walk(12, 30, seed=2)
N = len(MOVIE.detections)
FIRST_ID = 1000  # ids of spots are not their indices


@pytest.fixture
def dataset() -> Dataset:
    return elephant.open_dataset(np.zeros((30, 4, 8, 8), np.uint8), voxel_size=(1, 1, 1), quiet=True)


def request(movie: Walk = MOVIE, first_id: int = FIRST_ID, **more: Any) -> TrackingRequest:
    found = movie.detections
    ids = np.arange(len(found)) + first_id
    radii = np.full(len(found), 3.0) if found.radii is None else found.radii
    spots = LineageSpots(ids, found.timepoints, found.positions, radii)
    return TrackingRequest(spots, found, **({"given": CorrectionEntry(), "made_from": "a walk"} | more))


def tracked(dataset: Dataset, asked: TrackingRequest | None = None) -> Lineage:
    return track(dataset, asked or request(), NoReporter(), NeverCancelled())


def corrected(dataset: Dataset, version: int, **decided: Any) -> Corrected:
    return correct(dataset, version, CorrectionEntry(**decided), NeverCancelled())


def child_in(lineage: Lineage, first: int, stop: int) -> tuple[int, int]:
    """Return the ids of a link of some timepoints to the next one, whose parent does not divide."""
    times, parents = lineage.spots.timepoints, lineage.parents
    n_children = np.bincount(parents[parents != NONE], minlength=N)
    for j in np.flatnonzero((parents != NONE) & (times >= first) & (times < stop)):
        if times[j] - times[parents[j]] == 1 and n_children[parents[j]] == 1:
            return int(parents[j]) + FIRST_ID, int(j) + FIRST_ID
    raise AssertionError("no such link")


def test_what_is_kept_is_what_the_linker_finds(dataset: Dataset) -> None:
    with pytest.raises(NotFoundError, match="nothing was tracked"):
        read_lineage(dataset)
    made, found = tracked(dataset), GlobalLinker().link(MOVIE.detections)
    for lineage in (made, read_lineage(dataset)):
        assert lineage.version == 1
        assert lineage.parents.tolist() == found.parents.tolist()
        assert np.array_equal(lineage.probability, found.probability)
        assert len(lineage.divisions) > 0
        assert lineage.divisions == found.divisions


def test_tracks_are_those_of_the_links(dataset: Dataset) -> None:
    lineage = tracked(dataset)
    parents = {i: int(p) for i, p in enumerate(lineage.parents) if p != NONE}
    numbers, tracks = tracks_of(dict(enumerate(lineage.spots.timepoints.tolist())), parents)
    assert lineage.n_tracks == len(tracks)
    assert lineage.n_divisions == len(MOVIE.divisions(lineage.parents)) > 0
    same = {(numbers[i], int(n)) for i, n in enumerate(lineage.numbers)}
    assert len(same) == len(tracks)
    as_kept = dict(same)
    times = lineage.spots.timepoints
    assert [
        (each.number, int(times[each.first]), int(times[each.last]), each.parent) for each in lineage.tracks()
    ] == sorted((as_kept[each.number], each.first, each.last, as_kept.get(each.parent, 0)) for each in tracks)
    assert sum(each.n_spots for each in lineage.tracks()) == N
    first = lineage.tracks()[0]
    assert first.probability == lineage.probability[lineage.numbers == first.number].min()
    assert first.number == first.first + 1


def test_doubts_come_least_certain_first(dataset: Dataset) -> None:
    movie = walk(40, 14, seed=3, speed=1.5, dividing=0.05)
    lineage = tracked(dataset, request(movie))
    doubts = lineage.doubts()
    certainty = [one.probability if one.is_chosen else 1 - one.probability for one in doubts]
    assert certainty == sorted(certainty)
    assert {"division", "start", "end", "link"} <= {one.kind for one in doubts}
    is_right = movie.parents == lineage.parents
    doubted = {one.spots[-1] for one in doubts if one.kind in ("link", "gap", "start")}
    assert doubted
    assert np.mean([is_right[j] for j in doubted]) < is_right.mean()
    has_child = np.isin(np.arange(len(is_right)), lineage.parents)
    assert not any(has_child[one.spots[0]] for one in doubts if one.kind == "end")


def test_a_correction_is_kept_and_solves_what_it_concerns(dataset: Dataset) -> None:
    before = tracked(dataset)
    parent, child = child_in(before, 24, 28)
    after = corrected(dataset, 1, cut=[(parent, child)])
    assert 0 < after.n_solved < 3
    assert after.lineage.version == 2
    assert after.lineage.parents[child - FIRST_ID] != parent - FIRST_ID
    everything = GlobalLinker().link(
        MOVIE.detections, Corrections(cuts=frozenset({(parent - FIRST_ID, child - FIRST_ID)}))
    )
    again = read_lineage(dataset)
    assert again.version == 2
    assert again.parents.tolist() == everything.parents.tolist()
    assert np.array_equal(again.probability, everything.probability)


def test_confirmed_links_starts_ends_and_wrong_spots_hold(dataset: Dataset) -> None:
    lineage = tracked(dataset)
    link, other, third = (child_in(lineage, t, t + 3) for t in (3, 9, 20))
    done = corrected(dataset, 1, confirm=[link], starts=[other[1]], ends=[third[0]], wrong=[FIRST_ID]).lineage
    assert done.parents[link[1] - FIRST_ID] == link[0] - FIRST_ID
    assert done.is_confirmed.nonzero()[0].tolist() == [link[1] - FIRST_ID]
    assert done.parents[other[1] - FIRST_ID] == NONE
    assert third[0] - FIRST_ID not in done.parents
    assert done.numbers[0] == 0
    assert 0 not in done.parents
    assert 1 not in [each.number for each in done.tracks()]
    assert not any(one.spots == (0,) for one in done.doubts())


def mother_in(lineage: Lineage) -> tuple[int, list[int]]:
    """Return the id of the first spot that divides, and those of its children."""
    i = int(np.flatnonzero(np.bincount(lineage.parents[lineage.parents != NONE]) > 1)[0])
    return i + FIRST_ID, (np.flatnonzero(lineage.parents == i) + FIRST_ID).tolist()


def children_of(lineage: Lineage, spot: int) -> list[int]:
    return (np.flatnonzero(lineage.parents == spot - FIRST_ID) + FIRST_ID).tolist()


def test_what_does_not_divide_keeps_one_child_also_when_tracked_again(dataset: Dataset) -> None:
    mother, daughters = mother_in(tracked(dataset))
    done = corrected(dataset, 1, undivided=[mother])
    assert (done.n_solved > 0, done.n_replaced) == (True, 0)
    (kept,) = children_of(done.lineage, mother)
    assert kept in daughters
    assert not any(one.mother == mother - FIRST_ID for one in done.lineage.divisions)
    assert children_of(tracked(dataset), mother) == [kept]
    other = corrected(dataset, 3, cut=[(mother, kept)]).lineage  # and not both
    assert len(children_of(other, mother)) < 2
    assert kept not in children_of(other, mother)
    corrected(dataset, 4, undo=True)
    assert children_of(corrected(dataset, 5, undo=True).lineage, mother) == daughters


def test_that_a_spot_does_not_divide_and_that_it_has_two_children_take_each_others_place(dataset: Dataset) -> None:
    mother, (first, second) = mother_in(tracked(dataset))
    both = [(mother, first), (mother, second)]
    corrected(dataset, 1, undivided=[mother])
    again = corrected(dataset, 2, confirm=both)
    assert (again.n_replaced, children_of(again.lineage, mother)) == (1, [first, second])
    one = corrected(dataset, 3, undivided=[mother], confirm=both[1:])
    assert (one.n_replaced, children_of(one.lineage, mother)) == (1, [second])
    assert corrected(dataset, 4, confirm=both[1:]).n_replaced == 0  # it may have one child
    assert len(children_of(corrected(dataset, 5, undivided=[mother]).lineage, mother)) == 1


def test_changes_lead_from_the_tracks_before_to_those_after(dataset: Dataset) -> None:
    lineage = tracked(dataset)
    n_all = lineage.n_tracks
    last = int(np.flatnonzero(lineage.parents == NONE)[-1]) + FIRST_ID
    links = [child_in(lineage, t, t + 3) for t in (3, 9, 20)]
    steps: list[dict[str, Any]] = [
        {"cut": links[:2]}, {"confirm": links[2:]}, {"starts": [links[0][1]]}, {"wrong": [links[1][0]]},
        {"confirm": [(FIRST_ID, last)]}, {"undo": True}, {"undo": True}, {"undo": True},
    ]  # fmt: skip
    for step in steps:
        done = corrected(dataset, lineage.version, **step)
        changes, lineage = done.lineage.changes_since(done.before), done.lineage
        expected = {track.number: astuple(track) for track in done.before.tracks()}
        assert {*changes.gone} <= {*expected}
        for number in changes.gone:
            del expected[number]
        expected |= {track.number: astuple(track) for track in changes.tracks}
        assert expected == {track.number: astuple(track) for track in lineage.tracks()}
        assert 0 < len(changes.tracks) < n_all


def test_an_undone_correction_leaves_what_was_before(dataset: Dataset) -> None:
    before = tracked(dataset)
    corrected(dataset, 1, cut=[child_in(before, 10, 15)])
    corrected(dataset, 2, starts=[child_in(before, 20, 25)[1]])
    corrected(dataset, 3, undo=True)
    after = corrected(dataset, 4, undo=True).lineage
    assert after.version == 5
    assert after.parents.tolist() == before.parents.tolist()
    with pytest.raises(InvalidInputError, match="no correction to take back"):
        corrected(dataset, 5, undo=True)
    assert read_lineage(dataset).version == 5


def test_a_correction_of_an_older_version_is_refused(dataset: Dataset) -> None:
    link = child_in(tracked(dataset), 10, 15)
    corrected(dataset, 1, cut=[link])
    with pytest.raises(ConflictError, match="another correction came first"):
        corrected(dataset, 1, confirm=[link])
    assert read_lineage(dataset).version == 2


def test_what_is_done_while_lineages_are_changed_does_not_wait_for_itself(dataset: Dataset) -> None:
    tracked(dataset)
    with LineageFolder(dataset).lock(NeverCancelled()), pytest.raises(ConflictError, match="are being changed"):
        correct(dataset, 1, CorrectionEntry(wrong=(FIRST_ID,)), StopsAfter(0))  # which it would ask while it waits
    assert corrected(dataset, 1, wrong=[FIRST_ID]).lineage.version == 2


def test_a_later_decision_takes_the_place_of_an_earlier_one(dataset: Dataset) -> None:
    link = child_in(tracked(dataset), 10, 15)
    assert corrected(dataset, 1, cut=[link]).n_replaced == 0
    again = corrected(dataset, 2, confirm=[link])
    assert again.n_replaced == 1
    assert again.lineage.parents[link[1] - FIRST_ID] == link[0] - FIRST_ID
    gone = corrected(dataset, 3, wrong=[link[0]])
    assert gone.n_replaced == 1
    assert gone.lineage.parents[link[1] - FIRST_ID] != link[0] - FIRST_ID


@pytest.mark.parametrize(
    ("decided", "words"),
    [
        (
            {"confirm": [(FIRST_ID + 5, FIRST_ID + 5)]},
            rf"of spot {FIRST_ID + 5} \(timepoint 0\) to {FIRST_ID + 5} \(timepoint 0\) does not go forward in time",
        ),
        ({"confirm": [(FIRST_ID, FIRST_ID + 100)], "cut": [(FIRST_ID, FIRST_ID + 100)]}, "both confirmed and cut"),
        ({"confirm": [(FIRST_ID, FIRST_ID + 100), (FIRST_ID + 1, FIRST_ID + 100)]}, "two confirmed parents"),
        ({"confirm": [(FIRST_ID, FIRST_ID + 100 + k) for k in range(3)]}, "two confirmed children"),
        ({"confirm": [(FIRST_ID, FIRST_ID + 100)], "ends": [FIRST_ID]}, "ends and has a confirmed child"),
        ({"wrong": [FIRST_ID], "starts": [FIRST_ID]}, "is wrong and starts"),
        ({"wrong": [7]}, "spot 7 is not among"),
        ({"undivided": [7]}, "spot 7 is not among"),
        (
            {"confirm": [(FIRST_ID, FIRST_ID + 100 + k) for k in range(2)], "undivided": [FIRST_ID]},
            "does not divide and has two children",
        ),
    ],
)
def test_corrections_that_cannot_be_are_refused(dataset: Dataset, decided: dict[str, Any], words: str) -> None:
    tracked(dataset)
    with pytest.raises(InvalidInputError, match=words):
        corrected(dataset, 1, **decided)
    assert read_lineage(dataset).version == 1


def test_ids_that_are_not_unique_are_named(dataset: Dataset) -> None:
    asked = request()
    asked.spots.ids[7] = FIRST_ID
    with pytest.raises(InvalidInputError, match=f"got {FIRST_ID} 2 times"):
        tracked(dataset, asked)


def test_it_is_known_over_what_no_track_goes_and_of_which_voxels_spots_are(dataset: Dataset) -> None:
    found = MOVIE.detections
    which = (found.timepoints < 5) | (found.timepoints > 8)
    parts = {name: getattr(found, name)[which] for name in ("timepoints", "positions", "radii")}
    lineage = tracked(dataset, request(Walk(Detections(**parts), MOVIE.parents[which]), voxel_size=VoxelSize(3, 1, 2)))
    assert lineage.made_from.startswith("a walk; no spots at timepoints 5-8: no track goes over these")
    assert read_lineage(dataset).voxel_size == VoxelSize(3, 1, 2)
    assert voxel_size_of_lineage(dataset) == VoxelSize(3, 1, 2)
    few = np.isin(found.timepoints, [0, 20])
    parts = {name: getattr(found, name)[few] for name in parts}
    with pytest.raises(InvalidInputError, match="got spots at 0, 20: count the timepoints"):
        tracked(dataset, request(Walk(Detections(**parts), MOVIE.parents[few])))
    assert read_lineage(dataset).version == 1


def test_what_came_with_the_spots_holds(dataset: Dataset) -> None:
    free = tracked(dataset)
    link, fp = child_in(free, 10, 15), FIRST_ID + 3
    given = CorrectionEntry(confirm=[link], wrong=[fp], came_with_spots=True)
    held = tracked(dataset, request(given=given))
    assert held.version == 2
    assert held.is_confirmed[link[1] - FIRST_ID]
    assert held.numbers[3] == 0
    with pytest.raises(InvalidInputError, match="no correction to take back"):
        corrected(dataset, 2, undo=True)


def test_corrections_survive_new_ids_and_are_dropped_with_their_spots(dataset: Dataset) -> None:
    first = tracked(dataset)
    cut, gone = child_in(first, 10, 15), child_in(first, 20, 25)
    corrected(dataset, 1, cut=[cut], who="Ada")
    corrected(dataset, 2, starts=[gone[1]])
    kept = np.arange(N) != gone[1] - FIRST_ID
    spots = replace(
        MOVIE.detections,
        timepoints=MOVIE.detections.timepoints[kept],
        positions=MOVIE.detections.positions[kept] + 0.01,
        radii=MOVIE.detections.radii[kept],
    )
    again = tracked(dataset, request(Walk(spots, MOVIE.parents[kept]), first_id=5))
    assert again.version == 4
    assert again.dropped is not None
    assert again.dropped.startswith("1 decision of 2 earlier corrections dropped")
    index = np.cumsum(kept) - 1
    parent, child = (int(index[i - FIRST_ID]) for i in cut)
    assert again.parents[child] != parent
    taken_back = corrected(dataset, 4, undo=True)
    assert taken_back.lineage.parents[child] == parent


class StopsAfter:
    """A cancel token that ends the work at its n-th check."""

    def __init__(self, n: int) -> None:
        self.n = n

    def check(self) -> None:
        self.n -= 1
        if self.n < 0:
            raise Cancelled("enough")


def test_an_interrupted_run_goes_on_where_it_was(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, solved = dataset.folder / FOLDER, GlobalLinker().link(MOVIE.detections)
    n = 1
    while not list(folder.glob(".staged-*/problem/problem.json")):
        with pytest.raises(Cancelled):
            track(dataset, request(), NoReporter(), StopsAfter(n))
        n += 1
    with pytest.raises(Cancelled):  # two more windows
        track(dataset, request(), NoReporter(), StopsAfter(2))
    assert list(folder.glob(".staged-*/windows/1.npz"))
    assert not list(folder.glob(".staged-*/windows/2.npz"))
    with pytest.raises(NotFoundError):
        read_lineage(dataset)
    # What was prepared is not prepared again.
    monkeypatch.setattr(GlobalLinker, "prepare", None)
    assert tracked(dataset).parents.tolist() == solved.parents.tolist()
    assert [path.name for path in folder.iterdir() if path.name != ".lock"] == ["1"]


def test_a_killed_correction_leaves_the_one_before(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    before = tracked(dataset)
    link = child_in(before, 10, 15)
    with monkeypatch.context() as patch:
        patch.setattr("elephant.lineages.files.replacing", None)  # the log was written, the solution was not
        with pytest.raises(TypeError):
            corrected(dataset, 1, cut=[link])
    assert read_lineage(dataset).version == 1
    after = corrected(dataset, 1, starts=[link[1]]).lineage
    with pytest.raises(InvalidInputError, match="no correction to take back"):
        [corrected(dataset, v, undo=True) for v in (2, 3)]
    assert after.parents[link[1] - FIRST_ID] == NONE
    assert read_lineage(dataset).parents.tolist() == before.parents.tolist()


def test_lineages_of_an_image_that_is_no_more(dataset: Dataset) -> None:
    tracked(dataset)
    folder: Path = dataset.folder
    described = next(path for path in (folder / "imgs.zarr").iterdir() if path.name in ("zarr.json", ".zarray"))
    shutil.copy(described, described.with_suffix(".copy"))
    described.with_suffix(".copy").replace(described)
    with pytest.raises(NotFoundError, match="made again since it was tracked"):
        read_lineage(dataset)
    assert tracked(dataset).version == 2


def _changed(dataset: Dataset, **values: object) -> None:
    """Change what is known of the lineages of a dataset besides themselves."""
    (file,) = (dataset.folder / FOLDER).glob("*/about.json")
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


def test_lineages_that_cannot_be_read_are_set_aside_when_others_are_made(dataset: Dataset) -> None:
    corrected(dataset, tracked(dataset).version, starts=[FIRST_ID + N - 1])
    _changed(dataset, format=0)
    with pytest.raises(StorageError, match="of another version of elephant: track it again"):
        read_lineage(dataset)
    again = tracked(dataset)
    assert again.dropped is not None
    place = dataset.folder / FOLDER / ".unread-1"
    assert again.dropped == f"earlier corrections could not be read and do not count; their files are in {place}"
    assert (place / "corrections.jsonl").read_text().count("\n") == 1


def test_corrections_of_lineages_that_another_solver_made_wait_until_they_are_tracked_again(dataset: Dataset) -> None:
    start = FIRST_ID + N - 1
    corrected(dataset, tracked(dataset).version, starts=[start])
    _changed(dataset, solver=0)
    with pytest.raises(InvalidInputError, match="track the movie again, which keeps the corrections"):
        corrected(dataset, 2, ends=[FIRST_ID])
    again = tracked(dataset)
    assert again.dropped is None
    assert again.parents[start - FIRST_ID] == NONE
    assert corrected(dataset, again.version, ends=[FIRST_ID]).lineage.version == again.version + 1


def test_spots_that_are_none(dataset: Dataset) -> None:
    asked = request()
    with pytest.raises(InvalidInputError, match="all different"):
        tracked(dataset, replace(asked, spots=replace(asked.spots, ids=np.zeros(N, dtype=np.int64))))
    empty = LineageSpots(np.empty(0, np.int64), np.empty(0, np.int64), np.empty((0, 3)), np.empty(0))
    with pytest.raises(InvalidInputError, match="nothing to track"):
        tracked(dataset, replace(asked, spots=empty))


def test_the_nearest_linker_tells_no_probabilities_and_is_not_corrected(dataset: Dataset) -> None:
    found = tracked(dataset, request(linker="nearest", params={"max_distance": 4.0}))
    assert np.isnan(found.probability).all()
    assert not found.doubts()
    with pytest.raises(InvalidInputError, match="expected lineages of the linker global"):
        corrected(dataset, 1, wrong=[FIRST_ID])


def confirmed(lineage: Lineage, n: int) -> list[tuple[int, int]]:
    """Return the ids of links to the next timepoint."""
    times = lineage.spots.timepoints
    children = np.flatnonzero(lineage.parents != NONE)
    is_next = times[children] - times[lineage.parents[children]] == 1
    return [(int(lineage.parents[j]) + FIRST_ID, int(j) + FIRST_ID) for j in children[is_next][:n]]


def test_weights_that_links_have_taught_are_used_again_where_few_are_confirmed(
    dataset: Dataset, tmp_path: Path
) -> None:
    flow, links = tmp_path / "flow.pth", confirmed(tracked(dataset), 30)
    taught = tracked(
        dataset, request(given=CorrectionEntry(confirm=tuple(links), who="Ada", came_with_spots=True), flow_model=flow)
    )
    n_daughters = sum(n == 2 for n in Counter(parent for parent, _ in links).values()) * 2
    assert f"weights of links from {30 - n_daughters} confirmed ones" in taught.made_from
    weights = read_weights(weights_beside(flow))
    assert weights is not None
    assert (weights.who, weights.n_links, weights.confirmed) == ("Ada", 30, tuple(sorted(links)))
    assert weights.links != shipped_prior().links
    # Nothing is confirmed any more: of the same dataset, and with the same flow model in another one.
    again = tracked(dataset)
    assert "as learnt from 30 confirmed links" in again.made_from
    expected = GlobalLinker(weights.applied(shipped_prior())).link(MOVIE.detections)
    assert np.array_equal(again.probability, expected.probability)
    other = elephant.open_dataset(np.zeros((30, 4, 8, 8), np.uint8), voxel_size=(1, 1, 1), quiet=True)
    assert np.array_equal(tracked(other, request(flow_model=flow)).probability, expected.probability)
    weights_beside(flow).write_text("{")
    other = elephant.open_dataset(np.zeros((30, 4, 8, 8), np.uint8), voxel_size=(1, 1, 1), quiet=True)
    assert "learnt" not in tracked(other, request(flow_model=flow)).made_from
