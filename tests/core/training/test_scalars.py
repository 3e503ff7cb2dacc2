import logging
import os
import resource
import struct
from pathlib import Path

import pytest
import torch
from tensorboardX import SummaryWriter
from tensorboardX.crc32c import crc32c
from tensorboardX.proto.event_pb2 import Event

from elephant.models.losses import DetectionLoss, FlowLoss, LossParts
from elephant.training.event_files import EventFile, last_step
from elephant.training.scalars import (
    MOST_FILES,
    MOST_OF_MODEL,
    POINTS_BEFORE_THINNING,
    UNNAMED,
    ScalarReporter,
    unnamed_curves,
)


def run(folder: Path, n_steps: int) -> None:
    reporter = ScalarReporter(folder)
    for step in range(1, n_steps + 1):
        reporter.progress("timepoint", step, n_steps)
        reporter.progress("step", step, n_steps, loss=1.0 / step, nll=0.5)
    reporter.close()


def test_steps_count_on_over_runs(tmp_path: Path) -> None:
    folder = tmp_path / "user" / "run"
    assert last_step(folder) == 0
    run(folder, 3)
    assert last_step(folder) == 3
    run(folder, 2)
    assert last_step(folder) == 5


def test_without_a_step_nothing_is_written(tmp_path: Path) -> None:
    reporter = ScalarReporter(tmp_path / "run")
    reporter.progress("timepoint", 1, 1)
    reporter.close()
    assert not (tmp_path / "run").exists()


def reported(kind: str) -> LossParts:
    """Return what a step of a training costs."""
    flow, labels = torch.zeros(1, 2, 8, 8), torch.ones(1, 3, 8, 8)
    if kind == "flow":
        return FlowLoss((1, 1), (8, 8))(flow, labels, flow)
    classes = torch.tensor([1, 2, 3, 3]).repeat(1, 8, 2)
    return DetectionLoss(2, (1, 10, 10), 10.0)(torch.zeros(1, 3, 8, 8).log_softmax(1), classes)


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("detection", {"train_loss", "nll_loss", "center_dice_loss", "smooth_loss"}),
        ("flow", {"train_loss", "instance_loss", "SSIM_loss", "smooth_loss"}),
    ],
)
def test_scalars_have_the_names_of_existing_folders_and_go_on(kind: str, names: set[str], tmp_path: Path) -> None:
    loss = reported(kind)
    with SummaryWriter(str(tmp_path), filename_suffix=".existing") as existing:
        for step in range(1, 8):
            existing.add_scalar("train_loss", 1.0, step)
    reporter = ScalarReporter(tmp_path)
    values = {name: float(value) for name, value in loss.parts.items()}
    reporter.progress("step", 1, 1, epoch=1, loss=float(loss.total), **values)
    reporter.close()
    (new,) = (path for path in tmp_path.iterdir() if not path.name.endswith(".existing"))
    file = EventFile(new)
    file.read(1 << 20)
    assert file.series.keys() == names
    assert all(list(series.steps) == [8] for series in file.series.values())


def test_a_file_that_was_cut_off_counts_as_far_as_it_goes(tmp_path: Path) -> None:
    run(tmp_path, 4)
    (file,) = tmp_path.glob("events.out.tfevents.*")
    file.write_bytes(file.read_bytes()[:-10])
    assert last_step(tmp_path) in (3, 4)
    file.write_bytes(b"\x05\x00\x00\x00\x00\x00\x00\x00abcd\xff\xff\xff\xff\xffabcd")
    assert last_step(tmp_path) == 0


def events(path: Path) -> list[Event]:
    """Read a file as TensorBoard does, checksums and all."""
    data, at, found = path.read_bytes(), 0, []
    while at < len(data):
        (length,) = struct.unpack_from("<Q", data, at)
        for begin, end in ((at, at + 8), (at + 12, at + 12 + length)):
            crc = crc32c(data[begin:end])
            (stored,) = struct.unpack_from("<I", data, end)
            assert stored == ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
        found.append(Event.FromString(data[at + 12 : at + 12 + length]))
        at += length + 16
    return found


def test_tensorboard_reads_what_is_written(tmp_path: Path) -> None:
    run(tmp_path, 300)
    first, *others = events(*tmp_path.iterdir())
    assert first.file_version == "brain.Event:2"
    assert [event.step for event in others] == list(range(1, 301))
    assert {value.tag for event in others for value in event.summary.value} == {"train_loss", "nll_loss"}
    assert others[3].summary.value[0].simple_value == 0.25
    assert first.wall_time <= others[0].wall_time <= others[-1].wall_time


