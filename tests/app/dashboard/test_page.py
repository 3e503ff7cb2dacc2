import re

from flask.testing import FlaskClient

LINKS = re.compile(r'(?:href|src)="([^"#]+)')


def test_the_page_loads_with_all_that_it_names_and_is_small(page: FlaskClient) -> None:
    answer = page.get("/", headers={"Accept-Encoding": "identity"})
    assert answer.status_code == 200
    assert answer.mimetype == "text/html"
    names = [name for name in LINKS.findall(answer.text) if name.startswith("dashboard/")]
    assert len(names) > 10
    sizes = []
    for name in set(names):
        file = page.get(f"/{name}", headers={"Accept-Encoding": "identity"})
        assert file.status_code == 200, name
        assert "immutable" in file.headers["Cache-Control"]
        sizes.append(len(file.data))
    assert len(answer.data) + sum(sizes) < 100_000


def test_addresses_are_relative_and_nothing_comes_from_elsewhere(page: FlaskClient) -> None:
    text = page.get("/").text
    assert all(not name.startswith(("/", "http:", "https:", "data:")) for name in LINKS.findall(text))
    assert "<style" not in text
    assert not re.search(r"\sstyle=|\son[a-z]+=", text)
    assert not re.search(r"<script(?![^>]*\ssrc=)", text)


def test_modules_import_each_other_by_relative_names_alone(page: FlaskClient) -> None:
    modules = [name for name in LINKS.findall(page.get("/").text) if name.endswith(".js")]
    for name in modules:
        text = page.get(f"/{name}").text
        assert "http:" not in text.replace("http://www.w3.org", "")
        assert all(found.startswith(".") for found in re.findall(r"from '([^']+)'", text)), name


def test_what_the_browser_has_is_not_sent_again(page: FlaskClient) -> None:
    first = page.get("/", headers={"Accept-Encoding": "gzip"})
    assert first.headers["Content-Encoding"] == "gzip"
    again = page.get("/", headers={"Accept-Encoding": "gzip", "If-None-Match": first.headers["ETag"]})
    assert again.status_code == 304
    assert again.data == b""


def test_only_files_of_the_page_are_sent(page: FlaskClient) -> None:
    for name in ("index.html", "../page.py", "%2e%2e/page.py", "nothing.js", ""):
        assert page.get(f"/dashboard/static/x/{name}").status_code == 404
    assert page.get("/docs").status_code == 200


def test_outlines_and_plain_words_are_what_a_page_begins_with(page: FlaskClient) -> None:
    text = page.get("/").text
    for words in ("No training curves yet", "Keep running"):
        assert words in text
    assert text.index(">Pause<") > 0
