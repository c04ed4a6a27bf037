"""A service killed in the middle of a command and started again finishes it: nothing lost, nothing doubled (issue 4).

Events may come twice, but then word for word.
"""

import asyncio
import hashlib
from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import psycopg
import pytest

from tests.builders import series, uid, zip_bytes
from tests.e2e.conftest import Site, Subscriber, uris
from tests.e2e.watching import until

Files = dict[str, bytes]
Begin = Callable[[Site, str, Files], Awaitable[str]]
KILLS = (0.05, 0.4, 0.8, 1.2)
"""Seconds between the starts and kills of a service: while it starts, and while it works."""
ASYNC = {"Prefer": "respond-async"}


def study(project: str, count: int = 120) -> Files:
    """Two series of one study that nothing else has."""
    return {
        f"{name}/{number:04d}.dcm": body
        for name in ("1", "2")
        for number, body in enumerate(
            series(count, f"{project}/{name}", SeriesNumber=int(name), StudyInstanceUID=uid(project))
        )
    }


def digests(files: Files) -> list[str]:
    return sorted(hashlib.md5(body).hexdigest() for body in files.values())


async def begin_archive(site: Site, project: str, files: Files) -> str:
    (uri,) = uris(await site.upload(zip_bytes(files), dest=f"/prearchive/projects/{project}"))
    labels = {"src": uri, "subject": "S", "session": "E"}
    return accepted(await site.http.post("/data/services/archive", params=labels, headers=ASYNC))


async def begin_commit(site: Site, project: str, files: Files) -> str:
    """Of an entry that gradual-DICOM and DICOM-zip have filled."""
    dest = f"/prearchive/projects/{project}"
    first, *_ = files
    gradual = {"import-handler": "gradual-DICOM", "dest": dest}
    (uri,) = uris(await site.upload(files[first], "application/dicom", **gradual))
    assert uris(await site.upload(zip_bytes(files), **{"import-handler": "DICOM-zip", "dest": dest})) == [uri]
    return accepted(await site.http.post(uri, params={"action": "commit", "AA": "true"}, headers=ASYNC))


def accepted(response: httpx.Response) -> str:
    assert response.status_code == 202, f"{response.status_code} {response.text[:300]}"
    return response.headers["X-Scandock-Command"]


async def begin_refresh(site: Site, project: str, files: Files) -> str:
    """Every file is read again; the checksum of one is wrong. Its client does not wait for the answer."""
    dest = f"/archive/projects/{project}/subjects/S/experiments/E"
    uris(await site.upload(zip_bytes(files), dest=dest))
    with psycopg.connect(site.stack.env["DATABASE_URL"], autocommit=True) as connection:
        connection.execute(
            "update files set md5 = repeat('0', 32) where id = (select min(f.id) from files f"
            " join sessions s on s.id = f.session_id where s.project = %s)",
            (project,),
        )
    asked = {"resource": dest, "checksum": "true", "populateStats": "true"}
    asking = asyncio.create_task(site.http.post("/data/services/refresh/catalog", params=asked))
    await until(lambda: commands_given(site, project), 1)
    asking.cancel()
    return (await commands_of(site, project))[0]


async def commands_given(site: Site, project: str) -> int:
    return len(await commands_of(site, project))


async def commands_of(site: Site, project: str) -> list[str]:
    """The commands that anybody has given to the project's sessions."""
    query = "select c.id from commands c join sessions s on s.id = c.session_id where s.project = %s"
    async with await psycopg.AsyncConnection.connect(site.stack.env["DATABASE_URL"]) as connection:
        return [str(row[0]) for row in await (await connection.execute(query, (project,))).fetchall()]


COMMANDS: dict[str, tuple[Begin, set[str]]] = {
    "archive": (begin_archive, {"session.archived", "pipeline.requested"}),
    "commit": (begin_commit, {"session.received", "session.archived", "pipeline.requested"}),
    "refresh": (begin_refresh, {"session.updated", "catalog.refreshed"}),
}


async def ended(site: Site, command: str, seconds: float = 90) -> str:
    """The outcome of a command, once it has one."""
    deadline = asyncio.get_running_loop().time() + seconds
    while True:
        async with await psycopg.AsyncConnection.connect(site.stack.env["DATABASE_URL"]) as connection:
            row = await (
                await connection.execute("select outcome, done_at, told_at from commands where id = %s", (command,))
            ).fetchone()
        if row is not None and row[0] is not None:
            return str(row[0])
        assert asyncio.get_running_loop().time() < deadline, f"not finished: {row}"
        await asyncio.sleep(0.2)


