"""The prearchive over HTTP: listed, built, moved, committed, archived, deleted (acceptance A10 to A16, A53 ff.)."""

import asyncio
import hashlib
import uuid
from collections.abc import Callable
from typing import Any

import httpx

from tests.builders import series, uid, zip_bytes
from tests.e2e.conftest import Site, uris

Files = dict[str, bytes]
AUTO_RUN = "xnat_tools/AutoRun.xml"


def study(mark: str, *names: str, count: int = 6) -> Files:
    """One MR study with these series, `count` files each; nothing else has its UIDs."""
    files = {}
    for number, name in enumerate(names or ("1",), start=1):
        made = series(
            count, f"{mark}/{name}", StudyInstanceUID=uid(mark), SeriesNumber=number,
            PatientName=f"Subject_{mark}", PatientID=f"Session_{mark}",
        )  # fmt: skip
        files |= {f"{name}/{index:06d}.dcm": body for index, body in enumerate(made)}
    return files


def mark() -> str:
    return uuid.uuid4().hex[:8]


def digests(files: Files) -> list[str]:
    return sorted(hashlib.md5(body).hexdigest() for body in files.values())


async def archived(site: Site, project: str) -> list[str]:
    return sorted((await site.archived_files(project)).values())


async def act(site: Site, uri: str, **parameters: str) -> httpx.Response:
    return await site.http.post(uri, params=parameters)


async def autorun_completes(site: Site, project: str) -> None:
    (session,) = await site.rows(f"/data/projects/{project}/experiments")
    query = {"id": session["ID"], "pipeline_name": AUTO_RUN, "format": "json"}

    async def status() -> str | None:
        answer = await site.http.get("/data/workflows", params=query)
        return answer.json()["items"][0]["data_fields"]["status"] if answer.status_code == 200 else None

    await until(status, "Complete")


async def until(read: Callable[[], Any], expected: object, seconds: float = 20) -> None:
    deadline = asyncio.get_running_loop().time() + seconds
    while (found := await read()) != expected:
        assert asyncio.get_running_loop().time() < deadline, f"waited for {expected}, got {found}"
        await asyncio.sleep(0.1)


async def test_a10_each_entry_is_listed_once(site: Site, project: str) -> None:
    """A10."""
    wanted = {("S1", "E1"), ("S1", "E2"), ("S2", "E3"), ("S3", "E4")}
    for subject, session in wanted:
        body = zip_bytes(study(mark()))
        uris(await site.upload(body, project=project, subject=subject, session=session, action="commit"))
    rows = await site.rows(f"/data/prearchive/projects/{project}")
    assert {(row["subject"], row["name"]) for row in rows} == wanted
    assert [row["status"] for row in rows] == ["READY"] * 4
    for row in rows:
        assert (await site.http.get(f"/data{row['url']}")).status_code == 200


async def test_a11_an_entry_is_deleted(site: Site, project: str) -> None:
    """A11."""
    body = zip_bytes(study(mark()))
    uris(await site.upload(body, project=project, subject="S", session="E", overwrite="append"))
    (row,) = await site.rows(f"/data/prearchive/projects/{project}")
    assert (await site.http.delete(f"/data{row['url']}")).status_code == 200
    assert await site.rows(f"/data/prearchive/projects/{project}") == []
    assert (await site.http.get(f"/data{row['url']}")).status_code == 404


async def test_a12_an_entry_is_moved_between_projects(site: Site, project: str) -> None:
    """A12."""
    other, name = f"{project}x", mark()
    await site.http.put(f"/data/projects/{other}")
    body = zip_bytes(study(name))
    (uri,) = uris(await site.upload(body, dest="/prearchive", subject="S"))
    (row,) = [r for r in await site.rows("/data/prearchive/projects/Unassigned") if f"/data{r['url']}" == uri]
    assert (row["status"], row["subject"], row["name"]) == ("READY", "S", f"Session_{name}")
    for target in (project, other):
        moved = await act(site, uri, action="move", newProject=target)
        assert (moved.status_code, "Location" in moved.headers) == (301, False), moved.text
        uri = moved.text.strip()
        assert uri.startswith(f"/data/prearchive/projects/{target}/")
    assert await site.rows(f"/data/prearchive/projects/{project}") == []
    (row,) = await site.rows(f"/data/prearchive/projects/{other}")
    assert (row["status"], f"/data{row['url']}") == ("READY", uri)
    assert (await site.http.delete(uri)).status_code == 200


