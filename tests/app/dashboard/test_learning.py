"""The learning curves of a model."""

from typing import Any

from flask.testing import FlaskClient

from elephant.models.ensemble import Ensemble
from elephant.models.provenance import HeldOutScore, ProvenanceEntry, record
from elephant.models.unet import DetectionNet
from elephant_server.settings import Settings

ADDRESS = "/dashboard/api/learning?model=m.pth"


def curves(page: FlaskClient, settings: Settings, *entries: ProvenanceEntry) -> list[dict[str, Any]]:
    path = settings.models_dir / "m.pth"
    Ensemble([DetectionNet(2, 0)]).save(path)
    for began, entry in enumerate(entries):
        assert record(path, entry.model_copy(update={"began": began}))
    found = page.get(ADDRESS).json
    assert found is not None
    return list(found["curves"])


def score(f1: float) -> HeldOutScore:
    return HeldOutScore(n_nuclei=9, f1=f1, precision=f1, recall=f1)


def test_the_newest_training_comes_first_with_its_best_and_its_last_epoch(
    page: FlaskClient, settings: Settings
) -> None:
    """The best epoch was thinned out of the curve; a training without anything held out has none."""
    first = ProvenanceEntry(what="training", epochs=2, held_out=score(0.5), curve=((0, 0.2), (1, 0.5), (2, 0.5)))
    second = ProvenanceEntry(
        what="training",
        dataset="movie",
        epochs=3,
        held_out=score(0.9),
        curve=((0, 0.5), (2, 0.8), (4, 0.7)),
        last=4,
        last_epochs=4,
        last_held_out=score(0.7),
        said=("no better",),
    )
    without = ProvenanceEntry(what="training", epochs=1)
    new, old = curves(page, settings, first, second, without)
    assert (new["began"], old["began"]) == (1, 0)
    assert (new["epochs"], new["values"]) == ([0, 2, 3, 4], [0.5, 0.8, 0.9, 0.7])
    assert (new["best"], new["kept"]["epoch"], new["kept"]["precision"]) == (3, 3, 0.9)
    assert (new["last"]["epoch"], new["last"]["value"], new["last_version"], new["said"]) == (4, 0.7, 4, ["no better"])
    assert (new["dataset"], new["figure"], new["n_held_out"]) == ("movie", "f1", 9)
    assert (old["best"], old["last"], old["last_version"]) == (2, old["kept"], None)


def test_the_start_is_best_only_where_the_training_was_undone(page: FlaskClient, settings: Settings) -> None:
    undone = ProvenanceEntry(
        what="training",
        epochs=0,
        held_out=score(0.9),
        curve=((0, 0.9), (1, 0.2)),
        last=1,
        last_epochs=1,
        last_held_out=score(0.2),
    )
    slightly_worse = ProvenanceEntry(what="training", epochs=1, held_out=score(0.85), curve=((0, 0.9), (1, 0.85)))
    assert [one["best"] for one in curves(page, settings, undone, slightly_worse)] == [1, 0]


def test_of_flow_the_lowest_distance_is_best_and_a_running_training_has_no_kept_epoch(
    page: FlaskClient, settings: Settings
) -> None:
    running = ProvenanceEntry(what="training", epochs=3, curve=((0, 1.0), (1, 0.4), (2, 0.6)), curve_of="distance_left")
    (found,) = curves(page, settings, running)
    assert (found["best"], found["kept"], found["last"], found["figure"]) == (1, None, None, "distance_left")


def test_a_model_that_is_not_there_is_refused(page: FlaskClient) -> None:
    assert page.get(ADDRESS).status_code == 404
    assert page.get("/dashboard/api/learning?model=../m.pth").status_code == 400
