"""A service killed in the middle of an import and started again finishes it (issue 3, Bad input and faults)."""

import asyncio
import hashlib
import signal
import uuid

import httpx
import psycopg
import pytest

from tests.e2e.conftest import Site, uris
from tests.e2e.uploads import folder, zipped

MR = "01_mr_ge_multiseries"
WORKERS = ("extractor", "router", "archiver", "catalog")


def expected() -> list[str]:
    return sorted(hashlib.md5(body).hexdigest() for path, body in folder(MR).items() if path.endswith(".dcm"))


async def finished(site: Site, import_: str, seconds: float = 60) -> dict[str, object]:
    """The status of an import, once it has ended."""
    deadline = asyncio.get_running_loop().time() + seconds
    while True:
        try:
            response = await site.http.get(f"/data/services/import/{import_}")
        except httpx.TransportError:
            response = None
        if response is not None and response.status_code == 200:
            status: dict[str, object] = response.json()
            if status["state"] in {"completed", "rejected", "failed"}:
                return status
        assert asyncio.get_running_loop().time() < deadline, f"not finished: {response and response.text}"
        await asyncio.sleep(0.2)


async def accepted(site: Site, project: str) -> str:
    """An import that is acknowledged and runs by itself."""
    response = await site.http.post(
        "/data/services/import",
        params={"dest": f"/archive/projects/{project}"},
        content=zipped(folder(MR)),
        headers={"Content-Type": "application/zip", "Prefer": "respond-async"},
    )
    assert response.status_code == 202, response.text
    return response.headers["X-Scandock-Import"]


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "terminated"])
@pytest.mark.parametrize("worker", WORKERS)
async def test_a_worker_that_dies_in_the_middle_finishes_after_its_restart(
    site: Site, project: str, worker: str, how: signal.Signals
) -> None:
    site.stack.kill(worker)
    before = await accepted(site, project)
    site.stack.start(worker)
    for delay in (0.05, 0.4, 0.8, 1.2):
        await asyncio.sleep(delay)
        site.stack.restart(worker, how)
    status = await finished(site, before)
    assert status["state"] == "completed", status
    assert sorted((await site.archived_files(project)).values()) == expected()
    site.stack.wait_until_ready()


async def test_a_gateway_that_dies_after_the_upload_answers_after_its_restart(site: Site, project: str) -> None:
    """The import ends while nobody can answer; the client's retry with the same key gets its answer."""
    key = uuid.uuid4().hex

    async def post() -> httpx.Response:
        return await site.http.post(
            "/data/services/import",
            params={"dest": f"/archive/projects/{project}"},
            content=zipped(folder(MR)),
            headers={"Content-Type": "application/zip", "Idempotency-Key": key},
        )

    site.stack.kill("extractor")
    first = asyncio.create_task(post())
    await asyncio.sleep(1.5)
    site.stack.kill("gateway")
    with pytest.raises(httpx.TransportError):
        await first
    site.stack.start("extractor")
    await ended(site, key)
    site.stack.start("gateway")
    site.stack.wait_until_ready()
    (uri,) = uris(await post())
    assert f"/data/archive/projects/{project}/" in uri
    assert sorted((await site.archived_files(project)).values()) == expected()


async def ended(site: Site, key: str) -> None:
    """Wait until the import of this `Idempotency-Key` has its outcome, by looking at its row."""
    deadline = asyncio.get_running_loop().time() + 60
    with psycopg.connect(site.stack.env["DATABASE_URL"], autocommit=True) as connection:
        query = "select 1 from imports where idempotency_key = %s and outcome = 'completed'"
        while connection.execute(query, (key,)).fetchone() is None:
            assert asyncio.get_running_loop().time() < deadline, "the import does not end"
            await asyncio.sleep(0.1)


async def test_an_import_whose_message_was_never_published_is_told_again(site: Site, project: str) -> None:
    """A row is the promise: the sweep publishes what a dead gateway could not."""
    import_ = await accepted(site, project)
    await finished(site, import_)
    with psycopg.connect(site.stack.env["DATABASE_URL"], autocommit=True) as connection:
        other = uuid.uuid4()
        connection.execute(
            "with again as (insert into imports (id, login, request, size_bytes, sha256)"
            " select %s, login, jsonb_set(request, '{destination,session}', '\"again\"'), size_bytes, sha256"
            " from imports where id = %s)"
            " insert into import_sources (import_id, ordinal, object_key, name, size_bytes, sha256)"
            " select %s, ordinal, object_key, name, size_bytes, sha256 from import_sources where import_id = %s",
            (other, import_, other, import_),
        )
    status = await finished(site, str(other))
    assert status["state"] == "completed", status
    labels = {row["label"] for row in await site.rows(f"/data/projects/{project}/experiments")}
    assert "again" in labels


async def test_a_client_that_leaves_in_mid_upload_leaves_nothing(site: Site, project: str) -> None:
    async def half():  # type: ignore[no-untyped-def]
        yield zipped(folder(MR))[:200_000]
        raise ConnectionError("the client has gone")

    with pytest.raises((httpx.HTTPError, ConnectionError)):
        await site.http.post(
            "/data/services/import",
            params={"dest": f"/archive/projects/{project}"},
            content=half(),
            headers={"Content-Type": "application/zip"},
        )
    assert await site.rows(f"/data/prearchive/projects/{project}") == []
    assert await site.rows(f"/data/projects/{project}/experiments") == []
