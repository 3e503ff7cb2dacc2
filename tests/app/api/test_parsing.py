import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from pydantic import ValidationError

from elephant.errors import InvalidInputError
from elephant.progress import NeverCancelled
from elephant.types import Box, Tag, VoxelSize
from elephant_server.api import parsing
from elephant_server.api.errors import reason_phrase
from elephant_server.api.parsing import parse
from elephant_server.jobs.submit import SEG_TRAIN
from elephant_server.schemas.dataset import DatasetGenerateBody
from elephant_server.schemas.detection import SegPredictBody, SegResetBody, SegTrainBody, SegUpdateBody

COVARIANCE = [4.0, 0.1, 0.2, 0.1, 5, 0.3, 0.2, 0.3, 6]
SPOT = {"t": 3, "pos": [1, 2.5, 3], "covariance": COVARIANCE, "tag": "fn", "label": "7", "id": 7}
PREDICT = {"dataset_name": "d", "model_name": "m.pth", "timepoint": 2, "scales": [0.5, 0.6, 2]}
TRAIN = {
    "dataset_name": "d",
    "model_name": "m.pth",
    "spots": [SPOT],
    "scales": [1, 1, 2],
    "crop_size": [96, 80, 16],
    "lr": 1,
}


def read(model: Any, body: dict[str, Any], **changes: Any) -> Any:
    return parse(model, json.dumps({**body, **changes}))


def test_vectors_are_turned_around() -> None:
    body = read(SegPredictBody, PREDICT, patch=[384, 300, 24], crop_box=[1, 2, 3, 10, 20, 30], input_size=[64, 65, 66])
    params = body.params()
    assert params.spots.voxel_size == VoxelSize(2, 0.6, 0.5)
    assert params.prediction.patch == (24, 300, 384)
    assert params.prediction.crop_box == Box((3, 2, 1), (30, 20, 10))
    assert params.prediction.image.input_size == (66, 65, 64)


@pytest.mark.parametrize("z", [0, 1, -3, 24])
def test_in_2d_whatever_stands_at_z_is_ignored(z: int) -> None:
    body = read(
        SegPredictBody,
        PREDICT,
        is_3d=False,
        scales=[0.5, 0.6, z],
        patch=[384, 300, z],
        crop_box=[1, 2, z, 10, 20, z],
        use_2d=True,
    )
    params = body.params()
    assert params.spots.voxel_size == VoxelSize(1, 0.6, 0.5)
    assert params.prediction.patch == (300, 384)
    assert params.prediction.crop_box == Box((2, 1), (20, 10))
    assert not params.prediction.use_2d


def test_spots_are_turned_around() -> None:
    (found,) = read(SegTrainBody, TRAIN).annotations(NeverCancelled())
    assert found.pos.tolist() == [3, 2.5, 1]
    assert found.covariance[0].tolist() == [6, 0.3, 0.2]
    assert found.covariance[2].tolist() == [0.2, 0.1, 4]
    assert (found.t, found.tag, found.id) == (3, Tag.FN, 7)


def test_whole_numbers_serve_as_floats_and_unknown_keys_are_ignored() -> None:
    params = read(SegTrainBody, TRAIN, r_max=5, something="else", aug_contrast=1).params()
    assert params.loop.lr == 1
    assert params.crop_size == (16, 80, 96)
    assert params.n_keep_axials == 1


@pytest.mark.parametrize("is_live", [False, True])
@pytest.mark.parametrize("sent", [{}, {"aug_contrast": 0, "class_weights": [1, 10, 10], "false_weight": 10}])
def test_what_a_training_does_not_say_is_what_a_fresh_client_sends(sent: dict[str, Any], is_live: bool) -> None:
    params = read(SegTrainBody, TRAIN, is_livemode=is_live, **sent).params()
    assert params.augmentation.aug_contrast == 0
    assert (params.class_weights, params.false_weight) == ((1, 10, 10), 10)


