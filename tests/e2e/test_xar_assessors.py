"""Assessors over HTTP: XARs that bring them, where they are read, and what changes with them (§3.6, §1.6)."""

import io
import zipfile
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from tests.builders_xar import FILES, assessor, inner_assessor
from tests.e2e.conftest import Site, uris
from tests.e2e.test_refresh import bucket
from tests.e2e.test_xar import FILES as SESSION_FILES
from tests.e2e.test_xar import send, session

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

__all__ = ["bucket"]  # the fixture

XNAT = "{http://nrg.wustl.edu/xnat}"


async def _session(site: Site, project: str, inner: str = "") -> str:
    """The URI of an archived session, by its ID."""
    document = session(project).replace(b"</xnat:MRSession>", f"{inner}</xnat:MRSession>".encode())
    (uri,) = uris(await send(site, {"s.xml": document, **SESSION_FILES, **(FILES if inner else {})}))
    return uri


async def test_an_assessor_is_answered_by_its_uri_and_read_with_its_files(site: Site, project: str) -> None:
    home = await _session(site, project)
    session_id = home.rpartition("/")[2]
    response = await send(site, {"qc.xml": assessor(session_id), **FILES})
    (uri,) = uris(response)
    assert uri.startswith(f"{home}/assessors/")
    assessor_id = uri.rpartition("/")[2]
    assert assessor_id.split("_E")[0] == session_id.split("_E")[0]

    (line,) = await site.rows(f"{home}/assessors")
    assert (line["ID"], line["label"], line["xsiType"]) == (assessor_id, "QC1", "xnat:qcManualAssessorData")
    for address in (uri, f"{home}/assessors/QC1", f"/data/projects/{project}/experiments/E1/assessors/QC1"):
        (item,) = (await site.http.get(address, params={"format": "json"})).json()["items"]
        assert item["data_fields"]["note"] == "good"
        assert (item["data_fields"]["ID"], item["data_fields"]["imageSession_ID"]) == (assessor_id, session_id)
    xml = ElementTree.fromstring((await site.http.get(uri, params={"format": "xml"})).content)
    assert (xml.tag, xml.get("ID"), xml.get("project")) == (f"{XNAT}QCManualAssessment", assessor_id, project)
    assert [child.tag.removeprefix(XNAT) for child in xml] == ["date", "note", "out", "imageSession_ID", "rater"]
    assert xml.findtext(f"{XNAT}imageSession_ID") == session_id

    for out in ("", "/out"):
        (resource,) = await site.rows(f"{uri}{out}/resources")
        assert (resource["label"], resource["format"], resource["file_count"]) == ("DATA", "JSON", "2")
        files = await site.rows(f"{uri}{out}/resources/DATA/files")
        assert sorted(row["Name"] for row in files) == ["a.json", "b.txt"]
        answer = await site.http.get(f"{uri}{out}/resources/DATA/files/a.json", headers={"Range": "bytes=2-4"})
        assert (answer.status_code, answer.content) == (206, b"234")
        assert (await site.http.get(f"{uri}{out}/resources/DATA/files/deep/b.txt")).content == b"beside"
    assert (await site.http.get(str(files[0]["URI"]))).status_code == 200
    packed = await site.http.get(f"{uri}/files", params={"format": "zip"})
    with zipfile.ZipFile(io.BytesIO(packed.content)) as archive:
        assert sorted(archive.namelist()) == [
            f"E1/assessors/QC1/resources/DATA/files/{n}" for n in ("a.json", "deep/b.txt")
        ]
    catalog = (await site.http.get(f"{uri}/resources/DATA")).text
    assert 'ID="deep/b.txt"' in catalog

    whole = ElementTree.fromstring((await site.http.get(home, params={"format": "xml"})).content)
    (listed,) = whole.findall(f"{XNAT}assessors/{XNAT}assessor")
    assert (listed.get("ID"), listed.get("label")) == (assessor_id, "QC1")
    names = [child.tag.removeprefix(XNAT) for child in whole]
    assert names.index("scans") < names.index("assessors")
    own = [row["label"] for row in await site.rows(f"{home}/resources")]
    assert own == ["NOTES"]


async def test_the_same_again_is_a_no_op_and_another_one_needs_overwrite(site: Site, project: str) -> None:
    session_id = (await _session(site, project)).rpartition("/")[2]
    files = {"qc.xml": assessor(session_id), **FILES}
    (uri,) = uris(await send(site, files))
    assert uris(await send(site, files)) == [uri]
    more = {**files, "DATA/c.txt": b"c"}
    response = await send(site, more)
    assert (response.status_code, "Assessor already exists" in response.text) == (409, True)
    assert uris(await send(site, more, overwrite="append")) == [uri]
    other = {**files, "qc.xml": assessor(session_id, note="bad"), "DATA/a.json": b"other"}
    assert (await send(site, other)).status_code == 409
    assert (await send(site, other, overwrite="append")).status_code == 409
    assert (await site.http.get(f"{uri}/resources/DATA/files/a.json")).content == FILES["DATA/a.json"]
    assert uris(await send(site, other, overwrite="delete")) == [uri]
    assert (await site.http.get(f"{uri}/resources/DATA/files/a.json")).content == b"other"
    assert "<xnat:note>bad</xnat:note>" in (await site.http.get(uri, params={"format": "xml"})).text
    assert len(await site.rows(f"{uri}/resources/DATA/files")) == 3


