"""Long requests leave threads to those that answer at once."""

import io
from collections.abc import Iterator

import pytest
from flask import Blueprint, Flask, Response, send_file

from elephant_server.api import errors
from elephant_server.api.endpoint import endpoint
from elephant_server.api.limits import Admission


def make_app(n_threads: int) -> Flask:
    app = Flask(__name__)
    views = Blueprint("views", __name__)

    @views.get("/long")
    @endpoint(None, is_long=True)
    def long() -> Response:
        def answer() -> Iterator[bytes]:
            yield b" "
            yield b"{}"

        return Response(answer())

    @views.get("/failing")
    @endpoint(None, is_long=True)
    def failing() -> Response:
        raise ZeroDivisionError

    @views.get("/file")
    @endpoint(None, is_long=True)
    def file() -> Response:
        return send_file(io.BytesIO(b"weights"), "application/octet-stream")

    @views.get("/nothing")
    @endpoint(None, is_long=True)
    def nothing() -> Response:
        return Response(status=204)

    @views.get("/quick")
    @endpoint(None)
    def quick() -> str:
        return "quick"

    app.register_blueprint(views)
    errors.register(app)
    Admission(n_threads).guard(app)
    return app


def test_what_would_take_the_last_places_is_refused_and_quick_requests_are_not() -> None:
    client = make_app(10).test_client()
    held = [client.get("/long", buffered=False) for _ in range(5)]
    assert {answer.status_code for answer in held} == {200}
    refused = client.get("/long", buffered=True)
    assert refused.status_code == 503
    assert "ELEPHANT_HTTP_THREADS" in refused.json["error"]
    assert client.get("/quick").text == "quick"
    held[0].close()
    assert client.get("/long").status_code == 200


def test_a_place_is_given_back_whatever_happens() -> None:
    client = make_app(4).test_client()
    for _ in range(5):
        assert client.get("/failing", buffered=True).status_code == 500
        assert client.get("/long", buffered=True).text == " {}"
        assert client.get("/file", buffered=True).data == b"weights"
        assert client.get("/nothing", buffered=True).status_code == 204
        assert client.head("/long", buffered=True).status_code == 200


@pytest.mark.parametrize(("n_threads", "n_admitted"), [(2, 1), (10, 5), (48, 40)])
def test_some_threads_are_kept_free(n_threads: int, n_admitted: int) -> None:
    assert Admission(n_threads).n_admitted == n_admitted
