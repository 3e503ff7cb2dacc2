"""Who gets in, by which address, and what a browser may do with the answers."""

import io
import logging
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, Response
from werkzeug.test import TestResponse

from elephant_server.api.endpoint import PERSON
from elephant_server.api.limits import BodyLimits
from elephant_server.auth.middleware import AuthMiddleware
from elephant_server.auth.tokens import Holder, TokenFile, holder_of, read_tokens
from elephant_server.deploy import rendering
from elephant_server.main import create_app
from elephant_server.settings import Settings

TOKEN = "abcdefghijklmnopqrstuvwxyz._~-01"
OTHER = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
PATHS = ("/state/gpus", "/state/gpus/", "/gpus", "/docs", "/openapi.json")


def app_of(**settings: Any) -> Flask:
    return create_app(Settings(redis_port=1, **settings))


def get(app: Flask, path: str, **headers: str) -> TestResponse:
    with app.test_client() as client:
        return client.get(path, headers={name.replace("_", "-"): value for name, value in headers.items()})


@pytest.mark.parametrize("path", PATHS)
def test_a_token_is_taken_from_the_path_or_the_header(path: str) -> None:
    app = app_of(token=TOKEN)
    assert get(app, f"/t/{TOKEN}{path}").status_code == 200
    assert get(app, path, Authorization=f"Bearer {TOKEN}").status_code == 200
    assert get(app, path, Authorization=f"bearer  {TOKEN}").status_code == 200


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        *((path, {}) for path in PATHS),
        ("/nowhere", {}),
        ("/t", {}),
        ("/t/", {}),
        ("/t//state/gpus", {}),
        (f"/t/{OTHER}/state/gpus", {}),
        (f"/t/{TOKEN}x/state/gpus", {}),
        (f"/t/{TOKEN[:-1]}/state/gpus", {}),
        (f"/t/{TOKEN.upper()}/state/gpus", {}),
        (f"/state/gpus/t/{TOKEN}/", {}),
        (f"/state/gpus?token={TOKEN}", {}),
        ("/t/%C3%A9%00/state/gpus", {}),
        # A path that says it wrong is not put right by a header.
        (f"/t/{OTHER}/state/gpus", {"Authorization": f"Bearer {TOKEN}"}),
        ("/state/gpus", {"Authorization": f"Basic {TOKEN}"}),
        ("/state/gpus", {"Authorization": TOKEN}),
        ("/state/gpus", {"Authorization": "Bearer "}),
        ("/state/gpus", {"Cookie": f"token={TOKEN}"}),
    ],
)
def test_nobody_gets_in_without_it(path: str, headers: dict[str, str]) -> None:
    answer = get(app_of(token=TOKEN), path, **headers)
    assert answer.status_code == 401
    assert "token" in answer.json["error"]
    assert "token" in answer.status
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert TOKEN not in answer.text + answer.status


BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


@pytest.mark.parametrize(
    ("path", "root"),
    [
        *(("/", "./"), ("/docs", "./"), ("/manual/how-to/models.html", "../../")),
        *((f"/t/{OTHER}/", "../../"), (f"/t/{OTHER}", "../"), (f"/t/{OTHER}/docs", "../../")),
    ],
)
def test_a_person_is_shown_a_page_with_a_field_for_the_token(path: str, root: str) -> None:
    answer = get(app_of(token=TOKEN), path, Accept=BROWSER)
    assert (answer.status_code, answer.mimetype) == (401, "text/html")
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert '<input id="token" type="password"' in answer.text
    assert f'data-root="{root}"' in answer.text
    assert ("is wrong" in answer.text.split("<script>")[0]) == path.startswith("/t/")
    assert not re.search(r"[{]{2}", answer.text)
    assert not {TOKEN, OTHER} & set(re.findall(r"[\w.~-]+", answer.text))
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    assert not re.search(r"(src|href)=\"(?!data:)", answer.text)


def test_the_page_for_the_token_is_the_same_whatever_there_is(tmp_path: Path) -> None:
    pages = {get(app_of(token=TOKEN, workspace=tmp_path / name), "/", Accept=BROWSER).text for name in ("a", "b")}
    (tmp_path / "b" / "datasets" / "secret").mkdir(parents=True)
    assert pages == {get(app_of(token=TOKEN, workspace=tmp_path / "b"), "/docs", Accept=BROWSER).text}


@pytest.mark.parametrize("path", ["/state/gpus", "/nowhere", "/dashboard/api/status", f"/t/{OTHER}/state/gpus"])
def test_programs_hear_in_json_that_a_token_is_missing(path: str) -> None:
    assert "token" in get(app_of(token=TOKEN), path, Accept=BROWSER).json["error"]
    with app_of(token=TOKEN).test_client() as client:
        assert "token" in client.post("/", headers={"Accept": BROWSER}).json["error"]


def test_a_path_with_a_token_is_fine_where_none_is_asked_for() -> None:
    assert get(app_of(), f"/t/{TOKEN}/state/gpus").status_code == 200


