"""What the movie does not have: timepoints, voxels, a third axis; what is not there at all; what no memory holds."""

from faults.cases import Case
from faults.inputs.asking import changed

LATE = 99
TERABYTES = [100_000, 100_000, 1000]

CASES: list[Case] = [
    # Timepoints
    changed("seg/predict", {"timepoint": LATE}, "timepoint", "99", "0 to 5", is_short=True),
    changed("seg/predict", {"timepoint": LATE, "model_name": "ground/new.pth"}, "timepoint", "99"),
    changed("flow/predict", {"timepoint": LATE}, "timepoint", "99", "0 to 5"),
    changed("flow/predict", {"timepoint": 6, "spots": []}, "timepoint", "6", "0 to 5"),
    changed("flow/predict", {"timepoint": LATE, "model_name": "ground/new.pth"}, "timepoint", "99"),
    changed("seg/train", {"spots.1.t": LATE}, "timepoint", "99", "0 to 5", is_short=True),
    changed("seg/train", {"spots.1.t": LATE, "model_name": "ground/new.pth"}, "timepoint", "99"),
    changed(
        "seg/train", {"spots.1.t": LATE, "lr": 0.5, "n_crops": 77}, "timepoint", "99", name="a late spot, other params"
    ),
    changed("seg/train", {"spots.1.t": LATE, "is_livemode": True}, "timepoint", "99", name="live, with a late spot"),
    changed("seg/update", {"spots.7.t": LATE}, "timepoint", "99", "0 to 5"),
    changed("flow/train", {"spots.1.t": LATE}, "timepoint", "99", "0 to 5"),
    changed("flow/train", {"spots.1.t": 5}, "timepoint 5", "must be at 6", name="a link from the last timepoint"),
    changed("flow/train", {"spots.1.t": LATE, "model_name": "ground/new.pth"}, "timepoint", "99"),
    changed("flow/update", {"spots.1.t": 5}, "timepoint 5", "must be at 6", name="a link from the last timepoint"),
    changed("download/ctc", {"t_end": 10**9}, "t_end", "99999", "1000000000", is_short=True),
    # Boxes and sizes
    changed("seg/predict", {"crop_box": [0, 0, 0, 999, 9, 9]}, "crop box", "999", "48", is_short=True),
    changed("seg/predict", {"crop_box": [48, 0, 0, 1, 1, 1]}, "crop box", "48"),
    changed("seg/predict", {"crop_box": [0, 0, 11, 8, 8, 2]}, "crop box", "12"),
    changed("seg/predict", {"crop_box": [0, 0, 0, 999, 9, 9], "model_name": "ground/new.pth"}, "crop box", "999"),
    changed("flow/predict", {"crop_box": [0, 0, 0, 9, 999, 9]}, "crop box", "999"),
    changed("flow/predict", {"crop_box": [0, 0, 0, 9, 999, 9], "timepoint": 0, "spots": []}, "crop box", "999"),
    changed("seg/predict", {"crop_box": [0, 60, -7, 8, 8, -7]}, "crop box", "60", flat=True),
    # Memory
    changed("seg/predict", {"input_size": TERABYTES}, "input_size", "GiB", "memory", "smaller", is_short=True),
    changed("seg/predict", {"input_size": [2**31 - 1] * 3}, "input_size", "memory", "smaller"),
    changed("seg/predict", {"input_size": [*TERABYTES[:2], -7]}, "input_size", "memory", "smaller", flat=True),
    changed("seg/predict", {"input_size": TERABYTES, "model_name": "ground/new.pth"}, "input_size", "memory"),
    changed("seg/train", {"input_size": TERABYTES}, "input_size", "GiB", "memory", "smaller", is_short=True),
    changed("seg/train", {"input_size": TERABYTES, "is_livemode": True}, "input_size", "memory", "smaller"),
    changed("flow/predict", {"input_size": TERABYTES}, "input_size", "GiB", "memory", "smaller"),
    changed("flow/train", {"input_size": TERABYTES}, "input_size", "GiB", "memory", "smaller"),
    changed("seg/train", {"batch_size": 10**9}, "batch_size", "1000000000"),
    changed(
        "seg/train",
        {"batch_size": 1000, "n_crops": 100_000, "crop_size": [10**9, 10**9, 10**9], "input_size": [1024, 1024, 64]},
        "batch_size",
        "crop_size",
        "GiB",
        "memory",
        name="1000 crops of 1024 x 1024 x 64 a step",
    ),
    # What is not there
    *[
        changed(
            path,
            {"dataset_name": "nobody/nothing"},
            "nobody/nothing",
            "generate",
            status=404,
            is_short=path == "seg/train",
        )
        for path in ("seg/predict", "seg/train", "seg/update", "seg/reset", "flow/predict", "flow/train", "flow/update")
    ],
    changed("seg/update", {"dataset_name": "nobody/nothing", "reset": True}, "nobody/nothing", status=404),
    changed("flow/update", {"dataset_name": "nobody/nothing", "reset": True}, "nobody/nothing", status=404),
    changed("download/ctc", {"dataset_name": "nobody/nothing"}, "nobody/nothing", status=404),
    changed("seg/predict", {"dataset_name": "ground"}, "imgs.zarr", name="a folder that is no dataset"),
    changed("seg/reset", {"url": "Versatile"}, "versatile3d.pth", "damaged"),
    changed("flow/reset", {"url": "Versatile"}, "Fluo-N3DH-CE_flow.pth", "damaged"),
    # Planes and volumes
    *[
        changed(path, {"is_3d": False}, "3D", "2D", is_short=path == "seg/predict")
        for path in ("seg/predict", "seg/train", "seg/update", "seg/reset", "flow/train", "flow/update", "download/ctc")
    ],
    *[
        changed(path, {"dataset_name": "ground/plane"}, "3D", "2D", name="is_3d, but the dataset has planes")
        for path in ("seg/reset", "flow/predict", "download/ctc")
    ],
    changed("dataset/generate", {"is_2d": True}, "2D", "12"),
    changed(
        "seg/train",
        {"model_name": "ground/plane/detection.pth"},
        "detection model for 2D",
        "3D",
        name="the model of planes",
    ),
    changed(
        "seg/predict",
        {"model_name": "ground/plane/detection.pth"},
        "detection model for 2D",
        "3D",
        name="the model of planes",
    ),
    changed("seg/predict", {"model_name": "ground/volume/flow.pth"}, "model for 3D", name="the flow model"),
    changed(
        "flow/train",
        {"model_name": "ground/volume/detection.pth"},
        "model for 3D",
        name="the detection model",
    ),
    changed(
        "flow/predict",
        {"model_name": "ground/volume/detection.pth"},
        "model for 3D",
        name="the detection model",
    ),
    # Nothing that could be learnt
    changed(
        "seg/train", {f"spots.{i}.tag": "unlabeled" for i in range(8)}, "nothing to train", name="unlabeled spots alone"
    ),
    changed(
        "seg/train",
        {f"spots.{i}.pos": [9e5, 9e5, 9e5] for i in range(8)},
        "nothing to train",
        name="spots outside alone",
    ),
]
