"""The extractor on the real database and store: rows of all members, batches told once and again, bounded memory."""

import asyncio
import gzip
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
import pytest_asyncio
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from libs.common.database import end_import, load_batch, open_engine, transaction, upgrade
from libs.common.errors import Poison, Retryable, UserError
from libs.common.messages import ImportReceived, ImportStaged, MembersFound
from libs.common.requests import ImportRequest
from libs.common.schema import import_batches, import_members, import_sources, imports
from libs.common.settings import Settings
from libs.common.spans import decode, plan
from libs.common.storage import Store, s3_store
from services.extractor.handlers import Output, hold_import, list_import
from services.extractor.leases import Leases, Terms, tell_expired
from services.extractor.limits import Limits
from tests.builders_archives import DICOM, tar_bytes, zip_bytes


class World:
    """The tables and the bucket, and the handler on both."""

    def __init__(self, engine: AsyncEngine, store: Store) -> None:
        self.engine, self.store = engine, store

    async def upload(self, *bodies: bytes, name: str = "study.zip") -> ImportReceived:
        import_id = uuid4()
        row = {
            "id": import_id,
            "login": "admin",
            "request": ImportRequest().model_dump(mode="json"),
            "size_bytes": sum(map(len, bodies)),
            "sha256": "",
        }
        await self.execute(sa.insert(imports).values(row))
        for ordinal, body in enumerate(bodies):
            key = f"uploads/{import_id}/source" + (f".{ordinal}" if ordinal else "")
            if body:
                await self.store.put(key, body)
            facts = {"object_key": key, "name": name, "size_bytes": len(body), "sha256": ""}
            await self.execute(sa.insert(import_sources).values(import_id=import_id, ordinal=ordinal, **facts))
        return ImportReceived(import_id=import_id)

    async def list(self, message: ImportReceived) -> list[Output]:
        return await list_import(message, self.store, self.engine, Limits())

    async def execute(self, statement: sa.Insert | sa.Update) -> None:
        async with transaction(self.engine) as connection:
            await connection.execute(statement)

    async def rows(self, table: sa.Table, import_id: UUID) -> Sequence[sa.Row[tuple[object, ...]]]:
        order = table.c.ordinal if "ordinal" in table.c else table.c.id
        own = table.c.id if table is imports else table.c.import_id
        async with transaction(self.engine) as connection:
            return (await connection.execute(sa.select(table).where(own == import_id).order_by(order))).all()

    async def contents(self, told: Sequence[Output]) -> dict[str, bytes]:
        """What the router and the archiver get of the batches that were told."""
        found: dict[str, bytes] = {}
        for message in told:
            assert isinstance(message, MembersFound)
            async with transaction(self.engine) as connection:
                members = await load_batch(connection, message.batch_id)
            for read in plan(members):
                body = memoryview(await self.store.read(read.object_key, read.start, read.length))
                found |= {m.path: bytes(decode(m, read.span(m, body))) for m in read.members}
        return found


@pytest_asyncio.fixture
async def world(allotment: dict[str, str]) -> AsyncIterator[World]:
    await asyncio.to_thread(upgrade, allotment["DATABASE_URL"])
    engine = open_engine(allotment["DATABASE_URL"])
    settings = Settings.model_validate(allotment).s3
    yield World(engine, s3_store(settings))
    await engine.dispose()


FILES = {f"study/{number:04d}.dcm": DICOM[: 200 + number] for number in range(1201)}


@pytest.mark.parametrize(
    "body", [zip_bytes(FILES), tar_bytes(FILES), tar_bytes(FILES, mode="gz")], ids=["zip", "tar", "tgz"]
)
async def test_all_members_reach_the_router_in_batches(world: World, body: bytes) -> None:
    message = await world.upload(body)
    told = await world.list(message)
    assert len(told) == 3
    assert await world.contents(told) == FILES
    (row,) = await world.rows(imports, message.import_id)
    assert row.batch_count == 3
    assert row.listed_at is not None
    batches = await world.rows(import_batches, message.import_id)
    assert [(b.ordinal, b.member_count) for b in batches] == [(0, 500), (1, 500), (2, 201)]
    assert sum(b.size_bytes for b in batches) == sum(map(len, FILES.values()))


async def test_several_sources_are_listed_as_one_upload(world: World) -> None:
    message = await world.upload(zip_bytes({"a.dcm": DICOM}), tar_bytes({"b.dcm": DICOM}, mode="gz"), DICOM)
    told = await world.list(message)
    paths = ["study.zip/a.dcm", "study.zip_1/b.dcm", "study.zip_2"]
    assert await world.contents(told) == dict.fromkeys(paths, DICOM)
    rows = await world.rows(import_members, message.import_id)
    assert [(r.ordinal, r.path) for r in rows] == list(enumerate(paths))
    assert {r.object_key for r in rows} == {
        f"uploads/{message.import_id}/{name}" for name in ("source", "members", "source.2")
    }


