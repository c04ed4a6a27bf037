"""Refresh on the real database and store: what people did to the bucket by hand is found, told and readable."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import boto3
import pytest
import pytest_asyncio
import sqlalchemy as sa
from lxml import etree
from sqlalchemy.ext.asyncio import AsyncEngine

from libs.common.command_rows import NewCommand, add_command
from libs.common.commands import CommandResult, Delete, Refresh, Refreshed, RefreshOption
from libs.common.database import copy_rows, open_engine, transaction, upgrade
from libs.common.errors import UserError
from libs.common.messages import CommandReceived, Event, Output, SessionChanged, SessionEvent
from libs.common.outbox import Site
from libs.common.schema import commands, files, replaced_files, resources, scans, session_changes, sessions
from libs.common.settings import Settings
from libs.common.storage import Store, s3_store
from services.catalog.commands import run_command
from services.catalog.handlers import catalogue_session
from services.catalog.refresh_parts import LIMITS, Limits
from tests.builders import dicom_bytes
from tests.integration.catalogued import Tables

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

E1 = "XNAT_E00001"
PREFIX = f"sessions/P/{E1}/"
DICOM = f"{PREFIX}SCANS/4/DICOM/"
CATALOG = f"{DICOM}scan_4_catalog.xml"
CAT = "{http://nrg.wustl.edu/catalog}"
ALL = frozenset(RefreshOption)
INSTANCE = dicom_bytes(SOPInstanceUID="1.2.3.4.77", InstanceNumber=77)


class World(Tables):
    """One archived session of three imported files in scan 4, its bucket, and the catalog service on both."""

    def __init__(self, engine: AsyncEngine, store: Store, bucket: str, client: "S3Client") -> None:
        super().__init__(engine, bucket)
        self.store, self.site, self.client = store, Site("XNAT", bucket), client

    async def rows(self, query: sa.Select[Any]) -> list[Any]:
        async with transaction(self.engine) as connection:
            return list((await connection.execute(query)).all())

    async def archived(self) -> tuple[UUID, int]:
        """The import and the resource."""
        import_id = await self.merged_import()
        await self.session(E1)
        resource = await self.scan(E1, "4")
        await self.files(E1, resource, import_id, range(1, 4))
        for number in range(1, 4):
            body = bytes(1000 + number)
            self.put(self.key(E1, import_id, number), body)
            digests = {"md5": hashlib.md5(body).hexdigest(), "sha256": hashlib.sha256(body).hexdigest()}
            await self.execute(sa.update(files).where(files.c.name == f"{number:05d}.dcm").values(digests))
        await self.catalogue(await self.change(E1, 1, import_id, [resource]))
        return import_id, resource

    def put(self, key: str, body: bytes = b"by hand") -> None:
        """As any S3 client does."""
        self.client.put_object(Bucket=self.bucket, Key=key, Body=body)

    def delete(self, key: str) -> None:
        self.client.delete_object(Bucket=self.bucket, Key=key)

    async def catalogue(self, message: SessionChanged) -> list[Output]:
        return list(await catalogue_session(message, self.store, self.engine, self.site))

    async def accept(self, *folders: str, options: frozenset[RefreshOption] = ALL) -> CommandReceived:
        new = NewCommand(uuid4(), "mary", Refresh(folders=folders, options=options), session_id=E1)
        async with transaction(self.engine) as connection:
            return await add_command(connection, new)

    async def run(self, message: CommandReceived, limits: Limits = LIMITS) -> list[Output]:
        return list(await run_command(message, self.store, self.engine, self.site, limits))

    async def settle(self, told: Sequence[Output], limits: Limits = LIMITS) -> list[Event]:
        """Deliver messages until none is left; the public events."""
        events = []
        waiting = list(told)
        while waiting:
            match waiting.pop(0):
                case CommandReceived() as message:
                    waiting += await self.run(message, limits)
                case SessionChanged() as message:
                    waiting += await self.catalogue(message)
                case Event() as event:
                    events.append(event)
        return events

    async def refresh(self, *folders: str, options: frozenset[RefreshOption] = ALL) -> dict[str, Refreshed]:
        """Folder -> what a refresh, done to its end, says of it."""
        message = await self.accept(*folders, options=options)
        await self.settle([message])
        row = await self.outcome(message)
        assert (row.outcome, row.code) == ("completed", "")
        return {line.folder: line for line in CommandResult.model_validate(row.result).refreshed}

    async def outcome(self, message: CommandReceived) -> Any:
        (row,) = await self.rows(sa.select(commands).where(commands.c.id == message.command_id))
        return row

    async def names(self, folder: str = "SCANS/4/DICOM") -> dict[str, Any]:
        """The files of a resource."""
        parts = folder.split("/")
        query = sa.select(files).join_from(files, resources, files.c.resource == resources.c.id)
        query = query.outerjoin(scans, scans.c.id == resources.c.scan).where(resources.c.label == parts[-1])
        query = query.where(scans.c.scan_id.is_not_distinct_from(parts[1] if len(parts) > 2 else None))
        return {row.name: row for row in await self.rows(query)}

    async def revision(self) -> int:
        (row,) = await self.rows(sa.select(sessions.c.revision).where(sessions.c.id == E1))
        return int(row.revision)

    async def catalog(self, key: str = CATALOG) -> etree._Element:
        return etree.fromstring(await self.store.read(key, 0, 100 << 20))


@pytest_asyncio.fixture
async def world(allotment: dict[str, str]) -> AsyncIterator[World]:
    await asyncio.to_thread(upgrade, allotment["DATABASE_URL"])
    engine = open_engine(allotment["DATABASE_URL"])
    settings = Settings.model_validate(allotment).s3
    client = boto3.client(
        "s3",
        endpoint_url=settings.endpoint,
        region_name=settings.region,
        aws_access_key_id=settings.access_key_id,
        aws_secret_access_key=settings.secret_access_key.get_secret_value(),
    )
    made = World(engine, s3_store(settings), allotment["S3_BUCKET"], client)
    await made.project()
    yield made
    await engine.dispose()


async def test_files_put_by_hand_are_found_with_their_dicom_identity(world: World) -> None:
    await world.archived()
    world.put(f"{DICOM}by hand/77.dcm", INSTANCE)
    world.put(f"{DICOM}note.txt")
    world.put(f"{DICOM}other_catalog.xml", b"<x/>")
    assert await world.refresh() == {"SCANS/4/DICOM": Refreshed(folder="SCANS/4/DICOM", added=2)}
    found = await world.names()
    assert sorted(found) == ["00001.dcm", "00002.dcm", "00003.dcm", "by hand/77.dcm", "note.txt"]
    row = found["by hand/77.dcm"]
    assert (row.object_key, row.size_bytes) == (f"{DICOM}by hand/77.dcm", len(INSTANCE))
    assert (row.md5, row.sha256) == (hashlib.md5(INSTANCE).hexdigest(), hashlib.sha256(INSTANCE).hexdigest())
    assert (row.sop_instance_uid, row.instance_number, row.number_of_frames) == ("1.2.3.4.77", "77", 1)
    assert (row.import_id, row.created_by) == (None, "mary")
    root = await world.catalog()
    (entry,) = root.findall(f".//{CAT}entry[@ID='by hand/77.dcm']")
    assert (entry.get("URI"), entry.get("UID"), entry.get("instanceNumber")) == ("by hand/77.dcm", "1.2.3.4.77", "77")
    assert entry.get("{http://www.w3.org/2001/XMLSchema-instance}type") == "cat:dcmEntry"
    assert (entry.get("createdBy"), entry.get("createdEventId"), entry.get("digest")) == ("mary", "2", row.md5)
    (note,) = root.findall(f".//{CAT}entry[@ID='note.txt']")
    assert note.get("UID") is None
    audit = root.findtext(f"{CAT}metaFields/{CAT}metaField[@name='AUDIT']") or ""
    assert [event.split("=")[1] for event in audit.split("|")] == ["Added:2", "Added:3"]
    (resource,) = await world.rows(sa.select(resources))
    assert (resource.file_count, resource.size_bytes) == (5, 3006 + len(INSTANCE) + 7)


async def test_the_world_hears_of_it_when_it_can_be_read(world: World) -> None:
    await world.archived()
    world.put(f"{DICOM}77.dcm", INSTANCE)
    message = await world.accept()
    (changed,) = await world.run(message)
    assert isinstance(changed, SessionChanged)
    assert (await world.outcome(message)).outcome is None
    updated, refreshed = await world.settle([changed])
    assert (updated.type, refreshed.type) == ("org.scandock.session.updated.v1", "org.scandock.catalog.refreshed.v1")
    assert updated.id != refreshed.id
    assert refreshed.correlationid == str(message.command_id)
    assert isinstance(refreshed.data, SessionEvent)
    assert (refreshed.data.files_added, refreshed.data.files_removed, refreshed.data.scans) == (1, 0, ["4"])
    assert refreshed.data.catalogs == [CATALOG]
    assert (await world.outcome(message)).outcome == "completed"


async def test_nothing_to_do_changes_nothing(world: World) -> None:
    await world.archived()
    before, catalog = await world.names(), await world.store.read(CATALOG, 0, 1 << 20)
    message = await world.accept()
    assert await world.settle([message]) == []
    assert (await world.outcome(message)).outcome == "completed"
    assert await world.names() == before
    assert await world.revision() == 1
    assert await world.store.read(CATALOG, 0, 1 << 20) == catalog


async def test_second_delivery_changes_nothing_and_tells_the_same(world: World) -> None:
    await world.archived()
    world.put(f"{DICOM}77.dcm", INSTANCE)
    message = await world.accept()
    ran = await asyncio.gather(world.run(message), world.run(message))
    one = await world.run(message)
    assert one in ran
    assert all(told in ([], one) for told in ran), "who finds it in hand elsewhere leaves it there"
    assert await world.revision() == 2
    await world.settle(one)
    after = await world.names()
    assert await world.run(message) == []
    assert (await world.names(), await world.revision()) == (after, 2)
    world.put(f"{DICOM}78.txt")
    assert (await world.refresh())["SCANS/4/DICOM"].added == 1


async def test_entries_whose_object_is_gone_are_removed_and_no_object_is(world: World) -> None:
    import_id, _ = await world.archived()
    world.delete(world.key(E1, import_id, 2))
    left = await world.refresh(options=frozenset({RefreshOption.APPEND}))
    assert "1 entries have no object" in left["SCANS/4/DICOM"].problem
    assert await world.revision() == 1
    assert (await world.refresh())["SCANS/4/DICOM"].removed == 1
    assert sorted(await world.names()) == ["00001.dcm", "00003.dcm"]
    assert len(world.client.list_objects_v2(Bucket=world.bucket, Prefix=PREFIX)["Contents"]) == 4
    audit = (await world.catalog()).findtext(f"{CAT}metaFields/{CAT}metaField[@name='AUDIT']") or ""
    assert [event.split("=")[1] for event in audit.split("|")] == ["Removed:1", "Added:2"]


async def test_a_resource_may_lose_all_its_files(world: World) -> None:
    import_id, resource = await world.archived()
    for number in range(1, 4):
        world.delete(world.key(E1, import_id, number))
    assert (await world.refresh())["SCANS/4/DICOM"].removed == 3
    (row,) = await world.rows(sa.select(resources).where(resources.c.id == resource))
    assert (row.file_count, row.size_bytes, await world.names()) == (0, 0, {})


async def test_a_lost_file_can_be_put_back_by_hand(world: World) -> None:
    import_id, _ = await world.archived()
    world.delete(world.key(E1, import_id, 2))
    world.put(f"{DICOM}00002.dcm", INSTANCE)
    line = (await world.refresh())["SCANS/4/DICOM"]
    assert (line.added, line.removed) == (1, 1)
    assert (await world.names())["00002.dcm"].object_key == f"{DICOM}00002.dcm"


async def test_wrong_digests_are_corrected_with_checksum_alone(world: World) -> None:
    await world.archived()
    right = await world.names()
    await world.execute(sa.update(files).where(files.c.name == "00002.dcm").values(md5="0" * 32))
    assert (await world.refresh(options=ALL - {RefreshOption.CHECKSUM}))["SCANS/4/DICOM"].modified == 0
    assert (await world.refresh(options=frozenset({RefreshOption.CHECKSUM})))["SCANS/4/DICOM"].modified == 1
    found = await world.names()
    assert {name: row.md5 for name, row in found.items()} == {name: row.md5 for name, row in right.items()}
    audit = (await world.catalog()).findtext(f"{CAT}metaFields/{CAT}metaField[@name='AUDIT']") or ""
    assert audit.split("|")[0].endswith("=Modified:1")


async def test_an_object_replaced_in_place_is_described_anew_whatever_the_options(world: World) -> None:
    await world.archived()
    world.put(f"{DICOM}77.dcm", b"not yet")
    await world.refresh()
    world.put(f"{DICOM}77.dcm", INSTANCE)
    line = (await world.refresh(options=frozenset({RefreshOption.POPULATE_STATS})))["SCANS/4/DICOM"]
    assert line.modified == 1
    row = (await world.names())["77.dcm"]
    assert (row.size_bytes, row.md5) == (len(INSTANCE), hashlib.md5(INSTANCE).hexdigest())
    assert (row.sop_instance_uid, row.instance_number) == ("1.2.3.4.77", "77")
    (resource,) = await world.rows(sa.select(resources))
    assert resource.size_bytes == 3006 + len(INSTANCE)


async def test_wrong_counts_are_corrected_with_populate_stats(world: World) -> None:
    _, resource = await world.archived()
    await world.execute(sa.update(resources).values(file_count=99))
    assert (await world.refresh(options=ALL - {RefreshOption.POPULATE_STATS}))["SCANS/4/DICOM"].added == 0
    assert await world.revision() == 1
    await world.refresh(options=frozenset({RefreshOption.POPULATE_STATS}))
    (row,) = await world.rows(sa.select(resources).where(resources.c.id == resource))
    assert (row.file_count, row.size_bytes, row.revision) == (3, 3006, 2)


async def test_a_catalog_that_is_missing_is_written_again(world: World) -> None:
    await world.archived()
    before = await world.catalog()
    world.delete(CATALOG)
    await world.refresh()
    after = await world.catalog()
    assert [e.get("ID") for e in after.iter(f"{CAT}entry")] == [e.get("ID") for e in before.iter(f"{CAT}entry")]


async def test_folders_without_a_row_become_resources_of_their_scan_or_session(world: World) -> None:
    await world.archived()
    world.put(f"{PREFIX}SCANS/4/NIFTI/sub/a.nii.gz")
    world.put(f"{PREFIX}RESOURCES/NOTES/b.txt")
    world.put(f"{PREFIX}SCANS/99/NIFTI/c.nii")
    world.put(f"{PREFIX}SCANS/loose.txt")
    lines = await world.refresh()
    assert lines["SCANS/4/NIFTI"].added == lines["RESOURCES/NOTES"].added == 1
    assert lines["SCANS/99/NIFTI"].problem == "the session has no such scan"
    assert list(await world.names("SCANS/4/NIFTI")) == ["sub/a.nii.gz"]
    assert list(await world.names("RESOURCES/NOTES")) == ["b.txt"]
    root = await world.catalog(f"{PREFIX}SCANS/4/NIFTI/scan_4_NIFTI_catalog.xml")
    assert (root.tag, root.get("ID"), root[1][0].get("URI")) == (f"{CAT}Catalog", "NIFTI", "sub/a.nii.gz")
    assert b"NOTES" in await world.store.read(f"{PREFIX}session.xml", 0, 1 << 20)
    again = await world.refresh()
    assert {line.added for line in again.values()} == {0}


async def test_only_the_folders_that_are_asked_for_are_looked_at(world: World) -> None:
    await world.archived()
    for folder in ("SCANS/4/DICOM", "SCANS/4/NIFTI", "RESOURCES/NOTES"):
        world.put(f"{PREFIX}{folder}/a")
    assert set(await world.refresh("RESOURCES/NOTES")) == {"RESOURCES/NOTES"}
    assert set(await world.refresh("SCANS/4")) == {"SCANS/4/DICOM", "SCANS/4/NIFTI"}
    assert len(await world.names()) == 4


async def test_what_imports_have_staged_and_what_can_be_restored_is_not_found(world: World) -> None:
    await world.archived()
    world.put(f"{PREFIX}0123456789abcdef/4_ab12cd34/000009_9.dcm", INSTANCE)
    world.put(f"{DICOM}old.dcm", INSTANCE)
    kept = {"id": 999, "session_id": E1, "revision": 1, "file": {}, "object_key": f"{DICOM}old.dcm"}
    await world.insert(replaced_files, kept)
    assert (await world.refresh())["SCANS/4/DICOM"] == Refreshed(folder="SCANS/4/DICOM")


async def test_names_that_clients_choose_are_found(world: World) -> None:
    await world.archived()
    odd = ["a b (1).txt", "ü.txt", "100%.txt", "#1.txt", "a+b&c=d.txt", "[x]~.txt", "%41.txt"]
    for name in odd:
        world.put(f"{DICOM}odd/{name}", name.encode())
    world.put(f"{DICOM}drawn folder/", b"")
    line = (await world.refresh())["SCANS/4/DICOM"]
    found = await world.names()
    assert {name for name in found if name.startswith("odd/")} == {f"odd/{name}" for name in odd}
    assert (line.added, line.problem) == (len(odd), "")
    assert all(found[f"odd/{name}"].md5 == hashlib.md5(name.encode()).hexdigest() for name in odd)


async def test_a_key_that_no_client_of_ours_can_use_is_refused_by_a_text(world: World) -> None:
    await world.archived()
    world.put(f"{DICOM}tab\there.txt")
    with pytest.raises(UserError, match="give it another key"):
        await world.run(await world.accept())


async def test_a_session_that_is_gone_is_refused(world: World) -> None:
    await world.archived()
    await world.execute(sa.update(sessions).values(place="deleted"))
    with pytest.raises(UserError) as refusal:
        await world.run(await world.accept())
    assert refusal.value.code == "not-found"


async def test_what_waits_for_the_refresh_is_told_of_when_it_is_done(world: World) -> None:
    await world.archived()
    message = await world.accept()
    async with transaction(world.engine) as connection:
        waiting = await add_command(connection, NewCommand(uuid4(), "mary", Delete(), session_id=E1))
    assert await world.run(message) == [waiting]


async def test_objects_in_the_prefix_of_a_merged_session_are_not_missed(world: World) -> None:
    import_id, resource = await world.archived()
    for number in range(4, 44):
        key = f"sessions/P/XNAT_E00009/{number:016x}/4_ab12cd34/000000_{number}.dcm"
        world.put(key, bytes(1000 + number))
        await world.files(E1, resource, import_id, range(number, number + 1))
        await world.execute(sa.update(files).where(files.c.name == f"{number:05d}.dcm").values(object_key=key))
    await world.refresh(options=frozenset({RefreshOption.POPULATE_STATS}))
    assert (await world.refresh(options=frozenset({RefreshOption.DELETE})))["SCANS/4/DICOM"].removed == 0
    world.delete(key)
    assert (await world.refresh(options=frozenset({RefreshOption.DELETE})))["SCANS/4/DICOM"].removed == 1


async def test_an_import_that_merges_meanwhile_loses_nothing(world: World) -> None:
    """A row that comes between the listing and the lock names an object that the listing has not."""
    import_id, resource = await world.archived()
    message = await world.accept()
    running = asyncio.ensure_future(world.run(message))
    for number in range(4, 40):
        world.put(world.key(E1, import_id, number), bytes(1000 + number))
        await world.files(E1, resource, import_id, range(number, number + 1))
    await running
    assert len(await world.names()) == 39


SMALL = Limits(folders=2, files=4, reads=3, read_bytes=5000)


async def test_a_large_refresh_is_done_in_parts_and_ends_as_one(world: World) -> None:
    await world.archived()
    for number in range(20):
        world.put(f"{DICOM}{number:03d}.txt", b"%d" % number)
    for label in ("A", "B", "C"):
        world.put(f"{PREFIX}RESOURCES/{label}/x.txt")
    message = await world.accept()
    parts = await world.run(message, SMALL)
    assert len(parts) > 5
    assert await world.run(message, SMALL) == [], "the parts are there, and not ended"
    events = await world.settle([part for part in reversed(parts) for _ in range(2)], SMALL)
    row = await world.outcome(message)
    lines = {line.folder: line for line in CommandResult.model_validate(row.result).refreshed}
    assert (row.outcome, lines["SCANS/4/DICOM"].added) == ("completed", 20)
    assert set(lines) == {"SCANS/4/DICOM", "RESOURCES/A", "RESOURCES/B", "RESOURCES/C"}
    assert len(await world.names()) == 23
    assert sum(1 for _ in (await world.catalog()).iter(f"{CAT}entry")) == 23
    told = {event.id for event in events if event.type == "org.scandock.catalog.refreshed.v1"}
    changes = await world.rows(sa.select(session_changes).where(session_changes.c.command_id.is_not(None)))
    assert len(told) == len(changes)
    audit = (await world.catalog()).findtext(f"{CAT}metaFields/{CAT}metaField[@name='AUDIT']") or ""
    assert sum(int(event.rpartition(":")[2]) for event in audit.split("|")) == 23
    (resource,) = await world.rows(sa.select(resources).where(resources.c.label == "DICOM"))
    assert resource.file_count == 23


async def test_two_deliveries_of_a_large_refresh_make_the_same_parts(world: World) -> None:
    await world.archived()
    for number in range(9):
        world.put(f"{DICOM}{number}.txt")
    message = await world.accept()
    one, other = await asyncio.gather(world.run(message, SMALL), world.run(message, SMALL))
    assert sorted(map(len, (one, other)))[0] == 0
    made = await world.rows(sa.select(commands.c.id).where(commands.c.parent_id == message.command_id))
    assert {row.id for row in made} == {part.command_id for part in (*one, *other) if isinstance(part, CommandReceived)}


@pytest.mark.parametrize("outcome", ["failed", "rejected"])
async def test_a_failed_part_fails_the_whole_with_its_reason(world: World, outcome: str) -> None:
    await world.archived()
    for number in range(9):
        world.put(f"{DICOM}{number}.txt")
    message = await world.accept()
    first, *others = await world.run(message, SMALL)
    assert isinstance(first, CommandReceived)
    values = {"outcome": outcome, "code": "store-full", "detail": "The store is full."}
    await world.execute(sa.update(commands).where(commands.c.id == first.command_id).values(values))
    await world.settle(others, SMALL)
    row = await world.outcome(message)
    assert (row.outcome, row.code, row.detail) == (outcome, "store-full", "The store is full.")
    assert CommandResult.model_validate(row.result).refreshed[0].added > 0


def _resident_megabytes() -> int:
    status = Path("/proc/self/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) // 1024


async def test_a_resource_of_20000_files_is_compared_in_bounded_time_and_memory(world: World) -> None:
    _, resource = await world.archived()
    count = 20_000
    columns = ("session_id", "resource", "name", "object_key", "size_bytes", "md5", "sha256")
    keys = [f"{PREFIX}fedcba9876543210/4_ab12cd34/{number:06d}_x.dcm" for number in range(count)]
    async with transaction(world.engine) as connection:
        rows = ((E1, resource, f"f{n:06d}.dcm", key, 10, "m", "s") for n, key in enumerate(keys))
        await copy_rows(connection, "files", columns, rows)
    before = _resident_megabytes()
    started = asyncio.get_running_loop().time()
    message = await world.accept(options=ALL - {RefreshOption.CHECKSUM})
    told = await world.run(message, Limits(files=30_000))
    seconds = asyncio.get_running_loop().time() - started
    row = await world.outcome(message)
    (line,) = CommandResult.model_validate(row.result).refreshed
    assert (line.removed, len(await world.names())) == (count, 3)
    assert seconds < 20
    assert _resident_megabytes() - before < 200
    await world.settle(told)
