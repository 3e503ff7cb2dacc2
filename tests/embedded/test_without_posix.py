"""The server of one process uses nothing that only POSIX has: a stand-in for systems that the tests do not run on."""

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

SCRIPT = f"""
    # Packages know the systems by themselves: only what is ours is looked at.
    import asyncio, multiprocessing, os, pathlib, sys, tempfile
    import celery.app.base, celery.signals, filelock, flask, h5py, pika, psutil
    import redis, tensorboardX, torch, waitress, zarr
    for name in {BLOCKED}:
        sys.modules[name] = None
    for name in {MISSING}:
        delattr(os, name)
    from pathlib import Path
    from elephant.files import passing_file, replacing, sweep_files, sync_tree
    from elephant.models.ensemble import Ensemble, load_ensemble
    from elephant.models.unet import DetectionNet
    from elephant_server.embedded.parts import put_together
    from elephant_server.embedded import command, server
    from elephant_server.settings import Settings
    from elephant_server import doctor
    from elephant.cli.main import BUILT_IN, elephant

    folder = Path(sys.argv[1])
    with replacing(folder / "a" / "b") as file:
        file.write(b"new")
    handle, left = passing_file(folder, ".tmp")
    os.close(handle)
    sweep_files(folder)
    sync_tree(folder)
    model = Ensemble([DetectionNet(2, 0)])
    model.save(folder / "m.pth")
    model.save(folder / "m.pth")
    load_ensemble(folder / "m.pth", DetectionNet, 2, 0)
    parts = put_together(Settings(workspace=folder / "workspace", gpu=""))
    parts.workers.start()
    answer = parts.app.test_client().get("/state/gpus")
    parts.workers.stop()
    print((folder / "a" / "b").read_bytes(), left.exists(), answer.status_code)
"""


def test_modules_and_functions_of_posix_are_not_needed(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(SCRIPT), str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
        cwd=tmp_path,
    )
    assert done.stdout.strip() == "b'new' False 200", done.stderr
