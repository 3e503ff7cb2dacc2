"""The image, built and run without a Docker engine: buildah with chroot isolation, a base that debootstrap makes."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from stack.running import RunningServer, free_ports

ROOT = Path(__file__).parents[2]
NAME = "elephant-server-test"
TOOLS = ("buildah", "debootstrap")


def run(*command: str, log: Path) -> None:
    """Run a command, with its output added to a file; fail with the end of that."""
    with log.open("ab") as output:
        status = subprocess.run(command, stdout=output, stderr=subprocess.STDOUT, cwd=ROOT, check=False).returncode
    assert status == 0, f"{' '.join(command)} failed:\n{log.read_text(errors='replace')[-4000:]}"


def said(*command: str) -> str:
    """Return what a command prints."""
    return subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout.strip()


def make_base(folder: Path, log: Path) -> str:
    """Make an image with Debian's least packages, and return its name."""
    run("debootstrap", "--variant=minbase", "bookworm", str(folder), log=log)
    container = said("buildah", "from", "scratch")
    run("buildah", "add", "-q", container, str(folder), "/", log=log)
    run("buildah", "config", "--cmd", "/bin/bash", container, log=log)
    run("buildah", "commit", "-q", "--rm", container, f"{NAME}-base", log=log)
    return f"localhost/{NAME}-base"


def build(base: str, scratch: Path, log: Path) -> str:
    """Build the project's image from a base, and return its name."""
    options = ["--isolation", "chroot", "--build-arg", f"BASE={base}", *pip_options(scratch)]
    # Packages come from where this machine has them from, as small as they are there: no second index for PyTorch.
    run("buildah", "build", *options, "--format", "docker", "-t", NAME, ".", log=log)
    return f"localhost/{NAME}"


def pip_options(scratch: Path) -> list[str]:
    """Return what makes pip in the build use the indices that pip on this machine uses."""
    found = re.findall(
        r"^(?:global|env|:env:)\.(\S+?)='(.*)'$", said(sys.executable, "-m", "pip", "config", "list"), re.MULTILINE
    )
    values = dict(found)
    mounts = []
    if certificate := values.pop("cert", None):
        mounts.append(f"{certificate}:/host-certificates.crt:ro")
    # The files of an index lie beside its pages.
    paths = {path.removesuffix("/simple") for v in values.values() for path in re.findall(r"(?:file://)?(/[^\s:]+)", v)}
    mounts += [f"{path}:{path}:ro" for path in sorted(paths) if Path(path).exists()]
    if certificate:
        values["cert"] = "/host-certificates.crt"
    file = scratch / "pip.conf"
    file.write_text("[global]\n" + "".join(f"{name} = {value}\n" for name, value in values.items()))
    mounts.append(f"{file}:/etc/pip.conf:ro")
    return [option for mount in mounts for option in ("--volume", mount)]


@contextmanager
def container_of(image: str) -> Iterator[str]:
    """Give a container of an image; it is deleted after the block."""
    container = said("buildah", "from", image)
    try:
        # A volume of the image would hide the folder that is mounted at its place.
        said("buildah", "config", "--volume", "/workspace-", container)
        yield container
    finally:
        said("buildah", "rm", container)


def start(container: str, folder: Path, variables: Mapping[str, str]) -> RunningServer:
    """Start the server of a container as its command says, on free ports, with a workspace of this machine."""
    http, redis, rabbitmq = free_ports(3)
    values = {
        "ELEPHANT_HTTP_PORT": str(http),
        "ELEPHANT_REDIS_PORT": str(redis),
        "ELEPHANT_RABBITMQ_NODE_PORT": str(rabbitmq),
        "ELEPHANT_WORKSPACE": str(folder / "workspace"),
    }
    (folder / "workspace").mkdir(parents=True)
    config = json.loads(said("buildah", "inspect", "--type", "container", container))["OCIv1"]["config"]
    inside = {
        **values,
        "ELEPHANT_WORKSPACE": "/workspace",
        "ELEPHANT_PRETRAINED_URL": "",
        "ELEPHANT_BIND_ADDRESS": "127.0.0.1",
    }
    inside |= variables
    command = ["buildah", "run", "--isolation", "chroot", "--volume", f"{folder / 'workspace'}:/workspace"]
    command += [option for name, value in inside.items() for option in ("--env", f"{name}={value}")]
    with (folder / "output.txt").open("wb") as output:
        process = subprocess.Popen(
            [*command, container, "--", *config["Cmd"]],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=dict(os.environ),
        )
    return RunningServer(values, folder, process)
