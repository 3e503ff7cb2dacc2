"""Options made from the core's parameters."""

import click
import pytest
from click.testing import CliRunner

from elephant.cli.parameters import build, options_of
from elephant.config import ConversionParams, DetectionTrainingParams, PredictionParams
from elephant.types import VoxelSize

MADE = {"voxel_size": VoxelSize(2, 1, 1), "crop_size": (5, 6, 7)}


def test_every_field_has_an_option_with_its_default_and_its_bounds() -> None:
    made = {option.name: option for option in options_of(DetectionTrainingParams, section="", leave_out=["voxel_size"])}
    assert {"lr", "c_ratio", "aug_rotation_angle", "input_size", "false_weight", "flip"} <= set(made)
    assert made["aug_rotation_angle"].help.endswith("(0 to 180).")  # type: ignore[attr-defined]
    assert made["lr"].default == 1e-3
    assert made["crop_size"].default is None
    assert made["crop_size"].metavar == "X Y Z"
    assert made["lr"].metavar == "NUMBER"


def test_a_word_is_not_called_a_number() -> None:
    made = {option.name: option.metavar for option in options_of(ConversionParams, section="")}
    assert (made["unit"], made["divisor"], made["setup"]) == ("UNIT", "NUMBER", "N")


def test_a_training_without_options_weighs_and_augments_as_every_interface_does() -> None:
    made = {option.name: option.default for option in options_of(DetectionTrainingParams, section="")}
    assert (made["aug_contrast"], made["class_weights"], made["false_weight"]) == (0, (1, 10, 10), 10)


@pytest.mark.parametrize(("n_dims", "expected"), [(3, (7, 6, 5)), (2, (6, 5))])
def test_sizes_turn_from_xyz(n_dims: int, expected: tuple[int, ...]) -> None:
    assert build(DetectionTrainingParams, MADE, n_dims).crop_size == expected
    box = build(PredictionParams, {"crop_box": (1, 2, 3, 11, 12, 13)}, n_dims).crop_box
    assert box is not None
    assert box.origin == (3, 2, 1)[-n_dims:]
    assert box.size == (13, 12, 11)[-n_dims:]


def test_values_reach_their_place_and_others_keep_their_defaults() -> None:
    params = build(DetectionTrainingParams, {**MADE, "lr": 0.5, "aug_contrast": 0.3, "input_size": None}, 3)
    assert (params.loop.lr, params.augmentation.aug_contrast, params.image.input_size) == (0.5, 0.3, None)
    assert params.loop.n_crops == 5
    assert params.labels.voxel_size.zyx == (2, 1, 1)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("aug_rotation_angle", 200.0, "--aug-rotation-angle"),
        ("crop_size", (0, 1, 1), "--crop-size"),
        ("lr", -1, "--lr"),
    ],
)
def test_a_refusal_names_the_option_and_the_value(name: str, value: object, words: str) -> None:
    with pytest.raises(click.UsageError, match=words) as caught:
        build(DetectionTrainingParams, {**MADE, name: value}, 3)
    assert ", got " in caught.value.message


def test_flags_can_be_turned_off_where_they_are_on() -> None:
    seen = {}
    command = click.Command(
        "c", params=options_of(DetectionTrainingParams, section=""), callback=lambda **v: seen.update(v)
    )
    CliRunner().invoke(command, ["--no-flip", "--use-median", "--class-weights", "1", "2", "3"], catch_exceptions=False)
    assert (seen["flip"], seen["use_median"], seen["class_weights"]) == (False, True, (1.0, 2.0, 3.0))
