"""What an end-to-end test works with: a client, a project of its own, and a subscriber to every event."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import aio_pika
import httpx
import pytest_asyncio

from tests.stack import Stack


@dataclass
class Site:
    """The stack as a user sees it."""

    stack: Stack
    http: httpx.AsyncClient

    async def upload(self, body: bytes, content_type: str = "application/zip", **parameters: str) -> httpx.Response:
        """Post `body` raw to the import service."""
        return await self.http.post(
            "/data/services/import",
            params={"inbody": "true", **parameters},
            content=body,
            headers={"Content-Type": content_type},
        )

    async def rows(self, path: str, **parameters: str) -> list[dict[str, str]]:
        """The rows of a listing."""
        response = await self.http.get(path, params={"format": "json", **parameters})
        assert response.status_code == 200, f"{path}: {response.status_code} {response.text[:300]}"
        rows: list[dict[str, str]] = response.json()["ResultSet"]["Result"]
        assert all(isinstance(value, str) for row in rows for value in row.values()), "tables hold strings alone"
        return rows

    async def report(self, response: httpx.Response) -> list[dict[str, Any]]:
        """The per-member report of the import that `response` answers."""
        answer = await self.http.get(f"/data/services/import/{import_id(response)}/report")
        assert answer.status_code == 200, answer.text
        return [json.loads(line) for line in answer.text.splitlines()]

    async def archived_files(self, project: str) -> dict[tuple[str, str, str, str], str]:
        """(session label, scan, resource, name) -> MD5 of every archived file of a project."""
        found = {}
        for experiment in await self.rows(f"/data/projects/{project}/experiments"):
            for row in await self.rows(f"/data/experiments/{experiment['ID']}/scans/ALL/files"):
                scan = row["URI"].split("/scans/")[1].split("/")[0]
                found[experiment["label"], scan, row["collection"], row["Name"]] = row["digest"]
        return found


def import_id(response: httpx.Response) -> str:
    """The id of the import that an answer belongs to."""
    return response.headers["X-Scandock-Import"]


def uris(response: httpx.Response) -> list[str]:
    """The URIs of a successful import: one a line, each ended by CRLF."""
    assert response.status_code == 200, f"{response.status_code}: {response.text[:500]}"
    assert response.headers["Content-Type"].startswith("text/uri-list")
    assert response.text.endswith("\r\n")
    return response.text.removesuffix("\r\n").split("\r\n")


@dataclass
class Subscriber:
    """An outside system with a queue of its own on the public exchange."""

    seen: list[dict[str, Any]] = field(default_factory=list)

    def of(self, import_: str) -> list[dict[str, Any]]:
        """The events that belong to an import, in order of arrival."""
        return [event for event in self.seen if event["correlationid"] == import_]

    async def until(self, import_: str, *types: str, seconds: float = 20) -> list[dict[str, Any]]:
        """The events of an import, once those of `types` (such as `session.archived`) are among them."""
        wanted = {f"org.scandock.{name}.v1" for name in types}
        deadline = asyncio.get_running_loop().time() + seconds
        while not wanted <= {event["type"] for event in self.of(import_)}:
            got = sorted(event["type"] for event in self.of(import_))
            assert asyncio.get_running_loop().time() < deadline, f"waited for {sorted(wanted)}, got {got}"
            await asyncio.sleep(0.05)
        return self.of(import_)


@pytest_asyncio.fixture(scope="session")
async def site(stack: Stack) -> AsyncIterator[Site]:
    """The stack, as its administrator."""
    async with httpx.AsyncClient(
        base_url=stack.url, auth=(stack.user, stack.password), timeout=120, trust_env=False
    ) as http:
        yield Site(stack, http)


@pytest_asyncio.fixture
async def project(site: Site) -> str:
    """A project that no other test uses."""
    name = f"p{uuid.uuid4().hex[:10]}"
    response = await site.http.put(f"/data/projects/{name}")
    assert response.status_code in {200, 201}, response.text
    return name


@pytest_asyncio.fixture(scope="session")
async def events(stack: Stack) -> AsyncIterator[Subscriber]:
    """Everything that is announced from now on."""
    subscriber = Subscriber()

    async def receive(delivery: aio_pika.abc.AbstractIncomingMessage) -> None:
        subscriber.seen.append(json.loads(delivery.body))
        await delivery.ack()

    async with await aio_pika.connect(stack.env["AMQP_URL"]) as connection:
        channel = await connection.channel()
        queue = await channel.declare_queue(exclusive=True)
        await queue.bind("scandock.events", "#")
        await queue.consume(receive)
        yield subscriber
