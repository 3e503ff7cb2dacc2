"""Simulate a movie of nuclei: OUT.h5 and OUT.xml for BigDataViewer and Mastodon, and OUT.truth.json."""

import argparse
import sys
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from tqdm import tqdm

from elephant.errors import ElephantError
from elephant.simulation import PRESETS, MoviePaths, SimulationParameters, preset, write_movie


class ProgressBar:
    """Shows how many timepoints are done, and how many nuclei the last one had."""

    def __init__(self, total: int) -> None:
        self._bar = tqdm(total=total, unit="timepoint")

    def progress(self, stage: str, done: int, total: int, **values: float) -> None:  # noqa: ARG002
        """Advance the bar; see :class:`elephant.progress.ProgressReporter`."""
        self._bar.set_postfix(nuclei=int(values["nuclei"]))
        self._bar.update(done - self._bar.n)
        if done == total:
            self._bar.close()


def arguments() -> argparse.ArgumentParser:
    """Return the parser of the command line; whatever a preset holds can also be set as NAME=VALUE."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", type=Path, metavar="OUT.h5")
    parser.add_argument("--preset", choices=sorted(PRESETS), default="demo")
    parser.add_argument("--seed", type=int, help="decides every random choice (0)")
    parser.add_argument("--timepoints", type=int, help="length of the movie")
    parser.add_argument("--nuclei", type=int, help="nuclei in the first timepoint")
    parser.add_argument("--shape", type=int, nargs=3, metavar=("Z", "Y", "X"), help="voxels; Z = 1 makes it 2D")
    parser.add_argument("--voxel", type=float, nargs=3, metavar=("Z", "Y", "X"), help="physical edges of a voxel")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="any other parameter")
    parser.add_argument("--list", action=ListParameters, nargs=0, help="show all parameters, and end")
    return parser


class ListParameters(argparse.Action):
    """Prints name, default and meaning of every parameter."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        """Print, and end the program."""
        for name, field in SimulationParameters.model_fields.items():
            print(f"{name:18} {field.default!s:18} {field.description}")
        parser.exit()


def chosen(options: argparse.Namespace) -> SimulationParameters:
    """Return the parameters that the command line asks for."""
    changes: dict[str, Any] = dict(pair.partition("=")[::2] for pair in options.set)
    for name in ("seed", "timepoints", "nuclei", "shape", "voxel"):
        if (value := getattr(options, name)) is not None:
            changes[name] = value
    return preset(options.preset, **changes)


def main() -> int:
    """Run the command."""
    options = arguments().parse_args()
    try:
        parameters = chosen(options)
        paths: MoviePaths = write_movie(parameters, options.output, ProgressBar(parameters.timepoints))
    except ValidationError as error:
        for problem in error.errors():
            print(f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}", file=sys.stderr)
        return 1
    except (ElephantError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    print(*(paths.h5, paths.xml, paths.truth), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
