"""What a person says of places is kept, becomes labels, and is joined to trainings."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import elephant
from elephant.config import LabelParams
from elephant.dataset import Dataset
from elephant.dataset.record import FILE, AnswersEntry, read_record, recorded_as
from elephant.dataset.record.entries import MOST_IN_LINE
from elephant.errors import InvalidInputError
from elephant.methods.detection import DETECTION
from elephant.methods.repeating_labels import make_like, replay_labels
from elephant.progress import NeverCancelled, NoReporter
from elephant.review.answers import OLD_FILE, Answer, read_answers
from elephant.review.marking import mark, with_answers
from elephant.types import AnsweredSpot, Spot, Tag, VoxelSize

BALL = tuple((9 * np.eye(3)).ravel())
LABELS = LabelParams(voxel_size=VoxelSize(1, 1, 1))


@pytest.fixture
def dataset() -> Dataset:
    return elephant.open_dataset(np.zeros((3, 12, 24, 24), np.uint8), voxel_size=(1, 1, 1), quiet=True)


def answer(
    t: int = 0, pos: tuple[float, ...] = (6, 6, 6), *, yes: bool = True, kind: str = "spot", **more: Any
) -> Answer:
    return Answer(t=t, pos=pos, covariance=BALL, kind=kind, is_nucleus=yes, **more)


def keep(dataset: Dataset, *answers: Answer) -> None:
    mark(dataset, answers, LABELS, NeverCancelled())


def recorded(folder: Path) -> list[str]:
    return [entry.what for entry in read_record(folder).entries()]


def spot(t: int, pos: tuple[float, ...], tag: Tag = Tag.TP) -> Spot:
    return Spot(t, np.array(pos, float), 9 * np.eye(3), tag)


@pytest.mark.parametrize(
    ("kind", "yes", "tag"),
    [("spot", True, Tag.TP), ("spot", False, Tag.FP), ("missed", True, Tag.FN), ("missed", False, Tag.TN)],
)
def test_an_answer_has_the_tag_of_what_it_says(kind: str, yes: bool, tag: Tag) -> None:
    assert answer(yes=yes, kind=kind).spot().tag is tag


def test_the_last_answer_to_a_place_counts(dataset: Dataset) -> None:
    assert read_answers(dataset) == []
    keep(dataset, answer(), answer(1), answer(pos=(6, 18, 18)))
    keep(dataset, answer(pos=(6, 6, 7), yes=False))
    assert [(one.t, one.pos[1], one.is_nucleus) for one in read_answers(dataset)] == [
        (0, 18, True),
        (1, 6, True),
        (0, 6, False),
    ]


def test_of_many_answers_the_last_to_each_place_counts(dataset: Dataset) -> None:
    rng = np.random.default_rng(0)
    given = [answer(pos=tuple(rng.uniform(0, 20, 3)), yes=bool(i % 2)) for i in range(500)]
    keep(dataset, *given)
    places = np.array([one.pos for one in given])
    expected = [
        one.pos
        for i, one in enumerate(given)
        if not (np.linalg.norm(places[i + 1 :] - places[i], axis=1) <= 1.5).any()  # half a radius
    ]
    assert 50 < len(expected) < 450
    assert [one.pos for one in read_answers(dataset)] == expected


def test_the_record_holds_all_that_was_said(dataset: Dataset) -> None:
    given = [
        answer(1, (6, 6, 6), yes=False, log_odds=-1.25, model="m.pth"),
        answer(1, (6, 18, 18), kind="missed", model="m.pth"),
    ]
    with recorded_as("review/answers", "Ada"):
        keep(dataset, *given)
    kept = read_answers(dataset)
    assert [one.model_copy(update={"at": 0.0}) for one in kept] == [
        one.model_copy(update={"person": "Ada", "at": 0.0}) for one in given
    ]
    assert all(abs(one.at - given[0].at) < 600 for one in kept)
    assert recorded(dataset.folder) == ["begin", "answers"]


def test_answers_are_found_among_labels_that_fill_several_lines(dataset: Dataset) -> None:
    many = [answer(1, (6, 6, i / 100), model="m.pth", log_odds=float(i)) for i in range(MOST_IN_LINE + 3)]
    spots = [spot(0, (6, 6, i / 100)) for i in range(2 * MOST_IN_LINE)]
    DETECTION.update_labels(dataset, spots, LABELS, NoReporter(), NeverCancelled())
    keep(dataset, *many)
    assert recorded(dataset.folder) == ["begin", "part", "labels", "part", "answers"]
    *_, (entry, found) = read_record(dataset.folder).taught()
    assert isinstance(entry, AnswersEntry)
    assert [one.log_odds for one in found if isinstance(one, AnsweredSpot)] == [float(i) for i in range(len(many))]
    assert read_answers(dataset)[-1].log_odds == len(many) - 1


def test_cleared_labels_forget_answers(dataset: Dataset) -> None:
    keep(dataset, answer())
    dataset.clear_flow_labels()
    assert [one.t for one in read_answers(dataset)] == [0]
    dataset.clear_labels()
    keep(dataset, answer(2))
    assert [one.t for one in read_answers(dataset)] == [2]


def test_damaged_entries_are_left_out_with_a_warning(dataset: Dataset, caplog: pytest.LogCaptureFixture) -> None:
    keep(dataset, answer())
    keep(dataset, answer(1))
    path = dataset.folder / FILE
    begin, first, second = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(begin + first.replace(b'"n":1', b'"n":2') + second + second[:50])
    keep(dataset, answer(2))
    assert [one.t for one in read_answers(dataset)] == [1, 2]
    assert "has been changed" in caplog.text
    assert "incomplete" in caplog.text


def test_answers_of_an_earlier_version_are_kept(dataset: Dataset, caplog: pytest.LogCaptureFixture) -> None:
    path = dataset.folder / OLD_FILE
    old = [answer(0, person="Ben", at=100.0), answer(1, at=101.0), answer(2, at=102.0)]
    lines = [one.model_dump_json().encode() for one in old]
    damaged = b'{"t": -1}\n[]\n\xff\n' + b"x" * 30_000 + b'\n{"t": 1, "pos'
    path.write_bytes(b"\n".join([*lines[:1], b'{"cleared": 100.5}', *lines[1:], damaged]))
    before = path.read_bytes()
    assert read_answers(dataset) == old[1:]
    assert "damaged" in caplog.text
    keep(dataset, answer(1, yes=False))
    assert [(one.t, one.is_nucleus) for one in read_answers(dataset)] == [(2, True), (1, False)]
    dataset.clear_labels()
    assert read_answers(dataset) == []
    assert path.read_bytes() == before


def test_answers_are_painted_over_what_is_labelled(dataset: Dataset) -> None:
    labels = np.zeros(dataset.shape, np.uint8)
    labels[:, 15:] = 1
    dataset.write_labels(0, labels)
    assert mark(dataset, [answer(), answer(1, yes=False)], LABELS, NeverCancelled()) == [0, 1]
    painted = dataset.read_labels(0)
    assert painted[6, 6, 6] == 3
    assert painted[6, 6, 8] == 2
    assert (painted[:, 15:] == 1).all()
    assert dataset.read_labels(1)[6, 6, 6] == 4
    with pytest.raises(InvalidInputError):
        mark(dataset, [answer(3)], LABELS, NeverCancelled())


def test_labels_of_answers_are_repeated_from_the_record(dataset: Dataset, tmp_path: Path) -> None:
    DETECTION.update_labels(dataset, [spot(0, (6, 18, 18)), spot(0, (6, 7, 6))], LABELS, NoReporter(), NeverCancelled())
    with recorded_as("review/answers", "Ada"):
        keep(dataset, answer(yes=False, log_odds=0.5, model="m.pth"), answer(1))
    target = make_like(dataset, tmp_path / "again")
    done = replay_labels(dataset.folder, target, NoReporter(), NeverCancelled())
    assert (done.n_updates, done.sentences()) == (3, [])
    for t in range(2):
        assert target.read_labels(t).any()
        np.testing.assert_array_equal(target.read_labels(t), dataset.read_labels(t))
    then, again = read_answers(dataset), read_answers(target)
    assert [one.model_dump(exclude={"at"}) for one in again] == [one.model_dump(exclude={"at"}) for one in then]


def test_answers_are_joined_to_a_training_where_no_spot_is(dataset: Dataset, caplog: pytest.LogCaptureFixture) -> None:
    keep(dataset, answer(yes=False), answer(pos=(6, 18, 18)), answer(2))
    caplog.set_level(logging.INFO)
    given = [spot(0, (6, 7, 6)), spot(1, (6, 6, 6))]
    joined = with_answers(dataset, given)
    assert [(one.t, one.pos.tolist(), one.tag) for one in joined[:-2]] == [(0, [6, 18, 18], Tag.TP)]
    assert joined[-2:] == given
    assert "1 answers of the review are joined to 2 annotated spots" in caplog.text
    assert with_answers(dataset, []) == []


def test_a_folder_without_answers_changes_no_training(dataset: Dataset, tmp_path: Path) -> None:
    given = [spot(0, (6, 7, 6))]
    assert with_answers(dataset, given) == given
