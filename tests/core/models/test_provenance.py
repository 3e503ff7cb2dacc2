"""The provenance of a model is stored beside it, and never prevents its use."""

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from elephant.models.pretrained import ModelSource, Pretrained
from elephant.models.provenance import (
    N_KEPT,
    ProvenanceEntry,
    is_current,
    provenance_file,
    read_provenance,
    record,
    without_secrets,
)
from elephant.models.provenance_text import details, lineage, provenance_of, summary
from elephant.models.versions import ModelFile, restore, versions


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "user" / "detection.pth"


def save(path: Path, entry: ProvenanceEntry, epochs: int = 1) -> None:
    """Save as one piece of work does."""
    file = ModelFile(path)
    for epoch in range(1, epochs + 1):
        file.save([{"w": torch.full((5,), float(epoch))}], entry.model_copy(update={"epochs": epoch}))


def training(dataset: str, **values: object) -> ProvenanceEntry:
    return ProvenanceEntry(what="training", dataset=dataset, annotated="spots", **values)


def datasets(entries: list[ProvenanceEntry]) -> list[str | None]:
    return [entry.dataset or entry.what for entry in entries]


def test_each_work_has_an_entry_with_its_saved_epochs(path: Path) -> None:
    save(path, ProvenanceEntry(what="intensities", dataset="a"))
    save(path, training("a", timepoints=(0, 3), n_annotations=7, lr=1e-4, loss=0.5), epochs=5)
    first, second = read_provenance(path)
    assert (first.what, first.dataset, first.before, first.epochs) == ("intensities", "a", None, 1)
    assert (second.what, second.timepoints, second.n_annotations, second.epochs) == ("training", (0, 3), 7, 5)
    assert (second.before, second.follows, second.lr, second.loss) == (1, True, 1e-4, 0.5)
    assert second.began <= second.saved
    assert is_current(path, [first, second])
    assert sorted(p.name for p in path.parent.iterdir()) == [".generations", ".history", "detection.pth"]


def test_the_last_ones_are_kept(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"")
    for n in range(N_KEPT + 5):
        assert record(path, training(str(n)))
    assert datasets(read_provenance(path)) == [str(n) for n in range(5, N_KEPT + 5)]


def test_a_restored_model_has_the_provenance_of_its_version(path: Path) -> None:
    for name in ("a", "b", "c"):
        save(path, training(name))
    restore(path, 1)
    entries = read_provenance(path)
    assert [entry.what for entry in entries] == ["training"] * 3 + ["restored"]
    assert (entries[-1].restored, entries[-1].before) == (1, 3)
    assert is_current(path, entries)
    assert datasets(lineage(entries)) == ["a"]
    assert [datasets(lineage(entries, n)) for n in (1, 2, 3)] == [["a"], ["a", "b"], ["a", "b", "c"]]
    save(path, training("d"))
    assert datasets(lineage(read_provenance(path))) == ["a", "d"]
    restore(path, 3)
    assert datasets(lineage(read_provenance(path))) == ["a", "b", "c"]
    assert lineage(read_provenance(path), 77) == []
    told = provenance_of(path)
    assert [entry.dataset for entry in told.entries if told.is_in(entry)] == ["a", "b", "c"]
    held, before = told.held(), told.held(1)
    assert held is not None
    assert before is not None
    assert (held.dataset, before.dataset, told.held(99)) == ("c", "a", None)


def test_work_before_a_start_is_not_part_of_the_model(path: Path) -> None:
    save(path, training("a"))
    save(path, ProvenanceEntry(what="pretrained", source="versatile3d.pth"))
    save(path, training("b"))
    assert datasets(lineage(read_provenance(path))) == ["pretrained", "b"]


