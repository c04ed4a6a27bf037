"""The user's cache over HTTP on real servers, and imports that take from it (import semantics §1.3, §10)."""

from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio
import sqlalchemy as sa

from libs.common.schema import cache_files, import_sources, imports
from libs.common.storage import memory_store
from tests.integration.gateway import Gateway, settings_of

CACHE = "/data/user/cache/resources"
IMPORT = "/data/services/import"
ASYNC = {"Prefer": "respond-async"}


@pytest_asyncio.fixture
async def gateway(environment: dict[str, str]) -> AsyncIterator[Gateway]:
    """A gateway with project P of `owner`, and nobody behind it."""
    made = Gateway.over(settings_of(environment, SCANDOCK_MAX_UPLOAD_BYTES=1000), memory_store())
    await made.empty()
    owner = await made.user("owner")
    await owner.put("/data/projects/P")
    yield made
    await made.close()


@pytest.fixture
def http(gateway: Gateway) -> httpx.AsyncClient:
    return gateway.client("owner")


async def put(http: httpx.AsyncClient, path: str, body: bytes = b"zip") -> None:
    answer = await http.put(f"{CACHE}/{path}?inbody=true", content=body, headers={"Content-Type": "application/zip"})
    assert (answer.status_code, answer.text) == (200, "")


async def keys(gateway: Gateway) -> dict[str, str]:
    return {str(row["path"]): str(row["object_key"]) for row in await gateway.rows(sa.select(cache_files))}


async def sources(gateway: Gateway, answer: httpx.Response) -> list[tuple[str, str]]:
    """Name and bytes of what an import takes, in order."""
    import_id = answer.headers["X-Scandock-Import"]
    rows = await gateway.rows(
        sa.select(import_sources).where(import_sources.c.import_id == import_id).order_by(import_sources.c.ordinal)
    )
    return [(str(r["name"]), (await gateway.store.read(str(r["object_key"]), 0, 1000)).decode()) for r in rows]


async def test_what_is_put_can_be_listed_read_and_removed(http: httpx.AsyncClient) -> None:
    await put(http, "up 1/files/dir/a b.zip", b"0123456789")
    await put(http, "up 1/files/c.zip")
    await put(http, "up2/files/c.zip")
    assert (await http.get(CACHE)).json()["ResultSet"]["Result"] == [
        {"Name": "up 1", "file_count": "2", "file_size": "13", "URI": f"{CACHE}/up%201"},
        {"Name": "up2", "file_count": "1", "file_size": "3", "URI": f"{CACHE}/up2"},
    ]
    rows = (await http.get(f"{CACHE}/up 1/files")).json()["ResultSet"]["Result"]
    assert rows == [
        {"Name": "c.zip", "Size": "3", "URI": f"{CACHE}/up%201/files/c.zip"},
        {"Name": "dir/a b.zip", "Size": "10", "URI": f"{CACHE}/up%201/files/dir/a%20b.zip"},
    ]
    whole = await http.get(rows[1]["URI"])
    assert (whole.status_code, whole.content) == (200, b"0123456789")
    part = await http.get(rows[1]["URI"], headers={"Range": "bytes=2-4"})
    assert (part.status_code, part.content) == (206, b"234")
    assert (await http.head(rows[1]["URI"])).headers["content-length"] == "10"
    assert (await http.delete(rows[1]["URI"])).status_code == 200
    assert (await http.get(rows[1]["URI"])).status_code == 404
    assert (await http.delete(f"{CACHE}/up2")).status_code == 200
    assert [row["Name"] for row in (await http.get(CACHE)).json()["ResultSet"]["Result"]] == ["up 1"]
    for path in ("up2", "up2/files", "up2/files/c.zip"):
        assert (await http.get(f"{CACHE}/{path}")).status_code == 404
        assert (await http.delete(f"{CACHE}/{path}")).status_code in {404, 405}


async def test_a_name_is_not_a_pattern(http: httpx.AsyncClient) -> None:
    await put(http, "a_b/files/1")
    await put(http, "axb/files/1")
    assert len((await http.get(f"{CACHE}/a_b/files")).json()["ResultSet"]["Result"]) == 1
    assert (await http.delete(f"{CACHE}/a_b")).status_code == 200
    assert (await http.get(f"{CACHE}/axb/files/1")).status_code == 200


async def test_a_cache_is_its_users_alone(gateway: Gateway, http: httpx.AsyncClient) -> None:
    await put(http, "a/files/1")
    admin = await gateway.user("admin", admin=True)
    assert (await admin.get(CACHE)).json()["ResultSet"]["Result"] == []
    for path in ("a/files", "a/files/1"):
        assert (await admin.get(f"{CACHE}/{path}")).status_code == 404
    assert (await admin.delete(f"{CACHE}/a")).status_code == 404
    answer = await admin.post(IMPORT, params={"src": "/user/cache/resources/a/files/1"}, headers=ASYNC)
    assert answer.status_code == 404
    assert (await gateway.client().get(CACHE)).status_code == 401


async def test_each_put_is_a_new_object(gateway: Gateway, http: httpx.AsyncClient) -> None:
    await put(http, "a/files/1", b"old")
    first = await keys(gateway)
    await put(http, "a/files/1", b"newer")
    second = await keys(gateway)
    assert first.keys() == second.keys() == {"a/1"}
    assert first != second
    assert await gateway.store.read(first["a/1"], 0, 100) == b"old"
    assert (await http.get(f"{CACHE}/a/files/1")).content == b"newer"
    assert "owner" not in second["a/1"]


