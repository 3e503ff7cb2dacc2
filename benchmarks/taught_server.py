"""The servers that are taught: with given weights, and without the clipping of outliers.

Their processes find a package ``elephant_models`` with the weights before the installed one. What no request and no
setting switches off is switched off by a ``sitecustomize``, which each process loads as it starts.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.serving import Server, serve
from benchmarks.taught_movies import TaughtMovie

PACKAGE = Path(__file__).parents[1] / "elephant-models" / "src" / "elephant_models"
# Parts that are switched off in the processes of a server: what these run as they start.
IN_PROCESS: Mapping[str, str] = {
    "clipping": """\
from elephant import intensities
from elephant.slabs import extremes

intensities.range_of = lambda image: intensities.IntensityRange(*map(int, extremes(image)))
"""
}


def provide_weights(folder: Path, weights: Sequence[Path] = ()) -> dict[str, str]:
    """Make a package of shipped networks, some of them replaced.

    Parameters
    ----------
    folder
        Where ``elephant_models`` is made.
    weights
        Folders of files such as ``flow3d.pth`` with a ``weights.json``, as the package has them and
        ``benchmarks.pretraining`` writes them; a later one replaces what an earlier one has.

    Returns
    -------
    dict of str to str
        The SHA-256 of each network that is there, by its name.
    """
    package = folder / PACKAGE.name
    shutil.copytree(PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    facts: dict[str, dict[str, Any]] = json.loads((package / "weights.json").read_text(encoding="utf-8"))
    for source in weights:
        given = json.loads((source / "weights.json").read_text(encoding="utf-8"))
        for name in [name for name in given if (source / f"{name}.pth").is_file()]:
            shutil.copyfile(source / f"{name}.pth", package / f"{name}.pth")
            facts[name] = given[name]
    found = {name: package / f"{name}.pth" for name in facts if (package / f"{name}.pth").is_file()}
    digests = {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in found.items()}
    for name, digest in digests.items():
        facts[name]["sha256"] = digest
    (package / "weights.json").write_text(json.dumps(facts), encoding="utf-8")
    return digests


@dataclass
class TaughtServer:
    """A server that is given movies as it needs them.

    Attributes
    ----------
    server
        The running server.
    """

    server: Server
    _there: set[str] = field(default_factory=set)

    def provide(self, movie: TaughtMovie) -> None:
        """Make a movie a dataset, where it is none yet."""
        if movie.name in self._there:
            return
        images = movie.images if movie.n_dims == 3 else movie.images[:, 0]
        self.server.client.create_dataset(movie.name, images, movie.voxel_size)
        self._there.add(movie.name)

    def log(self) -> str:
        """Return what the server has logged."""
        return (self.server.workspace.parent / "server.txt").read_text(encoding="utf-8", errors="replace")


class TaughtServers:
    """Servers that are started when they are first asked for, and end with the block.

    Parameters
    ----------
    folder
        Where they may write.
    weights
        As of :func:`provide_weights`.
    """

    def __init__(self, folder: Path, weights: Sequence[Path]) -> None:
        self._folder, self._stack = folder, ExitStack()
        self._servers: dict[str, TaughtServer] = {}
        self.digests = provide_weights(folder / "weights", weights)

    def __enter__(self) -> "TaughtServers":
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def without(self, part: str | None) -> TaughtServer:
        """Return the server in whose processes a part is switched off; the usual one for all other parts."""
        name = part if part in IN_PROCESS else "usual"
        assert name is not None
        if name not in self._servers:
            self._servers[name] = TaughtServer(self._start(name))
        return self._servers[name]

    def _start(self, name: str) -> Server:
        folder = self._folder / name
        folder.mkdir()
        paths = [str(self._folder / "weights"), *filter(None, [os.environ.get("PYTHONPATH")])]
        if name in IN_PROCESS:
            (folder / "sitecustomize.py").write_text(IN_PROCESS[name], encoding="utf-8")
            paths.insert(0, str(folder))
        return self._stack.enter_context(serve(folder, variables={"PYTHONPATH": os.pathsep.join(paths)}))
