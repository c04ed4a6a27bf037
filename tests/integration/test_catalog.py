"""The catalog service on the real database and store: readable first, then told, and the same when repeated."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import datetime
from uuid import UUID

import aio_pika
import pytest
import pytest_asyncio
import sqlalchemy as sa
from lxml import etree
from sqlalchemy.ext.asyncio import AsyncEngine

from libs.common.broker import Broker
from libs.common.database import end_import, finished_if_catalogued, open_engine, transaction, upgrade
from libs.common.errors import Retryable, UserError
from libs.common.messages import Event, ImportFinished, SessionChanged, SessionEvent
from libs.common.schema import (
    cache_files,
    import_sources,
    imports,
    resources,
    scans,
    session_changes,
    sessions,
    users,
)
from libs.common.settings import Settings
from libs.common.storage import Missing, Store, s3_store
from libs.common.topology import EVENTS, declare_topology
from services.catalog.handlers import Site, catalogue_session, conclude_import, leave_ended
from tests.integration.catalogued import Tables

CATALOG = "sessions/P/XNAT_E00001/SCANS/4/DICOM/scan_4_catalog.xml"
SESSION = "sessions/P/XNAT_E00001/session.xml"
CAT = "{http://nrg.wustl.edu/catalog}"


class World(Tables):
    """The tables, the bucket and the handlers on both."""

    def __init__(self, engine: AsyncEngine, store: Store, bucket: str) -> None:
        super().__init__(engine, bucket)
        self.store, self.site = store, Site("XNAT", bucket)

    async def catalogue(self, message: SessionChanged) -> list[Event | ImportFinished]:
        return await catalogue_session(message, self.store, self.engine, self.site)

    async def conclude(self, import_id: UUID) -> Event:
        (told,) = await conclude_import(ImportFinished(import_id=import_id), self.store, self.engine, self.site)
        return told

    async def body(self, key: str) -> bytes:
        return await self.store.read(key, 0, 10 << 20)

    async def entries(self, key: str = CATALOG) -> list[etree._Element]:
        return etree.fromstring(await self.body(key)).findall(f"{CAT}entries/{CAT}entry")

    async def catalogued_at(self, message: SessionChanged) -> datetime | None:
        change = session_changes.c
        where = (change.session_id == message.session_id) & (change.revision == message.revision)
        async with transaction(self.engine) as connection:
            found: datetime | None = (
                await connection.execute(sa.select(change.catalogued_at).where(where))
            ).scalar_one()
        return found

    async def outcome(self, import_id: UUID) -> str | None:
        async with transaction(self.engine) as connection:
            found: str | None = (
                await connection.execute(sa.select(imports.c.outcome).where(imports.c.id == import_id))
            ).scalar_one()
        return found

    async def archived(self) -> SessionChanged:
        """One session of three files, archived by one import."""
        import_id = await self.merged_import()
        await self.session("XNAT_E00001")
        resource = await self.scan("XNAT_E00001", "4")
        await self.files("XNAT_E00001", resource, import_id, range(1, 4))
        await self.outcome_of_session(import_id, "XNAT_E00001", "merged")
        return await self.change("XNAT_E00001", 1, import_id, [resource])


@pytest_asyncio.fixture
async def world(allotment: dict[str, str]) -> AsyncIterator[World]:
    await asyncio.to_thread(upgrade, allotment["DATABASE_URL"])
    engine = open_engine(allotment["DATABASE_URL"])
    settings = Settings.model_validate(allotment).s3
    made = World(engine, s3_store(settings), allotment["S3_BUCKET"])
    await made.project()
    yield made
    await engine.dispose()


async def test_a_change_is_readable_and_told(world: World) -> None:
    message = await world.archived()
    archived, pipeline, finished = await world.catalogue(message)
    assert isinstance(archived, Event)
    assert isinstance(pipeline, Event)
    assert archived.type == "org.scandock.session.archived.v1"
    assert isinstance(archived.data, SessionEvent)
    assert archived.data.catalogs == [CATALOG]
    assert pipeline.type == "org.scandock.pipeline.requested.v1"
    assert finished == ImportFinished(import_id=message.import_id)
    assert await world.catalogued_at(message) is not None
    assert await world.outcome(message.import_id) == "completed"


async def test_documents_say_what_the_rows_say(world: World) -> None:
    message = await world.archived()
    await world.catalogue(message)
    found = await world.entries()
    assert [e.get("ID") for e in found] == ["00001.dcm", "00002.dcm", "00003.dcm"]
    assert [e.get("digest") for e in found] == [f"{n:032x}" for n in (1, 2, 3)]
    assert [e.findtext(f".//{CAT}metaField") for e in found] == ["1001", "1002", "1003"]
    key = world.key("XNAT_E00001", message.import_id, 1)
    assert found[0].get("URI") == "../../../" + key.removeprefix("sessions/P/XNAT_E00001/")
    root = etree.fromstring(await world.body(SESSION))
    ns = {"xnat": "http://nrg.wustl.edu/xnat"}
    assert (root.get("ID"), root.findtext("xnat:subject_ID", None, ns)) == ("XNAT_E00001", "XNAT_S00001")
    assert root.findtext(".//xnat:frames", None, ns) == "3"
    file = root.find(".//xnat:file", ns)
    assert file is not None
    assert (file.get("file_count"), file.get("file_size")) == ("3", "3006")
    assert file.get("URI") == f"s3://{world.bucket}/{CATALOG}"


async def test_second_delivery_changes_nothing_and_tells_the_same(world: World) -> None:
    message = await world.archived()
    first = await world.catalogue(message)
    catalog, session, at = await world.body(CATALOG), await world.body(SESSION), await world.catalogued_at(message)
    assert await world.catalogue(message) == first
    assert (await world.body(CATALOG), await world.body(SESSION)) == (catalog, session)
    assert await world.catalogued_at(message) == at


async def test_a_repeat_after_a_scan_was_renamed_is_still_word_for_word_the_same(world: World) -> None:
    message = await world.archived()
    first = await world.catalogue(message)
    await world.execute(sa.update(scans).values(scan_id="4-MR1"))
    assert await world.catalogue(message) == first


async def test_two_deliveries_at_once_tell_the_same(world: World) -> None:
    message = await world.archived()
    one, other = await asyncio.gather(world.catalogue(message), world.catalogue(message))
    assert one == other
    assert len(await world.entries()) == 3


async def test_a_late_older_change_leaves_the_newest_rows(world: World) -> None:
    older = await world.archived()
    later_import = await world.merged_import()
    (resource,) = await resource_rows(world)
    await world.files("XNAT_E00001", resource, later_import, range(4, 6))
    newer = await world.change("XNAT_E00001", 2, later_import, [resource], verb="updated")
    await world.catalogue(newer)
    told = await world.catalogue(older)
    assert [e.get("createdEventId") for e in await world.entries()] == ["1", "1", "1", "2", "2"]
    assert b'name="REVISION">2<' in await world.body(CATALOG)
    assert b"<!-- revision 2 -->" in await world.body(SESSION)
    assert isinstance(told[0], Event)
    assert told[0].sequence == "00000000000000000001"


async def resource_rows(world: World) -> list[int]:
    async with transaction(world.engine) as connection:
        return [row.id for row in await connection.execute(sa.select(resources.c.id))]


async def test_many_changes_at_once_leave_the_newest_rows(world: World) -> None:
    messages = [await world.archived()]
    (resource,) = await resource_rows(world)
    for revision in range(2, 6):
        import_id = await world.merged_import()
        await world.files("XNAT_E00001", resource, import_id, range(10 * revision, 10 * revision + 2))
        messages.append(await world.change("XNAT_E00001", revision, import_id, [resource], verb="updated"))
    told = await asyncio.gather(*map(world.catalogue, messages))
    assert [len(events) for events in told] == [3] * 5
    assert len(await world.entries()) == 11
    assert b'name="REVISION">5<' in await world.body(CATALOG)


async def test_only_the_last_change_finishes_an_import(world: World) -> None:
    first = await world.archived()
    await world.session("XNAT_E00002", place="prearchive", project=None)
    second = await world.change("XNAT_E00002", 1, first.import_id, [], verb="received")
    events = await world.catalogue(first)
    assert not [event for event in events if isinstance(event, ImportFinished)]
    received, finished = await world.catalogue(second)
    assert isinstance(received, Event)
    assert received.subject == "/prearchive/XNAT_E00002"
    assert finished == ImportFinished(import_id=first.import_id)
    xml = await world.body("sessions/Unassigned/XNAT_E00002/session.xml")
    assert b"<xnat:prearchivePath>/prearchive/projects/Unassigned/20240131_101530123/XNAT_E00002<" in xml


async def test_an_import_that_found_all_there_waits_until_it_can_be_read(world: World) -> None:
    change = await world.archived()
    repeat = await world.merged_import()
    entry = {"status": "BUILDING", "timestamp": "t", "folder": "f", "prefix": "p/"}
    await world.insert(sessions, {"id": "E9", "place": "merged", "merged_into": "XNAT_E00001", **entry})
    await world.outcome_of_session(repeat, "E9", "unchanged")
    async with transaction(world.engine) as connection:
        assert await finished_if_catalogued(connection, repeat) == []
    finished = [told for told in await world.catalogue(change) if isinstance(told, ImportFinished)]
    assert {told.import_id for told in finished} == {change.import_id, repeat}
    assert await world.outcome(repeat) == "completed"
    async with transaction(world.engine) as connection:
        assert await finished_if_catalogued(connection, repeat) == [ImportFinished(import_id=repeat)]


@pytest.mark.parametrize("outcome", ["completed", "rejected"])
async def test_what_came_from_the_cache_is_consumed_only_by_an_import_that_is_completed(
    world: World, outcome: str
) -> None:
    change = await world.archived()
    await world.insert(users, {"login": "admin", "password_hash": ""}, {"login": "other", "password_hash": ""})
    file = {"object_key": "cache/1", "size_bytes": 1, "sha256": ""}
    await world.insert(cache_files, {"login": "admin", "path": "a/1", **file})
    await world.insert(cache_files, {"login": "other", "path": "a/1", **file, "object_key": "cache/2"})
    await world.insert(import_sources, {"import_id": change.import_id, "ordinal": 0, "name": "1", **file})
    if outcome == "rejected":
        await end_import(world.engine, change.import_id, outcome, UserError("no-dicom", ""))
    await world.catalogue(change)
    async with transaction(world.engine) as connection:
        left = set(await connection.scalars(sa.select(cache_files.c.object_key)))
    assert left == ({"cache/2"} if outcome == "completed" else {"cache/1", "cache/2"})


async def test_nothing_is_told_before_it_can_be_read(world: World) -> None:
    message = await world.archived()
    away = Site("XNAT", world.bucket)
    with pytest.raises(Retryable):
        await catalogue_session(message, Away(world.store), world.engine, away)
    assert await world.catalogued_at(message) is None
    assert await world.outcome(message.import_id) is None
    assert len(await world.catalogue(message)) == 3


class Away(Store):
    """A store that takes catalogs, and is away when the session's XML comes."""

    def __init__(self, store: Store) -> None:
        super().__init__(store._store)

    async def replace(self, key: str, body: bytes, etag: str | None) -> str:
        if key.endswith("session.xml"):
            raise Retryable("store-unavailable", "away")
        return await super().replace(key, body, etag)


