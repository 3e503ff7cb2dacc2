"""Labels of tracked nuclei in masks."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.ctc_rules import check_tracks
from elephant.errors import InvalidInputError
from elephant.tracking import Reason, Track, TrackedSpot, TrackLabels, lineage_of
from elephant.tracking.labelling import LARGEST_LABEL

S = TrackedSpot


def labelled(spots: list[TrackedSpot], hidden: set[int] = frozenset()) -> tuple[list[int], TrackLabels]:  # type: ignore[assignment]
    """Return the label of each nucleus, 0 where no mask shows it, and what gave them."""
    labels = TrackLabels(spots, lineage_of(spots).parents)
    found = [0] * len(spots)
    for t in sorted({spot.t for spot in spots}):
        members = [i for i, spot in enumerate(spots) if spot.t == t]
        given = labels.given(members)
        assert len(set(given)) == len(given)
        shown = {i: label for i, label in zip(members, given, strict=True) if i not in hidden}
        labels.settle(members, given, set(shown.values()))
        for i, label in shown.items():
            found[i] = label
    return found, labels


def lines(labels: TrackLabels) -> list[tuple[int, int, int, int]]:
    return [(k.number, k.first, k.last, k.parent) for k in labels.tracks()]


def test_tracks_follow_from_parents_alone() -> None:
    spots = [S(0, 1), S(0, 2), S(1, 3, 2), S(1, 4, 1), S(2, 5, 4), S(2, 6, 4)]
    found, labels = labelled(spots)
    assert found == [1, 2, 2, 1, 3, 4]
    assert lines(labels) == [(1, 0, 1, 0), (2, 0, 1, 0), (3, 2, 2, 1), (4, 2, 2, 1)]
    assert labels.changes == []


def test_tracks_follow_from_their_numbers_alone_in_any_order() -> None:
    found, labels = labelled([S(1, track=7), S(0, track=7), S(2, track=9), S(2, track=7)])
    assert found == [7, 7, 9, 7]
    assert lines(labels) == [(7, 0, 2, 0), (9, 2, 2, 0)]


def test_a_gap_ends_a_track_and_begins_a_child() -> None:
    for spots in (
        [S(0, track=1), S(1, track=1), S(3, track=1), S(4, track=1)],
        [S(0, 1, track=1), S(1, 2, 1, 1), S(3, 3, 2, 1), S(4, 4, 3, 1)],
    ):
        found, labels = labelled(spots)
        assert found == [1, 1, 2, 2]
        assert lines(labels) == [(1, 0, 1, 0), (2, 3, 4, 1)]
        assert [(c.number, c.label, c.t, c.reason) for c in labels.changes] == [
            (1, 2, 3, Reason.GAP),
            (1, 2, 4, Reason.GAP),
        ]


def test_daughters_are_tracks_of_their_own() -> None:
    found, labels = labelled([S(0, 1, track=5), S(1, 2, 1, 5), S(1, 3, 1, 5), S(2, 4, 2, 5), S(2, 5, 3, 6)])
    assert found == [5, 1, 2, 1, 6]
    assert lines(labels) == [(1, 1, 2, 5), (2, 1, 1, 5), (5, 0, 0, 0), (6, 2, 2, 2)]
    assert {change.reason for change in labels.changes} == {Reason.DIVISION}


def test_a_track_that_changes_its_number_becomes_a_child_with_the_number() -> None:
    found, labels = labelled([S(0, 1, track=1), S(1, 2, 1, 8)])
    assert found == [1, 8]
    assert lines(labels) == [(1, 0, 0, 0), (8, 1, 1, 1)]


def test_a_nucleus_without_a_number_gets_its_parents() -> None:
    found, _ = labelled([S(0, 1), S(1, 2, 1, 4), S(2, 3, 2), S(0, 9)])
    assert found == [4, 4, 4, 1]


@pytest.mark.parametrize("number", [0, 65536, 10**30])
def test_numbers_that_are_no_labels_are_changed(number: int) -> None:
    found, labels = labelled([S(0, track=number), S(1, track=number), S(0, track=1)])
    assert found == [2, 2, 1]
    assert [change.reason for change in labels.changes] == [Reason.RANGE] * 2


def test_two_tracks_with_one_number_are_distinguished() -> None:
    found, labels = labelled([S(0, 1, track=3), S(0, 2, track=3), S(1, 3, 1, 3), S(1, 4, 2, 3)])
    assert found == [3, 1, 3, 1]
    assert [change.reason for change in labels.changes] == [Reason.TAKEN] * 2


def test_numbers_of_masks_may_differ_from_tracks() -> None:
    spots = [S(0, track=1), S(1, track=1), S(2, track=1)]
    labels = TrackLabels(spots, lineage_of(spots).parents, [40, 40, 50])
    for i in range(3):
        labels.settle([i], labels.given([i]), {40})
    assert labels.tracks() == [Track(40, 0, 2, 0)]
    assert [(change.number, change.reason) for change in labels.changes] == [(50, Reason.MIXED)]


def test_what_no_mask_shows_is_in_no_track() -> None:
    spots = [S(t, track=1) for t in range(5)] + [S(4, track=2)]
    found, labels = labelled(spots, hidden={2, 5})
    assert found == [1, 1, 0, 3, 3, 0]
    assert lines(labels) == [(1, 0, 1, 0), (3, 3, 4, 1)]
    assert labels.hidden == [2, 5]
    assert {change.reason for change in labels.changes} == {Reason.HIDDEN}


def test_a_track_keeps_its_number_where_only_its_beginning_is_hidden() -> None:
    found, labels = labelled([S(t, track=6) for t in range(3)], hidden={0, 1})
    assert (found, lines(labels), labels.changes) == ([0, 0, 6], [(6, 2, 2, 0)], [])


def test_daughters_of_a_hidden_nucleus_come_from_the_last_visible_one() -> None:
    spots = [S(0, 1), S(1, 2, 1), S(2, 3, 2), S(3, 4, 3), S(3, 5, 3)]
    assert lines(labelled(spots, hidden={1, 2})[1]) == [(1, 0, 0, 0), (2, 3, 3, 1), (3, 3, 3, 1)]


def test_more_tracks_than_labels_are_refused_before_the_first_mask() -> None:
    spots = [S(0) for _ in range(LARGEST_LABEL)]
    assert labelled(spots)[0] == list(range(1, LARGEST_LABEL + 1))
    with pytest.raises(InvalidInputError, match="65536"):
        TrackLabels([*spots, S(1)], [-1] * (LARGEST_LABEL + 1))


def test_labels_of_hidden_nuclei_are_given_again() -> None:
    spots = [S(t) for t in range(2) for _ in range(LARGEST_LABEL // 2)]
    assert max(labelled(spots, hidden=set(range(LARGEST_LABEL // 2)))[0]) == LARGEST_LABEL // 2


@pytest.mark.parametrize(
    ("spots", "words"),
    [
        ([S(1, 7, 8), S(1, 8)], "the spot 7 at timepoint 1 has the parent 8, which is at timepoint 1: expected an ear"),
        ([S(0, 1), S(1, 1), S(2, 2, 1)], "2 spots have this id"),
        ([S(0, track=4), S(0, track=4), S(1, track=4)], "track 4 has 2 nuclei at timepoint 0.*timepoint 1 came from"),
    ],
)
def test_ambiguous_tables_are_refused(spots: list[TrackedSpot], words: str) -> None:
    with pytest.raises(InvalidInputError, match=words):
        lineage_of(spots)


def test_what_a_table_leaves_open_is_counted() -> None:
    lineage = lineage_of([S(0, 1, track=1), S(1, 2, track=1), S(1, 3, 77), S(1, 4, 55)], others={55})
    assert (list(lineage.parents), lineage.n_by_track, lineage.unknown) == ([-1, 0, -1, -1], 1, [77])


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[TrackedSpot], set[int]]:
    """Return nuclei with earlier parents and any numbers, and which of them no mask shows."""
    spots: list[TrackedSpot] = []
    for i in range(draw(st.integers(0, 25))):
        t = draw(st.integers(0, 6))
        earlier = [spot.id for spot in spots if spot.t < t]
        parent = draw(st.sampled_from(earlier)) if earlier and draw(st.booleans()) else 10**6
        spots.append(S(t, i, parent, draw(st.none() | st.integers(-1, 4))))
    return spots, draw(st.sets(st.sampled_from(range(len(spots))))) if spots else set()


@given(tables())
def test_whatever_a_table_says_the_tracks_are_what_the_masks_show(table: tuple[list[TrackedSpot], set[int]]) -> None:
    spots, hidden = table
    found, labels = labelled(spots, hidden)
    masks = [{label for label, spot in zip(found, spots, strict=True) if label and spot.t == t} for t in range(7)]
    check_tracks(lines(labels), masks)
    changed = sum(bool(label) and spot.track not in (None, label) for label, spot in zip(found, spots, strict=True))
    assert len(labels.changes) == changed
