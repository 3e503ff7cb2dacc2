"""Trainings for which there is too little memory."""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch

from core.workflows.methods import reset_model, train
from core.workflows.test_detection import make_dataset, start_params, training_params, weights
from elephant.errors import MemoryLimitError
from elephant.methods.work import ModelWork
from elephant.models.ensemble import Ensemble, ModelCache
from elephant.models.pretrained import ModelSource, Pretrained
from elephant.progress import NeverCancelled, NoReporter
from elephant.training.control import FixedControl
from elephant.types import Spot

TESTS = Path(__file__).parents[2]


@pytest.fixture
def made(tmp_path: Path) -> tuple[ModelWork, list[Spot]]:
    dataset, spots = make_dataset(tmp_path / "d", (40, 44))
    work = ModelWork(dataset, tmp_path / "m.pth", ModelCache(torch.device("cpu")), NoReporter(), NeverCancelled())
    reset_model(work, Pretrained(tmp_path), ModelSource(), start_params(work))
    return work, spots


def test_the_last_finished_epoch_stays_and_the_next_training_works(
    made: tuple[ModelWork, list[Spot]], monkeypatch: pytest.MonkeyPatch
) -> None:
    work, spots = made
    saved: list[torch.Tensor] = []
    forward, calls = Ensemble.forward, []

    def limited(self: Ensemble, x: torch.Tensor, is_pad: bool = False) -> torch.Tensor:
        calls.append(x.shape)
        if len(calls) == 6:  # in the second epoch
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return forward(self, x, is_pad)

    def run() -> None:
        params = training_params(work)
        train(work, spots, params, FixedControl(1e-3, 4), lambda: saved.append(weights(work.model_path)))

    monkeypatch.setattr(Ensemble, "forward", limited)
    with pytest.raises(MemoryLimitError, match=r"2\.00 GiB.*`crop_size` or `batch_size` smaller"):
        run()
    assert len(saved) == 1
    assert torch.equal(weights(work.model_path), saved[0])
    run()
    assert len(saved) == 3


def test_a_start_from_intensities(made: tuple[ModelWork, list[Spot]], monkeypatch: pytest.MonkeyPatch) -> None:
    work, _ = made
    before = weights(work.model_path)

    def refuse(*arguments: object) -> None:
        raise MemoryError("Unable to allocate 1. TiB for an array")

    monkeypatch.setattr(Ensemble, "forward", refuse)
    with pytest.raises(MemoryLimitError, match=r"1\. TiB.*crop_size"):
        reset_model(work, Pretrained(work.model_path.parent), ModelSource(), start_params(work))
    assert torch.equal(weights(work.model_path), before)


REALLY = """
    import resource, sys
    from pathlib import Path
    import torch
    from core.workflows.test_detection import make_dataset, start_params, training_params, weights
    from elephant.errors import MemoryLimitError
    from elephant.models.pretrained import ModelSource, Pretrained
    from elephant.models.ensemble import ModelCache
    from elephant.progress import NeverCancelled, NoReporter
    from elephant.training.control import FixedControl
    from elephant.methods.work import ModelWork
    from core.workflows.methods import reset_model, train

    torch.set_num_threads(1)
    folder = Path(sys.argv[1])
    dataset, spots = make_dataset(folder / "d", (700, 700))
    work = ModelWork(dataset, folder / "m.pth", ModelCache(torch.device("cpu")), NoReporter(), NeverCancelled())
    reset_model(work, Pretrained(folder), ModelSource(), start_params(work))
    def run(crop, **loop):
        params = training_params(work, n_epochs=1, **loop).model_copy(update={"crop_size": crop})
        train(work, spots, params, FixedControl(1e-3, 4), lambda: None)
    run((32, 32), n_crops=1)
    before = weights(work.model_path)
    taken = next(int(line.split()[1]) << 10 for line in open("/proc/self/status") if line.startswith("VmSize"))
    resource.setrlimit(resource.RLIMIT_AS, (taken + (300 << 20),) * 2)
    try:
        run((640, 640), batch_size=4)
    except MemoryLimitError as error:
        print("refused:", error)
    print("kept", torch.equal(weights(work.model_path), before))
    run((32, 32), n_crops=1)
    print("goes on", not torch.equal(weights(work.model_path), before))
"""


def test_a_machine_that_really_has_no_memory_left(tmp_path: Path) -> None:
    script = tmp_path / "really.py"
    script.write_text(f"import sys\nsys.path.insert(0, {str(TESTS)!r})\n" + textwrap.dedent(REALLY))
    done = subprocess.run([sys.executable, script, tmp_path], capture_output=True, text=True, check=False, timeout=250)
    assert done.returncode == 0, done.stderr
    assert "refused: the training needs more memory than is available" in done.stdout
    assert "crop_size" in done.stdout
    assert "kept True" in done.stdout
    assert "goes on True" in done.stdout
