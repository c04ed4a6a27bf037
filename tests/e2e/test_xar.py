"""XAR over HTTP: documents of a session or of scans of one, what they need, and what is refused (§3.6)."""

import gzip
import uuid
from collections.abc import Mapping

import httpx
import pytest

from tests.e2e.conftest import Site, uris
from tests.e2e.uploads import zipped

NS = 'xmlns:xnat="http://nrg.wustl.edu/xnat" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
UID = "1.2.826.0.1.3680043.10.1555.77"
FILES = {
    "SCANS/1/NIFTI/a.nii.gz": gzip.compress(b"nifti"),
    "SCANS/1/NIFTI/inner/b.txt": b"beside",
    "RESOURCES/NOTES/n.txt": b"note",
    "stray.txt": b"stray",
}


def session(project: str, inner: str = "", label: str = "E1", uid: str = UID) -> bytes:
    return (
        f'<xnat:MRSession {NS} project="{project}" label="{label}" UID="{uid}">{inner}'
        "<xnat:subject_ID>S1</xnat:subject_ID>"
        '<xnat:resources><xnat:resource URI="RESOURCES/NOTES/NOTES_catalog.xml" label="NOTES" format="TXT" '
        'xsi:type="xnat:resourceCatalog"/></xnat:resources>'
        '<xnat:scans><xnat:scan ID="1" type="T1" xsi:type="xnat:mrScanData">'
        "<xnat:note>moved</xnat:note><xnat:quality>questionable</xnat:quality>"
        '<xnat:file URI="SCANS/1/NIFTI/NIFTI_catalog.xml" label="NIFTI" format="NIFTI" content="T1" '
        'xsi:type="xnat:resourceCatalog"/></xnat:scan>'
        '<xnat:scan ID="2" type="empty" xsi:type="xnat:mrScanData"/></xnat:scans>'
        "</xnat:MRSession>"
    ).encode()


def scan(session_id: str, number: str = "7") -> bytes:
    return (
        f'<xnat:PETScan {NS} ID="{number}" type="late"><xnat:image_session_ID>{session_id}</xnat:image_session_ID>'
        f'<xnat:file URI="DATA/d_catalog.xml" label="DATA" format="BIN" content="RAW" '
        'xsi:type="xnat:resourceCatalog"/></xnat:PETScan>'
    ).encode()


async def send(site: Site, files: Mapping[str, bytes], **parameters: str) -> httpx.Response:
    return await site.upload(zipped(dict(files)), **{"import-handler": "XAR", **parameters})


async def test_a_session_is_created_with_all_that_its_document_says(site: Site, project: str) -> None:
    inner = "<xnat:note>asleep</xnat:note><xnat:investigator><xnat:lastname>Roe</xnat:lastname></xnat:investigator>"
    response = await send(site, {"s.xml": session(project, inner), **FILES})
    (uri,) = uris(response)
    scans = {row["ID"]: row for row in await site.rows(f"{uri}/scans")}
    assert {key: (row["type"], row["quality"], row["note"]) for key, row in scans.items()} == {
        "1": ("T1", "questionable", "moved"),
        "2": ("empty", "usable", ""),
    }
    files = {row["Name"]: row for row in await site.rows(f"{uri}/scans/1/resources/NIFTI/files")}
    assert len(files) == 2
    assert {(row["collection"], row["file_format"], row["file_content"]) for row in files.values()} == {
        ("NIFTI", "NIFTI", "T1")
    }
    packed = await site.http.get(f"{uri}/scans/1/resources/NIFTI/files/a.nii.gz")
    assert packed.content == FILES["SCANS/1/NIFTI/a.nii.gz"]
    assert (await site.http.get(f"{uri}/scans/1/resources/NIFTI/files/inner/b.txt")).content == b"beside"
    assert (await site.http.get(f"{uri}/resources/NOTES/files/n.txt")).content == b"note"
    xml = (await site.http.get(uri, params={"format": "xml"})).text
    assert "<xnat:note>asleep</xnat:note>" in xml
    assert "<xnat:lastname>Roe</xnat:lastname>" in xml
    assert f'UID="{UID}"' in xml
    report = {line["path"]: line for line in await site.report(response)}
    assert (report["stray.txt"]["verdict"], report["s.xml"]["verdict"]) == ("skipped", "skipped")
    assert "no resource" in report["stray.txt"]["reason"]


async def test_the_same_again_is_a_no_op_and_other_bytes_are_a_conflict(site: Site, project: str) -> None:
    files = {"s.xml": session(project), **FILES}
    (uri,) = uris(await send(site, files))
    before = await site.archived_files(project)
    assert uris(await send(site, files)) == [uri]
    changed = {**files, "RESOURCES/NOTES/n.txt": b"another note"}
    assert (await send(site, changed)).status_code == 409
    assert (await send(site, changed, overwrite="append")).status_code == 409
    assert await site.archived_files(project) == before
    assert uris(await send(site, changed, overwrite="delete")) == [uri]
    assert (await site.http.get(f"{uri}/resources/NOTES/files/n.txt")).content == b"another note"


