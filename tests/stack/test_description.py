"""The server keeps to its own description, whatever is sent that the description allows or does not."""

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis import checks

from elephant_server.api.openapi import describe
from elephant_server.main import create_app
from elephant_server.settings import Settings
from stack.running import RunningServer

pytestmark = pytest.mark.stack

DESCRIPTION = describe(create_app(Settings(redis_port=1)))
# Not that all is accepted that the description allows: it cannot say which datasets there are, nor what fits together.
CHECKS = [
    checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    checks.allow_header_conformance,
]

schema = schemathesis.openapi.from_dict(DESCRIPTION).exclude(deprecated=True)


def test_the_server_gives_its_description(server: RunningServer) -> None:
    assert requests.get(server.base_url + "openapi.json", timeout=60).json() == DESCRIPTION


@schema.parametrize()
@settings(max_examples=15, suppress_health_check=list(HealthCheck))
def test_the_server_keeps_to_its_description(case: schemathesis.Case, server: RunningServer) -> None:
    """No training comes of it: no dataset has the names that are made up."""
    case.call_and_validate(base_url=server.base_url.rstrip("/"), checks=CHECKS, timeout=30)
