"""What is archived or waits in the prearchive, as clients read it (clients §2)."""

import asyncio
import io
import zipfile
from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio

from libs.common.database import upgrade
from libs.common.storage import memory_store
from tests.integration.gateway import Gateway, settings_of
from tests.servers import Servers, unique_name

E1, ENTRY = "XNAT_E00001", "/data/prearchive/projects/P/20240131_101530123/XNAT_E00003"
ADDRESSES = (
    f"/data/experiments/{E1}",
    f"/data/archive/experiments/{E1}",
    f"/REST/projects/P/experiments/{E1}",
    "/data/projects/P/experiments/E1",
    "/data/projects/alias/experiments/E1",
    "/data/archive/projects/P/subjects/S1/experiments/E1",
    f"/data/projects/P/subjects/XNAT_S00001/experiments/{E1}",
    f"/data/subjects/XNAT_S00001/experiments/{E1}",
)


@pytest_asyncio.fixture(scope="module")
async def gateway(servers: Servers) -> AsyncIterator[Gateway]:
    """Project P with an archived session E1 and what waits for it; Q with one of its own; one without a project."""
    name = unique_name()
    servers.create_database(name)
    environment = servers.environment(name)
    await asyncio.to_thread(upgrade, environment["DATABASE_URL"])
    made = Gateway.over(settings_of(environment), memory_store())
    admin = await made.user("admin", admin=True)
    for project in ("P", "Q"):
        await admin.put(f"/data/projects/{project}", params={"alias": "alias" if project == "P" else "other"})
    await made.user("reader")
    await admin.put("/data/projects/P/users/Collaborators/reader")
    await made.subject("XNAT_S00001", "P", "S1")
    await made.session(E1, label="E1", subject_id="XNAT_S00001", study_instance_uid="1.2.3")
    dicom = {"a.dcm": b"0123456789", "b c.dcm": b"b"}
    await made.resource(E1, "10", "DICOM", {"c.dcm": b"c"})
    await made.resource(E1, "2", "DICOM", dicom)
    await made.resource(E1, "2", "SNAPSHOTS", {"x/y.gif": b"gif"})
    await made.resource(E1, None, "NOTES", {"n.txt": b"note"})
    await made.store.put(f"sessions/P/{E1}/session.xml", b"<session/>")
    await made.store.put(f"sessions/P/{E1}/SCANS/2/DICOM/scan_2_catalog.xml", b"<catalog/>")
    await made.session("XNAT_E00002", project="Q", label="E1")
    await made.session("XNAT_E00003", place="prearchive", label="E1")
    await made.resource("XNAT_E00003", "2", "DICOM", {"x/a.dcm": b"a"})
    await made.store.put("sessions/P/XNAT_E00003/session.xml", b"<waiting/>")
    await made.session("XNAT_E00004", place="prearchive", project=None)
    await made.session("XNAT_E00005", place="opening", status="BUILDING")
    await made.session("XNAT_E00006", place="merged")
    await made.session("XNAT_E00007", place="deleted")
    yield made
    await made.close()


@pytest.fixture
def http(gateway: Gateway) -> httpx.AsyncClient:
    return gateway.client("reader")


async def rows(http: httpx.AsyncClient, path: str) -> list[dict[str, str]]:
    answer = await http.get(path)
    assert answer.status_code == 200, answer.text
    table = answer.json()["ResultSet"]
    assert table["totalRecords"] == str(len(table["Result"]))
    assert all(isinstance(value, str) for row in table["Result"] for value in row.values())
    return list(table["Result"])


@pytest.mark.parametrize("address", ADDRESSES)
async def test_a_session_has_many_addresses(http: httpx.AsyncClient, address: str) -> None:
    item = (await http.get(f"{address}?format=json")).json()["items"][0]
    assert item["meta"] == {"isHistory": False, "xsi:type": "xnat:mrSessionData"}
    expected = {"ID": E1, "label": "E1", "project": "P", "subject_ID": "XNAT_S00001", "UID": "1.2.3"}
    assert item["data_fields"].items() >= expected.items()
    (child,) = item["children"]
    assert (child["field"], [scan["data_fields"]["ID"] for scan in child["items"]]) == ("scans/scan", ["2", "10"])


async def test_the_document_of_a_session(http: httpx.AsyncClient) -> None:
    for asked in ({"params": {"format": "xml"}}, {"headers": {"Accept": "application/xml"}}):
        answer = await http.get(f"/data/experiments/{E1}", **asked)  # type: ignore[arg-type]
        assert (answer.content, answer.headers["content-type"]) == (b"<session/>", "text/xml; charset=utf-8")


async def test_subjects(http: httpx.AsyncClient) -> None:
    expected = {
        "ID": "XNAT_S00001",
        "project": "P",
        "label": "S1",
        "insert_date": "2024-01-31 10:15:30.123",
        "insert_user": "",
        "URI": "/data/subjects/XNAT_S00001",
    }
    assert await rows(http, "/data/projects/P/subjects?columns=group,label") == [expected]
    assert await rows(http, "/data/subjects?label=S1") == [expected]
    assert await rows(http, "/data/projects/P/subjects?label=S2") == []
    for path in ("/data/projects/P/subjects/s1", "/data/projects/P/subjects/XNAT_S00001", "/data/subjects/XNAT_S00001"):
        assert (await http.get(path)).json()["items"][0]["data_fields"]["label"] == "S1"
    assert (await http.get("/data/projects/P/subjects/S9")).status_code == 404


