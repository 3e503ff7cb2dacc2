"""The record of what a dataset was taught: an append-only file of entries, each a line of JSON.

``annotations.jsonl`` in the dataset's folder has an entry for each change of labels, for answers to a review and for
each training: who, when, which annotations with which parameters. From it :mod:`elephant.methods.repeating_labels`
repeats labels, and :mod:`elephant.methods.repeating_trainings` trainings.
"""

from elephant.dataset.record.author import recorded_as
from elephant.dataset.record.entries import (
    AnswersEntry,
    ClearedEntry,
    Entry,
    EpochEntry,
    LabelsEntry,
    TrainedEntry,
    TrainingEntry,
)
from elephant.dataset.record.log import FILE, AnnotationLog, AnswersOf, Event, LabelsOf, Taught
from elephant.dataset.record.reading import Recorded, read_record

__all__ = [
    "FILE",
    "AnnotationLog",
    "AnswersEntry",
    "AnswersOf",
    "ClearedEntry",
    "Entry",
    "EpochEntry",
    "Event",
    "LabelsEntry",
    "LabelsOf",
    "Recorded",
    "Taught",
    "TrainedEntry",
    "TrainingEntry",
    "read_record",
    "recorded_as",
]
