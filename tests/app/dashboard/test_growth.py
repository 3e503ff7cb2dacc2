"""How the annotations of a dataset grew, and the models on it."""

import numpy as np
from flask.testing import FlaskClient

from elephant.dataset import Dataset
from elephant.dataset.record import FILE, LabelsOf, recorded_as
from elephant.models.ensemble import Ensemble
from elephant.models.provenance import ProvenanceEntry
from elephant.models.unet import DetectionNet
from elephant.types import Spot, Tag
from elephant_server.dashboard.growth import thinned
from elephant_server.schemas.models import LabelsPoint
from elephant_server.settings import Settings

NAME = "user/movie"


def teach(dataset: Dataset, t: int, n: int, who: str | None = None) -> None:
    spots = [Spot(t, np.ones(3), np.eye(3), Tag.TP if i else Tag.UNLABELED) for i in range(n + 1)]
    with recorded_as("seg/update", who):
        dataset.write_labels(t, np.ones(dataset.shape, np.uint8), LabelsOf(spots, {}))


def test_annotations_are_counted_over_time(page: FlaskClient, dataset: Dataset) -> None:
    address = f"/dashboard/api/growth?dataset={NAME}"
    nothing = page.get(address).json or {}
    assert (nothing["detection"], nothing["trainings"], nothing["note"]) == ([], [], "")
    for t, n, who in ((0, 3, "Ada"), (1, 4, "Ben"), (0, 5, "Ada")):
        teach(dataset, t, n, who)
    dataset.clear_labels()
    found = page.get(address).json or {}
    assert [(point["n_annotations"], point["who"]) for point in found["detection"]] == [
        (3, "Ada"),
        (7, "Ben"),
        (9, "Ada"),
        (0, ""),
    ]
    assert (found["flow"], found["people"]) == ([], {"Ada": 2, "Ben": 1})
    (dataset.folder / FILE).write_text("mine\n")
    assert "expected a record of annotations" in (page.get(address).json or {})["note"]


def test_trainings_on_the_dataset_are_told(page: FlaskClient, dataset: Dataset, settings: Settings) -> None:
    path, model = settings.models_dir / "m.pth", Ensemble([DetectionNet(2, 0)])
    model.save(path, ProvenanceEntry(what="random"))
    for name in (NAME, "another"):
        entry = ProvenanceEntry(what="training", dataset=name, annotated="spots", n_annotations=12, epochs=3, loss=0.5)
        model.save(path, entry)
    (found,) = (page.get(f"/dashboard/api/growth?dataset={NAME}").json or {})["trainings"]
    assert (found["model"], found["method"], found["n_annotations"], found["epochs"]) == ("m.pth", "detection", 12, 3)
    newest, *_ = (page.get("/dashboard/api/models").json or [])[0]["generations"]
    assert (newest["n_annotations"], newest["epochs"], newest["loss"]) == (12, 3, 0.5)


def test_many_points_are_thinned_and_the_last_one_stays() -> None:
    points = [LabelsPoint(at=i, n_annotations=i) for i in range(1000)]
    few = thinned(points, 30)
    assert len(few) <= 30
    assert few[-1] is points[-1]
    assert thinned(points[:30], 30) == points[:30]


def test_a_dataset_that_is_not_there_is_refused(page: FlaskClient) -> None:
    assert page.get("/dashboard/api/growth?dataset=none").status_code == 404