async def test_experiments(http: httpx.AsyncClient) -> None:
    expected = {
        "ID": E1,
        "project": "P",
        "date": "2024-01-30",
        "xsiType": "xnat:mrSessionData",
        "label": "E1",
        "insert_date": "2024-01-31 10:15:30.123",
        "URI": f"/data/experiments/{E1}",
    }
    for path in ("/data/experiments", "/data/projects/P/experiments", "/data/projects/P/subjects/S1/experiments"):
        assert await rows(http, path) == [expected]


@pytest.mark.parametrize(
    ("asked", "is_found"),
    [
        ("label=E1", True),
        ("label=E2", False),
        (f"ID={E1}", True),
        ("UID=1.2.3", True),
        ("UID=1.2", False),
        ("project=P", True),
        ("project=Q", False),
        ("subject_label=S1", True),
        ("subject_label=S1,S2", True),
        ("subject_label=S2", False),
        ("xsiType=xnat:mrSessionData", True),
        ("xsiType=xnat:petSessionData", False),
        ("xsiType=xnat:subjectAssessorData", True),
        ("xsiType=xnat:imageSessionData&project=P&UID=1.2.3", True),
    ],
)
async def test_experiments_are_filtered(http: httpx.AsyncClient, asked: str, is_found: bool) -> None:
    assert len(await rows(http, f"/data/experiments?{asked}")) == is_found


async def test_experiments_as_pyxnat_asks(http: httpx.AsyncClient) -> None:
    """clients §5."""
    columns = "ID,project,xnat:subjectAssessorData/subject_id"
    answer = await http.get(f"/data/experiments?xsiType=xnat:subjectAssessorData&label=E1&columns={columns}&format=csv")
    assert answer.headers["content-type"].startswith("text/csv")
    header, row = answer.text.splitlines()
    found = dict(zip(header.split(","), row.split(","), strict=True))
    assert found["subject_ID"] == found["xnat:subjectassessordata/subject_id"] == "XNAT_S00001"


async def test_scans(http: httpx.AsyncClient) -> None:
    two, ten = await rows(http, f"/data/experiments/{E1}/scans")
    assert two.pop("xnat_imagescandata_id").isdecimal()
    assert two == {
        "ID": "2",
        "type": "t1",
        "quality": "usable",
        "xsiType": "xnat:mrScanData",
        "note": "",
        "series_description": "t1 mprage",
        "URI": f"/data/experiments/{E1}/scans/2",
    }
    assert ten["ID"] == "10"
    assert await rows(http, f"/data/experiments/{E1}/scans?xsiType=xnat:petScanData") == []
    scan = (await http.get(two["URI"], params={"format": "json"})).json()["items"][0]["data_fields"]
    assert (scan["series_description"], scan["image_session_ID"], scan["UID"]) == ("t1 mprage", E1, "1.2.3.2")
    assert (await http.get(f"/data/experiments/{E1}/scans/3")).status_code == 404


async def test_resources(http: httpx.AsyncClient) -> None:
    dicom, snapshots = await rows(http, f"/data/experiments/{E1}/scans/2/resources")
    number = dicom.pop("xnat_abstractresource_id")
    assert dicom == {
        "label": "DICOM",
        "element_name": "xnat:resourceCatalog",
        "category": "scans",
        "cat_id": "2",
        "cat_desc": "t1",
        "file_count": "2",
        "file_size": "11",
        "tags": "",
        "content": "RAW",
        "format": "DICOM",
    }
    assert snapshots["label"] == "SNAPSHOTS"
    assert [row["cat_id"] for row in await rows(http, f"/data/experiments/{E1}/scans/ALL/resources")] == [
        "2",
        "2",
        "10",
    ]
    (notes,) = await rows(http, f"/data/experiments/{E1}/resources")
    assert (notes["label"], notes["cat_id"]) == ("NOTES", "")
    for name in ("DICOM", number):
        path = f"/data/experiments/{E1}/scans/2/resources/{name}"
        assert (await http.get(path)).content == b"<catalog/>"
        assert (await http.get(path, params={"format": "json"})).json()["items"][0]["data_fields"]["file_count"] == "2"
    assert (await http.get(f"/data/experiments/{E1}/scans/2/resources/NIFTI")).status_code == 404