async def test_a_session_that_has_gone_into_another_gets_no_documents(world: World) -> None:
    message = await world.archived()
    await world.execute(sa.update(sessions).values(place="merged", merged_into="XNAT_E00009"))
    assert len(await world.catalogue(message)) == 3
    for key in (CATALOG, SESSION):
        with pytest.raises(Missing):
            await world.store.head(key)


async def test_a_change_without_a_row_is_tried_later(world: World) -> None:
    import_id = await world.merged_import()
    with pytest.raises(Retryable):
        await world.catalogue(SessionChanged(import_id=import_id, session_id="XNAT_E00001", revision=1))


async def test_the_report_has_a_line_for_each_member(world: World) -> None:
    message = await world.archived()
    import_id = message.import_id
    await world.session("XNAT_E00007", place="merged")
    await world.execute(sa.update(sessions).where(sessions.c.id == "XNAT_E00007").values(merged_into="XNAT_E00001"))
    stored = {
        "session_id": "XNAT_E00007",
        "sop_instance_uid": "1.2.3.4.1",
        "md5": f"{1:032x}",
        "staged_key": world.key("XNAT_E00001", import_id, 1),
        "verdict": "stored",
    }
    await world.member(import_id, 0, **stored)
    await world.member(import_id, 1, session_id="XNAT_E00007", verdict="identical", staged_key="elsewhere")
    await world.member(import_id, 2, verdict="skipped", reason="not DICOM: text")
    await world.member(import_id, 3)
    await world.catalogue(message)
    told = await world.conclude(import_id)
    assert told == await world.conclude(import_id)
    assert told.type == "org.scandock.import.completed.v1"
    assert told.project == "P"
    assert told.data.model_dump() == {
        "import_id": import_id,
        "size_bytes": 5000,
        "sessions": ["XNAT_E00001"],
        "verdicts": {"identical": 1, "skipped": 1, "stored": 1, "unsettled": 1},
        "code": "",
    }
    lines = [json.loads(line) for line in (await world.body(f"uploads/{import_id}/report.ndjson")).splitlines()]
    assert [(line["ordinal"], line["verdict"], line["session_id"], line["name"]) for line in lines] == [
        (0, "stored", "XNAT_E00001", "00001.dcm"),
        (1, "identical", "XNAT_E00001", ""),
        (2, "skipped", "", ""),
        (3, "unsettled", "", ""),
    ]
    assert lines[2]["reason"] == "not DICOM: text"


