"""gradual-DICOM over HTTP: one object a call, one session in the end (import semantics §3.3; issue 4, Handlers)."""

import asyncio
import hashlib
import uuid

import httpx
import pytest

from tests.builders import dicom_bytes, uid, zip_bytes
from tests.e2e.conftest import Site, uris
from tests.e2e.uploads import first, folder

MR = "02_mr_siemens_mosaic"
DICOM = "application/dicom"


async def send(site: Site, body: bytes, **parameters: str) -> httpx.Response:
    return await site.upload(body, DICOM, **{"import-handler": "gradual-DICOM", **parameters})


async def entry_of(site: Site, project: str) -> dict[str, str]:
    (row,) = await site.rows(f"/data/prearchive/projects/{project}")
    return row


def digests(bodies: list[bytes]) -> list[str]:
    return sorted(hashlib.md5(body).hexdigest() for body in bodies)


async def test_one_object_opens_an_entry_that_stays_open(site: Site, project: str) -> None:
    body = first(folder(MR))
    (uri,) = uris(await send(site, body, PROJECT_ID=project))
    row = await entry_of(site, project)
    assert f"/data{row['url']}" == uri
    assert (row["status"], row["name"], row["folderName"], row["subject"]) == (
        "RECEIVING", "DEV", "DEV", "Test_Regression",
    )  # fmt: skip
    assert row["SOURCE"] == ""


async def test_without_a_handler_an_object_in_the_body_is_gradual(site: Site, project: str) -> None:
    """Import semantics §1.4: `application/dicom`."""
    body = first(folder(MR))
    uris(await site.upload(body, DICOM, PROJECT_ID=project))
    assert (await entry_of(site, project))["status"] == "RECEIVING"


async def test_a_folder_sent_object_by_object_at_once_is_one_session(site: Site, project: str) -> None:
    """clients.md §4.2 `--mode gradual`: labels by parameter; then built and archived as one session."""
    bodies = [body for path, body in folder(MR).items() if path.endswith(".dcm")]
    labels = {"PROJECT_ID": project, "SUBJECT_ID": "S1", "EXPT_LABEL": "E1"}
    answers = await asyncio.gather(*(send(site, body, **labels) for body in bodies for _ in range(2)))
    (uri,) = {uri for answer in answers for uri in uris(answer)}
    row = await entry_of(site, project)
    assert (f"/data{row['url']}", row["status"], row["name"], row["subject"]) == (uri, "RECEIVING", "E1", "S1")
    assert (await site.http.post(uri, params={"action": "build"})).status_code == 200
    assert (await entry_of(site, project))["status"] == "READY"
    assert {scan["ID"] for scan in await site.rows(f"{uri}/scans")} == {"3", "4", "5", "6"}
    committed = await site.http.post(uri, params={"action": "commit", "AA": "true"})
    assert (committed.status_code, committed.text.strip()) == (
        301, f"/data/archive/projects/{project}/subjects/S1/experiments/E1",
    )  # fmt: skip
    assert sorted((await site.archived_files(project)).values()) == digests(bodies)
    assert await site.rows(f"/data/prearchive/projects/{project}") == []


async def test_objects_that_come_after_the_build_open_the_entry_again(site: Site, project: str) -> None:
    one, other, *_ = (body for path, body in folder(MR).items() if path.endswith(".dcm"))
    (uri,) = uris(await send(site, one, PROJECT_ID=project))
    assert (await site.http.post(uri, params={"action": "build"})).status_code == 200
    assert uris(await send(site, other, PROJECT_ID=project)) == [uri]
    assert (await entry_of(site, project))["status"] == "RECEIVING"
    assert (await site.http.post(uri, params={"action": "build"})).status_code == 200
    scans = [scan["ID"] for scan in await site.rows(f"{uri}/scans")]
    files = [row for scan in scans for row in await site.rows(f"{uri}/scans/{scan}/resources/DICOM/files")]
    assert len(files) == 2


async def test_what_no_project_matches_is_unassigned(site: Site) -> None:
    body = dicom_bytes(StudyInstanceUID=uid(uuid.uuid4()), PatientID="PAT7")
    (uri,) = uris(await send(site, body))
    assert uri.startswith("/data/prearchive/projects/Unassigned/")
    assert uri.endswith("/PAT7")
    assert (await site.http.delete(uri)).status_code == 200


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"this is text, and no image", "unable to read DICOM object"),
        (zip_bytes({"1.dcm": dicom_bytes()}), "unable to read DICOM object"),
        (dicom_bytes(SOPClassUID=None), "contains no SOP Class UID"),
        (dicom_bytes(SOPInstanceUID=None), "contains no SOP Instance UID"),
    ],
    ids=["text", "archive", "no-class", "no-instance"],
)
async def test_what_is_no_object_is_refused_and_leaves_nothing(
    site: Site, project: str, body: bytes, said: str
) -> None:
    """Import semantics §1.7."""
    answer = await send(site, body, PROJECT_ID=project)
    assert answer.status_code == 400
    assert said in answer.text
    assert await site.rows(f"/data/prearchive/projects/{project}") == []


async def test_direct_archive_is_listed_by_itself(site: Site, project: str) -> None:
    """Import semantics §1.6, §3.3; architecture §6."""
    study = uid(uuid.uuid4())
    parameters = {"PROJECT_ID": project, "EXPT_LABEL": "E1", "Direct-Archive": "true"}
    (uri,) = uris(await send(site, dicom_bytes(StudyInstanceUID=study), **parameters))
    assert uri == f"/xapi/direct-archive/{project}/{study}/E1"
    assert await site.rows(f"/data/prearchive/projects/{project}") == []
    assert project in (await site.http.get("/xapi/direct-archive")).text


async def test_overwrite_has_no_effect(site: Site, project: str) -> None:
    """Import semantics §3.3: an instance that comes again replaces its earlier form."""
    study = uid(uuid.uuid4())
    for weight in ("70", "71"):
        body = dicom_bytes(StudyInstanceUID=study, PatientWeight=weight)
        (uri,) = uris(await send(site, body, PROJECT_ID=project, overwrite="none"))
    (row,) = await site.rows(f"{uri}/scans/1/resources/DICOM/files")
    stored = await site.http.get(f"{uri}/scans/1/resources/DICOM/files/{row['Name']}")
    assert stored.content == body