def test_what_is_0_in_the_clients_settings_has_a_meaning() -> None:
    for is_live in (False, True):
        training = read(SegTrainBody, TRAIN, n_epochs=0, log_interval=0, cache_maxbytes=0, is_livemode=is_live)
        assert training.params().loop.n_epochs == training.cache_maxbytes == 0
    for url in ("Versatile", None, "https://example.org/models/a.pth"):
        body = {"dataset_name": "d", "model_name": "m.pth", "url": url}
        reset = read(SegResetBody, body, n_crops=0, cache_maxbytes=0)
        assert (reset.start().n_crops, reset.url, reset.cache_maxbytes) == (0, url, 0)


@pytest.mark.parametrize(
    ("sent", "is_live"), [({}, True), ({"is_livemode": True}, True), ({"is_livemode": False}, False)]
)
def test_an_update_that_does_not_say_is_one_of_the_live_session(sent: dict[str, Any], is_live: bool) -> None:
    body = {"dataset_name": "d", "scales": [1, 1, 1], "spots": [SPOT]}
    assert read(SegUpdateBody, body, **sent).is_for_live_session is is_live


def test_a_repeated_key_counts_with_its_last_value() -> None:
    text = json.dumps(PREDICT)[:-1] + ', "timepoint": 9}'
    assert parse(SegPredictBody, text).timepoint == 9


@pytest.mark.parametrize(("sent", "meant"), [(-1, 0), (0, 0), (4, 4), (6, 4), (31, 4)])
def test_n_keep_axials_is_clamped(sent: int, meant: int) -> None:
    body = read(SegPredictBody, PREDICT, n_keep_axials=sent)
    assert body.params().prediction.n_keep_axials == meant


@pytest.mark.parametrize(("anisotropy", "expected"), [(0.5, 0), (1.9, 0), (2, 1), (2.9, 1), (3, 2), (100, 4)])
def test_n_keep_axials_follows_from_the_voxels_where_it_is_not_sent(anisotropy: float, expected: int) -> None:
    assert read(SegTrainBody, TRAIN, scales=[1, 1, anisotropy]).params().n_keep_axials == expected
    flat = read(SegTrainBody, TRAIN, scales=[1, 1, anisotropy], is_3d=False)
    assert flat.params().n_keep_axials == 0


@pytest.mark.parametrize(
    ("model", "body", "changes", "words"),
    [
        (SegPredictBody, PREDICT, {"timepoint": -1}, "timepoint: .*got -1"),
        (SegPredictBody, PREDICT, {"timepoint": 1.5}, "timepoint"),
        (SegPredictBody, PREDICT, {"timepoint": "1"}, "timepoint: .*got '1'"),
        (SegPredictBody, PREDICT, {"scales": [1, 1]}, "scales"),
        (SegPredictBody, PREDICT, {"scales": [0, 1, 1]}, "above 0"),
        (SegPredictBody, PREDICT, {"c_ratio": 0}, "c_ratio: .*at least 0.001, got 0"),
        (SegPredictBody, PREDICT, {"batch_size": 0}, "batch_size"),
        (SegPredictBody, PREDICT, {"dataset_name": ""}, "dataset_name"),
        (SegPredictBody, PREDICT, {"is_3d": 1}, "is_3d"),
        (SegTrainBody, TRAIN, {"n_crops": 0}, "n_crops"),
        (SegTrainBody, TRAIN, {"n_epochs": -1}, "n_epochs"),
        (SegTrainBody, TRAIN, {"spots": []}, "nothing to train"),
        (SegTrainBody, TRAIN, {"spots": [{**SPOT, "tag": "xx"}]}, "tp, fp, tn, fn, tb, fb, unlabeled"),
        (SegTrainBody, TRAIN, {"spots": [{**SPOT, "covariance": [1] * 8}]}, "spots.0.covariance"),
        (SegTrainBody, TRAIN, {"spots": [{**SPOT, "covariance": [1, 2, 0, 2, 1, 0, 0, 0, 1]}]}, "positive definite"),
        (SegTrainBody, TRAIN, {"spots": [{**SPOT, "covariance": [1, 0, 0, 0.5, 1, 0, 0, 0, 1]}]}, "symmetric"),
        (SegUpdateBody, {"dataset_name": "d", "scales": [1, 1, 1]}, {}, "nothing to update"),
        (DatasetGenerateBody, {"dataset_name": "d"}, {"divisor": 0}, "divisor"),
    ],
)
def test_what_is_wrong_is_said(model: Any, body: dict[str, Any], changes: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidInputError, match=words):
        read(model, body, **changes)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_numbers_that_are_none_are_refused(number: str) -> None:
    text = json.dumps(PREDICT).replace("0.6", number)
    with pytest.raises(InvalidInputError, match="scales"):
        parse(SegPredictBody, text)


