"""How datasets and models are named."""

from pathlib import Path

import pytest

from elephant.cli.workspace import find, place
from elephant.errors import NotFoundError


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def made(*paths: str) -> None:
    for path in paths:
        Path(path).mkdir(parents=True)


def test_a_name_is_below_the_workspace_and_a_path_is_a_path() -> None:
    made("ws/datasets/movie", "movie", "other")
    assert find("datasets", "movie", Path("ws")) == Path("ws/datasets/movie")
    assert find("datasets", "./movie", Path("ws")) == Path("movie")
    assert find("datasets", "other", Path("ws")) == Path("other")
    assert find("datasets", "ws/datasets/movie", Path("ws")) == Path("ws/datasets/movie")
    assert find("datasets", str(Path("movie").absolute()), Path("ws")) == Path("movie").absolute()


def test_without_a_workspace_the_usual_folder_counts_where_it_is_there() -> None:
    made("movie")
    assert find("datasets", "movie", None) == Path("movie")
    made("workspace/datasets/movie")
    assert find("datasets", "movie", None) == Path("workspace/datasets/movie")


def test_what_is_not_there_is_looked_for_in_every_place() -> None:
    made("ws")
    with pytest.raises(NotFoundError, match=r"no dataset movie, neither at ws/datasets/movie nor at movie"):
        find("datasets", "movie", Path("ws"))


def test_what_is_made_is_made_where_a_person_expects_it() -> None:
    made("ws/datasets", "data")
    assert place("datasets", "new", Path("ws")) == Path("ws/datasets/new")
    assert place("datasets", "user/new", Path("ws")) == Path("ws/datasets/user/new")
    assert place("datasets", "ws/datasets/new", Path("ws")) == Path("ws/datasets/new")
    assert place("datasets", "data/new", Path("ws")) == Path("data/new")
    assert place("datasets", "./new", Path("ws")) == Path("new")
    assert place("datasets", "new", None) == Path("new")


def test_the_name_of_a_model_may_leave_out_its_ending() -> None:
    made("ws/models")
    Path("ws/models/nuclei.pth").touch()
    assert find("models", "nuclei", Path("ws")) == Path("ws/models/nuclei.pth")
    assert find("models", "ws/models/nuclei", Path("ws")) == Path("ws/models/nuclei.pth")
    assert place("models", "new", Path("ws")) == Path("ws/models/new.pth")
    Path("ws/models/plain").touch()
    assert find("models", "plain", Path("ws")) == place("models", "plain", Path("ws")) == Path("ws/models/plain")


def test_a_misspelt_name_is_reported_with_similar_ones() -> None:
    made("ws/models/user", "ws/datasets/embryo")
    Path("ws/models/user/detection.pth").touch()
    with pytest.raises(NotFoundError, match=r"did you mean user/detection\.pth\? Otherwise check the name"):
        find("models", "user/detecton", Path("ws"))
    with pytest.raises(NotFoundError, match=r"did you mean embryo\? Otherwise check the name"):
        find("datasets", "embrio", Path("ws"))
