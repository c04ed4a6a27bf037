"""The main job: one upload, one session, archived, catalogued, announced."""

import gzip
import hashlib
import uuid

import httpx
import pytest
from lxml import etree

from tests.e2e.conftest import Site, Subscriber, import_id, uris
from tests.e2e.uploads import CONTAINERS, first, folder, tarred, zipped

MR = "02_mr_siemens_mosaic"
CAT = {"cat": "http://nrg.wustl.edu/catalog", "xnat": "http://nrg.wustl.edu/xnat"}


def digests(name: str) -> list[str]:
    return sorted(hashlib.md5(body).hexdigest() for path, body in folder(name).items() if path.endswith(".dcm"))


@pytest.mark.parametrize("container", list(CONTAINERS))
async def test_every_container_lands_the_same_files(site: Site, project: str, container: str) -> None:
    """Issue 3, The flow: zip, zip64, data descriptors, tar, tar.gz, tar.bz2, nested; told apart by content."""
    body = CONTAINERS[container](folder(MR))
    response = await site.upload(body, "application/octet-stream", dest=f"/archive/projects/{project}")
    (uri,) = uris(response)
    assert uri == f"/data/archive/projects/{project}/subjects/Test_Regression/experiments/DEV"
    files = await site.archived_files(project)
    assert sorted(files.values()) == digests(MR)
    assert {(scan, resource) for _, scan, resource, _ in files} == {(str(n), "DICOM") for n in (3, 4, 5, 6)}
    assert all(not name.endswith(".gz") for *_, name in files)


@pytest.mark.parametrize("wrap", [bytes, gzip.compress], ids=["dicom", "gz"])
async def test_one_file_is_an_upload_too(site: Site, project: str, wrap: type[bytes]) -> None:
    body = first(folder(MR))
    response = await site.upload(
        wrap(body), "application/dicom", dest=f"/archive/projects/{project}", **{"import-handler": "SI"}
    )
    uris(response)
    assert list((await site.archived_files(project)).values()) == [hashlib.md5(body).hexdigest()]


async def test_a_multipart_form_carries_file_and_parameters(site: Site, project: str) -> None:
    """clients.md §9: the field name is free, parameters may be form fields; the query wins over the form."""
    response = await site.http.post(
        "/data/services/import",
        params={"EXPT_LABEL": "E1"},
        data={"PROJECT_ID": project, "SUBJECT_ID": "S1", "EXPT_LABEL": "no", "dest": f"/archive/projects/{project}"},
        files={"image_archive": ("study.zip", zipped(folder(MR)), "application/x-zip-compressed")},
    )
    assert uris(response) == [f"/data/archive/projects/{project}/subjects/S1/experiments/E1"]


async def test_a_chunked_body_needs_no_length(site: Site, project: str) -> None:
    body = zipped(folder(MR))

    async def pieces():  # type: ignore[no-untyped-def]
        for start in range(0, len(body), 60_000):
            yield body[start : start + 60_000]

    response = await site.http.post(
        "/REST/services/import",
        params={"dest": f"/archive/projects/{project}"},
        content=pieces(),
        headers={"Content-Type": "application/zip"},
    )
    uris(response)
    assert len(await site.archived_files(project)) == 8


async def test_a_session_cookie_is_as_good_as_a_password(site: Site, project: str) -> None:
    async with httpx.AsyncClient(base_url=site.stack.url, timeout=60, trust_env=False) as http:
        login = await http.post("/data/JSESSION", auth=(site.stack.user, site.stack.password))
        assert login.status_code == 200
        assert login.text == http.cookies["JSESSIONID"]
        response = await http.post(
            "/data/services/import",
            params={"dest": f"/archive/projects/{project}"},
            content=zipped(folder(MR)),
            headers={"Content-Type": "application/zip"},
        )
        uris(response)
        assert (await http.delete("/data/JSESSION")).status_code == 200
        assert (await http.get("/data/projects")).status_code == 401