def test_the_page_without_a_slash_after_the_token_is_led_to_the_one_with_it() -> None:
    answer = get(app_of(token=TOKEN), f"/t/{TOKEN}")
    assert (answer.status_code, answer.headers["Location"]) == (308, f"/t/{TOKEN}/")
    assert get(app_of(token=TOKEN), f"/t/{OTHER}").status_code == 401
    led = get(app_of(), "/t/a%0d%0aSet-Cookie:%20b")
    assert (led.status_code, led.headers["Location"]) == (308, "/t/a%0D%0ASet-Cookie%3A%20b/")


def test_a_server_beyond_this_machine_lets_nobody_in_without_a_file(tmp_path: Path) -> None:
    app = app_of(bind_address="0.0.0.0", workspace=tmp_path)  # noqa: S104
    assert get(app, "/state/gpus").status_code == 401
    assert get(app, f"/t/{TOKEN}/state/gpus").status_code == 401
    (tmp_path / ".run").mkdir()
    (tmp_path / ".run" / "token").write_text(TOKEN)
    assert get(app, f"/t/{TOKEN}/state/gpus").status_code == 200


def test_a_changed_file_counts_at_once(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    tokens = TokenFile(file)
    assert tokens.current() == (Holder(TOKEN),)
    (tmp_path / "new").write_text(f"{OTHER}\n\n  {TOKEN}  \n")
    (tmp_path / "new").replace(file)
    assert tokens.current() == (Holder(OTHER), Holder(TOKEN))
    found = [holder_of(given, tokens.current()) for given in (TOKEN, OTHER, "", "é", TOKEN + OTHER)]
    assert found == [Holder(TOKEN), Holder(OTHER), None, None, None]


@pytest.mark.parametrize(
    "content", ["", "\n", "too-short\n", f"{TOKEN}\nnot one of them!\n", f"{TOKEN}\n" * 5000, None]
)
def test_a_file_that_cannot_be_used_lets_nobody_in(
    tmp_path: Path, content: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "token"
    file.write_text(TOKEN)
    tokens = TokenFile(file)
    assert tokens.current() == (Holder(TOKEN),)
    if content is None:
        file.unlink()
    else:
        file.write_text(content)
        os.utime(file, (1, 1))
    with caplog.at_level(logging.ERROR):
        assert [tokens.current(), tokens.current()] == [(), ()]
    [record] = caplog.records
    assert "nobody gets in" in record.message
    assert TOKEN not in record.message


def test_a_name_beside_the_token_says_who_asks(tmp_path: Path) -> None:
    seen: list[str] = []

    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        seen.append(environ.get(PERSON, ""))
        return Response("fine")(environ, start_response)  # type: ignore[return-value]

    (tmp_path / "tokens").write_text(f"# ours\n{TOKEN}   Ana Sílva\n{OTHER}\n")
    guarded = AuthMiddleware.of(application, Settings(token_file=tmp_path / "tokens"))
    for token in (TOKEN, OTHER, TOKEN + "x"):
        # No header is taken for a name.
        environ = {"PATH_INFO": f"/t/{token}/", "HTTP_ELEPHANT_PERSON": "Eve", "HTTP_ELEPHANT.PERSON": "Eve"}
        list(guarded({**environ, "REQUEST_METHOD": "GET", "wsgi.input": io.BytesIO()}, lambda *_: None))
    assert seen == ["Ana Sílva", ""]


@pytest.mark.parametrize("name", ["\x1b[31m", "a\x00b", "-rf", "x" * 65, "<b>", "a/b"])
def test_a_name_that_could_harm_a_log_or_a_page_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "tokens").write_text(f"{TOKEN} {name}\n")
    with pytest.raises(ValueError, match="line 1: expected a name of 1 to 64 letters"):
        read_tokens(tmp_path / "tokens")


def test_what_answers_knows_nothing_of_the_token() -> None:
    seen: dict[str, Any] = {}

    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        seen.update(environ)
        return Response("fine")(environ, start_response)  # type: ignore[return-value]

    path = f"/t/{TOKEN}/seg/train"
    environ = {
        "PATH_INFO": path,
        "REQUEST_URI": path,
        "RAW_URI": path,
        "HTTP_REFERER": f"http://localhost{path}",
        "HTTP_AUTHORIZATION": f"Bearer {TOKEN}",
        "REQUEST_METHOD": "POST",
        "wsgi.input": io.BytesIO(),
    }
    list(AuthMiddleware.of(application, Settings(token=TOKEN))(environ, lambda *_: None))
    assert seen["PATH_INFO"] == "/seg/train"
    assert [name for name, value in seen.items() if TOKEN in str(value)] == ["SCRIPT_NAME"]


@pytest.mark.parametrize("settings", [{}, {"token": TOKEN}])
def test_a_body_that_nobody_wants_is_read_to_its_end(settings: dict[str, Any]) -> None:
    """NGINX takes an early end of the connection for a failure, and answers 502."""
    body = io.BytesIO(b"x" * 1_000_000)
    environ = {
        "PATH_INFO": "/seg/train",
        "REQUEST_METHOD": "POST",
        "CONTENT_TYPE": "text/plain",
        "CONTENT_LENGTH": "1000000",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "wsgi.url_scheme": "http",
        "wsgi.input": body,
        "wsgi.errors": io.StringIO(),
    }
    statuses: list[str] = []
    list(app_of(**settings).wsgi_app(environ, lambda status, *_: statuses.append(status)))
    assert statuses[0][:3] == ("401" if settings else "400")
    assert body.tell() == 1_000_000


@pytest.mark.parametrize(
    "host",
    ["localhost", "LocalHost:9000", "127.0.0.1:8080", "127.1.2.3", "[::1]:80", "gpu7.example.org", "192.0.2.7:1", ""],
)
def test_known_hosts(host: str) -> None:
    app = app_of(allowed_hosts="gpu7.example.org, 192.0.2.7")
    assert get(app, "/state/gpus", Host=host).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "localhost:80@evil.example", "192.0.2.7"])
