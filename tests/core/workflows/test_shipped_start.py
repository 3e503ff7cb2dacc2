"""Models that start from the weights of the package elephant-models."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from core.shipping import ship, uninstall
from core.workflows import test_detection as nuclei
from core.workflows import test_flow as movement
from core.workflows.methods import detect, displace, ensure_flow_model, ensure_model, train_flow
from elephant.config import DisplacementParams, FlowParams, ImageParams, PredictionParams, StartParams
from elephant.errors import ModelFileError, NotFoundError
from elephant.methods.work import ModelWork
from elephant.models.checkpoint import load_state_dicts
from elephant.models.ensemble import Ensemble, ModelCache
from elephant.models.pretrained import ModelSource, Pretrained
from elephant.models.provenance import read_provenance
from elephant.models.provenance_text import details, summary
from elephant.models.shipped import pretrained_with
from elephant.models.unet import DetectionNet, FlowNet
from elephant.progress import NeverCancelled, NoReporter
from elephant.training.control import FixedControl
from elephant.types import Spot

VERSATILE = ModelSource("Versatile")
SOURCE = "detection2d.pth of elephant-models 0.1.0"


def work_on(tmp_path: Path, shape: tuple[int, ...]) -> tuple[ModelWork, list[Spot]]:
    make = movement.make_dataset if len(shape) == 3 else nuclei.make_dataset
    dataset, spots = make(tmp_path / "datasets" / "d", shape)
    cache = ModelCache(torch.device("cpu"))
    return ModelWork(dataset, tmp_path / "models" / "m.pth", cache, NoReporter(), NeverCancelled()), spots


@pytest.fixture
def plane(tmp_path: Path) -> ModelWork:
    return work_on(tmp_path, (32, 32))[0]


def begun(work: ModelWork) -> str:
    return summary(read_provenance(work.model_path)[-1])


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]


def halves(path: Path) -> torch.Tensor:
    return torch.cat([value.float().flatten() for value in torch.load(path, weights_only=True).values()])


def test_shipped_weights_are_what_a_missing_model_and_versatile_start_from(
    plane: ModelWork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    network = ship(monkeypatch, tmp_path, DetectionNet, 2)
    nuclei.reset(plane, VERSATILE)
    assert torch.equal(nuclei.weights(plane.model_path), halves(network.path))
    assert nuclei.weights(plane.model_path).dtype == torch.float32
    assert begun(plane) == f"started from the pretrained model {SOURCE}"
    assert warnings(caplog) == []
    other = replace(plane, model_path=plane.model_path.with_name("other.pth"))
    ensure_model(other, nuclei.pretrained_of(plane), nuclei.start_params(plane))
    assert torch.equal(nuclei.weights(other.model_path), halves(network.path))
    (words,) = warnings(caplog)
    assert words.startswith(f"other.pth did not exist: started anew from the pretrained model {SOURCE}")
    nuclei.reset(plane, n_crops=0)
    assert begun(plane) == "started from random weights"


def test_a_file_of_the_workspace_comes_before_the_shipped_weights(
    plane: ModelWork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ship(monkeypatch, tmp_path, DetectionNet, 2)
    pretrained = nuclei.pretrained_of(plane)
    Ensemble([DetectionNet(2, 0)]).save(pretrained.folder / "versatile2d.pth")
    nuclei.reset(plane, VERSATILE)
    assert begun(plane) == "started from the pretrained model versatile2d.pth"
    (pretrained.folder / "versatile2d.pth").write_bytes(b"damaged")
    with pytest.raises(ModelFileError, match="versatile2d"):
        nuclei.reset(plane, VERSATILE)
    plane.model_path.unlink()
    ensure_model(plane, pretrained, nuclei.start_params(plane))
    assert begun(plane) == f"started from the pretrained model {SOURCE}"
    assert "versatile2d.pth is not a PyTorch model file" in warnings(caplog)[0]
    assert warnings(caplog)[0].endswith(f"Using {SOURCE} instead.")


def test_an_address_that_does_not_answer_is_said(
    plane: ModelWork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ship(monkeypatch, tmp_path, DetectionNet, 2)
    pretrained = Pretrained(tmp_path / "pretrained", "http://127.0.0.1:1/")
    ensure_model(plane, pretrained, nuclei.start_params(plane))
    assert "127.0.0.1" in warnings(caplog)[0]
    assert warnings(caplog)[0].endswith(f"Using {SOURCE} instead.")


def test_weights_that_are_not_those_that_were_shipped_are_refused(
    plane: ModelWork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    network = ship(monkeypatch, tmp_path, DetectionNet, 2)
    network.path.write_bytes(network.path.read_bytes()[:-1] + b"?")
    with pytest.raises(ModelFileError, match="changed or damaged; install the package again"):
        nuclei.reset(plane, VERSATILE)
    ensure_model(plane, nuclei.pretrained_of(plane), nuclei.start_params(plane))
    assert begun(plane) == "started from the intensities of d"
    assert "changed or damaged" in warnings(caplog)[0]


def test_flow_for_planes_starts_from_shipped_weights_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    network = ship(monkeypatch, tmp_path, FlowNet, 2)
    start, path = StartParams(n_dims=2, seed=1), tmp_path / "models" / "m.pth"
    work = ModelWork(None, path, ModelCache(torch.device("cpu")), NoReporter(), NeverCancelled())  # type: ignore[arg-type]
    movement.reset_flow_model(path, work.model_cache, Pretrained(tmp_path), VERSATILE, start, NeverCancelled())
    assert torch.equal(movement.weights(path), halves(network.path))
    movement.reset_flow_model(path, work.model_cache, Pretrained(tmp_path), ModelSource(), start, NeverCancelled())
    assert begun(work) == "started from random weights"
    assert "no pretrained weights were asked for. Starting" in warnings(caplog)[-1]
    uninstall(monkeypatch)
    movement.reset_flow_model(path, work.model_cache, Pretrained(tmp_path), VERSATILE, start, NeverCancelled())
    assert begun(work) == "started from random weights"
    with pytest.raises(NotFoundError, match="install elephant-models"):
        Pretrained(tmp_path).get("versatile3d.pth")


def test_centres_have_the_size_of_the_shipped_weights(
    plane: ModelWork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plane = replace(plane, model_path=ship(monkeypatch, tmp_path, DetectionNet, 2, c_ratio=0.8).path)
    params = nuclei.detection_params(2)
    wide = params.model_copy(update={"spots": params.spots.model_copy(update={"c_ratio": 0.8, "p_thresh": 0.3})})
    narrow = wide.model_copy(update={"spots": wide.spots.model_copy(update={"c_ratio": 0.4})})
    found = detect(plane, 0, narrow)
    assert found
    assert [spot.covariance.tolist() for spot in found] == [s.covariance.tolist() for s in detect(plane, 0, wide)]


@pytest.fixture
def moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[ModelWork, list[Spot]]:
    """Give a movie, its spots, and a missing model whose shipped weights give small displacements."""

    class Calm(FlowNet):
        def __init__(self, n_dims: int, n_keep_axials: int) -> None:
            super().__init__(n_dims, n_keep_axials)
            with torch.no_grad():
                self.out_conv.weight.mul_(0.002)
                self.out_conv.bias.copy_(torch.linspace(0.02, 0.05, n_dims))

    Calm.__name__ = "FlowNet"
    ship(monkeypatch, tmp_path, Calm, 3, max_displacement=80.0)
    work, spots = work_on(tmp_path, (8, 32, 32))
    ensure_flow_model(work.model_path, Pretrained(tmp_path / "none"), movement.start_of(work))
    return work, spots


def flow_with(largest: float, keep: int, **image: object) -> FlowParams:
    return FlowParams(
        displacement=DisplacementParams(voxel_size=movement.VOXEL, max_displacement=largest, n_keep_axials=keep),
        prediction=PredictionParams(n_keep_axials=max(keep, 0), image=ImageParams(**image)),
    )


def steps(work: ModelWork, spots: list[Spot], params: FlowParams) -> np.ndarray:
    return np.array([e.pos - s.pos for e, s in zip(displace(work, 1, spots, params), spots, strict=True)])


@pytest.mark.usefixtures("float32")
def test_displacements_of_shipped_weights_do_not_depend_on_the_norm_that_is_asked_for(
    moved: tuple[ModelWork, list[Spot]],
) -> None:
    work, spots = moved
    assert pretrained_with(work.model_path).max_displacement == 80.0
    found = steps(work, spots, flow_with(80.0, 1))
    assert np.abs(found).max() > 1.0
    np.testing.assert_allclose(steps(work, spots, flow_with(8.0, 1)), found, rtol=1e-4)
    np.testing.assert_allclose(steps(work, spots, flow_with(200.0, 1)), found, rtol=1e-4)
    # Below 0 the poolings are those of 0, and so is what the weights mean; the norm of a request is not.
    np.testing.assert_allclose(steps(work, spots, flow_with(80, -1)), steps(work, spots, flow_with(80, 0)), rtol=1e-4)


@pytest.mark.usefixtures("float32")
def test_displacements_of_shipped_weights_are_in_voxels_of_what_they_see(moved: tuple[ModelWork, list[Spot]]) -> None:
    work, spots = moved
    calm = work.model_cache.get(work.model_path, FlowNet, 3, 1).members[0]
    torch.nn.init.zeros_(calm.out_conv.weight)  # the same displacement everywhere, whatever is seen
    found = steps(work, spots, flow_with(80.0, 1))
    seen = steps(work, spots, flow_with(80.0, 1, input_size=(8, 64, 16)))
    np.testing.assert_allclose(seen, found * (1, 0.5, 2), rtol=1e-3)


@pytest.mark.usefixtures("float32")
def test_a_training_begins_with_the_displacements_of_the_shipped_weights(moved: tuple[ModelWork, list[Spot]]) -> None:
    work, spots = moved
    before = steps(work, spots, flow_with(80.0, movement.KEEP))
    params = movement.training_params(work, n_crops=1, n_epochs=1, lr=1e-12)
    assert params.displacement.max_displacement == 8.0
    train_flow(work, movement.links_of(spots), params, FixedControl(1e-12, 1), lambda: None)
    assert pretrained_with(work.model_path) is None
    after = steps(work, spots, flow_with(8.0, movement.KEEP))
    # The last layer is linear, tanh is not: at 0.5 the difference is 8%.
    np.testing.assert_allclose(after, before, rtol=0.1)


def test_the_relative_learning_rate_is_that_of_the_adapted_weights(moved: tuple[ModelWork, list[Spot]]) -> None:
    work, spots = moved
    adapted = 10 * load_state_dicts(work.model_path)[0]["out_conv.weight"].float()  # from 80 voxels to 8
    params = movement.training_params(work, n_crops=1, n_epochs=1, lr=1e-3).model_copy(update={"held_out": 0.0})
    train_flow(work, movement.links_of(spots), params, FixedControl(1e-3, 1), lambda: None)
    change = load_state_dicts(work.model_path)[0]["out_conv.weight"] - adapted
    assert float(change.abs().mean() / adapted.square().mean().sqrt()) == pytest.approx(1e-3, rel=0.05)
    assert "learning rate 0.001 (relative)" in details(read_provenance(work.model_path)[-1])
