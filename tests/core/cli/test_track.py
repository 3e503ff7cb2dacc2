"""Lineages from spots alone, without a dataset."""

import csv
from pathlib import Path

import numpy as np
import pytest

import elephant
from core.cli.shell import Shell
from core.tracking.walkers import NONE, Walk, walk
from elephant.annotations import read_annotations
from elephant.dataset import Dataset
from elephant.lineages import read_lineage
from elephant.tracking.linkers import Problem
from elephant.tracking.linkers.window import Window


@pytest.fixture(scope="module")
def movie() -> Walk:
    return walk(30, 24, seed=2)


def write(movie: Walk, path: Path, extra: dict[str, list[object]] | None = None) -> None:
    """Write the detections as a table of t, id, x, y, z, radius; ids are 100 and more, and rows are in no order."""
    spots = movie.detections
    assert spots.radii is not None
    columns: dict[str, list[object]] = {
        "t": list(spots.timepoints),
        "id": [100 + i for i in range(len(spots))],
        **{name: list(spots.positions[:, k]) for name, k in (("x", 2), ("y", 1), ("z", 0))},
        "radius": list(spots.radii),
        **(extra or {}),
    }
    rows = list(zip(*columns.values(), strict=True))
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([list(columns), *(rows[i] for i in np.random.default_rng(0).permutation(len(rows)))])


def parents(path: Path) -> dict[int, int | None]:
    with path.open(newline="") as file:
        return {int(row["id"]): int(row["parent"]) if row["parent"] else None for row in csv.DictReader(file)}


def test_a_table_of_spots_becomes_one_of_lineages(movie: Walk, shell: Shell) -> None:
    write(movie, shell.folder / "detections.csv")
    done = shell("track", "--spots", "detections.csv", "-o", "tracks.csv")
    assert (done.status, done.err) == (0, "")
    found = parents(shell.folder / "tracks.csv")
    as_indices = np.array([NONE if found[100 + i] is None else found[100 + i] - 100 for i in range(len(found))])  # type: ignore[operator]
    assert movie.errors(as_indices) < 0.1 * len(found)
    n_divisions = len(movie.divisions(as_indices))
    assert n_divisions > 0
    assert f"{len(found)} spots, " in done.out
    assert f", {n_divisions} divisions" in done.out
    with (shell.folder / "tracks.csv").open(newline="") as file:
        assert all(0 <= float(row["probability"]) <= 1 for row in csv.DictReader(file))
    assert sorted(path.name for path in shell.folder.iterdir()) == ["detections.csv", "tracks.csv"]


def test_the_result_can_be_tracked_again(movie: Walk, shell: Shell) -> None:
    write(movie, shell.folder / "detections.csv")
    shell("track", "--spots", "detections.csv", "-o", "tracks.csv")
    assert shell("track", "--spots", "tracks.csv", "-o", "again.csv").status == 0
    assert parents(shell.folder / "again.csv") == parents(shell.folder / "tracks.csv")


def test_links_of_the_file_are_kept_and_wrong_spots_joined_to_nothing(movie: Walk, shell: Shell) -> None:
    n = len(movie.parents)
    times = movie.detections.timepoints
    child, parent = int(np.flatnonzero(times == 3)[0]), int(np.flatnonzero(times == 2)[-1])
    wrong = int(np.flatnonzero(times == 8)[0])
    links: list[object] = [100 + parent if i == child else "" for i in range(n)]
    write(movie, shell.folder / "s.csv", {"parent": links, "tag": ["fp" if i == wrong else "" for i in range(n)]})
    assert shell("track", "--spots", "s.csv", "--keep-links", "-o", "kept.csv").status == 0
    found = parents(shell.folder / "kept.csv")
    assert found[100 + child] == 100 + parent
    assert found[100 + wrong] is None
    assert 100 + wrong not in found.values()


