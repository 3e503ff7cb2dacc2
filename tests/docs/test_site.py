"""The documentation: it is made without a warning, leads nowhere that is not there, and needs no network."""

import ast
import importlib
import importlib.metadata
import itertools
import json
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Literal
from urllib.parse import unquote, urlsplit

import click
import pytest

from elephant.cli.main import BUILT_IN, elephant
from elephant_server.api.openapi import describe
from elephant_server.main import create_app
from elephant_server.settings import Settings, variable

ROOT = Path(__file__).parents[2]
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
# Its notebook trains a network, which takes minutes on a slow and busy processor.
pytestmark = pytest.mark.timeout(900)

LOADING = {"script": "src", "img": "src", "link": "href", "source": "src", "iframe": "src"}


def build(docs: Path, target: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-E", "-b", "html", str(docs), str(target)]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)


class Page(HTMLParser):
    """What a page loads, where its links lead, and which places it has."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.links: list[str] = []
        self.places: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.places |= {value for value in (values.get("id"), values.get("name")) if value}
        if tag in LOADING and values.get(LOADING[tag]):
            self.loaded.append(values[LOADING[tag]] or "")
        if tag == "a" and values.get("href"):
            self.links.append(values["href"] or "")


def test_all_that_makes_it_is_in_the_list_from_which_images_install() -> None:
    docs = ROOT / "docs"
    listed = {line for line in (docs / "requirements.txt").read_text().splitlines() if not line.startswith("#")}
    conf = runpy.run_path(str(docs / "conf.py"))
    imported = {name for notebook in docs.rglob("*.ipynb") for name in imports_of(notebook)}
    used = {*conf["extensions"], conf["html_theme"], *imported} - {"_documenting"}
    of_modules = importlib.metadata.packages_distributions()
    needed = {of_modules[name.partition(".")[0]][0].lower() for name in used}
    core = {"elephant-core", *map(name_in, importlib.metadata.requires("elephant-core") or [])}
    assert needed >= {"myst-nb", "furo", "matplotlib", "elephant-core", "numpy"}
    assert needed - core <= listed


def imports_of(notebook: Path) -> list[str]:
    cells = [cell for cell in json.loads(notebook.read_text())["cells"] if cell["cell_type"] == "code"]
    lines = "".join(line for cell in cells for line in [*cell["source"], "\n"])
    return re.findall(r"^(?:import|from) (\w+)", lines, re.MULTILINE)


def name_in(requirement: str) -> str:
    return re.split(r"[^\w-]", requirement)[0].lower()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    made = build(ROOT / "docs", folder)
    assert made.returncode == 0, made.stderr
    return folder


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Page]:
    return {path: Page(path) for path in site.rglob("*.html")}


def test_every_link_leads_to_a_place_that_is_there(site: Path, pages: dict[Path, Page]) -> None:
    assert len(pages) > 40
    assert list(dead_ends(site, pages)) == []


def test_the_notebook_finds_the_nuclei_and_their_tracks(site: Path) -> None:
    """It runs while the documentation is made; the page shows what its cells printed and drew."""
    page = (site / "tutorials" / "python.html").read_text(encoding="utf-8")
    assert "7 nuclei; the first at" in page
    assert len(re.findall(r"track \d: timepoints 0 to 2, from", page)) == 7
    assert re.search(r'<img alt="A plane of the simulated movie[^>]*src="\.\./_images/', page)


def dead_ends(site: Path, pages: dict[Path, Page]) -> Iterator[str]:
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or link == "#":
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            is_there = target.is_file() and target.is_relative_to(site)
            if not is_there or (parts.fragment and unquote(parts.fragment) not in pages[target].places):
                yield f"{path.relative_to(site)}: {link}"


def test_nothing_is_loaded_from_elsewhere(site: Path, pages: dict[Path, Page]) -> None:
    for path, page in pages.items():
        for address in page.loaded:
            if address != "#" and not address.startswith("data:"):
                assert (path.parent / urlsplit(address).path).is_file(), f"{path.name} loads {address}"
    styles = "\n".join(path.read_text(encoding="utf-8") for path in site.rglob("*.css"))
    assert not re.search(r"(@import|url\()\s*[\"']?(https?:)?//", styles)


def test_no_page_has_a_script_within_it(pages: dict[Path, Page]) -> None:
    """The policy that the server sends with its pages lets files alone run."""
    for path in pages:
        assert not re.search(r"<script>", path.read_text(encoding="utf-8")), path


def test_all_settings_commands_and_requests_are_described(site: Path) -> None:
    settings, commands, requests = (
        re.sub(r"<[^>]*>", "", (site / "reference" / f"{name}.html").read_text(encoding="utf-8"))
        for name in ("settings", "commands", "http-api")
    )
    assert [name for name in Settings.model_fields if not re.search(rf"\b{variable(name)}\b", settings)] == []
    assert [name for name in (*BUILT_IN, "serve") if f"elephant {name}" not in commands] == []
    described = describe(create_app(Settings(_env_file=None)))
    assert [path for path in described["paths"] if path not in requests] == []


def test_the_readme_and_the_settings_agree() -> None:
    """Each variable that the README names is one of the settings."""
    named = set(re.findall(r"ELEPHANT_[A-Z_]+[A-Z]", (ROOT / "README.md").read_text(encoding="utf-8")))
    of_the_container = {"ELEPHANT_TORCH", "ELEPHANT_DOCKER", "ELEPHANT_IMAGE_NAME"}
    assert named - of_the_container <= {variable(name) for name in Settings.model_fields}


def test_pictures_are_small() -> None:
    sizes = [path.stat().st_size for path in (ROOT / "docs" / "images").iterdir()]
    assert 0 < sum(sizes) < 1_500_000
    assert max(sizes) < 300_000


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: apt-get install chromium, or name one in CHROMIUM")
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (360, "dark")])
def test_everybody_can_read_it(site: Path, width: int, scheme: Literal["light", "dark"]) -> None:
    playwright = pytest.importorskip("playwright.sync_api")
    axe = pytest.importorskip("axe_playwright_python.base")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        for name in ("index", "how-to/troubleshooting", "reference/http-api", "reference/python/dataset"):
            page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
            complaints: list[str] = []
            page.on("console", lambda message, to=complaints: to.append(f"{message.type}: {message.text}"))
            page.on("pageerror", lambda error, to=complaints: to.append(str(error)))
            page.goto((site / f"{name}.html").as_uri())
            assert complaints == [], name
            page.evaluate(Path(axe.AXE_FILE_PATH).read_text())
            found = page.evaluate("axe.run({ resultTypes: ['violations'] })")["violations"]
            assert [v["id"] for v in found if v["impact"] in ("serious", "critical")] == [], name
            page.close()
        browser.close()


def test_what_leads_nowhere_is_an_error(tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    (docs / "_static").mkdir(parents=True)
    shutil.copytree(ROOT / "docs" / "_documenting", docs / "_documenting")
    shutil.copy(ROOT / "docs" / "conf.py", docs)
    (docs / "index.md").write_text("# Here\n\n[There](there.md)\n\n{py:class}`elephant.types.Nothing`\n", "utf-8")
    found = build(docs, tmp_path / "site")
    assert found.returncode != 0
    assert "there.md" in found.stderr
    assert "elephant.types.Nothing" in found.stderr


def test_messages_that_are_explained_are_messages_of_the_code() -> None:
    page = (ROOT / "docs" / "how-to" / "troubleshooting.md").read_text(encoding="utf-8")
    symptoms = [line.split("|")[1] for line in page.splitlines() if line.startswith('| "')]
    messages = [words for cell in symptoms for words in re.findall(r'"([^"]+)"', cell)]
    quoted = [part.strip() for words in messages for part in words.split("…")]
    said = list(sentences())
    assert len(quoted) > 20
    assert [words for words in quoted if words and not any(words in one for one in said)] == []


def sentences() -> Iterator[str]:
    """Yield every text of the code; what is filled in is left out."""
    for package in ("elephant-core/src", "app/src"):
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    yield node.value
    yield (ROOT / "script" / "setup.sh").read_text(encoding="utf-8")


def test_the_commands_of_the_pages_are_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    lines = list(command_lines())
    assert len(lines) > 20
    for page, line in lines:
        words = shlex.split(line, comments=True)[1:]
        words = list(itertools.takewhile(lambda word: word not in ("&", "|", ";"), words))
        parse(elephant, words, f"{page}: {line}")


def command_lines() -> Iterator[tuple[str, str]]:
    """Yield each call of ``elephant`` in a block of commands, with its page."""
    for path in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        for block in re.findall(r"```(?:\{code-block\} )?sh\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL):
            for line in block.replace("\\\n", " ").splitlines():
                call = re.match(r"^\s*(?:[A-Z_]+=\S+ )*(elephant(?: .*|$))", line)
                if call:
                    yield path.name, call[1]


def parse(command: click.Command, words: list[str], line: str) -> None:
    """Parse words as the command line would, without running anything."""
    if isinstance(command, click.Group) and words and not words[0].startswith("-"):
        found = command.get_command(click.Context(command), words[0])
        assert found is not None, line
        parse(found, words[1:], line)
        return
    try:
        command.make_context(command.name, list(words))
    except click.ClickException as error:
        pytest.fail(f"{line}\n{error.format_message()}")
    except click.exceptions.Exit:
        pass


def test_the_programs_of_the_pages_can_be_read_and_name_what_is_there() -> None:
    programs = [
        (path.name, block)
        for path in (ROOT / "docs").rglob("*.md")
        for block in re.findall(
            r"```(?:\{code-block\} )?python\n(?::.*\n)*(.*?)```", path.read_text("utf-8"), re.DOTALL
        )
    ]
    assert len(programs) > 3
    for name, program in programs:
        for node in ast.walk(ast.parse(program, name)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("elephant"):
                module = importlib.import_module(node.module or "")
                assert [alias.name for alias in node.names if not hasattr(module, alias.name)] == [], name