def test_a_version_from_within_a_training_has_its_epochs(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(path, training("a"))
    file, entry = ModelFile(path), ProvenanceEntry(what="live session", dataset="b")
    for epoch in range(1, 6):
        monkeypatch.setattr("elephant.models.versions.INTERIM_S", 0 if epoch == 4 else 3600)
        file.save([{"w": torch.zeros(5)}], entry.model_copy(update={"epochs": epoch, "loss": 0.1}))
    interim = next(version for version in versions(path) if version.is_interim)
    entries = read_provenance(path)
    assert (entries[-1].epochs, entries[-1].within, entries[-1].within_epochs) == (5, interim.number, 3)
    restore(path, interim.number)
    held = lineage(read_provenance(path))[-1]
    assert (held.dataset, held.epochs, held.loss) == ("b", 3, None)


def test_a_file_that_was_replaced_by_other_means_is_noticed(path: Path) -> None:
    save(path, training("a"))
    os.utime(path, (1e9, 1e9))
    told = provenance_of(path)
    assert (told.is_current, told.held(), told.is_in(told.entries[0])) == (False, None, False)
    save(path, training("b"))
    entries = read_provenance(path)
    assert is_current(path, entries)
    assert not entries[-1].follows
    assert datasets(lineage(entries)) == ["b"]
    assert lineage(entries, 1) == []


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"\xff\xfe", b"[]", b"3", b'{"entries": 3}', b'{"entries": {"a": 1}}', b"[" * 100_000, b'{"a": 1}'],
)
def test_damaged_provenance_is_ignored_with_a_warning(
    path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    save(path, training("a"))
    provenance_file(path).write_bytes(content)
    assert read_provenance(path) == []
    assert "provenance of the model detection.pth" in caplog.text
    save(path, training("b"))
    assert datasets(read_provenance(path)) == ["b"]


@pytest.mark.parametrize("damage", [3, None, {}, {"what": "x"}, {"what": "training", "saved": 1e300}, ["what"]])
def test_a_damaged_entry_is_left_out_and_the_others_stay(
    path: Path, damage: object, caplog: pytest.LogCaptureFixture
) -> None:
    save(path, training("a"))
    save(path, training("b"))
    file = provenance_file(path)
    content = json.loads(file.read_text())
    content["entries"].insert(1, damage)
    content["entries"][0]["of a later version"] = 1
    file.write_text(json.dumps(content))
    assert datasets(read_provenance(path)) == ["a", "b"]
    assert "damaged" in caplog.text


def test_provenance_that_cannot_be_written_does_not_prevent_saving(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path.parent.mkdir()
    (path.parent / ".history").write_text("no folder")
    save(path, training("a"), epochs=20)
    assert path.is_file()
    warnings = [
        line for line in caplog.records if line.levelno == logging.WARNING and "cannot be written" in line.message
    ]
    assert len(warnings) == 1
    (path.parent / ".history").unlink()
    save(path, training("b"))
    assert datasets(read_provenance(path)) == ["b"]


def test_names_that_are_not_text_are_kept_as_far_as_possible(path: Path) -> None:
    save(path, training("mo\udcffvie"))
    assert read_provenance(path)[0].dataset == "mo?vie"


def test_addresses_lose_their_secrets() -> None:
    assert without_secrets("https://me:secret@host.org:8443/a/b.pth?token=1#x") == "https://host.org:8443/a/b.pth"
    assert without_secrets("http://[") == "an address"


def test_uploads_are_told_from_other_starts(tmp_path: Path) -> None:
    with ModelSource("Versatile", tmp_path / "x").weights(Pretrained(tmp_path)) as weights:
        assert summary(weights.entry) == "started from an uploaded file"


def test_it_is_summarised_in_a_line() -> None:
    entry = training("movie-a", timepoints=(0, 1, 2, 7), n_annotations=152, epochs=20, loss=0.03141)
    assert summary(entry) == "trained on movie-a: timepoints 0-2, 7 · 152 spots · 20 epochs · loss 0.0314"
    entry = ProvenanceEntry(
        what="live session", dataset="m", timepoints=(4,), annotated="links", n_annotations=1, epochs=1
    )
    assert summary(entry) == "live session on m: timepoint 4 · 1 link · 1 epoch"
    entry = training("m", steps=40, lr=5e-5, before=3, within=4)
    assert details(entry).split(" · ") == [
        *("40 steps", "learning rate 5e-05", "previous version: 3", "saved during it: version 4")
    ]
    assert details(ProvenanceEntry(what="random")) == ""
    assert summary(ProvenanceEntry(what="restored", restored=3)) == "restored to version 3"


def test_it_is_read_without_torch() -> None:
    code = "import sys, elephant.models.provenance_text; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
