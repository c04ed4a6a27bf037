"""The published OpenAPI document against the running services: whatever is sent by it, nothing answers 5xx."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from requests.exceptions import RequestException

from tests.servers import Servers, unique_name
from tests.stack import Stack, running_stack

EXAMPLES = 6
SECONDS = 60
"""Of all operations together; each gets at least one example."""


@pytest.fixture(scope="module")
def own_stack(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Services of this test alone: it changes settings and users of the site, too."""
    with running_stack(servers, tmp_path_factory.mktemp("openapi"), unique_name()) as started:
        yield started


def refuses(stack: Stack, operation: Any, seconds: float) -> str:
    """What an operation answered that it must not, "" if nothing; the same examples on every run."""
    until = time.monotonic() + seconds
    wrong: list[str] = []

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy())
    def send(case: Any) -> None:
        if wrong or time.monotonic() > until:
            return
        try:
            answer = case.call(base_url=stack.url, auth=(stack.user, stack.password), timeout=20, allow_redirects=False)
        except RequestException as error:
            wrong.append(f"{type(error).__name__}: {case.as_curl_command()[:2000]}")
            return
        if answer.status_code >= 500:
            wrong.append(f"{answer.status_code} {answer.text[:300]}: {case.as_curl_command()[:2000]}")

    send()
    return wrong[0] if wrong else ""


def test_nothing_that_the_openapi_document_allows_is_answered_with_5xx(own_stack: Stack) -> None:
    """Issue 4: the published OpenAPI document survives schemathesis without a 5xx."""
    schema = schemathesis.openapi.from_url(f"{own_stack.url}/openapi.json")
    operations = [found.ok() for found in schema.get_all_operations()]
    assert len(operations) > 50
    each = SECONDS / len(operations)
    wrong = {operation.label: text for operation in operations if (text := refuses(own_stack, operation, each))}
    assert not wrong, "\n".join(f"{label}: {text}" for label, text in wrong.items())


def test_every_operation_is_described(own_stack: Stack) -> None:
    schema = schemathesis.openapi.from_url(f"{own_stack.url}/openapi.json")
    for found in schema.get_all_operations():
        operation = found.ok()
        assert operation.definition.raw.get("summary"), operation.label