@pytest.mark.parametrize("text", ["", "[]", "null", "{", "[" * 10000, '{"dataset_name": "d"', "\x00"])
def test_what_is_no_json_object_is_refused(text: str) -> None:
    with pytest.raises(InvalidInputError):
        parse(SegPredictBody, text)


def test_sizes_are_refused_where_the_axis_counts() -> None:
    with pytest.raises(InvalidInputError, match=r"crop_size: .*at least 1"):
        read(SegTrainBody, TRAIN, crop_size=[96, 96, 0])


def test_unlabeled_spots_may_have_any_covariance() -> None:
    assert read(SegTrainBody, TRAIN, spots=[SPOT, {**SPOT, "tag": "unlabeled", "covariance": [0] * 9}])


def test_a_reason_phrase_is_one_short_line_of_latin_1() -> None:
    found = reason_phrase("Größe\r\nX-Evil: 1\n 漢字 \x07" + "long " * 100)
    assert found.startswith("Größe X-Evil: 1 ??")
    assert len(found) <= 200
    assert found.encode("latin-1").isascii() is False
    assert all(c.isprintable() for c in found)


def test_paths_answer_with_and_without_a_slash_and_errors_are_json(redis_url: str) -> None:
    from elephant_server.main import create_app
    from elephant_server.settings import Settings

    port = int(redis_url.rsplit(":", 1)[1].split("/", maxsplit=1)[0])
    app: Flask = create_app(Settings(redis_port=port))
    with app.test_client() as client:
        for path in ("/state/process", "/state/process/", "/state", "/params", "/params/", "/openapi.json", "/docs"):
            answer = client.get(path)
            assert answer.status_code == 200, path
        for answer in (client.get("/nothing"), client.get("/seg/train"), client.post("/seg/train", data=b"{}")):
            assert answer.status_code in (404, 405, 400)
            assert isinstance(answer.json["error"], str)
        refused = client.post("/seg/train", data=b"{}", content_type="application/json")
        assert refused.status.startswith("400 dataset_name: field required, but it is missing")
        assert client.get("/params").json == {"success": True, "lr": 0.001, "n_crops": 5}


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        ({"json": {"dataset_name": "a"}}, "expected a form"),
        ({"data": {"dataset_name": "a", "filename": "a.h5"}}, "action: field required"),
        ({"data": {"dataset_name": "a", "filename": "a.h5", "action": "finish"}}, "got 'finish'"),
        ({"data": {"dataset_name": "a", "filename": "a.h5", "action": "init"}}, "expected multipart with the part"),
        ({"data": {"dataset_name": "a", "filename": "a.h5", "action": ["init", "complete"]}}, "has not begun"),
    ],
)
def test_forms_are_checked_as_bodies_are(tmp_path: Path, sent: dict[str, Any], words: str) -> None:
    from elephant_server.main import create_app
    from elephant_server.settings import Settings

    with create_app(Settings(redis_port=1, workspace=tmp_path)).test_client() as client:
        answer = client.post("/upload/image", **sent)
    assert answer.status_code == 400
    assert words in answer.json["error"]