DESTS = {
    "archive": ("/archive", {"project": "{p}"}, "/data/archive/projects/{p}/subjects/Test_Regression/experiments/DEV"),
    "archive-project": (
        "/archive/projects/{p}",
        {},
        "/data/archive/projects/{p}/subjects/Test_Regression/experiments/DEV",
    ),
    "archive-subject": (
        "/archive/projects/{p}/subjects/S1",
        {},
        "/data/archive/projects/{p}/subjects/S1/experiments/DEV",
    ),
    "archive-session": (
        "/data/archive/projects/{p}/subjects/S1/experiments/E1",
        {},
        "/data/archive/projects/{p}/subjects/S1/experiments/E1",
    ),
    "archive-experiment": (
        "/archive/projects/{p}/experiments/E1",
        {},
        "/data/archive/projects/{p}/subjects/Test_Regression/experiments/E1",
    ),
    "dest-beats-parameters": (
        "/archive/projects/{p}/subjects/S1/experiments/E1",
        {"subject": "S2", "session": "E2"},
        "/data/archive/projects/{p}/subjects/S1/experiments/E1",
    ),
    "labels-as-parameters": (
        "/archive/projects/{p}",
        {"subject": "S2", "session": "E2"},
        "/data/archive/projects/{p}/subjects/S2/experiments/E2",
    ),
    "prearchive-entry": (
        "/prearchive/projects/{p}/20260101_101010123/F",
        {},
        "/data/prearchive/projects/{p}/20260101_101010123/F",
    ),
}


@pytest.mark.parametrize("form", list(DESTS))
async def test_dest_in_every_form(site: Site, project: str, form: str) -> None:
    """Import semantics §2."""
    dest, parameters, expected = DESTS[form]
    filled = {name: value.format(p=project) for name, value in parameters.items()}
    response = await site.upload(zipped(folder(MR)), dest=dest.format(p=project), **filled)
    assert uris(response) == [expected.format(p=project)]


@pytest.mark.parametrize(
    "parameters", [{"dest": "/prearchive/projects/{p}"}, {"project": "{p}"}, {"PROJECT_ID": "{p}"}]
)
async def test_the_prearchive_holds_what_is_not_sent_to_the_archive(
    site: Site, project: str, parameters: dict[str, str]
) -> None:
    response = await site.upload(zipped(folder(MR)), **{k: v.format(p=project) for k, v in parameters.items()})
    (uri,) = uris(response)
    (row,) = await site.rows(f"/data/prearchive/projects/{project}")
    assert "/data" + row["url"] == uri
    assert (row["status"], row["subject"], row["folderName"], row["name"]) == ("READY", "Test_Regression", "DEV", "DEV")
    assert row["tag"] == "1.3.12.2.1107.5.2.19.45160.30000018091720502193200000007"
    single = await site.rows(uri)
    assert single == [row]
    scans = await site.rows(f"{uri}/scans")
    assert [scan["ID"] for scan in scans] == ["3", "4", "5", "6"]
    (resource,) = await site.rows(f"{uri}/scans/3/resources")
    assert (resource["label"], resource["file_count"]) == ("DICOM", "2")
    names = [file["Name"] for file in await site.rows(f"{uri}/scans/3/resources/DICOM/files")]
    assert len(names) == 2
    document = etree.fromstring((await site.http.get(uri)).content)
    assert document.tag == "{http://nrg.wustl.edu/xnat}MRSession"
    assert await site.rows(f"/data/projects/{project}/experiments") == []


async def test_who_has_no_project_lands_in_unassigned(site: Site) -> None:
    response = await site.upload(zipped(folder(MR)), dest="/prearchive")
    (uri,) = uris(response)
    assert uri.startswith("/data/prearchive/projects/Unassigned/")
    assert any("/data" + row["url"] == uri for row in await site.rows("/data/prearchive/projects/Unassigned"))


