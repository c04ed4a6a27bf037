"""What several integration tests start from: the archiver over real tables, and servers for a gateway."""

import asyncio
from collections.abc import AsyncIterator

import pytest_asyncio

from libs.common.database import open_engine, upgrade
from libs.common.storage import memory_store
from libs.common.topology import declare_topology
from tests.integration.routed import Archive
from tests.servers import Servers, unique_name


@pytest_asyncio.fixture
async def archive(servers: Servers) -> AsyncIterator[Archive]:
    """The archiver over tables of its own, with project P."""
    name = unique_name()
    servers.create_database(name)
    url = servers.environment(name)["DATABASE_URL"]
    await asyncio.to_thread(upgrade, url)
    engine = open_engine(url)
    made = Archive(engine, memory_store())
    await made.project()
    yield made
    await engine.dispose()


@pytest_asyncio.fixture(scope="module")
async def environment(servers: Servers) -> dict[str, str]:
    """The environment of a virtual host, a database with all tables and a bucket, for the tests of one module."""
    allotted = servers.allot(unique_name())
    await asyncio.to_thread(upgrade, allotted["DATABASE_URL"])
    await declare_topology(allotted["AMQP_URL"])
    return allotted
