"""What each parameter of an import does, seen from outside (import semantics §1.2); destinations are in test_imports.

`overwrite`, `duplicates`, `rename`, `Ignore-Unparsable`, `Direct-Archive`, `src`, `action` are in the tests of labels,
DICOM-zip, sources and the prearchive; what is refused is in test_error_table.
"""

import uuid
import xml.etree.ElementTree as ET
from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio

from tests.builders import series, uid, zip_bytes
from tests.e2e import datasets
from tests.e2e.conftest import Site, uris
from tests.e2e.watching import sessions_of

XNAT = "{http://nrg.wustl.edu/xnat}"


def session_dest(project: str) -> str:
    return f"/archive/projects/{project}/subjects/S/experiments/E"


async def document(site: Site, project: str) -> ET.Element:
    answer = await site.http.get(f"/data/projects/{project}/subjects/S/experiments/E", params={"format": "xml"})
    assert answer.status_code == 200, answer.text
    return ET.fromstring(answer.text)


async def entry(site: Site, project: str) -> dict[str, str]:
    (row,) = await site.rows(f"/data/prearchive/projects/{project}")
    return row


async def quarantine(site: Site, project: str) -> list[str]:
    rows = await site.rows(f"/data/projects/{project}/experiments", columns="ID,quarantine_status")
    return [row["quarantine_status"] for row in rows]


@pytest.mark.parametrize(
    ("parameters", "code", "expected"),
    [
        pytest.param({}, "0", "active", id="not-asked"),
        pytest.param({"quarantine": "true"}, "0", "quarantine", id="asked"),
        pytest.param({}, "1", "quarantine", id="as-the-project-has-it"),
        pytest.param({"quarantine": "false"}, "1", "active", id="against-the-project"),
    ],
)
async def test_quarantine_is_the_senders_or_the_projects(
    site: Site, project: str, parameters: dict[str, str], code: str, expected: str
) -> None:
    """§7.7; `quarantine_status` is a column of the experiments."""
    assert (await site.http.put(f"/data/projects/{project}/quarantine_code/{code}")).status_code == 200
    uris(await site.upload(datasets.a(project), dest=session_dest(project), **parameters))
    assert await quarantine(site, project) == [expected]


ROW = {
    "VISIT": ({"VISIT": "v1"}, {"VISIT": "v1"}),
    "PROTOCOL": ({"PROTOCOL": "p1"}, {"PROTOCOL": "p1"}),
    "TIMEZONE": ({"TIMEZONE": "Europe/Berlin"}, {"TIMEZONE": "Europe/Berlin"}),
    "SOURCE": ({"SOURCE": "uploader"}, {"SOURCE": "uploader"}),
    "prevent_anon": ({"prevent_anon": "true"}, {"prevent_anon": "true"}),
    "prevent_auto_commit": ({"prevent_auto_commit": "true"}, {"prevent_auto_commit": "true"}),
    "AA": ({"AA": "false", "auto-archive": "true"}, {"status": "READY"}),
    "EXPT_LABEL": ({"EXPT_LABEL": "L"}, {"name": "L"}),
    "SUBJECT_ID": ({"SUBJECT_ID": "T"}, {"subject": "T"}),
    "PREARC": (
        {"PREARC_TIMESTAMP": "20240131_101530123", "PREARC_SESSION_FOLDER": "F"},
        {"timestamp": "20240131_101530123", "folderName": "F"},
    ),
    "prearchive_code": ({"prearchive_code": "1"}, {"status": "READY"}),
    "unpacker": ({"prearc-importer": "ECAT"}, {"status": "READY"}),
    "harmless": (
        {"transaction": "t", "allowDataDeletion": "true", "activityId": "1", "delay": "1", "timezone": "x"},
        {"status": "READY", "TIMEZONE": ""},
    ),
    "misspelt": ({"destination": "/archive", "autoArchive": "true", "XNAT_CSRF": "c"}, {"status": "READY"}),
}