async def test_a13_an_entry_is_archived_under_the_labels_of_its_header(site: Site, project: str) -> None:
    """A13."""
    name = mark()
    files = study(name)
    (uri,) = uris(await site.upload(zip_bytes(files), dest=f"/prearchive/projects/{project}"))
    answer = await site.http.post("/data/services/archive", data={"src": uri, "overwrite": "append"})
    expected = f"/data/archive/projects/{project}/subjects/Subject_{name}/experiments/Session_{name}"
    assert uris(answer) == [expected]
    assert await archived(site, project) == digests(files)
    assert {key[2] for key in await site.archived_files(project)} == {"DICOM"}
    again = await site.http.post("/data/services/archive", data={"src": uri})
    assert again.status_code == 404


async def test_a14_labels_come_as_xml_paths(site: Site, project: str) -> None:
    """A14."""
    files = study(mark())
    (uri,) = uris(await site.upload(zip_bytes(files), dest=f"/prearchive/projects/{project}"))
    paths = {
        "xnat:mrSessionData/project": project,
        "xnat:mrSessionData/subject_id": "S14",
        "xnat:mrSessionData/label": "E14",
        "xnat:mrSessionData/scans/scan[0][@xsi:type=xnat:mrScanData]/type": "T1",
    }
    answer = await site.http.post("/data/services/archive", data={"src": uri, **paths})
    assert uris(answer) == [f"/data/archive/projects/{project}/subjects/S14/experiments/E14"]
    found = await site.archived_files(project)
    assert {key[:3] for key in found} == {("E14", "1", "DICOM")}
    assert sorted(found.values()) == digests(files)


async def post_series(site: Site, name: str, dest: str) -> tuple[str, Files]:
    """B1 and B2 by DICOM-zip: the one URI of both, and their files."""
    files = study(name, "B1", "B2", count=16)
    found = set()
    for each in ("B1", "B2"):
        body = zip_bytes({path: body for path, body in files.items() if path.startswith(each)})
        found.update(uris(await site.upload(body, **{"import-handler": "DICOM-zip", "dest": dest})))
    (uri,) = found
    return uri, files


async def test_a15_built_moved_and_committed(site: Site, project: str) -> None:
    """A15."""
    uri, files = await post_series(site, mark(), "/prearchive")
    assert uri.startswith("/data/prearchive/projects/Unassigned/")
    built = await act(site, uri, action="build")
    assert (built.status_code, built.text.strip()) == (200, uri)
    moved = await act(site, uri, action="move", newProject=project)
    assert moved.status_code == 301, moved.text
    committed = await act(site, uri.replace("Unassigned", project), action="commit", AA="true")
    assert (committed.status_code, "Location" in committed.headers) == (301, False), committed.text
    assert committed.text.startswith("/data/archive")
    await autorun_completes(site, project)
    assert await archived(site, project) == digests(files)


async def test_a16_committed_to_the_archive(site: Site, project: str) -> None:
    """A16."""
    uri, files = await post_series(site, mark(), f"/prearchive/projects/{project}")
    committed = await act(site, uri, action="commit", AA="true")
    assert committed.status_code == 301, committed.text
    found = await site.archived_files(project)
    assert {key[1] for key in found} == {"1", "2"}
    assert sorted(found.values()) == digests(files)
    assert await site.rows(f"/data/prearchive/projects/{project}") == []
    assert (await site.http.get(uri)).status_code == 404


async def test_a_conflict_is_409_and_waits_with_its_reason(site: Site, project: str) -> None:
    """§9.3, architecture §6: the archive is as it was, and the entry can be committed with `overwrite=delete`."""
    dest, name = f"/prearchive/projects/{project}", mark()
    labels = {"subject": "S", "session": "E"}
    (first,) = uris(await site.upload(zip_bytes(study(name)), dest=dest))
    uris(await site.http.post("/data/services/archive", params={"src": first, **labels}))
    before = await archived(site, project)
    (second,) = uris(await site.upload(zip_bytes(study(mark())), dest=dest))
    checked = await site.http.post("/data/services/validate-archive", params={"src": second, **labels})
    assert "1" in {row["code"] for row in checked.json()["ResultSet"]["Result"]}
    refused = await site.http.post("/data/services/archive", params={"src": second, **labels})
    assert (refused.status_code, "already exists" in refused.text) == (409, True), refused.text
    (row,) = await site.rows(f"/data/prearchive/projects/{project}")
    assert row["status"] == "CONFLICT"
    assert "already exists" in (await site.http.get(f"{second}/logs/last")).text
    assert await archived(site, project) == before
    reset = await act(site, second, action="reset-status")
    assert reset.status_code == 200
    (row,) = await site.rows(f"/data/prearchive/projects/{project}")
    assert row["status"] == "READY"


