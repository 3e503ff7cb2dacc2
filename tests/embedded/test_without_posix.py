"""The server of one process uses nothing that only POSIX has, or only Linux: a stand-in for other systems."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

BLOCKED = ("fcntl", "pwd", "grp", "resource", "termios", "supervisor", "uwsgi")
MISSING = (
    "sched_getaffinity",
    "fchmod",
    "O_DIRECTORY",
    "O_NOFOLLOW",
    "O_NONBLOCK",
    "geteuid",
    "getuid",
    "chown",
    "fork",
)

# Also of the workers, which are processes of their own: Python runs it there before anything else.
STAND_IN = f"""
# Packages know the systems by themselves: only what is ours is looked at.
import asyncio, json, multiprocessing, os, pathlib, sys, tempfile
import celery.app.base, celery.signals, filelock, flask, h5py, pika, psutil
import redis, torch, waitress, zarr
import numpy as np
import filelock._unix, types
filelock._unix.os = types.SimpleNamespace(**vars(os))  # its other half would do there
for name in {BLOCKED}:
    sys.modules[name] = None
for name in {MISSING}:
    delattr(os, name)

def hide(event, arguments):
    # What is ours finds neither /proc nor /sys; psutil knows the like of them on other systems.
    if event in ("open", "os.readlink", "os.listdir") and str(arguments[0]).startswith(("/proc", "/sys/")):
        frame, names = sys._getframe(1), []
        while frame:
            names.append(frame.f_globals.get("__name__", "").partition(".")[0])
            frame = frame.f_back
        ours = [name for name in names if name in ("psutil", "elephant", "elephant_server")]
        if ours and ours[0] != "psutil":
            raise FileNotFoundError(arguments[0])

sys.addaudithook(hide)
"""
ONLY_WORKERS = """
import sys

if "elephant_server.embedded.worker" in sys.orig_argv:
    import stand_in
"""
SCRIPT = """
    from stack.player import blobs, predict_body, spot, train_body, write_movie
    import stand_in, json, os, sys
    import numpy as np
    from pathlib import Path
    from elephant.io.atomic import temporary_file, replacing, remove_orphans, sync_tree
    from elephant.models.ensemble import Ensemble, load_ensemble
    from elephant.models.unet import DetectionNet
    from elephant_server.embedded.server import put_together
    from elephant_server.embedded import __main__, server
    from elephant_server.settings import Settings
    from elephant_server import doctor
    from elephant.cli.main import BUILT_IN, elephant

    folder = Path(sys.argv[1])
    with replacing(folder / "a" / "b") as file:
        file.write(b"new")
    handle, left = temporary_file(folder, ".tmp")
    os.close(handle)
    remove_orphans(folder)
    sync_tree(folder)
    model = Ensemble([DetectionNet(2, 0)])
    model.save(folder / "m.pth")
    model.save(folder / "m.pth")
    load_ensemble(folder / "m.pth", DetectionNet, 2, 0)
    parts = put_together(Settings(workspace=folder / "workspace", gpu="", pretrained_url=""))
    client = parts.app.test_client()
    image, centres = blobs((16, 48, 48), 3)
    write_movie(folder / "workspace" / "datasets" / "movie" / "movie.h5", image[None])
    spots = [spot(0, centre) for centre in centres]
    for path, body in (
        ("dataset/generate", {"dataset_name": "movie", "is_2d": False}),
        ("seg/update", train_body("movie", spots)),
        ("seg/train", train_body("movie", spots)),
        ("seg/predict", predict_body("movie", p_thresh=0.0)),
        ("flow/predict", predict_body("movie", model_name="flow.pth", spots=[])),
    ):
        answer = client.post("/" + path, json=body)
        print(path, answer.status_code, json.loads(answer.data).get("completed"))
    answer = client.get("/state/gpus")
    parts.workers.stop()
    print((folder / "a" / "b").read_bytes(), left.exists(), answer.status_code)
"""
EXPECTED = """dataset/generate 200 True
seg/update 200 True
seg/train 200 True
seg/predict 200 True
flow/predict 200 True
b'new' False 200
"""


def test_what_only_posix_or_linux_has_is_not_needed(tmp_path: Path) -> None:
    (tmp_path / "stand_in.py").write_text(STAND_IN)
    (tmp_path / "sitecustomize.py").write_text(ONLY_WORKERS)
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(SCRIPT), str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": f"{Path(__file__).parents[1]}{os.pathsep}{tmp_path}"},
    )
    assert done.stdout == EXPECTED, done.stderr
