"""Predictions for which there is too little memory."""

import subprocess
import sys
import textwrap
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from elephant.config import PredictionParams
from elephant.device import free_bytes, is_out_of_memory, needs_memory
from elephant.errors import MemoryLimitError
from elephant.hardware import total_bytes
from elephant.prediction import predict_probabilities
from elephant.prediction.tiling import BYTES_PER_VOXEL, Tiles
from elephant.progress import NeverCancelled, NoReporter


class Small(nn.Module):
    """A network on a device with memory for so many voxels."""

    def __init__(self, limit: int, error: type[Exception] = torch.OutOfMemoryError) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.limit = limit
        self.error = error
        self.seen: list[tuple[int, ...]] = []

    def forward(self, x: Tensor, is_pad: bool = False) -> Tensor:
        self.seen.append(tuple(x.shape))
        if x.numel() > self.limit:
            raise self.error("CUDA out of memory. Tried to allocate 20.00 MiB\nAdvice for programmers")
        return torch.cat([x, x / 2, x / 4], dim=1).log()


IMAGE = np.random.default_rng(0).random((40, 200, 300), dtype=np.float32)


def predict(model: nn.Module, image: np.ndarray = IMAGE, **params: object) -> np.ndarray:
    return predict_probabilities(model, image, PredictionParams(**params), NoReporter(), NeverCancelled())


def test_smaller_tiles_are_tried_until_they_fit(caplog: pytest.LogCaptureFixture) -> None:
    model = Small(200_000)
    found = predict(model)
    np.testing.assert_allclose(found[0], IMAGE, rtol=1e-4)
    assert model.seen[0][2:] == (40, 200, 300)
    assert all(size % 16 == 0 for size in model.seen[-1][-1:])
    assert np.prod(model.seen[-1]) <= 200_000
    tried = list(dict.fromkeys(model.seen))
    assert len(caplog.records) == len(tried) - 1
    assert "CUDA out of memory" in caplog.text
    assert "Advice" not in caplog.text


def test_tiles_are_cut_as_the_free_memory_allows_before_any_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("elephant.prediction.tiling.free_bytes", lambda _device: 300_000 * BYTES_PER_VOXEL)
    model = Small(IMAGE.size)
    found = predict(model, batch_size=2)
    np.testing.assert_allclose(found[0], IMAGE, rtol=1e-4)
    assert 50_000 < max(np.prod(seen) for seen in model.seen) <= 300_000
    monkeypatch.setattr("elephant.prediction.tiling.free_bytes", lambda _device: 0)
    predict(model)
    assert model.seen[-1][2:] == (32, 32, 32)


def test_memory_is_free_without_a_gpu() -> None:
    assert 2**20 < free_bytes(torch.device("cpu")) <= total_bytes()


def test_fewer_tiles_at_a_time_are_tried_before_smaller_ones() -> None:
    model = Small(150_000)
    found = predict(model, patch=(32, 64, 64), batch_size=4)
    np.testing.assert_allclose(found[0], IMAGE, rtol=1e-4)
    assert model.seen[-1][2:] == model.seen[0][2:]
    assert [seen[0] for seen in dict.fromkeys(model.seen)] == [4, 2, 1] or model.seen[-1][0] == 1


def test_slices_of_a_volume_stay_slices() -> None:
    model = Small(20_000)
    found = predict(model, use_2d=True, batch_size=8)
    np.testing.assert_allclose(found[0], IMAGE, rtol=1e-4)
    assert all(len(seen) == 4 for seen in model.seen)


@pytest.mark.parametrize("error", [torch.OutOfMemoryError, RuntimeError, MemoryError])
def test_if_nothing_helps_the_error_says_what_to_change(error: type[Exception]) -> None:
    with pytest.raises(MemoryLimitError, match=r"tiles of \(32, 32, 32\).*crop box"):
        predict(Small(100, error), IMAGE[:, :96, :96])


def test_other_failures_are_not_tried_again() -> None:
    class Broken(Small):
        def forward(self, x: Tensor, is_pad: bool = False) -> Tensor:
            self.seen.append(tuple(x.shape))
            raise RuntimeError("shapes do not match")

    model = Broken(1)
    with pytest.raises(RuntimeError, match="shapes"):
        predict(model)
    assert len(model.seen) == 1


