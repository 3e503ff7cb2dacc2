from pathlib import Path

from flask.testing import FlaskClient


def make(home: Path) -> None:
    built = home / "build" / "docs"
    (built / "_static").mkdir(parents=True)
    (built / "index.html").write_text("<h1>Here</h1>")
    (built / "objects.inv").write_bytes(b"# Sphinx inventory version 2\n# Project: ELEPHANT server\n# Version: 1\n")
    (built / "_static" / "theme.js").write_text("1")
    (home / "build" / "secret.txt").write_text("no")


def test_the_documentation_is_shown_where_it_was_made(page: FlaskClient, tmp_path: Path) -> None:
    assert page.get("/manual/").status_code == 404
    assert page.get("/dashboard/api/status").json["has_manual"] is False
    make(tmp_path)
    assert page.get("/dashboard/api/status").json["has_manual"] is True
    with page.get("/manual/") as first:
        assert "Here" in first.text
    with page.get("/manual/_static/theme.js") as script:
        assert script.mimetype == "text/javascript"
    with page.get("/manual/_static/theme.js", headers={"If-None-Match": script.headers["ETag"]}) as again:
        assert again.status_code == 304


def test_links_of_the_first_page_lead_into_the_documentation(page: FlaskClient, tmp_path: Path) -> None:
    make(tmp_path)
    answer = page.get("/manual")
    assert answer.status_code == 302
    assert answer.headers["Location"] == "manual/"


def test_nothing_but_the_documentation_is_shown(page: FlaskClient, tmp_path: Path) -> None:
    make(tmp_path)
    for name in ("nothing.html", "../secret.txt", "%2e%2e/secret.txt", "_static", "..%2f..%2fdocs"):
        assert page.get(f"/manual/{name}").status_code == 404, name


def test_what_is_not_ours_is_not_shown(page: FlaskClient, tmp_path: Path) -> None:
    (tmp_path / "build" / "docs").mkdir(parents=True)
    (tmp_path / "build" / "docs" / "index.html").write_text("another project's")
    assert page.get("/manual/").status_code == 404
    inventory = tmp_path / "build" / "docs" / "objects.inv"
    inventory.write_bytes(b"# Sphinx inventory version 2\n# Project: Another one\n# Version: 1\n")
    assert page.get("/manual/").status_code == 404
