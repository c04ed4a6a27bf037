"""The real servers, started once per run; a missing one fails the tests that need it."""

from collections.abc import Generator, Iterator

import pytest

from tests.servers import Servers, running_servers, unique_name
from tests.stack import Stack, running_stack


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """RabbitMQ, PostgreSQL and SeaweedFS."""
    with running_servers(tmp_path_factory.mktemp("servers")) as started:
        yield started


@pytest.fixture
def allotment(servers: Servers) -> Iterator[dict[str, str]]:
    """A virtual host, database and bucket for one test: the environment that leads to them."""
    name = unique_name()
    yield servers.allot(name)
    servers.release(name)


@pytest.fixture(scope="session")
def stack(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The five services, shared by the end-to-end tests. A test that stops one starts it again."""
    with running_stack(servers, tmp_path_factory.mktemp("stack"), unique_name()) as started:
        yield started


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the end of the services' logs with a failed test that used them."""
    report = yield
    used = getattr(item, "funcargs", {}).get("stack")
    if report.failed and isinstance(used, Stack):
        report.sections.append(("logs of the services", used.logs()))
    return report