@pytest.mark.parametrize("keep", [0, 2, 4])
def test_tiles_shrink_to_what_the_network_divides(keep: int) -> None:
    divisor = (2 ** (4 - keep), 16, 16)
    tiles: Tiles | None = Tiles((130, 700, 500), divisor, 4)
    sizes = []
    while tiles is not None:
        sizes.append(tiles.size((130, 700, 500)))
        tiles = tiles.smaller((130, 700, 500))
    assert sizes[-1] == tuple(2 * d for d in divisor)
    volumes = [int(np.prod(size)) for size in dict.fromkeys(sizes)]
    assert all(b < a for a, b in pairwise(volumes))
    assert len(sizes) < 20


def test_what_is_out_of_memory_and_what_is_not() -> None:
    said = "[enforce fail at alloc_cpu.cpp:126] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to ..."
    assert is_out_of_memory(RuntimeError(said))
    windows = (
        "[enforce fail at alloc_cpu.cpp:72] data. DefaultCPUAllocator: not enough memory: you tried to allocate ..."
    )
    assert is_out_of_memory(RuntimeError(windows))
    assert is_out_of_memory(MemoryError())
    assert is_out_of_memory(RuntimeError("could not create a primitive"))
    assert is_out_of_memory(RuntimeError("CUDA error: out of memory"))
    assert is_out_of_memory(RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"))
    assert not is_out_of_memory(RuntimeError("CUDA error: an illegal memory access was encountered"))
    assert not is_out_of_memory(OSError("out of memory"))


def test_what_was_computed_is_let_go_of() -> None:
    gone = []

    class Held:
        def __del__(self) -> None:
            gone.append(True)

    @needs_memory("the work", "do less")
    def work() -> None:
        held = Held()
        assert held
        raise MemoryError("Unable to allocate 3 TiB")

    with pytest.raises(MemoryLimitError, match=r"the work needs more memory.*3 TiB.*do less") as raised:
        work()
    assert gone == [True]
    assert raised.value.__context__ is None


# A machine with little memory: limits are those of a process, so another one has them.
REALLY = """
    import logging, resource, sys
    from pathlib import Path
    import numpy as np, torch
    from elephant.config import PredictionParams
    from elephant.errors import MemoryLimitError
    from elephant.models.ensemble import Ensemble
    from elephant.models.unet import DetectionNet
    from elephant.prediction import predict_probabilities
    from elephant.progress import NeverCancelled, NoReporter

    logging.basicConfig(level="WARNING", format="%(message)s", stream=sys.stdout)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = Ensemble([DetectionNet(2, 0)]).eval()
    large = np.random.default_rng(0).random((1536, 1536), dtype=np.float32)
    def predict(side):
        return predict_probabilities(model, large[:side, :side], PredictionParams(), NoReporter(), NeverCancelled())
    predict(64), predict(32)  # what is compiled for a size of tiles is kept
    def address_space(name):
        return next(int(line.split()[1]) << 10 for line in open("/proc/self/status") if line.startswith(name))
    taken = address_space("VmSize")
    usual = resource.getrlimit(resource.RLIMIT_AS)
    if len(sys.argv) > 1:
        resource.setrlimit(resource.RLIMIT_AS, (taken + int(sys.argv[1]), usual[1]))
    try:
        found = predict(1536)
        print("found", found.shape, bool(np.isfinite(found).all()))
    except MemoryLimitError as error:
        print("refused:", error)
        resource.setrlimit(resource.RLIMIT_AS, usual)  # other programs have ended
    print("goes on", predict(32).shape)
    print("took", address_space("VmPeak") - taken)
"""


def test_a_machine_that_really_has_no_memory_left(tmp_path: Path) -> None:
    script = tmp_path / "really.py"
    script.write_text(textwrap.dedent(REALLY))

    def run(*room: int) -> str:
        command = [sys.executable, str(script), *map(str, room)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=200)
        assert done.returncode == 0, done.stderr
        assert "goes on (3, 32, 32)" in done.stdout
        return done.stdout

    plenty = run()
    assert "Not enough memory" not in plenty
    # How much it takes depends on the processor.
    took = int(plenty.split("took ")[1])
    short = run(took * 6 // 10)
    assert "Not enough memory" in short
    assert "found (3, 1536, 1536) True" in short
    hardly = run(took // 60)
    assert "Not enough memory" in hardly
    assert "refused: the prediction needs" in hardly
