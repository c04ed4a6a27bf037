"""Progress, AutoRun's records and direct archive's list, from rows as the workers leave them (§8, §10)."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import uuid4

import httpx
import pytest
import pytest_asyncio
import sqlalchemy as sa

from libs.common.database import transaction, upgrade
from libs.common.schema import commands, import_sessions, import_sources, imports, session_changes
from libs.common.storage import memory_store
from tests.integration.gateway import AT, Gateway, settings_of
from tests.servers import Servers, unique_name

ARCHIVED = "/archive/projects/P/subjects/S1/experiments/E1"
WAITING = "/prearchive/projects/P/20240131_101530123/E2"


@pytest_asyncio.fixture(scope="module")
async def site(servers: Servers) -> AsyncIterator[Gateway]:
    """Project P of `owner`; `stranger` may not see it."""
    name = unique_name()
    servers.create_database(name)
    environment = servers.environment(name)
    await asyncio.to_thread(upgrade, environment["DATABASE_URL"])
    made = Gateway.over(settings_of(environment), memory_store())
    owner = await made.user("owner")
    await made.user("stranger")
    await owner.put("/data/projects/P")
    yield made
    await made.close()


@pytest_asyncio.fixture
async def gateway(site: Gateway) -> AsyncIterator[Gateway]:
    async with transaction(site.engine) as connection:
        await connection.execute(sa.text("truncate sessions, imports, commands cascade"))
    yield site


@pytest.fixture
def http(gateway: Gateway) -> httpx.AsyncClient:
    return gateway.client("owner")


async def add_import(gateway: Gateway, uris: tuple[str, ...] = (), **more: object) -> None:
    row = {"id": uuid4(), "login": "owner", "request": {"handler": "SI"}, "size_bytes": 0, "sha256": "", **more}
    row = {"listener": "L", "received_at": AT, **row}
    await gateway.insert(imports, row)
    source = {"ordinal": 0, "object_key": "k", "name": "study.zip", "size_bytes": 0, "sha256": ""}
    await gateway.insert(import_sources, {"import_id": row["id"], **source})
    for ordinal, uri in enumerate(uris):
        session = await gateway.session(f"{row['id']}-{ordinal}", place="prearchive")
        await gateway.insert(
            import_sessions, {"import_id": row["id"], "session_id": session, "ordinal": ordinal, "uri": uri}
        )


async def messages(http: httpx.AsyncClient, listener: str = "L") -> list[dict[str, object]]:
    answer = await http.get(f"/data/status/{listener}?format=json")
    assert answer.status_code == 200
    (found,) = answer.json()["msgs"]
    return list(found)


async def test_an_unknown_listener_has_one_empty_list(gateway: Gateway, http: httpx.AsyncClient) -> None:
    assert (await http.get("/data/status/none?format=json")).json() == {"msgs": [[]]}
    assert (await http.get("/xapi/event_tracking/none")).status_code == 404
    for method in ("POST", "DELETE"):
        assert (await http.request(method, "/data/status/none")).status_code == 405


async def test_an_import_is_told_step_by_step(gateway: Gateway, http: httpx.AsyncClient) -> None:
    await add_import(gateway)
    begun = await messages(http)
    assert {"status": "PROCESSING", "msg": "Importing file (study.zip )", "terminal": False} in begun
    await gateway.execute(sa.update(imports).values(listed_at=AT, staged_at=AT))
    later = await messages(http)
    assert later[: len(begun)] == begun
    assert len(later) > len(begun)
    assert not any(line["terminal"] for line in later)
    tracked = (await http.get("/xapi/event_tracking/L")).json()
    assert (tracked["succeeded"], tracked["finalMessage"]) == (None, None)


@pytest.mark.parametrize(
    ("uris", "handler", "text"),
    [
        ((ARCHIVED, ARCHIVED + "2"), "SI", f"Archive:{ARCHIVED};{ARCHIVED}2"),
        ((WAITING,), "SI", f"Prearchive:{WAITING}"),
        ((ARCHIVED, ARCHIVED + "2"), "XAR", f"Archive:{ARCHIVED},{ARCHIVED}2"),
    ],
)
async def test_the_last_line_of_an_import_names_its_sessions(
    gateway: Gateway, http: httpx.AsyncClient, uris: tuple[str, ...], handler: str, text: str
) -> None:
    await add_import(gateway, uris, outcome="completed", finished_at=AT, request={"handler": handler})
    assert (await messages(http))[-1] == {"status": "COMPLETED", "msg": text, "terminal": True}
    tracked = (await http.get("/xapi/event_tracking/L")).json()
    assert (tracked["key"], tracked["succeeded"], tracked["finalMessage"]) == ("L", True, text)
    entries = json.loads(tracked["payload"])["entryList"]
    assert (entries[-1]["status"], entries[-1]["message"]) == ("Completed", text)


async def test_what_waits_beside_what_is_archived_is_a_warning(gateway: Gateway, http: httpx.AsyncClient) -> None:
    await add_import(gateway, (ARCHIVED, WAITING), outcome="completed", finished_at=AT)
    *_, warning, last = await messages(http)
    assert (warning["status"], warning["msg"]) == ("WARNING", f"Prearchive:{WAITING}")
    assert last["msg"] == f"Archive:{ARCHIVED}"


async def test_a_failure_is_the_last_line(gateway: Gateway, http: httpx.AsyncClient) -> None:
    await add_import(gateway, outcome="rejected", code="no-dicom", detail="Nothing <parsable>", finished_at=AT)
    assert (await messages(http))[-1] == {"status": "FAILED", "msg": "Nothing <parsable>", "terminal": True}
    assert (await http.get("/xapi/event_tracking/L")).json()["succeeded"] is False
    assert (await http.get("/data/status/L")).text.endswith("FAILED: Nothing <parsable>\n")
    assert "Nothing &lt;parsable&gt;" in (await http.get("/data/status/L?format=html")).text


async def test_progress_is_its_owners_alone(gateway: Gateway) -> None:
    await add_import(gateway, (ARCHIVED,), outcome="completed", finished_at=AT)
    stranger = gateway.client("stranger")
    assert await messages(stranger) == []
    assert (await stranger.get("/xapi/event_tracking/L")).status_code == 404


async def test_the_newest_work_of_a_listener_counts(gateway: Gateway, http: httpx.AsyncClient) -> None:
    await add_import(gateway, outcome="rejected", detail="old", finished_at=AT)
    await add_import(gateway, (ARCHIVED,), outcome="completed", finished_at=AT, received_at=AT + timedelta(seconds=1))
    assert (await messages(http))[-1]["msg"] == f"Archive:{ARCHIVED}"


async def test_commands_of_a_listener_end_together(gateway: Gateway, http: httpx.AsyncClient) -> None:
    rows = [
        {"id": uuid4(), "login": "owner", "kind": "archive", "request": {"kind": "archive"}, "listener": "L"}
        | {"received_at": AT}
        for _ in range(2)
    ]
    await gateway.insert(commands, *rows)
    assert [line["terminal"] for line in await messages(http)] == [False]
    done = {"outcome": "completed", "result": {"uri": ARCHIVED}, "finished_at": AT}
    await gateway.execute(sa.update(commands).where(commands.c.id == rows[0]["id"]).values(done))
    assert not any(line["terminal"] for line in await messages(http))
    await gateway.execute(sa.update(commands).where(commands.c.id == rows[1]["id"]).values(done))
    last = {"status": "COMPLETED", "msg": f"Archive:{ARCHIVED};{ARCHIVED}", "terminal": True}
    assert (await messages(http))[-1] == last
    refused = {"outcome": "rejected", "code": "conflict-x", "detail": "They differ.", "result": {}}
    await gateway.execute(sa.update(commands).where(commands.c.id == rows[1]["id"]).values(refused))
    *_, warning, last = await messages(http)
    assert (warning["msg"], last["status"], last["msg"]) == (f"Archive:{ARCHIVED}", "FAILED", "They differ.")


async def test_autorun_is_queued_then_complete(gateway: Gateway, http: httpx.AsyncClient) -> None:
    session = await gateway.session("X1")
    change = {
        "session_id": session,
        "event_id": uuid4(),
        "resources": [],
        "event": {},
        "project": "P",
        "verb": "archived",
    }
    await gateway.insert(session_changes, change | {"revision": 1, "pipelines": True})
    await gateway.insert(session_changes, change | {"revision": 2, "pipelines": False, "event_id": uuid4()})
    path = f"/data/workflows?id={session}&pipeline_name=xnat_tools/AutoRun.xml&format=json"
    (queued,) = (await http.get(path)).json()["items"]
    assert queued["meta"] == {"isHistory": False, "xsi:type": "wrk:workflowData"}
    assert (queued["data_fields"]["id"], queued["data_fields"]["status"]) == (session, "Queued")
    await gateway.execute(sa.update(session_changes).values(catalogued_at=AT))
    named = f"/data/workflows?wrk:workflowData/id={session}&wrk:workflowData/status=Complete"
    assert len((await http.get(named)).json()["items"]) == 1
    assert (await http.get(f"{path}x")).status_code == 200
    assert "Complete" in (await http.get(path.replace("json", "csv"))).text
    for other in ("/data/workflows?id=no", "/data/workflows?pipeline_name=other", f"{named}&status=Failed"):
        assert (await http.get(other)).status_code == 404
    assert (await gateway.client("stranger").get(path)).status_code == 404


async def test_direct_archive_has_a_list_of_its_own(gateway: Gateway, http: httpx.AsyncClient) -> None:
    await gateway.session("D1", place="prearchive", status="RECEIVING", is_direct=True, label="E1")
    await gateway.session("E2", place="prearchive")
    (found,) = (await http.get("/xapi/direct-archive")).json()
    assert {"project": "P", "subject": "S1", "name": "E1", "status": "RECEIVING"}.items() <= found.items()
    one = (await http.get(found["url"])).json()
    assert one["items"][0]["data_fields"]["ID"] == "D1"
    assert one["tag"] == found["tag"]
    listed = (await http.get("/data/prearchive")).json()["ResultSet"]["Result"]
    assert [row["folderName"] for row in listed] == ["E2"]
    stranger = gateway.client("stranger")
    assert (await stranger.get("/xapi/direct-archive")).json() == []
    assert (await stranger.get(found["url"])).status_code == 404