async def test_what_is_archived_can_be_read(site: Site, project: str) -> None:
    """Issue 3: lists, session XML, catalog XML, file download with ranges."""
    files = folder(MR)
    (uri,) = uris(await site.upload(zipped(files), dest=f"/archive/projects/{project}/subjects/S1/experiments/E1"))
    (experiment,) = await site.rows(f"/data/projects/{project}/experiments")
    assert (experiment["label"], experiment["xsiType"], experiment["project"]) == ("E1", "xnat:mrSessionData", project)
    item = (await site.http.get(uri, params={"format": "json"})).json()["items"][0]
    assert item["meta"]["xsi:type"] == "xnat:mrSessionData"
    assert item["data_fields"]["ID"] == experiment["ID"]
    (subject,) = await site.rows(f"/data/projects/{project}/subjects")
    assert subject["label"] == "S1"

    session = etree.fromstring((await site.http.get(uri, params={"format": "xml"})).content)
    assert session.get("ID") == experiment["ID"]
    assert [scan.get("ID") for scan in session.findall("xnat:scans/xnat:scan", CAT)] == ["3", "4", "5", "6"]

    resource = f"/data/experiments/{experiment['ID']}/scans/3/resources/DICOM"
    catalog = etree.fromstring((await site.http.get(resource, params={"format": "xml"})).content)
    entries = {entry.get("ID"): entry for entry in catalog.iterfind(".//cat:entry", CAT)}
    listed = {row["Name"]: row for row in await site.rows(f"{resource}/files")}
    assert set(entries) == set(listed)
    for name, row in listed.items():
        body = next(body for path, body in files.items() if path.endswith(name))
        assert entries[name].get("digest") == row["digest"] == hashlib.md5(body).hexdigest()
        assert row["Size"] == str(len(body))
        answer = await site.http.get(row["URI"])
        assert answer.content == body
        head = await site.http.head(row["URI"])
        assert head.headers["Content-Length"] == str(len(body))
        part = await site.http.get(row["URI"], headers={"Range": "bytes=128-131"})
        assert (part.status_code, part.content) == (206, b"DICM")
        assert part.headers["Content-Range"] == f"bytes 128-131/{len(body)}"
        beyond = await site.http.get(row["URI"], headers={"Range": f"bytes={len(body)}-"})
        assert beyond.status_code == 416


async def test_the_same_upload_again_changes_nothing(site: Site, project: str, events: Subscriber) -> None:
    """architecture.md §6, `identical`: a blind retry is a no-op with every `overwrite`."""
    body = zipped(folder(MR))
    dest = f"/archive/projects/{project}"
    one = uris(await site.upload(body, dest=dest))
    before = await site.archived_files(project)
    for overwrite in ("none", "append", "delete"):
        again = await site.upload(body, dest=dest, overwrite=overwrite)
        assert uris(again) == one
        seen = await events.until(import_id(again), "import.received", "import.completed")
        assert {event["type"].split(".")[2] for event in seen} == {"import"}
        assert {line["verdict"] for line in await site.report(again)} == {"identical", "skipped"}
    assert await site.archived_files(project) == before
    assert await site.rows(f"/data/prearchive/projects/{project}") == []


async def test_a_second_series_is_appended(site: Site, project: str) -> None:
    """A07."""
    files = folder(MR)
    series = [{p: b for p, b in files.items() if p.startswith(name)} for name in ("mr_0003", "mr_0004")]
    dest = f"/archive/projects/{project}/subjects/S/experiments/E"
    uris(await site.upload(zipped(series[0]), dest=dest, overwrite="append"))
    refused = await site.upload(zipped(series[1]), dest=dest)
    assert refused.status_code == 409
    assert refused.text.strip() == "Session already exists, retry with overwrite enabled"
    assert len(await site.archived_files(project)) == 2
    uris(await site.upload(zipped(series[1]), dest=dest, overwrite="append"))
    assert {scan for _, scan, _, _ in await site.archived_files(project)} == {"3", "4"}