async def test_an_import_that_changed_nothing_names_the_session_that_has_its_files(world: World) -> None:
    import_id = await world.merged_import()
    await world.session("XNAT_E00001")
    await world.session("XNAT_E00008", place="merged")
    await world.execute(sa.update(sessions).where(sessions.c.id == "XNAT_E00008").values(merged_into="XNAT_E00001"))
    await world.outcome_of_session(import_id, "XNAT_E00008", "unchanged")
    await end_import(world.engine, import_id, "completed", Retryable("", ""))
    told = await world.conclude(import_id)
    assert told.data.model_dump()["sessions"] == ["XNAT_E00001"]
    assert told.project == "P"


async def test_a_rejected_import_tells_its_code_and_has_an_empty_report(world: World) -> None:
    import_id = await world.merged_import()
    await end_import(world.engine, import_id, "rejected", Retryable("not-an-archive", "PK"))
    told = await world.conclude(import_id)
    assert (told.type, told.project) == ("org.scandock.import.rejected.v1", "Unassigned")
    assert told.data.model_dump()["code"] == "not-an-archive"
    assert (await world.store.head(f"uploads/{import_id}/report.ndjson")).size_bytes == 0


async def test_an_open_import_is_not_concluded(world: World) -> None:
    with pytest.raises(Retryable):
        await world.conclude(await world.merged_import())


