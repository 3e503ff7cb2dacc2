"""What a person says of places is kept, becomes labels, and is joined to trainings."""

import logging
from pathlib import Path

import numpy as np
import pytest

import elephant
from elephant.config import LabelParams
from elephant.dataset import Dataset
from elephant.errors import InvalidInputError
from elephant.methods.detection import DETECTION
from elephant.methods.repeating import make_like, replay_labels
from elephant.progress import NeverCancelled, NoReporter
from elephant.review.answers import FILE, Answer, forget_answers, keep_answers, read_answers
from elephant.review.marking import mark, with_answers
from elephant.types import Spot, Tag, VoxelSize

BALL = tuple((9 * np.eye(3)).ravel())
LABELS = LabelParams(voxel_size=VoxelSize(1, 1, 1))


@pytest.fixture
def dataset() -> Dataset:
    return elephant.open_dataset(np.zeros((3, 12, 24, 24), np.uint8), voxel_size=(1, 1, 1), quiet=True)


def answer(t: int = 0, pos: tuple[float, ...] = (6, 6, 6), *, yes: bool = True, kind: str = "spot") -> Answer:
    return Answer(t=t, pos=pos, covariance=BALL, kind=kind, is_nucleus=yes)


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
    keep_answers(dataset, [answer(), answer(1), answer(pos=(6, 18, 18))])
    keep_answers(dataset, [answer(pos=(6, 6, 7), yes=False)])
    assert [(one.t, one.pos[1], one.is_nucleus) for one in read_answers(dataset)] == [
        (1, 6, True),
        (0, 18, True),
        (0, 6, False),
    ]
    assert len((dataset.folder / FILE).read_text().splitlines()) == 4


def test_cleared_labels_forget_answers(dataset: Dataset) -> None:
    forget_answers(dataset)
    assert not (dataset.folder / FILE).exists()
    keep_answers(dataset, [answer()])
    forget_answers(dataset)
    keep_answers(dataset, [answer(2)])
    assert [one.t for one in read_answers(dataset)] == [2]


def test_damaged_lines_are_left_out_with_a_warning(dataset: Dataset, caplog: pytest.LogCaptureFixture) -> None:
    keep_answers(dataset, [answer()])
    path = dataset.folder / FILE
    path.write_bytes(path.read_bytes() + b'{"t": -1}\n[]\n\xff\n' + b"x" * 30_000 + b'\n{"t": 1, "pos')
    keep_answers(dataset, [answer(2)])
    assert [one.t for one in read_answers(dataset)] == [0, 2]
    assert "damaged" in caplog.text


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
    mark(dataset, [answer(yes=False), answer(1)], LABELS, NeverCancelled())
    target = make_like(dataset, tmp_path / "again")
    done = replay_labels(dataset.folder, target, NoReporter(), NeverCancelled())
    assert (done.n_updates, done.sentences()) == (3, [])
    for t in range(2):
        assert target.read_labels(t).any()
        np.testing.assert_array_equal(target.read_labels(t), dataset.read_labels(t))


def test_answers_are_joined_to_a_training_where_no_spot_is(dataset: Dataset, caplog: pytest.LogCaptureFixture) -> None:
    keep_answers(dataset, [answer(yes=False), answer(pos=(6, 18, 18)), answer(2)])
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
