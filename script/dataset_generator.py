"""Make a dataset from a BigDataViewer movie: ``dataset_generator.py INPUT.h5 OUTPUT_DIR``."""

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from elephant.config.conversion import ConversionParams
from elephant.dataset import convert
from elephant.errors import ElephantError
from elephant.reporting import NeverCancelled

_FAILED, _INTERRUPTED = 1, 130


class _Bar:
    """A progress bar, where standard error is a terminal."""

    def __init__(self) -> None:
        self._bar: tqdm | None = None

    def progress(self, stage: str, done: int, total: int, **_values: float) -> None:
        """Move the bar; it appears with the first timepoint."""
        if self._bar is None:
            self._bar = tqdm(total=total, unit=stage, disable=None, dynamic_ncols=True)
        self._bar.update(done - self._bar.n)

    def close(self) -> None:
        """Leave the bar as it is and go to the next line."""
        if self._bar is not None:
            self._bar.close()


def _divisor(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"a divisor is a number above 0, not {text}")
    return value


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Make a dataset from a BigDataViewer movie.")
    parser.add_argument("input", type=Path, metavar="INPUT.h5", help="the movie, the master file of a split one")
    parser.add_argument("output", type=Path, metavar="OUTPUT_DIR", help="the dataset's folder")
    parser.add_argument("--uint16", action="store_true", help="store 16 bits instead of 8")
    parser.add_argument(
        "--divisor", type=_divisor, default=1.0, metavar="D", help="divide all values by it (default: 1)"
    )
    parser.add_argument("--2d", dest="is_2d", action="store_true", help="the movie has a single plane")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    args = _arguments(argv)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    params = ConversionParams(divisor=args.divisor, is_2d=args.is_2d, dtype="uint16" if args.uint16 else "uint8")
    bar = _Bar()
    try:
        convert(args.input, args.output, params, bar, NeverCancelled())
    except (ElephantError, OSError) as error:
        bar.close()
        print(f"error: {error}", file=sys.stderr)
        return _FAILED
    except KeyboardInterrupt:
        bar.close()
        print("interrupted: the dataset's folder is as it was", file=sys.stderr)
        return _INTERRUPTED
    bar.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
