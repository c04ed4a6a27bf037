"""The garbage collector over the real database: only what nobody names goes, and only when its time is over."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
import sqlalchemy as sa

from libs.common.database import end_import
from libs.common.errors import UserError
from libs.common.reports import report_key
from libs.common.requests import Area, Destination, ImportRequest
from libs.common.schema import cache_files, files, imports, replaced_files, sessions, users
from services.archiver import garbage
from services.archiver.garbage import Retention, collect
from services.archiver.lifecycle import LONG_AGO
from tests.integration.routed import Archive, File

LONG = timedelta(days=1000)
KEEP = Retention(LONG, LONG, LONG)
NOW = Retention(timedelta(), LONG, LONG)
FILES = [File(f"{n}.dcm", f"bytes {n}".encode(), f"1.5.{n}") for n in range(3)]
TO_ARCHIVE = ImportRequest(destination=Destination(area=Area.ARCHIVE, project="P"))


async def keys(archive: Archive, prefix: str = "") -> set[str]:
    return {stored.key async for page in archive.store.list(prefix) for stored in page}


async def run(archive: Archive, retention: Retention) -> int:
    return await collect(archive.engine, archive.store, retention)


async def test_an_upload_goes_when_its_time_is_over_and_its_files_and_report_stay(archive: Archive) -> None:
    landed = await archive.land(FILES, TO_ARCHIVE)
    await archive.store.put(report_key(landed.id), b"{}")
    before = await archive.bodies()
    assert await run(archive, KEEP) == 0
    assert await run(archive, NOW) == 1
    assert await keys(archive, "uploads/") == {report_key(landed.id)}
    assert await archive.bodies() == before
    assert await run(archive, NOW) == 0


async def test_what_an_ended_import_stored_and_nobody_took_goes(archive: Archive) -> None:
    kept = await archive.land(FILES, TO_ARCHIVE)
    import_id = await archive.route(FILES)
    await archive.stage(import_id)
    assert len(await keys(archive, "sessions/")) == 6
    assert await run(archive, NOW) == 1, "an import that still runs keeps everything"
    await end_import(archive.engine, import_id, "failed", UserError("silent", ""))
    assert await run(archive, NOW) == 4
    assert len(await keys(archive, "sessions/")) == 3
    assert len(await archive.bodies()) == 3
    places = await archive.rows(sa.select(sessions.c.place).where(sessions.c.opened_by == import_id))
    assert [row["place"] for row in places] == ["deleted"]
    assert kept.outcome == "completed"


async def test_what_people_put_into_the_bucket_by_hand_is_never_touched(archive: Archive) -> None:
    landed = await archive.land(FILES, TO_ARCHIVE)
    prefix = str((await archive.row(sa.select(sessions.c.prefix)))["prefix"])
    mine = {f"{prefix}SCANS/1/NIFTI/a.nii", f"{prefix}mine.txt", "elsewhere/x"}
    for key in mine:
        await archive.store.put(key, b"mine")
    await archive.execute(sa.update(sessions).values(place="deleted", deleted_at=datetime.now(UTC)))
    await run(archive, Retention(timedelta(), timedelta(), LONG))
    assert await keys(archive) == mine
    assert landed.outcome == "completed"


async def test_a_replaced_file_stays_until_the_grace_time_ends(archive: Archive) -> None:
    await archive.land(FILES, TO_ARCHIVE)
    old, by_hand, _ = await archive.rows(sa.select(files))
    for gone, import_id in ((old, str(old["import_id"])), (by_hand, None)):
        row = {"id": gone["id"], "session_id": gone["session_id"], "revision": 2, "object_key": gone["object_key"]}
        await archive.execute(sa.insert(replaced_files).values(**row, file={"import_id": import_id}))
        await archive.execute(sa.delete(files).where(files.c.id == gone["id"]))
    await run(archive, NOW)
    assert old["object_key"] in await keys(archive)
    await run(archive, Retention(timedelta(), timedelta(), LONG))
    assert old["object_key"] not in await keys(archive)
    assert by_hand["object_key"] in await keys(archive), "what people put in by hand is never touched"
    assert not await archive.rows(sa.select(replaced_files))


async def test_a_deleted_session_goes_with_its_objects_but_not_with_those_of_another(archive: Archive) -> None:
    """A merge leaves objects in the prefix of the session that they came with."""
    await archive.land(FILES, TO_ARCHIVE)
    first = await archive.row(sa.select(sessions.c.id, sessions.c.prefix))
    shared, alone, _ = await archive.rows(sa.select(files).order_by(files.c.id))
    other = TO_ARCHIVE.model_copy(update={"destination": Destination(area=Area.ARCHIVE, project="P", session="E2")})
    await archive.land([File("x.dcm", b"x", "1.9", study="1.3")], other)
    moved = sa.update(files).where(files.c.id != alone["id"], files.c.session_id == first["id"])
    await archive.execute(moved.values(session_id="elsewhere"))
    is_first = sessions.c.id == first["id"]
    await archive.execute(sa.update(sessions).where(is_first).values(place="deleted", deleted_at=datetime.now(UTC)))
    await archive.store.put(f"{first['prefix']}session.xml", b"<x/>")
    await run(archive, NOW)
    assert alone["object_key"] in await keys(archive)
    # the rows of the resource go with it, so those that another session has are put there again, as a merge has them
    rows = await archive.rows(sa.select(files).where(files.c.session_id == "elsewhere"))
    resource = await archive.row(sa.text("select id from resources where session_id <> :id").bindparams(id=first["id"]))
    for row in rows:
        await archive.execute(
            sa.update(files).where(files.c.id == row["id"]).values(resource=resource["id"], name=f"m{row['id']}")
        )
    await run(archive, Retention(timedelta(), timedelta(), LONG))
    left = await keys(archive, str(first["prefix"]))
    assert alone["object_key"] not in left
    assert shared["object_key"] in left
    assert f"{first['prefix']}session.xml" not in left
    assert not await archive.rows(sa.select(sessions).where(is_first))


async def test_a_purged_session_takes_its_uploads_reports_and_rows_with_it(archive: Archive) -> None:
    purged, kept = [await archive.land([File("x", body, "1.9", study=study)], to(label)) for body, study, label in PAIR]
    for landed in (purged, kept):
        await archive.store.put(report_key(landed.id), b"{}")
    is_purged = sessions.c.label == "E1"
    await archive.execute(sa.update(sessions).where(is_purged).values(place="deleted", deleted_at=LONG_AGO))
    await run(archive, KEEP)
    left = await keys(archive)
    assert not [key for key in left if str(purged.id) in key]
    assert [row["id"] for row in await archive.rows(sa.select(imports))] == [kept.id]
    assert report_key(kept.id) in left
    assert len(await archive.bodies("E2")) == 1


def to(label: str) -> ImportRequest:
    """Into the archive under this label."""
    return ImportRequest(destination=Destination(area=Area.ARCHIVE, project="P", session=label))


PAIR = ((b"one", "1.3", "E1"), (b"two", "1.4", "E2"))


async def test_a_cached_file_goes_when_no_row_and_no_import_has_it(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(garbage, "LEFT", timedelta(seconds=-1))
    await archive.execute(sa.insert(users).values(login="ann", password_hash=""))
    row = {"login": "ann", "path": "r/a.zip", "object_key": "cache/1/a", "size_bytes": 1, "sha256": ""}
    await archive.execute(sa.insert(cache_files).values(row))
    for key in ("cache/1/a", "cache/1/b", "cache/1/c"):
        await archive.store.put(key, b"1")
    import_id = await archive.route(FILES)
    await archive.execute(
        sa.text(
            "insert into import_sources (import_id, ordinal, object_key, size_bytes, sha256)"
            " values (:id, 0, 'cache/1/b', 1, '')"
        ).bindparams(id=import_id)
    )
    await run(archive, KEEP)
    assert await keys(archive, "cache/") == {"cache/1/a", "cache/1/b"}


async def test_an_upload_that_never_became_an_import_goes_after_a_day(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    await archive.route(FILES)
    orphan = f"uploads/{uuid4()}/source"
    for key in (orphan, "uploads/mine.txt"):
        await archive.store.put(key, b"1")
    assert await run(archive, KEEP) == 0
    monkeypatch.setattr(garbage, "LEFT", timedelta(seconds=-1))
    assert await run(archive, KEEP) == 1
    assert orphan not in await keys(archive)
    assert len(await keys(archive, "uploads/")) == 2


async def test_an_imports_rows_go_last_and_its_files_stay(archive: Archive) -> None:
    landed = await archive.land(FILES, TO_ARCHIVE)
    await archive.store.put(report_key(landed.id), b"{}")
    await run(archive, Retention(timedelta(), LONG, timedelta()))
    assert not await archive.rows(sa.select(imports))
    assert not await keys(archive, "uploads/")
    assert len(await archive.bodies()) == 3
