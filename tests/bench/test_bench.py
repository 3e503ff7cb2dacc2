"""What `make bench` measures runs, and its report is sound; how fast things are is no test's matter."""

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from subprocess import PIPE

import numpy as np
import psutil
import pytest
import torch
from benchmarks import equality, gpu_rows, yardsticks
from benchmarks.__main__ import main
from benchmarks.bench import Bench
from benchmarks.groups import CPU_GROUPS
from benchmarks.measuring import Curve, Row, Spread, further, in_turns
from benchmarks.movies import QUICK, probability_map, provide
from benchmarks.page import in_words
from benchmarks.precision import FLOAT32
from benchmarks.watching import Watch
from benchmarks.yardstick_process import Yardstick, in_processes
from benchmarks.yardsticks import random_network

from elephant.models.ensemble import Ensemble
from elephant.models.unet import DetectionNet, FlowNet

Run = Callable[[Sequence[str]], int]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Measure something small, into a temporary folder."""
    return lambda names: main(["--quick", "--output", str(tmp_path), "--folder", str(tmp_path), "--only", *names])


def test_a_row_that_asks_a_server_and_one_that_does_not(run: Run, tmp_path: Path) -> None:
    assert run(["spots", "update-growth"]) == 0
    written = json.loads((tmp_path / "benchmarks.json").read_text())
    (run_,) = written["cpu"].values()
    groups = run_["groups"]
    assert list(groups) == ["spots", "update-growth"]
    (spots,) = groups["spots"]["rows"]
    assert spots["measured"]["low"] <= spots["measured"]["median"] <= spots["measured"]["high"]
    assert spots["reached"] is (spots["measured"]["median"] <= 0.25)
    (curve,) = groups["update-growth"]["curves"]
    assert [n for n, _ in curve["points"]] == [20, 40, 80, 160]
    assert all(milliseconds > 0 for _, milliseconds in curve["points"])
    page = (tmp_path / "benchmarks.md").read_text()
    assert f"| {spots['work']} |" in page
    assert f"R² | on |\n| --- | --- | ---: | --- |\n| {curve['title']} |" in page
    assert ">spots<" in (tmp_path / "images" / "benchmarks-growth.svg").read_text()
    # What is measured again takes the place of what it was; the rest stays.
    assert run(["spots"]) == 0
    (again,) = json.loads((tmp_path / "benchmarks.json").read_text())["cpu"].values()
    assert again["groups"]["update-growth"] == groups["update-growth"]


def test_another_name_is_refused(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["speed"]) == 1
    assert "choose of " + ", ".join(CPU_GROUPS) in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_what_a_gpu_is_asked_runs(tmp_path: Path) -> None:
    with Bench(tmp_path, QUICK, device=torch.device("cpu")) as bench:
        rows = [*gpu_rows.networks(bench), *gpu_rows.training(bench)]
    assert [row.key for row in rows] == ["gpu-network", "gpu-floor", "gpu-training-32", "gpu-training-16"]
    assert all(row.measured.low > 0 for row in rows)


@pytest.mark.parametrize("network", [DetectionNet, FlowNet])
def test_the_yardstick_computes_what_the_network_does(network: type[DetectionNet] | type[FlowNet]) -> None:
    model = network(3, 1)
    assert not any(type(m).__module__.startswith("elephant") for m in yardsticks.PlainNet(model).modules())
    plain = yardsticks.plain_of(model, (16, 32, 32))
    with torch.no_grad():
        model.out_conv.bias.add_(torch.tensor([0.0, 0.1, 0.2]))  # another model from now on
    x = torch.rand(1, 1 if network is DetectionNet else 2, 8, 32, 32)
    with torch.no_grad():
        assert float((plain(x) - model.eval()(x)).abs().max()) > yardsticks.LARGEST_DIFFERENCE


@pytest.mark.parametrize("trains", [False, True])
def test_yardsticks_run_in_processes_of_their_own(trains: bool) -> None:
    crop = (np.zeros((1, 1, 8, 16, 16), np.float32), np.ones((1, 8, 16, 16), np.uint8)) if trains else None
    with in_processes(Yardstick(DetectionNet, 1, (8, 16, 16), crop)) as rounds:
        children = psutil.Process().children(recursive=True)
        times = in_turns(rounds, 2)
    assert "plain" in times
    assert all(len(seconds) == 2 and min(seconds) > 0 for seconds in times.values())
    assert len(children) >= len(times)


def test_operations_are_counted_by_hand() -> None:
    plain = yardsticks.plain_of(DetectionNet(3, 4), (1, 16, 16))
    counts = yardsticks.convolution_operations(plain, torch.rand(1, 1, 1, 16, 16))
    assert len(counts) == 19
    assert counts[:2] == [2 * 27 * 16 * 256, 2 * 27 * 16 * 16 * 256]
    assert counts[-1] == 2 * 16 * 3 * 256


def test_figures_and_lines() -> None:
    row = Row("a", "`a` of b", Spread.of_ratios([2, 6, 4], [1, 2, 4]), "P", 2, {"s": 0.5})
    assert row.measured == Spread(2, 1, 3)
    assert row.is_reached
    assert in_words(row.as_json()) == "a of b: 2 P (1 to 3), goal 2: yes"
    slope, intercept, r2 = Curve("c", "C", "x", "y", [(1, 3), (2, 5), (3, 7)]).fit()
    assert (slope, intercept, r2) == pytest.approx((2, 1, 1))
    assert Curve("c", "C", "x", "y", [(1, 1), (2, 4), (3, 1)]).fit()[2] == pytest.approx(0)


def test_each_further_thing_takes_no_less_than_nothing() -> None:
    assert further([2, 3], [6, 1], 4) == [1, 0]


def test_a_map_has_the_cells_that_were_asked_for() -> None:
    probabilities = probability_map((32, 64, 64), 10)
    assert probabilities.shape == (32, 64, 64)
    assert 0 < (probabilities > 0.5).mean() < 0.1
    assert float(probabilities.max()) == 1


HOLD = """
import sys
for line in sys.stdin:
    held = b"x" * int(line)
    print(flush=True)
"""


def test_the_memory_of_another_process_is_watched() -> None:
    with subprocess.Popen([sys.executable, "-c", HOLD], stdin=PIPE, stdout=PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None

        def hold(n_bytes: int) -> None:
            print(n_bytes, file=process.stdin, flush=True)
            assert process.stdout is not None
            process.stdout.readline()

        hold(1)
        with Watch(lambda: [psutil.Process(process.pid)]) as watch:
            hold(100 << 20)
            assert 90 < watch.now_more() < 130
            hold(1)
            assert watch.now_more() < 50
        assert 90 < watch.most_more() < 130
        process.stdin.close()


def test_one_way_to_compute_agrees_with_itself(tmp_path: Path) -> None:
    movie = provide(None, QUICK, tmp_path)
    dataset = equality.converted(movie, tmp_path / "dataset")
    Ensemble([random_network(DetectionNet, movie.n_keep_axials)]).save(tmp_path / "detection.pth")
    models = equality.train(movie, dataset, tmp_path, 5)
    found = equality.agreement(movie, dataset, models, (FLOAT32, FLOAT32))
    assert found.n_spots > 0
    assert (found.f1, found.centres, found.displacements) == (1, 0, 0)
    assert found.is_reached