async def test_other_bytes_under_a_known_uid_conflict_and_delete_replaces_them(site: Site, project: str) -> None:
    """architecture.md §6: the archive stays as it was, the upload waits as CONFLICT."""
    original = first(folder(MR))
    changed = bytearray(original)
    changed[-1] ^= 1
    dest = f"/archive/projects/{project}/subjects/S/experiments/E"
    uris(await site.upload(zipped({"1.dcm": original}), dest=dest))
    for overwrite in ("none", "append"):
        refused = await site.upload(zipped({"1.dcm": bytes(changed)}), dest=dest, overwrite=overwrite)
        assert refused.status_code == 409, refused.text
        assert [line["verdict"] for line in await site.report(refused)] == ["conflict"]
    assert list((await site.archived_files(project)).values()) == [hashlib.md5(original).hexdigest()]
    waiting = await site.rows(f"/data/prearchive/projects/{project}")
    assert [row["status"] for row in waiting] == ["CONFLICT", "CONFLICT"]
    uris(await site.upload(zipped({"1.dcm": bytes(changed)}), dest=dest, overwrite="delete"))
    assert list((await site.archived_files(project)).values()) == [hashlib.md5(changed).hexdigest()]


async def test_events_tell_what_happened_once_it_can_be_read(site: Site, project: str, events: Subscriber) -> None:
    """architecture.md §4: CloudEvents without PHI, after the catalogs."""
    response = await site.upload(zipped(folder(MR)), dest=f"/archive/projects/{project}")
    uris(response)
    seen = await events.until(
        import_id(response), "import.received", "session.archived", "pipeline.requested", "import.completed"
    )
    assert len(seen) == 4
    archived = next(event for event in seen if event["type"].endswith("session.archived.v1"))
    assert (archived["specversion"], archived["project"]) == ("1.0", project)
    (experiment,) = await site.rows(f"/data/projects/{project}/experiments")
    assert archived["subject"] == f"/archive/experiments/{experiment['ID']}"
    assert archived["data"]["file_count"] == archived["data"]["files_added"] == 8
    assert archived["data"]["scans"] == ["3", "4", "5", "6"]
    completed = next(event for event in seen if event["type"].endswith("import.completed.v1"))
    assert completed["data"]["verdicts"] == {"stored": 8, "skipped": 4}
    assert not any(word in str(seen) for word in ("Test_Regression", "Test^Regression", "DEV", ".dcm"))


async def test_pipelines_are_not_asked_for_when_the_sender_says_so(
    site: Site, project: str, events: Subscriber
) -> None:
    for spelling in ("triggerPipelines", "tiggerPipelines"):
        label = uuid.uuid4().hex[:8]
        dest = f"/archive/projects/{project}/subjects/S/experiments/{label}"
        response = await site.upload(zipped(folder(MR)), dest=dest, **{spelling: "false"})
        uris(response)
        seen = await events.until(import_id(response), "session.archived", "import.completed")
        assert not [event for event in seen if "pipeline" in event["type"]]


async def test_status_and_report_say_what_became_of_each_member(site: Site, project: str) -> None:
    response = await site.upload(tarred(folder(MR)), dest=f"/archive/projects/{project}")
    uris(response)
    status = (await site.http.get(f"/data/services/import/{import_id(response)}")).json()
    assert status["state"] == "completed"
    lines = await site.report(response)
    assert len(lines) == 12
    readme = [line for line in lines if line["path"].endswith(".txt")]
    assert len(readme) == 4
    assert all(line["verdict"] == "skipped" and line["reason"] for line in readme)
    assert all(line["verdict"] == "stored" for line in lines if line["path"].endswith(".dcm"))


async def test_an_idempotency_key_attaches_to_its_import(site: Site, project: str) -> None:
    key = uuid.uuid4().hex
    answers = [
        await site.http.post(
            "/data/services/import",
            params={"dest": f"/prearchive/projects/{project}"},
            content=zipped(folder(MR)),
            headers={"Content-Type": "application/zip", "Idempotency-Key": key},
        )
        for _ in range(2)
    ]
    assert uris(answers[0]) == uris(answers[1])
    assert len(await site.rows(f"/data/prearchive/projects/{project}")) == 1