@pytest.mark.parametrize("name", list(ROW))
async def test_a_parameter_is_on_the_row_of_the_entry(site: Site, project: str, name: str) -> None:
    parameters, expected = ROW[name]
    uris(await site.upload(datasets.a(project), PROJECT_ID=project, **parameters))
    row = await entry(site, project)
    assert {key: row[key] for key in expected} == expected


RECEIVED = {
    "Custom-Processing": "true",
    "Sender-AE-Title": "SCANNER",
    "Receiver-AE-Title": "XNAT",
    "Receiver-Port": "8104",
    "Sender-ID": "1",
    "Transfer-Syntax-UID": "1.2.840.10008.1.2.1",
}


@pytest.mark.parametrize("name", ["prevent_auto_commit", "SOURCE", "PREARC", *RECEIVED])
async def test_an_object_by_itself_may_come_with_it(site: Site, project: str, name: str) -> None:
    """gradual-DICOM; what a DICOM receiver sets is harmless."""
    parameters, expected = ROW.get(name, ({name: RECEIVED.get(name, "")}, {}))
    body = series(1, project, StudyInstanceUID=uid(project))[0]
    uris(await site.upload(body, "application/dicom", PROJECT_ID=project, **parameters))
    row = await entry(site, project)
    assert {key: row[key] for key in ("status", *expected)} == {"status": "RECEIVING", **expected}


@pytest.mark.parametrize("name", ["AA", "auto-archive"])
async def test_auto_archive_archives_without_a_dest(site: Site, project: str, name: str) -> None:
    (uri,) = uris(await site.upload(datasets.a(project), PROJECT_ID=project, **{name: "true"}))
    assert uri.startswith(f"/data/archive/projects/{project}/")


async def test_xml_paths_and_short_names_are_in_the_document(site: Site, project: str) -> None:
    parameters = {
        "xnat:mrSessionData/note": "a & <b>",
        "xnat:experimentData/date": "2020-01-02",
        "time": "10:11:12",
        "pi_lastname": "Doe",
        "coil": "HEAD",
        "acquisition_site": "Site",
        "VISIT": "v1",
        "PROTOCOL": "p1",
    }
    uris(await site.upload(datasets.a(project), dest=session_dest(project), **parameters))
    root = await document(site, project)
    texts = {name: root.findtext(f"{XNAT}{name}") for name in ("note", "date", "time", "coil", "acquisition_site")}
    assert texts == {
        "note": "a & <b>", "date": "2020-01-02", "time": "10:11:12", "coil": "HEAD", "acquisition_site": "Site",
    }  # fmt: skip
    assert root.findtext(f"{XNAT}investigator/{XNAT}lastname") == "Doe"
    assert (root.get("visit_id"), root.get("protocol")) == ("v1", "p1")
    (row,) = await site.rows(f"/data/projects/{project}/experiments")
    item = (await site.http.get(row["URI"], params={"format": "json"})).json()["items"][0]["data_fields"]
    stated = {**texts, "visit_id": "v1", "investigator/lastname": "Doe"}
    assert (row["date"], {name: item[name] for name in stated}) == ("2020-01-02", stated)


async def test_an_archiving_reads_short_names_too(site: Site, project: str) -> None:
    """§1.2: shortcut names are read by the archiver."""
    (uri,) = uris(await site.upload(datasets.a(project), PROJECT_ID=project, SUBJECT_ID="S", EXPT_LABEL="E"))
    more = {"note": "late", "visit_id": "v2"}
    uris(await site.http.post("/data/services/archive", data={"src": uri, **more}))
    root = await document(site, project)
    assert (root.findtext(f"{XNAT}note"), root.get("visit_id")) == ("late", "v2")


@pytest.mark.parametrize("named", ["label", "id"])
async def test_expt_id_merges_with_the_session_that_is_there(site: Site, project: str, named: str) -> None:
    uris(await site.upload(datasets.b(project, 1), dest=session_dest(project)))
    (session,) = await site.rows(f"/data/projects/{project}/experiments")
    name = session["label"] if named == "label" else session["ID"]
    more = {"EXPT_ID": name, "overwrite": "append", "AA": "true"}
    (uri,) = uris(await site.upload(datasets.b(project, 2), PROJECT_ID=project, **more))
    assert uri == f"/data{session_dest(project)}"
    assert len(await site.archived_files(project)) == 32