async def test_a_form_puts_its_file_or_each_file_under_its_name(gateway: Gateway, http: httpx.AsyncClient) -> None:
    answer = await http.put(f"{CACHE}/L/files/as named.zip", files={"image": ("x.zip", b"zip")})
    assert answer.status_code == 200
    answer = await http.put(f"{CACHE}/L/files", files=[("f", ("a.zip", b"a")), ("f", ("b.zip", b"b"))])
    assert answer.status_code == 200
    assert sorted(await keys(gateway)) == ["L/a.zip", "L/as named.zip", "L/b.zip"]
    assert (await http.put(f"{CACHE}/L")).status_code == 200


async def test_what_cannot_be_put_is_refused(gateway: Gateway, http: httpx.AsyncClient) -> None:
    two = {"files": [("f", ("a.zip", b"a")), ("f", ("b.zip", b"b"))]}
    refused: list[tuple[int, str, dict[str, object]]] = [
        (400, "L/files/a", {"content": b""}),
        (400, "L/files/a", two),
        (413, "L/files/a", {"content": bytes(1001)}),
        (400, "L/files/a//b", {"content": b"x"}),
        (400, "L/files/" + "x" * 256, {"content": b"x"}),
        (400, "L/files/" + "x/" * 600 + "x", {"content": b"x"}),
        (400, "L/files/%2e%2e/a", {"content": b"x"}),
        (400, "L/files/a%5Cb", {"content": b"x"}),
        (400, "%2e%2e/files/a", {"content": b"x"}),
    ]
    for status, path, request in refused:
        answer = await http.put(f"{CACHE}/{path}", **request)  # type: ignore[arg-type]
        assert (answer.status_code, path[:40]) == (status, path[:40]), answer.text
    assert await keys(gateway) == {}


async def test_an_import_takes_what_src_names_behind_the_files_of_its_form(
    gateway: Gateway, http: httpx.AsyncClient
) -> None:
    for name in ("1.zip", "2.zip", "3,4.zip"):
        await put(http, f"a/files/d/{name}", name.encode())
    path = "/user/cache/resources/a/files/d"
    plain = await http.post(IMPORT, params={"src": f"{path}/1.zip"}, headers=ASYNC)
    assert await sources(gateway, plain) == [("1.zip", "1.zip")]
    several = {"src": [f"{path}/2.zip,/data{path}/3,4.zip", f"{path}/1.zip"], "project": "P"}
    answer = await http.post(IMPORT, params=several, headers=ASYNC)
    assert await sources(gateway, answer) == [(name, name) for name in ("2.zip", "3,4.zip", "1.zip")]
    mixed = await http.post(IMPORT, data=several, files={"f": ("0.zip", b"0")}, headers=ASYNC)
    assert await sources(gateway, mixed) == [("0.zip", "0"), *((n, n) for n in ("2.zip", "3,4.zip", "1.zip"))]
    urlencoded = await http.post(IMPORT, data={"src": f"{path}/2.zip"}, headers=ASYNC)
    assert await sources(gateway, urlencoded) == [("2.zip", "2.zip")]
    missing = await http.post(IMPORT, params={"src": f"{path}/1.zip,{path}/no.zip"}, headers=ASYNC)
    assert (missing.status_code, missing.text.startswith("Unknown src file.")) == (404, True)
    assert len(await keys(gateway)) == 3  # until the import is completed


async def test_an_import_keeps_its_bytes_whatever_happens_to_the_path(
    gateway: Gateway, http: httpx.AsyncClient
) -> None:
    await put(http, "a/files/1", b"old")
    answer = await http.post(IMPORT, params={"src": "/user/cache/resources/a/files/1"}, headers=ASYNC)
    await put(http, "a/files/1", b"new")
    assert (await http.delete(f"{CACHE}/a")).status_code == 200
    assert await sources(gateway, answer) == [("1", "old")]


async def test_a_repeat_by_its_key_joins_the_import_that_has_consumed_the_file(
    gateway: Gateway, http: httpx.AsyncClient
) -> None:
    await put(http, "a/files/1")
    request = {"params": {"src": "/user/cache/resources/a/files/1"}, "headers": {**ASYNC, "Idempotency-Key": "k"}}
    first = await http.post(IMPORT, **request)  # type: ignore[arg-type]
    await http.delete(f"{CACHE}/a")
    again = await http.post(IMPORT, **request)  # type: ignore[arg-type]
    assert first.headers["X-Scandock-Import"] == again.headers["X-Scandock-Import"]


async def test_who_follows_an_import_by_its_listener_is_answered_at_once(
    gateway: Gateway, http: httpx.AsyncClient
) -> None:
    """Import semantics §10; A53."""
    await put(http, "L/files/a.zip")
    form = {"src": "/user/cache/resources/L/files/a.zip", "http-session-listener": "L", "project": "P"}
    answer = await http.post(IMPORT, data=form)
    assert (answer.status_code, answer.text) == (200, "Submitted for prearchival")
    answer = await http.post(IMPORT, data={**form, "prearchive_code": "1", "auto-archive": "TRUE"})
    assert (answer.status_code, answer.text) == (200, "Submitted for archival")
    other = await http.post(IMPORT, data={**form, "http-session-listener": "M"})
    assert other.text == "Submitted for prearchival"
    rows = await gateway.rows(sa.select(imports.c.listener).order_by(imports.c.received_at))
    assert [row["listener"] for row in rows] == ["L", "L", "M"]
