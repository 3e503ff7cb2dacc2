"""The example exporter: a table of tracks, by the command line."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from core.cli.shell import Done, Shell
from core.dataset.bdv import ramp, write_movie
from core.packages import install

SPOTS = "t,x,y,z,radius,track\n1,5,6,2,2,1\n0,4,6,2,2,1\n0,12,9,3,2,9\n"


@pytest.fixture
def export(shell: Shell) -> Callable[..., Done]:
    """Give what exports nuclei of three timepoints in two tracks."""
    assert shell("convert", write_movie(shell.folder / "m.h5", ramp(3, (5, 20, 17))), "m").status == 0
    (shell.folder / "s.csv").write_text(SPOTS)

    def run(*args: object) -> Done:
        return shell("export", "m", "--spots", "s.csv", "--voxel-size", 1, 1, 1, *args)

    return run


@pytest.fixture
def plugin(installed: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(installed("elephant-csv-tracks")))


@pytest.mark.usefixtures("plugin")
def test_tracks_become_a_table(export: Callable[..., Done], shell: Shell) -> None:
    done = export("--format", "csv-tracks", "-o", "tracks.csv", "--json")
    assert (done.status, done.err) == (0, "")
    assert done.json == {"output": "tracks.csv", "nuclei": 3, "tracks": 2}
    table = "track,t,x,y,z\n1,0,4.0,6.0,2.0\n1,1,5.0,6.0,2.0\n9,0,12.0,9.0,3.0\n"
    assert (shell.folder / "tracks.csv").read_text() == table
    assert "give --overwrite" in export("--format", "csv-tracks", "-o", "tracks.csv").err
    done = export("--format", "csv-tracks", "-o", "tracks.csv", "--overwrite", "-t", "1-2", "--from-zero")
    assert done.out == "tracks.csv: 1 nuclei in 1 tracks\n"
    assert (shell.folder / "tracks.csv").read_text() == "track,t,x,y,z\n1,0,5.0,6.0,2.0\n"


@pytest.mark.usefixtures("plugin")
def test_it_is_listed_and_its_files_have_its_ending(export: Callable[..., Done], shell: Shell) -> None:
    assert re.search(r"Installed:csv-tracks,ctc[a-z,-]*\.", "".join(shell("export", "--help").out.split()))
    done = export("--format", "csv-tracks", "-o", "tracks.zip")
    assert done.status == 2
    assert done.err.splitlines()[-1].endswith("expected a name that ends with .csv, got 'tracks.zip'")
    assert export("-o", "masks").out == "masks: 3 masks with 3 nuclei in 2 tracks\n"


@pytest.mark.usefixtures("plugin", "export")
def test_nobody_is_asked_for_a_voxel_size_that_the_format_does_not_need(shell: Shell) -> None:
    done = shell("export", "m", "--spots", "s.csv", "--format", "csv-tracks", "-o", "tracks.csv")
    assert (done.status, done.out, done.err) == (0, "tracks.csv: 3 nuclei in 2 tracks\n", "")
    done = shell("export", "m", "--spots", "s.csv", "-o", "masks")
    assert done.status == 2
    assert "the voxel size of m is unknown, since it was converted without one: give --voxel-size" in done.err


@pytest.mark.usefixtures("plugin")
def test_nuclei_without_a_track_are_refused(export: Callable[..., Done], shell: Shell) -> None:
    (shell.folder / "s.csv").write_text("t,x,y,z,radius\n0,4,6,7,2\n")
    done = export("--format", "csv-tracks", "-o", "tracks.csv")
    assert (done.status, done.err.count("\n")) == (1, 1)
    assert "1 without: join them first (the exporter csv-tracks of the package elephant-csv-tracks says so)" in done.err
    assert not (shell.folder / "tracks.csv").exists()


EXPORTER = """
from elephant.export.base import Exporter

class Odd(Exporter):
    endings = (".odd",)

    def export(self, movie, place, reporter, cancel):
        place.write_text("half")
"""


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("        raise RuntimeError('boom')\n", "the exporter odd of the package visitor failed (RuntimeError: boom)"),
        ("        raise SystemExit\n", "the exporter odd of the package visitor failed (SystemExit)"),
        ("        place.unlink()\n", "failed (FileNotFoundError: it wrote no file)"),
        ("        raise OSError(28, 'No space left on device', str(place))\n", "No space left on device"),
        ("    endings = 'odd'\n", "expected `endings` to be a tuple"),
        ("import nothing_of_this_name\n", "cannot be loaded (ModuleNotFoundError"),
        ("Odd = 3\n", "should be a subclass of elephant.export.base.Exporter"),
        ("    export.__isabstractmethod__ = True\n", "failed (TypeError"),
    ],
)
@pytest.mark.parametrize("is_there", [False, True])
def test_what_fails_names_the_package_and_leaves_what_was_there(
    more: str, words: str, is_there: bool, export: Callable[..., Done], shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(shell.folder, EXPORTER + more, "[elephant.exporters]\nodd = visitor:Odd\n", monkeypatch)
    if is_there:
        (shell.folder / "a.odd").write_text("before")
    before = sorted(shell.folder.iterdir())
    done = export("--format", "odd", "-o", "a.odd", "--overwrite")
    assert (done.status, done.out, done.err.count("\n")) == (1, "", 1)
    assert words in done.err
    assert sorted(shell.folder.iterdir()) == before
    assert not is_there or (shell.folder / "a.odd").read_text() == "before"


def test_a_format_that_is_not_there_is_told_with_those_that_are(
    export: Callable[..., Done], shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("visitor", "guest"):
        install(shell.folder, EXPORTER, f"[elephant.exporters]\nodd = {name}:Odd\n", monkeypatch, name)
    done = export("--format", "even", "-o", "a.odd")
    assert re.search(r"expected a format that is installed \(ctc, .*odd.*\), got even", done.err)
    assert "have the same name: uninstall one of the packages" in export("--format", "odd", "-o", "a.odd").err
    shell.folder.joinpath("a.odd").touch()
    assert export("-o", "masks").status == 0