async def test_a_subscriber_hears_of_an_import_when_all_of_it_can_be_read(
    world: World, allotment: dict[str, str]
) -> None:
    message = await world.archived()
    await declare_topology(allotment["AMQP_URL"])
    broker = Broker(allotment["AMQP_URL"], "catalog")

    async def catalogue(changed: SessionChanged) -> list[Event | ImportFinished]:
        return await world.catalogue(changed)

    async def conclude(finished: ImportFinished) -> list[Event]:
        return [await world.conclude(finished.import_id)]

    broker.subscribe(SessionChanged, catalogue, leave_ended, concurrency=2)
    broker.subscribe(ImportFinished, conclude, leave_ended, concurrency=2)
    stop = asyncio.Event()
    serving = asyncio.create_task(broker.serve(stop))
    async with await aio_pika.connect(allotment["AMQP_URL"]) as connection:
        channel = await connection.channel()
        queue = await channel.declare_queue(exclusive=True)
        await queue.bind(EVENTS, "#.P")
        sender = Broker(allotment["AMQP_URL"], "archiver")
        await sender.publish(message)
        await sender.close()
        heard: list[str] = []
        async with queue.iterator(no_ack=True, timeout=10) as deliveries:
            async for delivery in deliveries:
                heard.append(Event.model_validate_json(delivery.body).type)
                assert await world.store.head(SESSION)
                assert len(await world.entries()) == 3
                if len(heard) == 3:
                    break
    stop.set()
    await serving
    assert heard[-1] == "org.scandock.import.completed.v1"
    assert sorted(heard[:2]) == ["org.scandock.pipeline.requested.v1", "org.scandock.session.archived.v1"]
    assert await world.store.head(f"uploads/{message.import_id}/report.ndjson")
