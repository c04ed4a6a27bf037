"""XAR over the real database: one batch reads the documents and routes all, twice and at once alike."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from libs.common.database import end_import, open_engine, upgrade
from libs.common.errors import UserError
from libs.common.messages import MembersRouted
from libs.common.requests import ImportRequest
from libs.common.schema import import_members, import_series, projects, users
from libs.common.stated import SESSION_KEY
from libs.common.storage import memory_store
from tests.integration.test_router import Uploads
from tests.servers import Servers, unique_name
from tests.unit.services.router.test_xar_documents import session
from tests.unit.services.router.test_xar_plan import catalog

XAR = ImportRequest(handler="XAR")
SCAN = (
    '<xnat:scans><xnat:scan ID="1" UID="1.2.3" xsi:type="xnat:mrScanData"><xnat:file URI="SCANS/1/DICOM/c.xml"'
    ' label="DICOM" format="DICOM" content="RAW" xsi:type="xnat:resourceCatalog"/></xnat:scan></xnat:scans>'
)
FIRST = {"s.xml": session(SCAN), "SCANS/1/DICOM/1.dcm": b"one"}
SECOND = {"SCANS/1/DICOM/c.xml": catalog('URI="2.dcm" UID="1.2.3.2" instanceNumber="2"'), "SCANS/1/DICOM/2.dcm": b"two"}


@pytest_asyncio.fixture(scope="module")
async def uploads(servers: Servers) -> AsyncIterator[Uploads]:
    name = unique_name()
    servers.create_database(name)
    url = servers.environment(name)["DATABASE_URL"]
    await asyncio.to_thread(upgrade, url)
    engine = open_engine(url)
    made = Uploads(engine, memory_store())
    await made.insert(users, login="root", password_hash="-", admin=True)
    await made.insert(projects, id="P")
    yield made
    await engine.dispose()


async def test_batches_that_are_routed_at_once_and_twice_end_in_one_session(uploads: Uploads) -> None:
    import_id = await uploads.received(XAR, "root")
    batches = [await uploads.found(import_id, FIRST), await uploads.found(import_id, SECOND, first=2)]
    await asyncio.gather(*(uploads.route(batch) for batch in [*batches, *batches]))
    entry = await uploads.entry(import_id)
    assert (entry["project"], entry["subject_label"], entry["label"]) == ("P", "S1", "E1")
    assert entry["xsi_type"] == "xnat:mrSessionData"
    members = {str(row["path"]): row for row in await uploads.members(import_id)}
    assert {path: row["verdict"] for path, row in members.items()} == {
        "s.xml": "skipped",
        "SCANS/1/DICOM/c.xml": "skipped",
        "SCANS/1/DICOM/1.dcm": None,
        "SCANS/1/DICOM/2.dcm": None,
    }
    assert members["SCANS/1/DICOM/2.dcm"]["sop_instance_uid"] == "1.2.3.2"
    assert members["SCANS/1/DICOM/1.dcm"]["file_name"] == "1.dcm"
    rows = await uploads.rows(import_series, import_series.c.import_id == import_id)
    assert sorted(str(row["series_instance_uid"]) for row in rows) == ["1.2.3", SESSION_KEY]


async def test_documents_are_read_once_for_all_batches(uploads: Uploads) -> None:
    import_id = await uploads.received(XAR, "root")
    batches = [await uploads.found(import_id, FIRST), await uploads.found(import_id, SECOND, first=2)]
    await uploads.route(batches[1])
    for batch in batches:
        await uploads.store.delete([f"uploads/{batch.batch_id}"])
    assert await uploads.route(batches[0]) == [MembersRouted(import_id=import_id, batch_id=batches[0].batch_id)]
    assert [row["file_name"] for row in await uploads.members(import_id)] == [None, "1.dcm", None, "2.dcm"]


async def test_an_import_that_is_cancelled_while_it_is_routed_opens_nothing(uploads: Uploads) -> None:
    import_id = await uploads.received(XAR, "root")
    batch = await uploads.found(import_id, FIRST)
    await end_import(uploads.engine, import_id, "rejected", UserError("cancelled", ""))
    await uploads.route(batch)
    assert await uploads.entries(import_id) == {}


async def test_a_project_that_is_not_the_senders_opens_nothing(uploads: Uploads) -> None:
    await uploads.insert(users, login="eve", password_hash="-", admin=False)
    import_id = await uploads.received(XAR, "eve")
    with pytest.raises(UserError) as caught:
        await uploads.route(await uploads.found(import_id, FIRST))
    assert caught.value.code == "project-unknown"
    assert await uploads.entries(import_id) == {}
    rows = await uploads.rows(import_members, import_members.c.import_id == import_id)
    assert all(row["session_id"] is None for row in rows)
