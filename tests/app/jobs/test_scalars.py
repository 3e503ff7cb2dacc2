from pathlib import Path

from elephant_server.jobs.scalars import ScalarReporter, last_step


def run(folder: Path, n_steps: int) -> None:
    reporter = ScalarReporter(folder, "seg")
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
    reporter = ScalarReporter(tmp_path / "run", "seg")
    reporter.progress("timepoint", 1, 1)
    reporter.close()
    assert not (tmp_path / "run").exists()


def test_values_have_their_names(tmp_path: Path) -> None:
    run(tmp_path, 1)
    (file,) = tmp_path.glob("events.out.tfevents.*")
    assert b"seg/loss" in file.read_bytes()
    assert b"seg/nll" in file.read_bytes()


def test_a_file_that_was_cut_off_counts_as_far_as_it_goes(tmp_path: Path) -> None:
    run(tmp_path, 4)
    (file,) = tmp_path.glob("events.out.tfevents.*")
    file.write_bytes(file.read_bytes()[:-10])
    assert last_step(tmp_path) in (3, 4)
    file.write_bytes(b"\x05\x00\x00\x00\x00\x00\x00\x00abcd\xff\xff\xff\xff\xffabcd")
    assert last_step(tmp_path) == 0
