"""Assessors beside scans, in every change of a session: their rows, resources and objects go with it."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest_asyncio
import sqlalchemy as sa

from libs.cli.export import export_session
from libs.common.commands import Archive as ArchiveCommand
from libs.common.commands import Build
from libs.common.database import open_engine, upgrade
from libs.common.messages import SessionChanged
from libs.common.requests import Area, Destination, ImportRequest, Overwrite
from libs.common.schema import assessors, configs, resources, session_changes, sessions
from libs.common.stated import StatedAssessor, StatedResource, StatedScan, assessor_key
from libs.common.storage import memory_store
from services.archiver.garbage import Retention, collect
from services.archiver.lifecycle import LONG_AGO
from services.catalog.handlers import catalogue_session
from tests.builders_xar import NS
from tests.integration.commanded import do, receiving
from tests.integration.routed import Archive, File
from tests.servers import Servers, unique_name

TO_ARCHIVE = ImportRequest(destination=Destination(area=Area.ARCHIVE, project="P", session="E1"))


def of_assessor(label: str, name: str, body: bytes, note: str = "good") -> File:
    document = f'<xnat:QCAssessment {NS} label="{label}"><xnat:note>{note}</xnat:note></xnat:QCAssessment>'
    one = StatedAssessor(label=label, xsi_type="xnat:qcAssessmentData", document=document, fields={"note": note})
    stated = StatedScan(assessor=one, resources={"DATA": StatedResource(format="JSON")})
    return File(
        f"{label}/{name}", body, "", assessor_key(label), sop_class="", modality="", resource="DATA", stated=stated
    )


SCAN = File("1.dcm", b"scan", "1.5.1")
FIRST = [SCAN, of_assessor("A", "a.json", b"a")]


@pytest_asyncio.fixture
async def archive(servers: Servers) -> AsyncIterator[Archive]:
    name = unique_name()
    servers.create_database(name)
    url = servers.environment(name)["DATABASE_URL"]
    await asyncio.to_thread(upgrade, url)
    engine = open_engine(url)
    made = Archive(engine, memory_store())
    await made.execute(sa.text("select setval('session_ids', 5000)"))
    await made.project()
    yield made
    await engine.dispose()


async def listed(archive: Archive) -> dict[tuple[object, ...], bytes]:
    """The bytes of all files of assessors in the archive, by session, label, ID, resource and name."""
    query = sa.text(
        "select s.id as session, a.label, a.id, r.label as resource, f.name, f.object_key from files f"
        " join resources r on r.id = f.resource join assessors a on a.row = r.assessor"
        " join sessions s on s.id = f.session_id and s.id = r.session_id and s.id = a.session_id"
        " where s.place = 'archive'"
    )
    return {
        tuple(list(row.values())[:5]): await archive.store.read(str(row["object_key"]), 0, 99)
        for row in await archive.rows(query)
    }


async def catalogued(archive: Archive) -> None:
    await archive.execute(sa.update(session_changes).values(catalogued_at=None))
    for row in await archive.rows(sa.select(session_changes).where(session_changes.c.verb != "deleted")):
        message = SessionChanged(import_id=row["import_id"], session_id=row["session_id"], revision=row["revision"])
        await catalogue_session(message, archive.store, archive.engine, archive.site)


async def test_an_event_names_scans_and_no_assessor(archive: Archive) -> None:
    await archive.land(FIRST, TO_ARCHIVE)
    change = await archive.row(sa.select(session_changes.c.event))
    assert change["event"]["scans"] == ["1"]  # type: ignore[index]
    assert change["event"]["file_count"] == 2  # type: ignore[index]


async def test_an_entry_that_joins_by_command_brings_new_assessors_and_fills_those_that_are_there(
    archive: Archive,
) -> None:
    first = await archive.land(FIRST, TO_ARCHIVE)
    (before,) = await listed(archive)
    other = [SCAN, of_assessor("A", "a.json", b"other", "bad"), of_assessor("B", "b.json", b"b")]
    waiting = await archive.land(other, TO_ARCHIVE)
    assert waiting.outcomes == ["conflict"]
    ids = {
        row["label"]: row["id"]
        for row in await archive.rows(sa.select(assessors).where(assessors.c.session_id == waiting.sessions[0]))
    }
    done = await do(archive, waiting.sessions[0], ArchiveCommand(overwrite=Overwrite.DELETE))
    assert (done.outcome, done.code) == ("completed", "")
    home = first.sessions[0]
    assert await listed(archive) == {
        (home, "A", before[2], "DATA", "a.json"): b"other",
        (home, "B", ids["B"], "DATA", "b.json"): b"b",
    }
    texts = await archive.rows(sa.select(assessors.c.document, assessors.c.fields).order_by(assessors.c.label))
    assert [row["fields"] for row in texts] == [{"note": "bad"}, {"note": "good"}]
    assert await archive.rows(sa.select(resources).where(resources.c.session_id != home)) == []


async def test_two_imports_at_once_make_one_assessor(archive: Archive) -> None:
    await archive.land([SCAN], TO_ARCHIVE)
    request = TO_ARCHIVE.model_copy(update={"overwrite": Overwrite.APPEND})
    ids = [await archive.route([of_assessor("A", f"{n}.json", b"%d" % n)], request) for n in range(4)]
    for import_id in ids:
        await archive.stage(import_id)
    of_home = sessions.c.place == "opening"
    await archive.execute(sa.update(sessions).where(of_home).values(xsi_type="xnat:mrSessionData"))
    await asyncio.gather(*(archive.merge(import_id) for import_id in [*ids, *ids]))
    assert len(await archive.rows(sa.select(assessors))) == 1
    assert sorted(str(key[4]) for key in await listed(archive)) == [f"{n}.json" for n in range(4)]


async def test_an_export_has_assessors_with_catalogs_that_hold_there(archive: Archive, tmp_path: Path) -> None:
    await archive.land(FIRST, TO_ARCHIVE)
    await catalogued(archive)
    folder = await export_session(archive.engine, archive.store, "P/E1", tmp_path, lambda _: None)
    ((_, _, assessor_id, *_),) = await listed(archive)
    data = folder / "ASSESSORS" / str(assessor_id) / "DATA"
    assert (data / "a.json").read_bytes() == b"a"
    assert 'URI="a.json"' in (data / "DATA_catalog.xml").read_text()
    assert f'ID="{assessor_id}"' in (folder.parent / "E1.xml").read_text()


async def test_a_deleted_session_takes_its_assessors_with_it(archive: Archive) -> None:
    await archive.land(FIRST, TO_ARCHIVE)
    await catalogued(archive)
    await archive.execute(sa.update(sessions).values(place="deleted", deleted_at=LONG_AGO))
    await collect(archive.engine, archive.store, Retention(timedelta(), timedelta(days=1), timedelta(days=999)))
    assert await archive.rows(sa.select(assessors)) == []
    assert [one.key async for page in archive.store.list("sessions/") for one in page] == []


async def test_assessors_go_with_the_mr_where_pet_and_mr_are_separated(archive: Archive) -> None:
    wanted = {"tool": "separatePETMR", "path": "config", "version": 1, "contents": "separate"}
    await archive.execute(sa.insert(configs).values(wanted))
    pet = File("2.dcm", b"pet", "1.6.1", "1.6", "2", sop_class="1.2.840.10008.5.1.4.1.1.128", modality="PT")
    request = ImportRequest(destination=Destination(area=Area.PREARCHIVE, project="P"))
    landed = await archive.land([*FIRST, pet], request)
    await receiving(archive, landed.sessions[0])
    assert (await do(archive, landed.sessions[0], Build())).outcome == "completed"
    query = sa.select(sessions.c.label, assessors.c.label.label("of")).join_from(sessions, assessors)
    (row,) = await archive.rows(query)
    assert (str(row["label"]).endswith("MR"), row["of"]) == (True, "A")
    rows = await archive.rows(sa.select(resources.c.session_id).where(resources.c.assessor.is_not(None)))
    assert [one["session_id"] for one in rows] == [
        one["id"] for one in await archive.rows(sa.select(sessions.c.id).where(sessions.c.label == row["label"]))
    ]
