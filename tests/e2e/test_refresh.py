"""Catalog refresh over HTTP, with any S3 client at the bucket (acceptance A56; import semantics §9)."""

import hashlib
from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import quote

import boto3
import pytest
from lxml import etree

from tests.builders import dicom_bytes, series, uid, zip_bytes
from tests.e2e.conftest import Site, Subscriber, uris

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

CAT = "{http://nrg.wustl.edu/catalog}"
URL = "/data/services/refresh/catalog"


@pytest.fixture
def bucket(site: Site) -> Iterator["S3Client"]:
    """The object store as anybody with a key sees it."""
    env = site.stack.env
    client = boto3.client(
        "s3",
        endpoint_url=env["S3_ENDPOINT_URL"],
        region_name=env["AWS_REGION"],
        aws_access_key_id=env["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=env["AWS_SECRET_ACCESS_KEY"],
    )
    yield client
    client.close()


async def archived(site: Site, project: str) -> tuple[str, str]:
    """A session of two scans with three files each: its ID, and its address by labels."""
    scans = {
        f"{name}/{number}.dcm": body
        for name in ("1", "2")
        for number, body in enumerate(
            series(3, f"{project}/{name}", SeriesNumber=int(name), StudyInstanceUID=uid(project))
        )
    }
    dest = f"/archive/projects/{project}/subjects/S/experiments/E"
    assert uris(await site.upload(zip_bytes(scans), dest=dest)) == [f"/data{dest}"]
    (row,) = await site.rows(f"/data/projects/{project}/experiments")
    return row["ID"], dest


async def entries(site: Site, address: str) -> dict[str, etree._Element]:
    """The entries of a resource's catalog by their IDs."""
    answer = await site.http.get(address)
    assert answer.status_code == 200, answer.text
    return {str(entry.get("ID")): entry for entry in etree.fromstring(answer.content).iter(f"{CAT}entry")}


@pytest.mark.parametrize("options", ["append", "delete", "checksum", "populateStats", "append,delete,checksum", ""])
async def test_a_refresh_of_the_whole_session_keeps_every_file_name(site: Site, project: str, options: str) -> None:
    """A56."""
    _, dest = await archived(site, project)
    before = await site.archived_files(project)
    answer = await site.http.post(URL, params={"resource": dest} | ({"options": options} if options else {}))
    assert (answer.status_code, answer.content) == (200, b"")
    assert await site.archived_files(project) == before


async def test_files_put_by_hand_are_found_with_their_dicom_identity(
    site: Site, project: str, bucket: "S3Client", events: Subscriber
) -> None:
    session_id, _ = await archived(site, project)
    env = site.stack.env
    prefix = f"sessions/{project}/{session_id}/"
    instance = dicom_bytes(SOPInstanceUID=uid(project, "hand"), InstanceNumber=41)
    bodies = {"SCANS/1/DICOM/by hand/41.dcm": instance, "SCANS/2/NIFTI/t1.nii.gz": b"nifti", "RESOURCES/N/a.txt": b"a"}
    for path, body in bodies.items():
        bucket.put_object(Bucket=env["S3_BUCKET"], Key=prefix + path, Body=body)
    address = f"/data/experiments/{session_id}"
    answer = await site.http.post(URL, params={"resource": f"/archive/experiments/{session_id}", "format": "json"})
    lines = {line["resource"]: line["added"] for line in answer.json()["refreshed"]}
    home = f"/archive/experiments/{session_id}"
    assert lines == {
        f"{home}/scans/1/resources/DICOM": 1,
        f"{home}/scans/2/resources/DICOM": 0,
        f"{home}/scans/2/resources/NIFTI": 1,
        f"{home}/resources/N": 1,
    }
    entry = (await entries(site, f"{address}/scans/1/resources/DICOM"))["by hand/41.dcm"]
    assert (entry.get("UID"), entry.get("instanceNumber")) == (uid(project, "hand"), "41")
    assert entry.get("{http://www.w3.org/2001/XMLSchema-instance}type") == "cat:dcmEntry"
    assert entry.get("digest") == hashlib.md5(instance).hexdigest()
    files = f"{address}/scans/1/resources/DICOM/files/{quote('by hand/41.dcm')}"
    assert (await site.http.get(files)).content == instance
    assert (await site.http.get(f"{address}/scans/2/resources/NIFTI/files/t1.nii.gz")).content == b"nifti"
    assert list(await entries(site, f"{address}/resources/N")) == ["a.txt"]
    (row,) = [one for one in await site.rows(f"{address}/scans/1/resources") if one["label"] == "DICOM"]
    assert row["file_count"] == "4"
    command = answer.headers["X-Scandock-Command"]
    seen = await events.until(command, "session.updated", "catalog.refreshed")
    assert {event["data"]["files_added"] for event in seen} == {3}


async def test_entries_whose_object_is_gone_are_removed_at_scan_level(
    site: Site, project: str, bucket: "S3Client"
) -> None:
    session_id, _ = await archived(site, project)
    name = site.stack.env["S3_BUCKET"]
    address = f"/data/experiments/{session_id}/scans/1"
    gone = next(iter((await entries(site, f"{address}/resources/DICOM")).values()))
    listed = bucket.list_objects_v2(Bucket=name, Prefix=f"sessions/{project}/{session_id}/")["Contents"]
    (key,) = [one["Key"] for one in listed if one["Key"].endswith(str(gone.get("URI")).removeprefix("../../../"))]
    bucket.delete_object(Bucket=name, Key=key)
    resource = f"/data/archive/experiments/{session_id}/scans/1"
    assert (await site.http.post(URL, data={"resource": resource, "delete": "true"})).status_code == 200
    assert len(await entries(site, f"{address}/resources/DICOM")) == 2
    assert len(await site.archived_files(project)) == 5


async def test_a_clients_repeated_refresh_changes_nothing(site: Site, project: str, bucket: "S3Client") -> None:
    session_id, _ = await archived(site, project)
    key = f"sessions/{project}/{session_id}/SCANS/1/DICOM/note.txt"
    bucket.put_object(Bucket=site.stack.env["S3_BUCKET"], Key=key, Body=b"note")
    query = [("resource", f"/archive/experiments/{session_id}"), ("options", "append"), ("options", "checksum")]
    catalog = f"/data/experiments/{session_id}/scans/1/resources/DICOM"
    seen = []
    for _ in range(3):
        assert (await site.http.post(URL, params=query)).status_code == 200
        seen.append((await site.http.get(catalog)).content)
    assert seen[0] == seen[1] == seen[2]
    assert b"note.txt" in seen[0]


async def test_the_xapi_form_refreshes_too(site: Site, project: str, bucket: "S3Client") -> None:
    session_id, _ = await archived(site, project)
    key = f"sessions/{project}/{session_id}/RESOURCES/N/a.txt"
    bucket.put_object(Bucket=site.stack.env["S3_BUCKET"], Key=key, Body=b"a")
    body = [f"/archive/experiments/{session_id}"]
    assert (await site.http.put("/xapi/archive/catalogs/refresh/Append", json=body)).status_code == 200
    assert list(await entries(site, f"/data/experiments/{session_id}/resources/N")) == ["a.txt"]
