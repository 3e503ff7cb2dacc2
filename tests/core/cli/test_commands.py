"""Which commands there are, what their help says, and how they end."""

import logging
import subprocess
import sys
from importlib.metadata import entry_points

import click
import pytest

from core.cli.shell import Shell
from core.packages import install
from elephant.cli.main import BUILT_IN, elephant

ALL = [*BUILT_IN, "models list", "models info", "models import", "models restore"]
ALL += [f"record {name}" for name in ("list", "show", "replay", "train")]


def test_the_command_is_installed_under_its_name() -> None:
    (entry,) = entry_points(group="console_scripts", name="elephant")
    assert entry.value == "elephant.cli.main:main"


def test_help_is_there_at_once() -> None:
    code = (
        "import sys; from elephant.cli.main import main; main(['--help']);"
        "print([x for x in ('torch', 'zarr', 'numpy', 'pydantic', 'tqdm') if x in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip().endswith("[]")
    assert all(f"  {name} " in found.stdout for name in BUILT_IN)


def test_the_help_says_what_quiet_leaves(shell: Shell) -> None:
    assert "Show no progress and no warnings; results and errors are still" in " ".join(
        shell("check", "--help").out.split()
    )


# What makes options of parameters needs pydantic, and NumPy for their types.
@pytest.mark.parametrize(
    ("name", "needed"),
    [
        *((name, ["numpy", "pydantic"]) for name in ("convert", "train", "predict", "link", "track", "export")),
        *((name, []) for name in ("check", "models", "record", "doctor")),
    ],
)
def test_help_of_a_command_loads_what_its_options_need_and_no_more(name: str, needed: list[str]) -> None:
    code = (
        f"import sys; from elephant.cli.main import main; main(['{name}', '--help']);"
        "print([x for x in ('numpy', 'pydantic', 'torch', 'zarr', 'scipy') if x in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.splitlines()[-1] == str(needed)


@pytest.mark.parametrize("name", BUILT_IN)
def test_the_list_says_of_a_command_what_its_own_help_says(name: str) -> None:
    command = elephant.get_command(click.Context(elephant), name)
    assert command is not None
    assert command.get_short_help_str(200) == BUILT_IN[name]


@pytest.mark.parametrize("name", ALL)
def test_every_help_has_an_example(name: str, shell: Shell) -> None:
    shown = shell(*name.split(), "--help")
    assert (shown.status, shown.err) == (0, "")
    assert f"elephant {name} " in shown.out or name in ("models", "record")


@pytest.mark.parametrize("name", ["convert", "train", "predict", "link", "export"])
def test_vectors_of_every_option_are_named_in_their_order(name: str, shell: Shell) -> None:
    shown = shell(name, "--help").out
    assert "Z, Y, X" not in shown
    assert "Z Y X" not in shown
    assert name == "convert" or "--voxel-size X Y Z" in shown


@pytest.mark.parametrize(
    "args",
    [
        ["nothing"],
        ["check"],
        ["train", "d", "--model", "m.pth", "--voxel-size", "1", "1", "1"],
        ["train", "d", "--spots", "s", "--links", "l", "--model", "m.pth", "--voxel-size", "1", "1", "1"],
        ["train", "d", "--spots", "s", "--max-displacement", "3", "--model", "m.pth", "--voxel-size", "1", "1", "1"],
        ["predict", "d", "--model", "m.pth", "--voxel-size", "1", "1", "1"],
        ["predict", "d", "--model", "m.pth", "--voxel-size", "1", "1", "1", "-o", "spots.txt"],
        ["predict", "d", "--model", "m.pth", "--voxel-size", "1", "1", "-o", "s.csv"],
        ["link", "d", "--spots", "s", "--model", "m.pth", "--voxel-size", "1", "1", "1", "--join", "0", "--json"],
        ["link", "d", "--spots", "s", "--model", "m.pth", "--voxel-size", "1", "1", "1", "--children", "3", "--json"],
    ],
)
def test_wrong_usage_is_reported_in_three_lines(args: list[str], shell: Shell) -> None:
    done = shell(*args)
    assert (done.status, done.out) == (2, "")
    assert done.err.splitlines()[-1].startswith("error: ")
    assert done.err.startswith("Usage: elephant")
    assert len(done.err.splitlines()) <= 4


def test_a_failure_is_one_line_and_the_traceback_is_for_debugging(shell: Shell) -> None:
    done = shell("check", "nowhere")
    assert (done.status, done.out, done.err.count("\n")) == (1, "", 1)
    assert done.err.startswith("error: there is no dataset")
    assert "NotFoundError" in shell("check", "nowhere", "--debug").err


def test_a_command_run_in_process_leaves_the_logging_of_that_process(shell: Shell) -> None:
    logger = logging.getLogger("elephant")
    before = list(logger.handlers), logger.propagate, logger.level
    assert shell("doctor", "--json", "-v").status in (0, 1)
    assert (logger.handlers, logger.propagate, logger.level) == before


def test_a_reader_that_closes_the_pipe_is_not_an_error() -> None:
    command = [sys.executable, "-m", "elephant.cli", "--help"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdout.close()
        assert running.stderr.read() == ""
    assert running.returncode == 1


def test_other_packages_bring_commands(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    content = (
        "import click\n"
        "command = click.Command('greet', callback=lambda: click.echo('hello'), help='Say hello.')\n"
        "nonsense = 3\n"
    )
    entries = "[elephant.commands]\ngreet = visitor:command\nbroken = visitor:nothing\nnonsense = visitor:nonsense\n"
    install(shell.folder, content, entries, monkeypatch)
    assert shell("greet").out == "hello\n"
    shown = shell("--help")
    assert (shown.status, shown.err) == (0, "")
    assert "greet" in shown.out
    assert "Say hello." in shown.out
    for name, words in {
        "broken": "cannot be loaded (AttributeError: module 'visitor' has no attribute 'nothing')",
        "nonsense": "should be a click.core.Command, but is 3",
    }.items():
        done = shell(name)
        assert (done.status, done.err.count("\n")) == (1, 1)
        assert f"the command {name} of the package visitor {words}" in done.err
    assert shell("check", "nowhere").status == 1


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["predct"], "No such command 'predct'. Did you mean 'predict'?"),
        (["Conver", "a.h5", "b"], "No such command 'Conver'. Did you mean 'convert'?"),
        (["xyz"], "No such command 'xyz'. Expected one of convert, add, check, "),
        (["models", "lst"], "No such command 'lst'. Did you mean 'list'?"),
        (["check", "d", "--jso"], "No such option '--jso'. Did you mean '--json'?"),
    ],
)
def test_a_typo_gets_what_is_meant(args: list[str], words: str, shell: Shell) -> None:
    done = shell(*args)
    assert done.status == 2
    assert done.err.splitlines()[-1].startswith(f"error: {words}")


def test_a_repeated_option_is_reported(shell: Shell) -> None:
    done = shell("check", "nowhere", "--workspace", "a", "--json", "--json", "--workspace", "b")
    assert done.err.splitlines()[0] == "warning: --workspace was given more than once: the last one counts"
    assert "b/datasets/nowhere" in done.err
