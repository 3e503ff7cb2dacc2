"""What a model knows before it is taught, and what it learns of little: ``python -m benchmarks.learning figures``.

Asks servers of its own over HTTP with the requests of a client that has just been installed. Of these it changes what
is about the movie, what the table says (steps, crops, what is annotated), and `r_min` and `r_max`, which suit nuclei of
another size; it adds a seed. Crops of trainings are 16 x 96 x 96 unless a figure says otherwise: the client's default,
16 x 256 x 256, takes seven times as long on a large movie (`--crop 256 256 16`).

Choose figures of the table by their names (`flow`), those of a movie (`embryo`), or single ones (`ovule.hundred`); all
by default, the most telling first. Each is printed when it is there, and written to `--output` as a line of JSON; what
that file holds already is not measured again, so that the same command goes on after an interruption. The table at the
end compares them with what is aimed at.

- before: F1 of a model that was never trained.
- hundred: F1 after 100 steps of 16 x 48 x 48 on all nuclei of the annotated timepoint.
- flow: distance left over distance without flow at the last three timepoints; untrained, and after 100 steps on the
  links before.
- after: F1 after 60 steps on 10 nuclei that lie together.
- doubt, doubt-after: the share of all errors that is found in the tenth of spots and suspected misses that a review
  lists first; of a model that was never trained, and after 60 steps on 10 nuclei.
- reliable: how far the quality of spots is from the share of them that are nuclei, the mean over all spots.
- judging: time of a training with a held-out part over that without, in turns; also in time of processors, which a
  busy machine disturbs less.
- hot, quarter, bright: F1 before and after 60 steps with ten hot pixels in each timepoint, with a saturated quarter
  (nuclei in it do not count), with the judged timepoint ten times as bright; and how much less that is than without.
- remembered: F1 where all was annotated, before and after a training on 10 nuclei of the last timepoint.
- wrong: the same after a training in which all nuclei of the last timepoint are called wrong, and whether that is
  noticed.

Parts that `--off` switches off, each with the figures that it matters to: weights (models start from intensities, flow
from random weights), scale (images are seen as they are stored), keeping (of what is known where nothing is annotated),
best (no part is held out, the last epoch stays), replay (of timepoints annotated before), rate (that of flow is
relative to the size of weights), calibration (of quality: the mean probability of the centre, by which errors are
listed, too), clipping (of outliers). The last has no parameter: it is replaced in the processes of a server of its own,
see ``benchmarks/taught_server.py``.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import moment, processor
from benchmarks.taught_movies import DATA, NAMES, PLANE, SPOILT, TaughtMovie, known_movie
from benchmarks.taught_server import TaughtServers
from benchmarks.teaching_figures import FIGURES, MATTER, PARTS, Play

Row = dict[str, Any]
CROP = (96, 96, 16)  # X, Y, Z
# How many seeds figures have where nobody says it; what no seed changes much has one.
N_SEEDS = 3
OTHER_SEEDS = {"hundred": 5} | dict.fromkeys(("doubt", "reliable", "judging", "doubt-after", *SPOILT), 1)
REAL = ("nuclei3d", "ovule", "embryo")
# The table, the most telling first.
TABLE: Sequence[tuple[str, str]] = (
    *((name, "before") for name in REAL),
    ("nuclei3d", "hundred"),
    ("embryo", "flow"),
    *((name, "after") for name in REAL),
    *((name, figure) for figure in ("doubt", "reliable") for name in REAL),
    *((name, "judging") for name in ("nuclei3d", PLANE)),
    *(("nuclei3d", figure) for figure in ("hot", "quarter", "bright")),
    *((PLANE, figure) for figure in ("before", "flow")),
    ("ovule", "doubt-after"),
    *(("nuclei3d", figure) for figure in ("remembered", "wrong")),
)
# What is aimed at: at least, or at most.
_LEAST, _MOST = "at least", "at most"
GOALS: Mapping[tuple[str, str, str], tuple[str, float]] = {
    ("nuclei3d", "before", "F1"): (_LEAST, 0.93),
    ("ovule", "before", "F1"): (_LEAST, 0.88),
    ("embryo", "before", "F1"): (_LEAST, 0.98),
    ("nuclei3d", "after", "F1"): (_LEAST, 0.96),
    ("ovule", "after", "F1"): (_LEAST, 0.92),
    ("embryo", "after", "F1"): (_LEAST, 0.98),
    ("nuclei3d", "hundred", "F1"): (_LEAST, 0.95),
    ("embryo", "flow", "untrained"): (_MOST, 0.5),
    ("embryo", "flow", "after 100 steps"): (_MOST, 0.25),
    **{(name, figure, "found first"): (_LEAST, 0.6) for name in REAL for figure in ("doubt", "doubt-after")},
    **{(name, "reliable", "off by"): (_MOST, 0.1) for name in REAL},
    **{
        ("nuclei3d", how, f"{when}, lost"): (_MOST, 0.01)
        for how in ("hot", "quarter", "bright")
        for when in ("before", "after")
    },
    **{(name, "judging", "with over without"): (_MOST, 1.1) for name in ("nuclei3d", PLANE)},
    ("nuclei3d", "wrong", "noticed"): (_LEAST, 1.0),
}


@dataclass(frozen=True)
class Task:
    """A figure to measure: of a movie, without a part, with a seed."""

    movie: str
    figure: str
    part: str | None
    seed: int


def chosen(words: Sequence[str], others: Sequence[str] = ()) -> list[tuple[str, str]]:
    """Return movies and figures in the order of the table.

    Parameters
    ----------
    words
        Names of figures, of movies, or ``MOVIE.FIGURE``; none: all of the table, and all figures of other movies.
    others
        Names of further movies.

    Raises
    ------
    ValueError
        There is no such figure or movie.
    """
    table = [*TABLE, *((name, figure) for name in others for figure in FIGURES)]
    found: list[tuple[str, str]] = []
    for word in words:
        movie, _, figure = word.rpartition(".")
        here = [pair for pair in table if word in pair]
        if movie in (*NAMES, *others) and figure in FIGURES:
            here = [(movie, figure)]
        if not here:
            raise ValueError(f"expected figures ({', '.join(FIGURES)}), movies, or MOVIE.FIGURE, got {word}")
        found += here
    order = {pair: i for i, pair in enumerate(table)}
    return sorted(dict.fromkeys(found or table), key=lambda pair: order.get(pair, len(order)))


def tasks(pairs: Sequence[tuple[str, str]], off: Sequence[str], seeds: int | None) -> Iterator[Task]:
    """Yield what is measured: everything with nothing switched off, then without the parts that matter."""
    for part in (None, *off):
        for movie, figure in pairs:
            if part is None or part in MATTER[figure]:
                for seed in range(seeds or OTHER_SEEDS.get(figure, N_SEEDS)):
                    yield Task(movie, figure, part, seed)


def rows(given: Sequence[Task], movies: Mapping[str, TaughtMovie], options: argparse.Namespace) -> Iterator[Row]:
    """Yield a row for each task; those that are in the output already as they are there."""
    known = {_key(row): row for row in read(options.output)}
    with (
        tempfile.TemporaryDirectory(prefix="elephant-figures-") as folder,
        TaughtServers(Path(folder), options.weights) as servers,
    ):
        shipped = {name: digest[:8] for name, digest in servers.digests.items()}
        for task in given:
            row = _described(task, movies[task.movie], shipped, options)
            if _key(row) in known:
                yield known[_key(row)]
                continue
            server = servers.without(task.part)
            play = Play(
                server, movies[task.movie], task.part, frozenset(shipped), task.seed, row["crop"], options.quick
            )
            begin, busy = time.monotonic(), server.server.cpu_seconds()
            row["value"] = FIGURES[task.figure](play)
            row["seconds"] = round(time.monotonic() - begin, 1)
            row["cpu_seconds"] = round(server.server.cpu_seconds() - busy, 1)
            row |= {"processor": processor(), **moment()}
            if options.output is not None:
                with options.output.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(row) + "\n")
            yield row


def _described(task: Task, movie: TaughtMovie, shipped: Mapping[str, str], options: argparse.Namespace) -> Row:
    network = f"{'flow' if task.figure == 'flow' else 'detection'}{movie.n_dims}d"
    return {
        "movie": task.movie,
        "figure": task.figure,
        "off": task.part,
        "seed": task.seed,
        "weights": f"{network} {shipped.get(network, 'none')}",
        "crop": list(options.crop),
        "is_quick": options.quick,
    }


def _key(row: Row) -> str:
    named = ("movie", "figure", "off", "seed", "weights", "crop", "is_quick")
    return json.dumps([row[name] for name in named])


def read(path: Path | None) -> list[Row]:
    """Return the rows of an output."""
    if path is None or not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def line_of(row: Row) -> str:
    """Return a row as a line for a terminal."""
    shown = ", ".join(f"{name} {_number(row['value'][name])}" for name in _numbers(row))
    off = f" without {row['off']}" if row["off"] else ""
    return f"{row['movie']}.{row['figure']}{off} seed {row['seed']}: {shown}  ({_time(row)})"


def table_of(found: Sequence[Row]) -> Iterator[str]:
    """Yield the lines of a table: mean over the seeds, least and largest, and whether each seed reaches the goal."""
    yield "| figure | switched off | mean | from | to | seeds | goal | reached | s |"
    yield "| --- | --- | ---: | ---: | ---: | ---: | --- | --- | ---: |"
    groups: dict[tuple[str, str, str, str], list[Row]] = {}
    for row in found:
        for name in _numbers(row):
            groups.setdefault((row["movie"], row["figure"], name, row["off"] or ""), []).append(row)
    for (movie, figure, name, off), here in groups.items():
        values = [value for row in here if (value := row["value"][name]) is not None]
        mean = float(np.mean(values)) if values else None
        spread = (_number(v) for v in (mean, min(values, default=None), max(values, default=None)))
        goal, verdict = _verdict(GOALS.get((movie, figure, name)), values)
        cells = (f"{movie}.{figure}: {name}", off, *spread, str(len(here)), goal, verdict)
        yield f"| {' | '.join(cells)} | {np.mean([row['seconds'] for row in here]):.0f} |"


def _verdict(goal: tuple[str, float] | None, values: Sequence[float]) -> tuple[str, str]:
    if goal is None:
        return "", ""
    how, limit = goal
    reached = [round(v, 4) >= limit if how == _LEAST else round(v, 4) <= limit for v in values]
    return f"{how} {limit:g}", ("yes" if all(reached) else "no") if reached else ""


def _time(row: Row) -> str:
    return f"{row['seconds']:.0f} s, {row['cpu_seconds']:.0f} s of processors"


def _numbers(row: Row) -> list[str]:
    return [name for name, value in row["value"].items() if value is None or isinstance(value, int | float)]


def _number(value: float | None) -> str:
    return "-" if value is None else str(value) if isinstance(value, int) else f"{value:.3f}"


def provided(names: Sequence[str], others: Sequence[TaughtMovie], data: Path) -> dict[str, TaughtMovie]:
    """Return movies by their names, and say which are not there."""
    found = {movie.name: movie for movie in others}
    for name in dict.fromkeys(names):
        movie = found.get(name) or known_movie(name, data)
        if movie is None:
            print(f"{name}: skipped, there is no {name}.h5 with {name}.truth.json in {data} (--data)", flush=True)
        else:
            found[name] = movie
    return found


def main(arguments: Sequence[str]) -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.learning figures",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    movie_help = "figures, movies, MOVIE.FIGURE, or a movie, NAME=MOVIE.h5,TRUTH.json,DISTANCE[,ANNOTATED,JUDGED]"
    parser.add_argument("words", nargs="*", metavar="WORD", help=movie_help)
    parser.add_argument("--figures", nargs="+", choices=FIGURES, default=[], help="of all movies that are given")
    parser.add_argument("--data", type=Path, default=DATA, help=f"folder of {', '.join(REAL)}, by default {DATA}")
    weights_help = "folder of networks that replace shipped ones, with weights.json; may be given again"
    parser.add_argument("--weights", type=Path, action="append", default=[], metavar="DIR", help=weights_help)
    parser.add_argument("--off", nargs="*", choices=("all", *PARTS), default=[], help="parts to also switch off")
    parser.add_argument("--seeds", type=int, help=f"how many; by default {N_SEEDS}, 5 of hundred, 1 of others")
    parser.add_argument("--crop", type=int, nargs=3, default=CROP, metavar=("X", "Y", "Z"))
    parser.add_argument("--quick", action="store_true", help="a tenth of the steps, to see that it runs")
    parser.add_argument("--output", type=Path, help="file of JSON lines; what it holds is not measured again")
    options = parser.parse_args(arguments)
    try:
        others = [TaughtMovie.of(word) for word in options.words if "=" in word]
        words = [word for word in options.words if "=" not in word]
        if others and not words:
            words = [f"{movie.name}.{figure}" for movie in others for figure in options.figures or FIGURES]
        pairs = chosen([*words, *([] if others else options.figures)], [movie.name for movie in others])
    except ValueError as error:
        parser.error(str(error))
    movies = provided([movie for movie, _ in pairs], others, options.data)
    off = list(PARTS) if "all" in options.off else options.off
    found: list[Row] = []
    pairs = [pair for pair in pairs if pair[0] in movies and _can(movies[pair[0]], pair[1])]
    for row in rows(list(tasks(pairs, off, options.seeds)), movies, options):
        found.append(row)
        print(line_of(row), flush=True)
    print("", *table_of(found), sep="\n")


def _can(movie: TaughtMovie, figure: str) -> bool:
    """Tell whether a movie is long enough for a figure, and say where it is not."""
    least = 8 if figure == "flow" else 1
    if movie.n_timepoints < least:
        print(f"{movie.name}.{figure}: skipped, it has {movie.n_timepoints} timepoints of {least}", flush=True)
    return movie.n_timepoints >= least