async def told_once(events: Subscriber, command: str, types: set[str]) -> None:
    """Each of `types` by one event alone; what came more than once has the same words."""
    await events.until(command, *types, seconds=90)
    await asyncio.sleep(1)
    by_id: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for event in events.of(command):
        by_id[event["id"]].append(event)
    assert all(event == same[0] for same in by_id.values() for event in same), "told in other words"
    assert sorted(same[0]["type"] for same in by_id.values()) == sorted(f"org.scandock.{one}.v1" for one in types)


async def is_whole(site: Site, project: str, files: Files) -> None:
    """All files are in one archived session, once each; the prearchive is empty, and the counts are right."""
    assert sorted((await site.archived_files(project)).values()) == digests(files)
    assert await site.rows(f"/data/prearchive/projects/{project}") == []
    (session,) = await site.rows(f"/data/projects/{project}/experiments")
    resources = await site.rows(f"/data/experiments/{session['ID']}/scans/ALL/resources")
    assert sum(int(row["file_count"]) for row in resources) == len(files)
    with psycopg.connect(site.stack.env["DATABASE_URL"]) as connection:
        query = "select count(*), count(distinct object_key) from files join sessions s on s.id = session_id"
        row = connection.execute(f"{query} where s.project = %s", (project,)).fetchone()
    assert row == (len(files), len(files))


@pytest.mark.parametrize("worker", ["archiver", "catalog"])
@pytest.mark.parametrize("kind", COMMANDS)
async def test_a_worker_that_dies_in_a_command_finishes_it_after_its_restart(
    site: Site, project: str, events: Subscriber, kind: str, worker: str
) -> None:
    begin, types = COMMANDS[kind]
    files = study(project)
    command = await begin(site, project, files)
    site.stack.restart(worker)
    for delay in KILLS:
        await asyncio.sleep(delay)
        site.stack.restart(worker)
    site.stack.wait_until_ready()
    assert await ended(site, command) == "completed"
    await is_whole(site, project, files)
    await told_once(events, command, types)


async def test_a_gateway_that_dies_after_the_command_is_accepted_answers_its_repeat(site: Site, project: str) -> None:
    """The client's repeat joins the command that its first request has left."""
    files = study(project, 6)
    (uri,) = uris(await site.upload(zip_bytes(files), dest=f"/prearchive/projects/{project}"))

    async def archive() -> httpx.Response:
        return await site.http.post("/data/services/archive", params={"src": uri, "subject": "S", "session": "E"})

    site.stack.kill("archiver")
    first = asyncio.create_task(archive())
    await asyncio.sleep(1.5)
    site.stack.kill("gateway")
    with pytest.raises(httpx.TransportError):
        await first
    site.stack.start("gateway")
    await until(lambda: is_answering(site), expected=True)
    again = asyncio.create_task(archive())
    await asyncio.sleep(1)
    site.stack.start("archiver")
    site.stack.wait_until_ready()
    assert uris(await again) == [f"/data/archive/projects/{project}/subjects/S/experiments/E"]
    await is_whole(site, project, files)
    assert len(await commands_of(site, project)) == 1


async def is_answering(site: Site) -> bool:
    try:
        return (await site.http.get("/data/version")).status_code < 500
    except httpx.TransportError:
        return False


async def test_a_command_whose_message_was_never_published_is_told_by_the_sweep(
    site: Site, project: str, events: Subscriber
) -> None:
    """A row is the promise: also where the gateway died before it told of it."""
    files = study(project, 6)
    uris(await site.upload(zip_bytes(files), dest=f"/prearchive/projects/{project}"))
    with psycopg.connect(site.stack.env["DATABASE_URL"], autocommit=True) as connection:
        row = connection.execute(
            "insert into commands (id, login, kind, request, session_id) select gen_random_uuid(), 'admin', 'archive',"
            """ '{"kind": "archive", "subject": "S", "session": "E"}', id from sessions where project = %s"""
            " and place = 'prearchive' returning id",
            (project,),
        ).fetchone()
    assert row is not None
    assert await ended(site, str(row[0])) == "completed"
    await is_whole(site, project, files)
    await told_once(events, str(row[0]), {"session.archived", "pipeline.requested"})