async def test_a_session_document_brings_its_assessors(site: Site, project: str) -> None:
    home = await _session(site, project, inner_assessor())
    (line,) = await site.rows(f"{home}/assessors")
    assert (line["label"], line["xsiType"], line["date"]) == ("QC1", "xnat:qcManualAssessorData", "2024-01-31")
    answer = await site.http.get(f"{home}/assessors/QC1/resources/DATA/files/a.json")
    assert answer.content == FILES["DATA/a.json"]


async def test_an_assessor_of_another_schema_keeps_its_type(site: Site, project: str) -> None:
    session_id = (await _session(site, project)).rpartition("/")[2]
    document = assessor(session_id, "ROI", root="icr:RoiCollection")
    (uri,) = uris(await send(site, {"roi.xml": document, **FILES}))
    (item,) = (await site.http.get(uri, params={"format": "json"})).json()["items"]
    assert item["meta"]["xsi:type"] == "icr:roiCollectionData"
    whole = (await site.http.get(uri.rpartition("/assessors")[0], params={"format": "xml"})).text
    assert 'xmlns:icr="http://icr.ac.uk/icr"' in whole


async def test_one_that_waits_is_archived_by_command(site: Site, project: str) -> None:
    session_id = (await _session(site, project)).rpartition("/")[2]
    (uri,) = uris(await send(site, {"qc.xml": assessor(session_id), **FILES}))
    other = {"qc.xml": assessor(session_id, note="bad"), **FILES, "DATA/a.json": b"other", "DATA/c.txt": b"c"}
    assert (await send(site, other)).status_code == 409
    (entry,) = await site.rows(f"/data/prearchive/projects/{project}")
    response = await site.http.post("/data/services/archive", data={"src": entry["url"], "overwrite": "delete"})
    assert response.status_code in {200, 301, 303}, response.text
    assert (await site.http.get(f"{uri}/resources/DATA/files/a.json")).content == b"other"
    assert (await site.http.get(f"{uri}/resources/DATA/files/c.txt")).content == b"c"
    assert "<xnat:note>bad</xnat:note>" in (await site.http.get(uri, params={"format": "xml"})).text
    assert len(await site.rows(f"{uri.rpartition('/')[0]}")) == 1


async def test_an_assessor_needs_a_session_that_is_there(site: Site) -> None:
    response = await send(site, {"qc.xml": assessor("NO_SUCH"), **FILES})
    assert response.status_code == 400
    assert "All XNAT xml documents must reference a valid Imaging Session." in response.text


async def test_a_refresh_finds_what_lies_in_an_assessors_folder(site: Site, project: str, bucket: "S3Client") -> None:
    session_id = (await _session(site, project)).rpartition("/")[2]
    (uri,) = uris(await send(site, {"qc.xml": assessor(session_id), **FILES}))
    prefix = f"sessions/{project}/{session_id}/ASSESSORS"
    for folder in (f"{uri.rpartition('/')[2]}/DATA", f"{uri.rpartition('/')[2]}/NEW", "XNAT_E99999/NEW"):
        key = f"{prefix}/{folder}/hand.txt"
        bucket.put_object(Bucket=site.stack.env["S3_BUCKET"], Key=key, Body=b"by hand")
    address = uri.removeprefix("/data")
    for resource in (address, f"{address}/resources/DATA", f"{address}/out/resources/DATA"):
        asked = {"resource": resource, "options": "checksum"}
        assert (await site.http.post("/data/services/refresh/catalog", data=asked)).status_code == 200
    home = address.rpartition("/assessors")[0]
    response = await site.http.post("/data/services/refresh/catalog", params={"resource": home, "format": "json"})
    lines = {line["resource"]: (line["added"], line["problem"]) for line in response.json()["refreshed"]}
    assert (lines[f"{address}/resources/DATA"], lines[f"{address}/resources/NEW"]) == ((1, ""), (1, ""))
    assert lines[f"{home}/assessors/XNAT_E99999/resources/NEW"] == (0, "the session has no such assessor")
    for label in ("DATA", "NEW"):
        assert (await site.http.get(f"{uri}/resources/{label}/files/hand.txt")).content == b"by hand"
    assert [row["label"] for row in await site.rows(f"{home.replace('/archive', '/data')}/resources")] == ["NOTES"]