def test_an_interrupted_run_goes_on_where_it_was(movie: Walk, shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    write(movie, shell.folder / "s.csv")
    shell("track", "--spots", "s.csv", "-o", "whole.csv")
    solve, n_solved = Window.solve, []

    def interrupted(window: Window) -> object:
        if window.movie.start >= 12 and len(window.movie.times) < len(movie.parents):
            raise KeyboardInterrupt
        return solve(window)

    def counted(window: Window) -> object:
        n_solved.append(window.movie.start)
        return solve(window)

    whole = Problem.solve

    def only_last(problem: Problem, *args: object, **kwargs: object) -> object:
        # The estimation solves the movie, too: what is interrupted is the solution that follows it.
        is_last = len(args) == 4
        monkeypatch.setattr(Window, "solve", (counted if n_solved else interrupted) if is_last else solve)
        return whole(problem, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(Problem, "solve", only_last)
    done = shell("track", "--spots", "s.csv", "-o", "tracks.csv")
    assert done.status == 130
    assert "2 windows solved and kept: the same command goes on from there" in done.err
    assert not (shell.folder / "tracks.csv").exists()
    n_solved.append(-1)
    done = shell("track", "--spots", "s.csv", "-o", "tracks.csv")
    assert "2 windows solved by an interrupted run" in done.err
    assert n_solved == [-1, 12, 18]
    assert (shell.folder / "tracks.csv").read_bytes() == (shell.folder / "whole.csv").read_bytes()
    assert not (shell.folder / ".tracks.csv.windows").exists()


@pytest.mark.parametrize(
    ("rows", "args", "status", "words"),
    [
        ("0,1,4,8,8,2", [], 2, "expected -o FILE, or --json"),
        ("0,1,4,8,8,2", ["--json", "--linker", "none"], 1, "expected a linker that is installed (global, nearest"),
        (
            "0,1,4,8,8,2",
            ["--json", "--linker", "nearest"],
            1,
            "--max-distance of the linker nearest is missing or wrong (Field required)",
        ),
        ("0,1,4,8,8,2\n1,1,4,8,8,2", ["--json"], 1, "all different, or for none of them, got 1 2 times: correct"),
        ("0,1,4,8,8,2\n1,,4,8,8,2", ["--json"], 1, "all different, or for none of them, got 1 with one: correct"),
        ("0,1,4,8,8,2\n60,2,4,8,8,2\n120,3,4,8,8,2", ["--json"], 1, "got spots at 0, 60, 120: count the timepoints"),
        ("0,1,4,8,8,2\n1,2,4,8,8,2\n90000,3,4,8,8,2", ["--json"], 1, "got no spot between 1 and 90000: correct t"),
        ("0,1,4,8,8,2", ["--json", "--max-gap", "-1"], 1, "--max-gap of the linker global is missing or wrong"),
    ],
)
def test_what_is_refused(rows: str, args: list[str], status: int, words: str, shell: Shell) -> None:
    (shell.folder / "s.csv").write_text(f"t,id,x,y,z,radius\n{rows}\n")
    done = shell("track", "--spots", "s.csv", *args)
    assert done.status == status
    assert words in done.err


def test_timepoints_over_which_no_track_goes_are_told(shell: Shell) -> None:
    rows = [f"{t},{i},4,8,8,2" for i, t in enumerate((0, 1, 5, 9, 10))]
    (shell.folder / "s.csv").write_text("\n".join(["t,id,x,y,z,radius", *rows]))
    done = shell("track", "--spots", "s.csv", "--json", "--max-gap", "3")
    assert done.status == 0
    assert "warning" not in done.err
    done = shell("track", "--spots", "s.csv", "--json")
    assert done.status == 0
    assert "warning: no spots at timepoints 2-4, 6-8: no track goes over these, since up to 2 in a row" in done.err


def test_another_linker(movie: Walk, shell: Shell) -> None:
    write(movie, shell.folder / "s.csv")
    done = shell("track", "--spots", "s.csv", "--linker", "nearest", "--max-distance", "3", "--json")
    assert done.status == 0
    assert all("probability" not in spot for spot in done.json["spots"])
    assert sum("parent" in spot for spot in done.json["spots"]) > len(movie.parents) / 2


@pytest.fixture
def dataset(shell: Shell) -> Path:
    folder = shell.folder / "embryo"
    elephant.open_dataset(np.zeros((24, 16, 64, 64), np.uint8), folder, voxel_size=(2, 1, 1), quiet=True)
    return folder


def test_lineages_are_kept_with_a_dataset_and_exported(movie: Walk, shell: Shell, dataset: Path) -> None:
    write(movie, shell.folder / "s.csv")
    assert shell("track", "--spots", "s.csv", "--children", "1", "-o", "alone.csv").status == 0
    done = shell("track", "embryo", "--spots", "s.csv", "--children", "1", "-o", "tracks.geff")
    assert done.status == 0, done.err
    assert "kept with embryo, version 1" in done.out
    kept, alone = read_lineage(Dataset(dataset)), parents(shell.folder / "alone.csv")
    ids = kept.spots.ids.tolist()
    assert {i: None if p == NONE else ids[p] for i, p in zip(ids, kept.parents, strict=True)} == alone
    assert "s.csv" in kept.made_from
    exported = read_annotations(shell.folder / "tracks.geff")
    assert {(r.id, r.parent) for r in exported if r.parent is not None} == {(i, p) for i, p in alone.items() if p}
    refused = shell("track", "embryo", "--spots", "s.csv", "-o", "tracks.geff")
    assert "there is an earlier export at tracks.geff" in refused.err
    assert shell("track", "embryo", "--spots", "s.csv", "--overwrite", "-o", "tracks.geff").status == 0
    # Again, as a table: what is kept has another version.
    again = shell("track", "embryo", "--spots", "s.csv", "--children", "1", "-o", "again.csv")
    assert "version 3" in again.out
    assert parents(shell.folder / "again.csv") == alone
    # Without an output it is only kept.
    assert "version 4" in shell("track", "embryo", "--spots", "s.csv").out


def test_an_output_of_another_program_needs_the_dataset(shell: Shell, movie: Walk, dataset: Path) -> None:
    write(movie, shell.folder / "s.csv")
    refused = shell("track", "--spots", "s.csv", "-o", "tracks.geff")
    assert refused.status == 2
    assert "expected a dataset for the format geff" in refused.err
    assert shell("track", "--spots", "s.csv", "--voxel-size", "1", "1", "1", "-o", "t.csv").status == 2
    (shell.folder / "tracks.xml").write_text("mine")
    lost = shell("track", "embryo", "--spots", "s.csv", "-o", "tracks.xml")
    assert lost.status == 1
    assert (shell.folder / "tracks.xml").read_text() == "mine"
    beyond = (shell.folder / "s.csv").read_text() + "99,99999,1,1,1,1\n"
    (shell.folder / "b.csv").write_text(beyond)
    assert "timepoint" in shell("track", "embryo", "--spots", "b.csv").err
