from pathlib import Path

import pytest
import torch
from tensorboardX import SummaryWriter

from elephant.models.flow_loss import FlowLoss
from elephant.models.losses import DetectionLoss, LossParts
from elephant_server.dashboard.event_files import EventFile
from elephant_server.jobs.scalars import ScalarReporter, last_step


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
