"""`scandock export`: what is written is what was stored, where XNAT's own tools look for it."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
import sqlalchemy as sa
from lxml import etree

from libs.cli.export import Progress, export_session, localize
from libs.common.database import open_engine, upgrade
from libs.common.errors import UserError
from libs.common.messages import SessionChanged
from libs.common.requests import Area, Destination, ImportRequest
from libs.common.schema import files, session_changes, sessions
from libs.common.storage import memory_store
from services.catalog.handlers import Site, catalogue_session
from tests.integration.routed import Archive, File
from tests.servers import Servers, unique_name

CAT = "{http://nrg.wustl.edu/catalog}"
FILES = [File(f"a/{n} &.dcm", f"bytes {n}".encode(), f"1.5.{n}", number="4") for n in range(20)]


@pytest_asyncio.fixture
async def archive(servers: Servers) -> AsyncIterator[Archive]:
    name = unique_name()
    servers.create_database(name)
    url = servers.environment(name)["DATABASE_URL"]
    await asyncio.to_thread(upgrade, url)
    engine = open_engine(url)
    made = Archive(engine, memory_store())
    await made.project()
    destination = Destination(area=Area.ARCHIVE, project="P", session="E1")
    await made.land(FILES, ImportRequest(destination=destination))
    await made.execute(sa.update(session_changes).values(catalogued_at=None))
    (change,) = await made.rows(sa.select(session_changes))
    message = SessionChanged(import_id=change["import_id"], session_id=change["session_id"], revision=1)
    await catalogue_session(message, store=made.store, engine=engine, site=Site("XNAT", "bucket"))
    yield made
    await engine.dispose()


async def run(archive: Archive, directory: Path, named: str = "P/E1") -> tuple[Path, list[Progress]]:
    told: list[Progress] = []
    return await export_session(archive.engine, archive.store, named, directory, told.append), told


def names_in(directory: Path) -> set[str]:
    return {path.name for path in directory.rglob("*")}


async def test_a_session_is_written_in_xnats_layout_with_catalogs_that_hold_there(
    archive: Archive, tmp_path: Path
) -> None:
    folder, told = await run(archive, tmp_path)
    assert folder == tmp_path / "P" / "arc001" / "E1"
    assert told[-1] == Progress(20, 20, 20)
    dicom = folder / "SCANS" / "4" / "DICOM"
    entries = etree.parse(dicom / "scan_4_catalog.xml").getroot().iter(f"{CAT}entry")
    found = {entry.get("URI"): entry.get("digest") for entry in entries}
    assert len(found) == 20
    for uri, digest in found.items():
        assert hashlib.md5((dicom / str(uri)).read_bytes()).hexdigest() == digest
    assert etree.parse(folder.parent / "E1.xml").getroot().get("label") == "E1"


async def test_an_export_that_was_stopped_goes_on(archive: Archive, tmp_path: Path) -> None:
    folder, _ = await run(archive, tmp_path)
    one, other = sorted((folder / "SCANS/4/DICOM").glob("*.dcm"))[:2]
    one.unlink()
    other.write_bytes(b"half")
    _, told = await run(archive, tmp_path)
    assert told[-1] == Progress(20, 20, 2)


async def test_other_bytes_or_none_are_told_and_not_written(archive: Archive, tmp_path: Path) -> None:
    (first, second, *_) = await archive.rows(sa.select(files.c.object_key, files.c.name).order_by(files.c.id))
    await archive.store.put(str(first["object_key"]), b"other 0")
    with pytest.raises(UserError, match="digest-differs"):
        await run(archive, tmp_path)
    assert first["name"] not in names_in(tmp_path)
    await archive.store.delete([str(first["object_key"]), str(second["object_key"])])
    with pytest.raises(UserError, match="object-missing"):
        await run(archive, tmp_path / "b")


@pytest.mark.parametrize("named", ["nobody", "P/nothing"])
async def test_a_session_that_is_not_there_is_named(archive: Archive, tmp_path: Path, named: str) -> None:
    with pytest.raises(UserError, match=named):
        await run(archive, tmp_path, named)


async def test_a_name_never_leaves_the_folder(archive: Archive, tmp_path: Path) -> None:
    await archive.execute(sa.text("update files set name = '../../x' where id = (select min(id) from files)"))
    with pytest.raises(UserError, match="name-unsafe"):
        await run(archive, tmp_path)


async def test_a_session_is_named_by_its_id_too(archive: Archive, tmp_path: Path) -> None:
    session_id = str((await archive.row(sa.select(sessions.c.id)))["id"])
    folder, _ = await run(archive, tmp_path, session_id)
    assert folder.name == "E1"


@pytest.mark.parametrize(
    ("entry", "local"),
    [
        ('<cat:entry ID="a.dcm" URI="../../x/0_a.dcm" x="1">', '<cat:entry ID="a.dcm" URI="a.dcm" x="1">'),
        ('<cat:entry ID=\'a".dcm\' URI="s3://b/k">', "<cat:entry ID='a\".dcm' URI='a\".dcm'>"),
        ('<cat:entry UID="1" ID="d/a" URI="q">', '<cat:entry UID="1" ID="d/a" URI="d/a">'),
    ],
)
def test_an_entrys_path_is_its_id(entry: str, local: str) -> None:
    assert localize(f"<x>{entry}</x>") == f"<x>{local}</x>"