async def test_skipped_members_have_their_row_and_reason(world: World) -> None:
    message = await world.upload(
        zip_bytes({".DS_Store": b"x", "a\tb\\c\n.dcm": DICOM, "empty": b"", "x.gz": gzip.compress(DICOM)})
    )
    await world.list(message)
    rows = await world.rows(import_members, message.import_id)
    assert [(r.path, r.verdict, r.reason, r.batch_id is None) for r in rows] == [
        (".DS_Store", "skipped", "junk: folder settings of macOS", True),
        ("a\tb/c\n.dcm", None, "", False),
        ("empty", "skipped", "empty", True),
        ("x.gz/x", None, "", False),
    ]


async def test_second_delivery_changes_nothing_and_tells_what_is_not_staged(world: World) -> None:
    message = await world.upload(tar_bytes(FILES, mode="gz"))
    told = await world.list(message)
    before = [await world.rows(t, message.import_id) for t in (imports, import_batches, import_members)]
    await world.store.delete([f"uploads/{message.import_id}/source"])  # it is not unpacked again
    assert await world.list(message) == told
    assert [await world.rows(t, message.import_id) for t in (imports, import_batches, import_members)] == before
    first = sa.and_(import_batches.c.import_id == message.import_id, import_batches.c.ordinal == 0)
    await world.execute(sa.update(import_batches).where(first).values(staged_at=datetime.now(UTC)))
    assert await world.list(message) == told[1:]


async def test_two_deliveries_at_once_write_one_listing(world: World) -> None:
    message = await world.upload(tar_bytes(FILES, mode="gz"))
    one, other = await asyncio.gather(world.list(message), world.list(message))
    assert one == other
    assert len(await world.rows(import_members, message.import_id)) == len(FILES)


@pytest.mark.parametrize("body", [zip_bytes({}), zip_bytes({"a/": b"", "__MACOSX/._x": b"x"})])
async def test_an_upload_without_batches_is_staged(world: World, body: bytes) -> None:
    message = await world.upload(body)
    assert await world.list(message) == [ImportStaged(import_id=message.import_id)]


async def test_an_import_that_has_ended_is_left_alone(world: World) -> None:
    message = await world.upload(zip_bytes(FILES))
    await end_import(world.engine, message.import_id, "rejected", UserError("cancelled", ""))
    assert await world.list(message) == []
    assert await world.rows(import_members, message.import_id) == []


async def test_a_refused_upload_has_no_rows(world: World) -> None:
    message = await world.upload(b"just text")
    with pytest.raises(UserError):
        await world.list(message)
    assert await world.rows(import_members, message.import_id) == []


async def test_what_is_missing_is_not_the_senders_fault(world: World) -> None:
    with pytest.raises(Retryable):
        await world.list(ImportReceived(import_id=uuid4()))
    message = await world.upload(zip_bytes(FILES))
    await world.store.delete([f"uploads/{message.import_id}/source"])
    with pytest.raises(Poison):
        await world.list(message)


class Told:
    """Collects what is published."""

    def __init__(self) -> None:
        self.outputs: list[object] = []
        self._has_come = asyncio.Event()

    async def __call__(self, *outputs: object) -> None:
        self.outputs += outputs
        self._has_come.set()

    async def wait(self) -> None:
        await asyncio.wait_for(self._has_come.wait(), 20)


async def hold(world: World, message: ImportReceived, leases: Leases) -> Sequence[object]:
    return await hold_import(message, world.store, world.engine, Limits(), leases)


async def test_work_that_outlasts_its_message_goes_on_under_a_lease(world: World) -> None:
    told = Told()
    leases = Leases(world.engine, told, Terms(hold=0, renew=0.05))
    message = await world.upload(tar_bytes(FILES, mode="gz"))
    assert await hold(world, message, leases) == []
    (row,) = await world.rows(imports, message.import_id)
    assert row.leased_until > datetime.now(UTC)
    await told.wait()
    assert await world.contents(told.outputs) == FILES
    await leases.close()


async def test_what_another_replica_has_a_lease_on_is_left_to_it(world: World) -> None:
    message = await world.upload(zip_bytes(FILES))
    later = datetime.now(UTC) + timedelta(minutes=1)
    await world.execute(sa.update(imports).where(imports.c.id == message.import_id).values(leased_until=later))
    assert await world.list(message) == []
    assert not await world.rows(import_batches, message.import_id)


async def test_a_stopped_replica_gives_its_lease_up_and_the_sweep_tells_again(world: World) -> None:
    leases = Leases(world.engine, Told(), Terms(hold=0))
    message = await world.upload(tar_bytes(FILES, mode="gz"))
    assert await hold(world, message, leases) == []
    await leases.close()
    told = Told()
    assert await tell_expired(world.engine, told) == 1
    assert told.outputs == [message]
    assert await tell_expired(world.engine, told) == 0
    assert len(await world.list(message)) == 3


async def test_a_bad_upload_is_rejected_under_a_lease_too(world: World) -> None:
    told = Told()
    leases = Leases(world.engine, told, Terms(hold=0))
    message = await world.upload(gzip.compress(b"no tar, no DICOM" * 100)[:-20])
    assert await hold(world, message, leases) == []
    await told.wait()
    (row,) = await world.rows(imports, message.import_id)
    assert row.outcome == "rejected"
    await leases.close()