@pytest.mark.parametrize(("field", "in_query", "expected"), [("F", "", "F"), ("F", "Q", "Q")])
async def test_the_query_beats_the_form(site: Site, project: str, field: str, in_query: str, expected: str) -> None:
    """§1.1."""
    response = await site.http.post(
        "/data/services/import",
        params={"EXPT_LABEL": in_query} if in_query else {},
        data={"PROJECT_ID": project, "EXPT_LABEL": field},
        files={"file": ("a.zip", datasets.a(project))},
    )
    uris(response)
    assert (await entry(site, project))["name"] == expected


async def test_the_answer_is_text_a_page_or_a_list(site: Site, project: str) -> None:
    """`format` (§1.6); a refusal keeps its status whatever the format."""
    for word, content_type in (("txt", "text/plain"), ("html", "text/html"), ("other", "text/uri-list")):
        response = await site.upload(datasets.a(project), dest=session_dest(project), format=word)
        assert (response.status_code, response.headers["Content-Type"].split(";")[0]) == (200, content_type)
        assert session_dest(project) in response.text
        assert (word == "txt") == (response.text == f"/data{session_dest(project)}")
        assert (await site.upload(datasets.a(project), dest="/x", format=word)).status_code == 400


async def test_who_sends_mirc_is_told_ok(site: Site, project: str) -> None:
    body = series(1, project, StudyInstanceUID=uid(project))[0]
    response = await site.upload(body, "application/x-mirc", PROJECT_ID=project)
    assert (response.status_code, response.text) == (200, "OK")


@pytest_asyncio.fixture
async def other(site: Site, project: str) -> AsyncIterator[httpx.AsyncClient]:
    """Another member of the project."""
    name, password = f"u{uuid.uuid4().hex[:8]}", uuid.uuid4().hex
    assert (await site.http.post("/xapi/users", json={"username": name, "password": password})).is_success
    assert (await site.http.put(f"/data/projects/{project}/users/Members/{name}")).is_success
    async with httpx.AsyncClient(base_url=site.stack.url, auth=(name, password), timeout=60, trust_env=False) as http:
        yield http


async def test_a_listener_is_its_owners(site: Site, project: str, other: httpx.AsyncClient) -> None:
    """§10: progress is kept without `src` too; another user, though of the project, sees nothing of it."""
    name = {"http-session-listener": project}
    uris(await site.upload(datasets.a(project), dest=session_dest(project), **name))
    (messages,) = (await site.http.get(f"/data/status/{project}", params={"format": "json"})).json()["msgs"]
    assert messages[-1] == {"status": "COMPLETED", "msg": f"Archive:{session_dest(project)}", "terminal": True}
    assert (await other.get(f"/data/status/{project}", params={"format": "json"})).json() == {"msgs": [[]]}
    assert (await site.http.get(f"/xapi/event_tracking/{project}")).json()["succeeded"] is True
    assert (await other.get(f"/xapi/event_tracking/{project}")).status_code == 404


async def test_a_cache_is_its_owners(site: Site, project: str, other: httpx.AsyncClient) -> None:
    """§1.3: another user's `src` is not there."""
    path = f"/user/cache/resources/{project}/files/a.zip"
    await site.http.put(f"/data{path}", params={"inbody": "true"}, content=datasets.a(project))
    answer = await other.post("/data/services/import", data={"src": path, "dest": session_dest(project)})
    assert (answer.status_code, answer.text.startswith("Unknown src file.")) == (404, True)


async def test_labels_by_the_names_of_either_generation(site: Site, project: str) -> None:
    """`PROJECT_ID` before `project` and the like; `subject` and `session` alone are enough."""
    images = zip_bytes({"1.dcm": series(1, project, StudyInstanceUID=uid(project))[0]})
    uris(await site.upload(images, project=project, subject="S2", session="E2", AA="true"))
    assert await sessions_of(site, project) == [("S2", "E2", "xnat:mrSessionData")]
