"""Power cuts at any moment: files are complete, either old or new, and new once a request is answered."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from core.dataset.bdv import ramp, write_movie
from core.dataset.helpers import images_of, make
from core.power import Recorded, lay_out, recording
from elephant.dataset import Dataset, check_dataset, labels_as_rgb
from elephant.io.atomic import replacing
from elephant.models.ensemble import Ensemble, load_ensemble
from elephant.models.unet import DetectionNet
from elephant.models.versions import restore, versions

SHAPE = (5, 20, 17)


def outcomes(recorded: Recorded, tmp_path: Path, look: Callable[[Path], str]) -> tuple[list[str], set[str]]:
    """Return what is found after a cut at any moment, and what may be found when the work has been acknowledged."""
    found = [look(lay_out(state, tmp_path / f"cut{i}")) for i, (_, state) in enumerate(recorded.all_cuts())]
    last = recorded.after_a_cut(len(recorded.names) - 1)
    return found, {look(lay_out(state, tmp_path / f"end{i}")) for i, state in enumerate(last)}


def assert_old_then_new(found: list[str], at_the_end: set[str]) -> None:
    assert set(found) == {"old", "new"}
    assert at_the_end == {"new"}


def test_a_file_that_is_replaced(tmp_path: Path) -> None:
    folder = tmp_path / "d"
    folder.mkdir()
    (folder / "file").write_bytes(b"old")
    with recording(folder) as recorded, replacing(folder / "file") as file:
        file.write(b"new")
    assert_old_then_new(*outcomes(recorded, tmp_path, lambda place: (place / "file").read_text()))


@pytest.mark.parametrize("what", ["labels", "cleared labels", "flow labels"])
def test_labels_of_a_timepoint(tmp_path: Path, what: str) -> None:
    folder = tmp_path / "d"
    make(write_movie(tmp_path / "m.h5", ramp(3, SHAPE)), folder)
    flow = (4, *SHAPE)
    dataset = Dataset(folder)
    dataset.write_labels(1, np.full(SHAPE, 2, np.uint8))
    dataset.write_flow_labels(1, np.full(flow, 2, np.float32))
    with recording(folder) as recorded:
        if what == "labels":
            dataset.write_labels(1, np.full(SHAPE, 5, np.uint8))
        elif what == "flow labels":
            dataset.write_flow_labels(1, np.full(flow, 5, np.float32))
        else:
            dataset.clear_labels()

    def look(place: Path) -> str:
        kept = Dataset(place)
        labels = kept.read_labels(1)
        colours = kept._labels_rgb.read(1, None)
        np.testing.assert_array_equal(colours, labels_as_rgb(labels))
        (value,) = np.unique(kept.read_flow_labels(1) if what == "flow labels" else labels)
        return "old" if value == 2 else "new"

    assert_old_then_new(*outcomes(recorded, tmp_path, look))


def test_a_movie_that_is_converted_again(tmp_path: Path) -> None:
    folder = tmp_path / "d"
    old, new = ramp(2, SHAPE), ramp(3, SHAPE, largest=999)
    make(write_movie(tmp_path / "old.h5", old), folder)
    Dataset(folder).write_labels(1, np.full(SHAPE, 2, np.uint8))
    with recording(folder) as recorded:
        make(write_movie(tmp_path / "new.h5", new), folder)

    def look(place: Path) -> str:
        assert check_dataset(place) == "ready"
        images = images_of(place)
        is_new = len(images) == len(new)
        np.testing.assert_array_equal(images, new if is_new else old)
        assert Dataset(place).read_labels(1).any() != is_new
        return "new" if is_new else "old"

    assert_old_then_new(*outcomes(recorded, tmp_path, look))


def ensemble(value: float) -> Ensemble:
    network = DetectionNet(2, 0)
    with torch.no_grad():
        network.out_conv.bias.fill_(value)
    return Ensemble([network])


def value_of(path: Path) -> str:
    (weights,) = load_ensemble(path, DetectionNet, 2, 0).state_dicts()
    return {1.0: "old", 2.0: "new"}[float(weights["out_conv.bias"][0])]


def test_a_model_that_is_saved_and_one_that_is_restored(tmp_path: Path) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    path = folder / "m.pth"
    ensemble(1.0).save(path)
    with recording(folder) as recorded:
        ensemble(2.0).save(path)
    assert_old_then_new(*outcomes(recorded, tmp_path / "saved", lambda place: value_of(place / "m.pth")))
    (kept,) = versions(path)
    assert value_of(kept.path) == "old"
    with recording(folder) as recorded:
        restore(path)
    found, at_the_end = outcomes(recorded, tmp_path / "restored", lambda place: value_of(place / "m.pth"))
    assert set(found) == {"old", "new"}
    assert at_the_end == {"old"}
