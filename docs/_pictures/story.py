"""Does what a tutorial says: its files are written, its commands are run, as they stand on the page."""

import os
import re
import subprocess
import sys
from pathlib import Path

TUTORIAL = Path(__file__).parents[1] / "tutorials" / "command-line.md"
_FILE = re.compile(r"```\{code-block\} python\n:caption: (?P<name>\S+)\n(?P<text>.*?)```", re.DOTALL)
_COMMANDS = re.compile(r"```sh\n(?P<commands>.*?)```", re.DOTALL)
DONE = "masks.zip"  # what the last command leaves


def play(folder: Path, page: Path = TUTORIAL) -> None:
    """Run a tutorial in a folder, beside the checkout's ``script``; nothing where it was run there before.

    Raises
    ------
    subprocess.CalledProcessError
        A command failed.
    """
    if (folder / DONE).exists():
        return
    (folder / "workspace").mkdir(parents=True, exist_ok=True)
    text = page.read_text(encoding="utf-8")
    for name, program in files_of(page).items():
        (folder / name).write_text(program, encoding="utf-8")
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    script = page.parents[2] / "script"
    for block in _COMMANDS.finditer(text):
        commands = block["commands"].replace("../script", str(script))
        print(commands, end="", flush=True)
        subprocess.run(["bash", "-ec", commands], cwd=folder, env=environment, check=True)  # noqa: S603, S607


def files_of(page: Path) -> dict[str, str]:
    """Return the programs that a page tells to save, by name."""
    return {file["name"]: file["text"] for file in _FILE.finditer(page.read_text(encoding="utf-8"))}