def test_a_failure_to_write_is_logged_once_and_the_training_continues(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with caplog.at_level(logging.WARNING):
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
        try:
            run(tmp_path / "full", 3000)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        (tmp_path / "file").touch()
        run(tmp_path / "file" / "run", 2)
    assert [record.message[:35] for record in caplog.records] == ["The curves of this training end her"] * 2
    assert 0 < last_step(tmp_path / "full") < 3000


def read_unnamed(logs: Path, model: str) -> list[EventFile]:
    files = [EventFile(path) for path in sorted((logs / UNNAMED / model).iterdir())]
    assert all(file.read(1 << 30) for file in files)
    return files


def test_a_training_without_a_folder_has_curves_and_a_long_one_stays_small(tmp_path: Path) -> None:
    n = 10 * POINTS_BEFORE_THINNING
    for _ in range(2):
        with unnamed_curves(tmp_path, "user/m.pth") as reporter:
            for step in range(1, n + 1):
                reporter.progress("step", step, n, epoch=1, loss=float(step))
    series = [file.series["train_loss"] for file in read_unnamed(tmp_path, "user/m.pth")]
    first, second = sorted(series, key=lambda found: found.steps)
    # Points of 1, 2 and 4 steps, and of 8 for the rest.
    assert len(first.steps) == 3 * POINTS_BEFORE_THINNING + (n - 7 * POINTS_BEFORE_THINNING) // 8
    assert list(first.steps[:3]) == [1, 2, 3]
    assert first.steps[-1] == n
    assert first.values[-1] == n - 3.5
    assert second.steps[0] == n + 1


def test_the_last_trainings_without_a_folder_are_kept(tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    named = logs / "mine" / "events.out.tfevents.1.a"
    named.parent.mkdir(parents=True)
    named.touch()
    for i in range(MOST_FILES + 5):
        path = logs / UNNAMED / f"{i % 50}.pth" / f"events.out.tfevents.{i}.a"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        os.utime(path, (i, i))
    for _ in range(MOST_OF_MODEL + 3):
        with unnamed_curves(logs, "often.pth") as reporter:
            reporter.progress("step", 1, 1, loss=1.0)
    assert len(list((logs / UNNAMED / "often.pth").iterdir())) == MOST_OF_MODEL
    assert len([path for path in (logs / UNNAMED).rglob("*") if path.is_file()]) == MOST_FILES
    assert not (logs / UNNAMED / "0.pth" / "events.out.tfevents.0.a").exists()
    assert named.exists()
    assert last_step(logs / UNNAMED / "often.pth") == MOST_OF_MODEL + 3


def framed(*events: bytes) -> bytes:
    return b"".join(struct.pack("<Q", len(event)) + bytes(4) + event + bytes(4) for event in events)


def scalar_event(tag: bytes, step: bytes = b"\x01") -> bytes:
    value = b"\x0a" + bytes([len(tag)]) + tag + b"\x15" + struct.pack("<f", 0.5)
    summary = b"\x0a" + bytes([len(value)]) + value
    return b"\x10" + step + b"\x2a" + bytes([len(summary)]) + summary


def test_numbers_without_end_are_not_read(tmp_path: Path) -> None:
    """A number of a million bytes would take a minute, and one of more than 64 bits fits nowhere."""
    file = tmp_path / "events.out.tfevents.1"
    file.write_bytes(
        framed(
            b"\x10" + b"\xff" * 1_000_000,
            scalar_event(b"loss", b"\xff" * 10 + b"\x01"),
            b"\x2a" + b"\xff" * 9 + b"\x01",  # a length below 0
            scalar_event(b"loss", b"\xff" * 9 + b"\x01"),  # -1, as TensorBoard writes it
            scalar_event(b"loss"),
        )
    )
    read = EventFile(file)
    assert read.read(1 << 30)
    assert read.series["loss"].steps.tolist() == [-1, 1]
    assert last_step(tmp_path) == 1


def test_a_file_has_as_many_scalars_as_a_training_at_most(tmp_path: Path) -> None:
    file = tmp_path / "events.out.tfevents.1"
    file.write_bytes(framed(*(scalar_event(b"%d" % n) for n in range(5000))))
    read = EventFile(file)
    read.read(1 << 30)
    assert len(read.series) == 1000