def test_another_name_is_refused_since_it_may_point_anywhere(host: str) -> None:
    answer = get(app_of(), "/state/gpus", Host=host)
    assert answer.status_code == 403
    assert "ELEPHANT_ALLOWED_HOSTS" in answer.json["error"]


def test_who_knows_the_token_may_ask_by_any_name_unless_names_are_given() -> None:
    path = f"/t/{TOKEN}/state/gpus"
    assert get(app_of(token=TOKEN), path, Host="any.example").status_code == 200
    assert get(app_of(token=TOKEN, allowed_hosts="lab.example"), path, Host="any.example").status_code == 403
    assert get(app_of(token=TOKEN, allowed_hosts="lab.example"), path, Host="lab.example:1").status_code == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 400),
        ({"Origin": "http://localhost:8080"}, 400),
        ({"Origin": "https://localhost:8080", "Sec-Fetch-Site": "same-origin"}, 400),
        ({"Sec-Fetch-Site": "none"}, 400),
        ({"Origin": "http://localhost:3000"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": ""}, 403),
        ({"Origin": "http://[oops"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
    ],
)
def test_a_page_of_another_site_changes_nothing(headers: dict[str, str], status: int) -> None:
    with app_of().test_client() as client:
        answer = client.post("/upload/image", data={"action": "none"}, headers={"Host": "localhost:8080", **headers})
        assert answer.status_code == status
        looked = client.get("/docs", headers={"Host": "localhost:8080", **headers})
        assert looked.status_code == 200
        assert "Access-Control-Allow-Origin" not in looked.headers


@pytest.mark.parametrize("path", ["/docs", "/state/gpus", "/nowhere", "/t/wrong/docs"])
def test_every_answer_has_the_headers(path: str) -> None:
    headers = get(app_of(token=TOKEN), path, Authorization=f"Bearer {TOKEN}").headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cache-Control"] == "no-store"
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]


def test_limits_are_those_of_nginx() -> None:
    settings, app = Settings(max_body_mib=12, max_model_mib=34), app_of()
    locations, limits = nginx_limits(settings), BodyLimits(app, settings)
    large = re.compile(
        r"/((seg|flow)/(predict|train|update)|(predict|train|update)/(seg|flow)|download/(ctc|tracks)|export/ctc"
        r"|upload(/image)?|review/answers|movie/(track|lineage/corrections))/?"
    )
    models = re.compile(r"/((seg|flow)/reset|reset/(seg|flow))/?")
    paths = {re.sub("<[^>]*>", "x", rule.rule) for rule in app.url_map.iter_rules()}
    assert len(paths) > 20
    for path in [f"{path}{slash}" for path in sorted(paths) for slash in ("", "/")]:
        for asked in (path, f"/t/{TOKEN}{path}"):
            allowed = next((limit for pattern, limit in locations if re.search(pattern, asked)), 64 << 10)
            expected = 12 << 20 if large.fullmatch(path) else 34 << 20 if models.fullmatch(path) else 64 << 10
            assert allowed == limits.of(path) == expected, asked
    assert {limit for _, limit in locations} == {12 << 20, 34 << 20}


def nginx_limits(settings: Settings) -> list[tuple[str, int]]:
    """Return the patterns of the locations with a limit of their own, and their limits in bytes."""
    text = rendering.nginx_configuration(settings, Path("/sockets"))
    assert re.search(r"location / \{\s+client_max_body_size 64k;", text)
    found = re.findall(r"location ~ (\S+) \{\s+client_max_body_size (\d+)m;", text)
    return [(pattern, int(mib) << 20) for pattern, mib in found]


@pytest.mark.parametrize(("path", "size", "status"), [("/params", 70_000, 413), ("/params", 60_000, 400)])
def test_a_long_body_is_refused_without_nginx_too(path: str, size: int, status: int) -> None:
    with app_of().test_client() as client:
        answer = client.post(path, data=b" " * size, content_type="application/json")
    assert answer.status_code == status
    assert isinstance(answer.json["error"], str)
