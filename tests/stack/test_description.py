"""The server keeps to its own description, whatever is sent that the description allows or does not."""

from itertools import count
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis import checks
from schemathesis.generation.meta import TestPhase
from schemathesis.pytest.lazy import get_all_tests

from elephant_server.api.openapi import describe
from elephant_server.main import create_app
from elephant_server.settings import Settings
from stack.running import RunningServer
from thorough import PLAYS_ALL

pytestmark = pytest.mark.stack

# Not that all is accepted that the description allows: it cannot say which datasets there are, nor what fits together.
CHECKS = [
    checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    checks.allow_header_conformance,
]


WALKED = count()


@pytest.fixture(scope="module")
def description() -> dict[str, Any]:
    return describe(create_app(Settings(redis_port=1)))


def test_the_server_gives_its_description(server: RunningServer, description: dict[str, Any]) -> None:
    assert requests.get(server.base_url + "openapi.json", timeout=60).json() == description


@settings(max_examples=15, suppress_health_check=list(HealthCheck))
def keeps_to_it(case: schemathesis.Case, server: RunningServer) -> None:
    """Ask what was made up at random, and one in four of the thousands that walk along the limits of each value."""
    if not PLAYS_ALL and case.meta and case.meta.phase.name is TestPhase.COVERAGE and next(WALKED) % 4:
        return
    case.call_and_validate(base_url=server.base_url.rstrip("/"), checks=CHECKS, timeout=30)


@pytest.mark.timeout(900)
def test_the_server_keeps_to_its_description(
    server: RunningServer, description: dict[str, Any], subtests: pytest.Subtests
) -> None:
    """No training comes of it: no dataset has the names that are made up.

    Its cases are made here, once: as tests of their own, each process that collects the tests would make them, and all
    would have one name, of which several processes together run a single one.
    """
    schema = schemathesis.openapi.from_dict(description).exclude(deprecated=True)
    operations = [
        found.ok() for found in get_all_tests(schema=schema, test_func=keeps_to_it, settings=None, given_kwargs=None)
    ]
    assert len(operations) > 40
    for operation, check in operations:
        with subtests.test(operation.label):
            check(server=server)