def test_without_redis_the_answer_is_503() -> None:
    from elephant_server.main import create_app
    from elephant_server.settings import Settings

    with create_app(Settings(redis_port=1)).test_client() as client:
        answer = client.get("/state/process")
        assert answer.status_code == 503
        assert "Redis" in answer.json["error"]
        assert client.get("/state/gpus").status_code == 200


def test_the_description_names_every_path_and_field() -> None:
    from elephant_server.main import create_app
    from elephant_server.settings import Settings

    with create_app(Settings(redis_port=1)).test_client() as client:
        description = client.get("/openapi.json").json
        page = client.get("/docs").text
    assert {"/seg/predict", "/seg/train", "/seg/update", "/seg/reset", "/dataset/check"} <= set(description["paths"])
    fields = description["components"]["schemas"]["SegTrainBody"]["properties"]
    assert set(SegTrainBody.model_fields) == set(fields)
    taken = description["paths"]["/upload/image"]["post"]["requestBody"]["content"]
    assert taken["application/x-www-form-urlencoded"]["schema"] == {"$ref": "#/components/schemas/UploadForm"}
    assert taken["multipart/form-data"]["schema"]["allOf"][1]["properties"]["file"]["format"] == "binary"
    sent = description["paths"]["/download/ctc"]["post"]["responses"]
    assert list(sent["200"]["content"]) == ["application/zip"]
    assert "204" in sent
    assert "/seg/predict" in page
    assert "/upload/image" in page
    assert "auto_bg_thresh" in page


@pytest.mark.parametrize("spots", ["[" + "0," * 999 + "0]", "[" + "{}," * 999 + "{}]"])
def test_the_first_wrong_spot_is_enough(spots: str) -> None:
    """An error for each of millions would take a thousand times the body's memory."""
    body = json.dumps({**TRAIN, "spots": "@"}).replace('"@"', spots)
    with pytest.raises(ValidationError) as found:
        SegTrainBody.model_validate_json(body)
    assert found.value.error_count() < 10
    with pytest.raises(InvalidInputError, match=r"^spots\.0"):
        parse(SegTrainBody, body)


@pytest.mark.parametrize("field", ["pos", "covariance"])
@pytest.mark.parametrize("value", ["0", '"x"'])
def test_the_first_wrong_number_of_a_spot_is_enough(field: str, value: str) -> None:
    body = json.dumps({**TRAIN, "spots": [{**SPOT, field: "@"}]}).replace('"@"', f"[{value}{f',{value}' * 999}]")
    with pytest.raises(ValidationError) as found:
        SegTrainBody.model_validate_json(body)
    assert found.value.error_count() < 10


@pytest.mark.parametrize("part", ["{}", "[]", "0"])
def test_more_parts_than_a_request_has_are_counted_not_kept(monkeypatch: pytest.MonkeyPatch, part: str) -> None:
    monkeypatch.setattr(parsing, "_MOST_OF", {b"{": 50, b"[": 50, b",": 50})
    assert parse(SegTrainBody, json.dumps(TRAIN))
    text = json.dumps({**TRAIN, "more": "@"}).replace('"@"', f"[{part}{f',{part}' * 60}]")
    monkeypatch.setattr(SegTrainBody, "model_validate_json", None)
    with pytest.raises(InvalidInputError, match=r"at most 1,000,000 spots.*several requests"):
        parse(SegTrainBody, text)


def test_a_spot_takes_less_than_a_kilobyte() -> None:
    body, n = json.dumps({**TRAIN, "spots": [{**SPOT, "pos": [0.1, 0.2, 0.3]}] * 2000}), 2000
    parse(SegTrainBody, body)
    tracemalloc.start()
    kept = parse(SegTrainBody, body)
    handed_over = SEG_TRAIN.write(kept, None)
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(SEG_TRAIN.read(handed_over).body.spots) == n
    assert taken / n < 1200  # 2.9 kB where each is a model