async def test_files(http: httpx.AsyncClient) -> None:
    first, second = await rows(http, f"/data/experiments/{E1}/scans/2/resources/DICOM/files")
    number = first.pop("cat_ID")
    assert first == {
        "Name": "a.dcm",
        "Size": "10",
        "URI": f"/data/experiments/{E1}/scans/2/resources/{number}/files/a.dcm",
        "collection": "DICOM",
        "file_tags": "",
        "file_format": "DICOM",
        "file_content": "RAW",
        "digest": "md5-a.dcm",
    }
    assert second["URI"].endswith("/files/b%20c.dcm")
    assert (await http.get(second["URI"])).content == b"b"
    by_path = "/data/projects/P/subjects/S1/experiments/E1/scans/2/files/a.dcm"
    assert (await http.get(by_path, headers={"Range": "bytes=2-4"})).content == b"234"
    assert (await http.head(by_path)).headers["content-length"] == "10"
    assert (await http.get(f"/data/experiments/{E1}/resources/NOTES/files/n.txt")).content == b"note"
    assert (await http.get(f"/data/experiments/{E1}/scans/2/resources/DICOM/files/no")).status_code == 404


@pytest.mark.parametrize(("asked", "count"), [("ALL", 4), ("*", 4), ("2", 3), ("2,10", 4), ("3", 0)], ids=str)
async def test_files_of_several_scans(http: httpx.AsyncClient, asked: str, count: int) -> None:
    assert len(await rows(http, f"/data/experiments/{E1}/scans/{asked}/files")) == count


async def test_files_as_a_zip(http: httpx.AsyncClient) -> None:
    answer = await http.get(f"/data/experiments/{E1}/scans/ALL/files?format=zip")
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.read("E1/scans/2-t1/resources/DICOM/files/a.dcm") == b"0123456789"
        assert all("/files/" in name for name in archive.namelist())


async def test_the_prearchive(http: httpx.AsyncClient) -> None:
    ready, opening = await rows(http, "/data/prearchive/projects/P")
    assert ready == {
        "project": "P",
        "timestamp": "20240131_101530123",
        "lastmod": "2024-01-31 10:15:30.123",
        "uploaded": "2024-01-31 10:15:30.123",
        "scan_date": "2024-01-30 00:00:00.0",
        "scan_time": "09:12:44",
        "subject": "S1",
        "folderName": "XNAT_E00003",
        "name": "E1",
        "tag": "1.2.11",
        "status": "READY",
        "url": "/prearchive/projects/P/20240131_101530123/XNAT_E00003",
        "autoarchive": "Manual",
        "prevent_anon": "false",
        "prevent_auto_commit": "false",
        "SOURCE": "",
        "VISIT": "",
        "PROTOCOL": "",
        "TIMEZONE": "",
    }
    assert opening["status"] == "BUILDING"
    assert await rows(http, f"{ENTRY}?format=json") == [ready]
    csv = (await http.get("/data/prearchive/projects?format=csv")).text.splitlines()
    assert csv[0].startswith(
        "project,timestamp,lastmod,uploaded,scan_date,scan_time,subject,folderName,name,tag,status"
    )
    for path in ("/data/prearchive", "/data/prearchive/projects", "/data/prearchive/projects/P,P"):
        assert len(await rows(http, path)) == 2


async def test_what_an_entry_holds(http: httpx.AsyncClient) -> None:
    assert (await http.get(ENTRY)).content == b"<waiting/>"
    scans = await rows(http, f"{ENTRY}/scans?columns=ID,URI,series_description")
    assert scans == [{"ID": "2", "xsiType": "xnat:mrScanData", "series_description": "t1 mprage"}]
    resources = await rows(http, f"{ENTRY}/scans/2/resources")
    assert resources == [{"label": "DICOM", "file_count": "1", "file_size": "1"}]
    (file,) = await rows(http, f"{ENTRY}/scans/2/resources/DICOM/files")
    assert file == {"Name": "x/a.dcm", "Size": "1", "URI": f"{ENTRY}/scans/2/resources/DICOM/files/x/a.dcm"}
    assert (await http.get(file["URI"])).content == b"a"


async def test_what_is_not_his_is_not_there(gateway: Gateway, http: httpx.AsyncClient) -> None:
    unreadable = (
        "/data/experiments/XNAT_E00002",
        "/data/projects/Q/experiments/E1",
        "/data/projects/Q/experiments/E1/scans",
        "/data/projects/Q/subjects/S1",
        "/data/prearchive/projects/Q",
        "/data/prearchive/projects/Unassigned/20240131_101530123/XNAT_E00004",
        "/data/experiments/XNAT_E00006",
        "/data/experiments/XNAT_E00007",
        "/data/experiments/E1",
    )
    for path in unreadable:
        assert (await http.get(path)).status_code == 404, path
    assert (await http.get("/data/prearchive/projects/Unassigned")).status_code == 403
    assert await rows(http, "/data/projects/Q/experiments") == []
    admin = gateway.client("admin")
    assert len(await rows(admin, "/data/experiments")) == 2
    assert [row["project"] for row in await rows(admin, "/data/prearchive/projects/unassigned")] == ["Unassigned"]
    assert len(await rows(admin, "/data/prearchive")) == 3


async def test_the_project_of_a_session(http: httpx.AsyncClient) -> None:
    assert [row["ID"] for row in await rows(http, f"/data/experiments/{E1}/projects")] == ["P"]