async def test_what_is_archived_with_a_listener_is_told_to_it(site: Site, project: str) -> None:
    """§10: the answer comes at once, and its progress ends with the archive's URI."""
    (uri,) = uris(await site.upload(zip_bytes(study(mark())), dest=f"/prearchive/projects/{project}"))
    listener = mark()
    parameters = {"src": uri, "subject": "S", "session": "E", "http-session-listener": listener}
    answer = await site.http.post("/data/services/archive", params=parameters)
    assert (answer.status_code, answer.text) == (200, "Archival initiated")
    expected = f"Archive:/archive/projects/{project}/subjects/S/experiments/E"

    async def last() -> object:
        found = (await site.http.get(f"/data/status/{listener}?format=json")).json()["msgs"][0]
        return found[-1]["msg"] if found and found[-1]["terminal"] else None

    await until(last, expected)
    tracked = (await site.http.get(f"/xapi/event_tracking/{listener}")).json()
    assert (tracked["succeeded"], tracked["finalMessage"]) == (True, expected)


async def test_several_entries_are_archived_and_deleted_by_one_request(site: Site, project: str) -> None:
    """§9.3, §9.4: `src` repeated or separated by commas; a table says what became of each."""
    entries = [
        uris(await site.upload(zip_bytes(study(mark())), dest=f"/prearchive/projects/{project}"))[0] for _ in range(4)
    ]
    first = await site.http.post("/data/services/archive", params={"src": ",".join(entries[:2])})
    found = first.json()["ResultSet"]["Result"]
    assert [row["message"] for row in found] == ["", ""], found
    assert len(await site.rows(f"/data/projects/{project}/experiments")) == 2
    second = await site.http.post("/data/services/prearchive/delete", data={"src": entries[2:], "async": "false"})
    assert second.status_code == 200
    assert await site.rows(f"/data/prearchive/projects/{project}") == []


async def put_in_cache(site: Site, listener: str, body: bytes) -> str:
    path = f"/user/cache/resources/{listener}/files/a.zip"
    answer = await site.http.put(f"/data{path}", params={"inbody": "true"}, content=body)
    assert answer.status_code == 200, answer.text
    return path


async def test_a54_progress_of_an_import_from_the_cache_is_its_owners(site: Site, project: str) -> None:
    """A54, and the AutoRun of A53."""
    listener = mark()
    source = await put_in_cache(site, listener, zip_bytes(study(mark())))
    dest = f"/archive/projects/{project}/subjects/S/experiments/E"
    answer = await act(
        site, "/data/services/import", **{"src": source, "http-session-listener": listener, "dest": dest}
    )
    assert answer.status_code == 200, answer.text

    async def final() -> object:
        tracked = await site.http.get(f"/xapi/event_tracking/{listener}")
        return tracked.json()["finalMessage"] if tracked.status_code == 200 else None

    await until(final, f"Archive:{dest}")
    found = (await site.http.get(f"/data/status/{listener}?format=json")).json()["msgs"][0]
    assert found[-1] == {"status": "COMPLETED", "msg": f"Archive:{dest}", "terminal": True}
    await autorun_completes(site, project)
    other, password = f"u{mark()}", "correct horse battery"
    body = {"username": other, "password": password, "firstName": "O", "lastName": "T", "email": "o@example.org"}
    assert (await site.http.post("/xapi/users", json=body)).status_code == 201
    async with httpx.AsyncClient(base_url=site.stack.url, auth=(other, password), trust_env=False) as http:
        assert (await http.get(f"/xapi/event_tracking/{listener}")).status_code == 404


async def test_a65_deleting_a_session_leaves_another_of_the_same_study(site: Site, project: str) -> None:
    """A65."""
    files = study(mark())
    for label in ("E1", "E2"):
        dest = f"/archive/projects/{project}/subjects/S/experiments/{label}"
        uris(await site.upload(zip_bytes(files), **{"import-handler": "SI", "dest": dest}))
    answer = await site.http.delete(f"/data/projects/{project}/subjects/S/experiments/E1?removeFiles=true")
    assert answer.status_code == 200, answer.text
    (session,) = await site.rows(f"/data/projects/{project}/experiments")
    assert session["label"] == "E2"
    assert await archived(site, project) == digests(files)
    (resource,) = await site.rows(f"/data/experiments/{session['ID']}/scans/1/resources")
    assert resource["file_count"] == "6"


async def test_a67_any_prearchive_code_is_stored(site: Site, project: str) -> None:
    """A67."""
    for code in ("4", "0", "11"):
        assert (await site.http.put(f"/data/projects/{project}/prearchive_code/{code}")).status_code == 200
        assert (await site.http.get(f"/data/projects/{project}/prearchive_code")).text == code