async def test_what_is_there_wins_over_a_later_document_and_what_is_new_is_added(site: Site, project: str) -> None:
    (uri,) = uris(await send(site, {"s.xml": session(project, "<xnat:note>first</xnat:note>"), **FILES}))
    more = session(project, "<xnat:note>second</xnat:note><xnat:age>40</xnat:age>")
    more = more.replace(b"<xnat:note>moved", b"<xnat:note>other").replace(b'ID="2"', b'ID="3"')
    assert uris(await send(site, {"s.xml": more, "RESOURCES/NOTES/m.txt": b"m"}, overwrite="append")) == [uri]
    xml = (await site.http.get(uri, params={"format": "xml"})).text
    assert "<xnat:note>first</xnat:note>" in xml
    assert "<xnat:age>40</xnat:age>" in xml
    scans = {row["ID"]: row["note"] for row in await site.rows(f"{uri}/scans")}
    assert scans == {"1": "moved", "2": "", "3": ""}
    names = [row["Name"] for row in await site.rows(f"{uri}/resources/NOTES/files")]
    assert sorted(names) == ["m.txt", "n.txt"]


async def test_scan_documents_add_to_the_session_that_they_name(site: Site, project: str) -> None:
    (uri,) = uris(await send(site, {"s.xml": session(project), **FILES}))
    session_id = uri.rpartition("/")[2]
    files = {"scan.xml": scan(session_id), "DATA/d.bin": b"data"}
    for _ in range(2):
        assert uris(await send(site, files)) == [uri]
    scans = {row["ID"]: (row["xsiType"], row["type"]) for row in await site.rows(f"{uri}/scans")}
    assert scans["7"] == ("xnat:petScanData", "late")
    assert (await site.http.get(f"{uri}/scans/7/resources/DATA/files/d.bin")).content == b"data"
    assert scans["1"] == ("xnat:mrScanData", "T1")


@pytest.mark.parametrize(
    ("files", "text"),
    [
        ({"a.txt": b"a"}, "Unable to locate XNAT xml document."),
        ({".DS_Store": b"a"}, "Archive file contains no files."),
        ({"a.xml": session("P"), "b.xml": session("P")}, "XAR can only include data for one imaging session."),
        ({"a.xml": session("P"), "b.xml": scan("X")}, "Multiple data types cannot share a single XAR."),
        ({"a.xml": session("")}, "Could not process XAR file - Invalid project tag."),
        ({"a.xml": scan("NO_SUCH")}, "All XNAT xml documents must reference a valid Imaging Session."),
        ({"a.xml": b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>'}, "document type or entities"),
        ({"a.xml": session("P").replace(b"SCANS/1", b"../../1")}, "stay inside the archive"),
        ({"a.xml": session("P").replace(b"SCANS/1/NIFTI/", b"file:///etc/")}, "stay inside the archive"),
    ],
)
async def test_what_xnat_refuses_is_400_in_its_words(site: Site, files: Mapping[str, bytes], text: str) -> None:
    response = await send(site, files)
    assert response.status_code == 400, response.text
    assert text in response.text


@pytest.mark.parametrize("body", [b"text", b"PK\x03\x04 broken", bytes(128) + b"DICM" + bytes(600)])
async def test_what_is_no_archive_is_400(site: Site, body: bytes) -> None:
    response = await site.upload(body, **{"import-handler": "XAR"})
    assert response.status_code == 400
    assert response.text.startswith("Archive file is corrupt or not a valid archive file type.")


async def test_a_project_that_is_not_the_senders_is_403_or_404(site: Site, project: str) -> None:
    name, password = f"u{uuid.uuid4().hex[:8]}", uuid.uuid4().hex
    made = await site.http.post("/xapi/users", json={"username": name, "password": password})
    assert made.status_code in {200, 201}, made.text
    files = {"s.xml": session(project), **FILES}
    async with httpx.AsyncClient(base_url=site.stack.url, auth=(name, password), timeout=60, trust_env=False) as http:
        other = Site(site.stack, http)
        assert (await send(other, files)).status_code == 404
        for group, status in (("Collaborators", 403), ("Members", 200)):
            given = await site.http.put(f"/data/projects/{project}/users/{group}/{name}")
            assert given.status_code in {200, 201}, given.text
            assert (await send(other, files)).status_code == status


async def test_a_thousand_files_in_several_batches_find_the_same_document(site: Site, project: str) -> None:
    files = {f"top/SCANS/1/NIFTI/{number:04d}.txt": b"%d" % number for number in range(1200)}
    (uri,) = uris(await send(site, {"top/s.xml": session(project), **files}))
    (resource,) = await site.rows(f"{uri}/scans/1/resources")
    assert resource["file_count"] == "1200"


async def test_an_unknown_project_is_404(site: Site) -> None:
    assert (await send(site, {"s.xml": session("no_such_project")})).status_code == 404


async def test_no_file_of_the_server_is_read(site: Site) -> None:
    """`localFilePath` does not exist (§11 #11)."""
    parameters = {"import-handler": "XAR", "localFilePath": "/etc/passwd"}
    response = await site.http.post("/data/services/import", params=parameters)
    assert response.status_code == 404


async def test_a_xar_that_waits_is_archived_by_command_with_all_its_files(site: Site, project: str) -> None:
    (uri,) = uris(await send(site, {"s.xml": session(project), **FILES}))
    changed = {"s.xml": session(project), **FILES, "RESOURCES/NOTES/n.txt": b"other", "SCANS/1/NIFTI/c.txt": b"c"}
    assert (await send(site, changed)).status_code == 409
    (entry,) = await site.rows(f"/data/prearchive/projects/{project}")
    assert entry["status"] == "CONFLICT"
    data = {"src": entry["url"], "overwrite": "delete"}
    response = await site.http.post("/data/services/archive", data=data)
    assert response.status_code in {200, 301, 303}, response.text
    assert (await site.http.get(f"{uri}/resources/NOTES/files/n.txt")).content == b"other"
    assert (await site.http.get(f"{uri}/scans/1/resources/NIFTI/files/c.txt")).content == b"c"
    assert await site.rows(f"/data/prearchive/projects/{project}") == []
