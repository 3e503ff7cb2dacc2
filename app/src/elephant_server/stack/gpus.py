"""Which GPUs of a machine are whose, where several launchers start workers on it, as several containers do."""

import fcntl
import os
from contextlib import ExitStack
from pathlib import Path

from elephant_server.hardware import gpu_uuid
from elephant_server.settings import Settings
from elephant_server.stack.pairs import devices_of

FOLDER = ".gpus"  # no machine is called so


def with_own_gpus(settings: Settings, stack: ExitStack) -> Settings:
    """Return the settings with a GPU of its own for each pair of workers, where there are more GPUs than pairs.

    A GPU is held by a lock of the kernel's on a file that all launchers of the machine see, until `stack` is closed or
    the process ends. Where others hold too many, the first ones are shared.
    """
    devices = devices_of(settings) if settings.starts_workers and settings.is_cluster else []
    n_pairs = settings.worker_pairs or len(devices)
    if n_pairs >= len(devices):
        return settings
    folder = settings.secrets_dir / FOLDER
    folder.mkdir(exist_ok=True)
    own: list[str] = []
    for device in devices:
        if len(own) < n_pairs and _hold(folder / f"{gpu_uuid(device) or settings.machine + '-' + device}.lock", stack):
            own.append(device)
    own += [device for device in devices if device not in own][: n_pairs - len(own)]
    return settings.model_copy(update={"gpu": ",".join(own)})


def _hold(file: Path, stack: ExitStack) -> bool:
    """Hold a file until the stack is closed; False where somebody else does."""
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return False
    stack.callback(os.close, descriptor)
    return True
