"""Every folder of real data against the expectation written for it before: issue 3, "It is done when"."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Site, Subscriber, import_id, uris
from tests.e2e.uploads import folder, tarred, zipped

GOLDEN = Path(__file__).parents[1] / "golden" / "expectations"
FOLDERS = sorted(path.stem for path in GOLDEN.glob("*.json") if path.stem[:2] not in {"17", "18", "20"})


def expectation(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((GOLDEN / f"{name}.json").read_text())
    return found


async def names_in(site: Site, scan: str) -> set[tuple[str, str]]:
    """The resource and the name of each file of a scan."""
    resources = [row["label"] for row in await site.rows(f"{scan}/resources")]
    return {(label, row["Name"]) for label in resources for row in await site.rows(f"{scan}/resources/{label}/files")}


@pytest.mark.parametrize("name", FOLDERS)
async def test_every_dicom_file_is_stored_in_its_session_and_scan(
    site: Site, project: str, events: Subscriber, name: str
) -> None:
    wanted = expectation(name)
    response = await site.upload(zipped(folder(name)), dest=f"/prearchive/projects/{project}")
    found = uris(response)
    rows = {row["tag"]: row for row in await site.rows(f"/data/prearchive/projects/{project}")}
    assert set(rows) == set(wanted["sessions"])
    assert sorted("/data" + row["url"] for row in rows.values()) == sorted(found)
    report = {line["path"]: line for line in await site.report(response)}
    for study, session in wanted["sessions"].items():
        scans = await site.rows(f"/data{rows[study]['url']}/scans")
        assert {scan["ID"]: scan["xsiType"] for scan in scans} == {
            scan_id: scan["xsi_type"] for scan_id, scan in session["scans"].items()
        }
        for scan_id, scan in session["scans"].items():
            expected = [(label, report[file["path"]]) for label, fs in scan["resources"].items() for file in fs]
            placed = {(label, line["name"]) for label, line in expected if line["verdict"] == "stored"}
            assert await names_in(site, f"/data{rows[study]['url']}/scans/{scan_id}") == placed
            for label, files in scan["resources"].items():
                for file in files:
                    line = report[file["path"]]
                    assert (line["verdict"], line["md5"]) in {
                        ("stored", file["md5"]),
                        ("identical", file["md5"]),
                    }, (label, line)
    for path in wanted["others"]:
        assert report[path]["verdict"] == "skipped"
        assert report[path]["reason"]
    seen = await events.until(import_id(response), "import.received", "session.received", "import.completed")
    told = Counter(event["type"] for event in seen)
    assert told["org.scandock.session.received.v1"] == len(wanted["sessions"])


@pytest.mark.parametrize("name", FOLDERS)
async def test_a_folder_sent_to_the_archive_twice_changes_nothing_the_second_time(
    site: Site, project: str, name: str
) -> None:
    body = zipped(folder(name))
    dest = f"/archive/projects/{project}"
    first = await site.upload(body, dest=dest)
    before = await site.archived_files(project)
    again = await site.upload(body, dest=dest)
    assert again.status_code == first.status_code
    assert await site.archived_files(project) == before


async def test_ecat_files_are_pet_sessions_by_patient(site: Site, project: str, events: Subscriber) -> None:
    wanted = expectation("17_ecat")
    response = await site.upload(zipped(folder("17_ecat")), dest=f"/prearchive/projects/{project}")
    found = uris(response)
    rows = {row["folderName"]: row for row in await site.rows(f"/data/prearchive/projects/{project}")}
    assert {row["tag"] for row in rows.values()} == {""}
    assert sorted("/data" + row["url"] for row in rows.values()) == sorted(found)
    report = {line["path"]: line for line in await site.report(response)}
    for session in wanted["sessions"]:
        row = rows[session["folder"]]
        assert (row["subject"], row["name"]) == (session["subject_label"], session["session_label"] or row["name"])
        scans = await site.rows(f"/data{row['url']}/scans")
        assert {scan["ID"]: scan["xsiType"] for scan in scans} == {
            scan_id: scan["xsi_type"] for scan_id, scan in session["scans"].items()
        }
        for scan_id, scan in session["scans"].items():
            resources = await site.rows(f"/data{row['url']}/scans/{scan_id}/resources")
            assert [resource["label"] for resource in resources] == list(scan["resources"])
            (file,) = scan["resources"]["ECAT"]
            assert (report[file["path"]]["verdict"], report[file["path"]]["md5"]) == ("stored", file["md5"])
            body = await site.http.get(f"/data{row['url']}/scans/{scan_id}/resources/ECAT/files/{file['path']}")
            assert body.content == folder("17_ecat")[file["path"]]
        xml = (await site.http.get(f"/data{row['url']}")).text
        assert "<xnat:PETSession" in xml
        assert '<xnat:isotope half-life="6586.2">F-18</xnat:isotope>' in xml
        assert 'content="RAW" format="ECAT" label="ECAT"' in xml
        assert "UID=" not in xml
    seen = await events.until(import_id(response), "import.received", "session.received", "import.completed")
    told = Counter(event["type"] for event in seen)
    assert told["org.scandock.session.received.v1"] == len(wanted["sessions"])


async def test_an_ecat_file_alone_is_archived_and_again_changes_nothing(site: Site, project: str) -> None:
    (session,) = [one for one in expectation("17_ecat")["sessions"] if one["subject_label"]]
    (file,) = session["scans"]["1"]["resources"]["ECAT"]
    body = folder("17_ecat")[file["path"]]
    dest = f"/archive/projects/{project}"
    for _ in range(2):
        response = await site.upload(body, "application/octet-stream", dest=dest)
        assert uris(response) == [f"/data{dest}/subjects/{session['subject_label']}/experiments/ECAT001"]
        files = await site.archived_files(project)
        assert {(label, scan, resource): md5 for (label, scan, resource, _), md5 in files.items()} == {
            ("ECAT001", "1", "ECAT"): file["md5"]
        }


async def test_ecat_beside_dicom_is_another_session_and_the_sender_numbers_its_scans(site: Site, project: str) -> None:
    files = {f"ecat/{name}": body for name, body in folder("17_ecat").items() if "derived" in name}
    files |= {f"dicom/{name}": body for name, body in folder("09_pet_tcia").items() if name == "2.dcm"}
    first = {"xnat:petSessionData/scans/scan/ID": "5"}
    response = await site.upload(zipped(files), dest=f"/prearchive/projects/{project}", **first)
    assert len(uris(response)) == 2
    scans = [[row["ID"] for row in await site.rows(f"{uri}/scans")] for uri in uris(response)]
    assert sorted(scans) == [["4"], ["5"]]


async def test_ecat_in_other_bytes_is_a_conflict_that_delete_replaces(site: Site, project: str) -> None:
    """Without a SOP Instance UID a file is known by its name (§7.5)."""
    plain, derived = (body for _, body in sorted(folder("17_ecat").items()))
    names = {"dest": f"/archive/projects/{project}/subjects/S/experiments/E"}
    assert len(uris(await site.upload(zipped({"pet.v": plain}), **names))) == 1
    changed = zipped({"pet.v": plain[:-1] + b"!"})
    assert (await site.upload(changed, overwrite="append", **names)).status_code == 409
    assert len(uris(await site.upload(changed, overwrite="delete", **names))) == 1
    assert list(await site.archived_files(project)) == [("E", "1", "ECAT", "pet.v")]
    assert len(uris(await site.upload(zipped({"more.v": derived}), overwrite="append", **names))) == 1
    assert [scan for _, scan, _, _ in sorted(await site.archived_files(project))] == ["1", "2"]


async def make_project(site: Site, name: str) -> str:
    response = await site.http.put(f"/data/projects/{name}")
    assert response.status_code in {200, 201}, response.text
    return name


async def test_a_xar_becomes_the_session_of_its_document(site: Site, events: Subscriber) -> None:
    wanted = expectation("20_xar_example")["session"]
    project = await make_project(site, wanted["project"])
    body = folder("20_xar_example")["XARDEMO_S01_MR1.xar"]
    response = await site.upload(body, "application/xar", **{"import-handler": "XAR"})
    (uri,) = uris(response)
    (row,) = await site.rows(f"/data/projects/{project}/experiments", columns="subject_label,UID")
    assert uri == f"/data/archive/experiments/{row['ID']}"
    assert (row["label"], row["xsiType"], row["date"]) == (wanted["session_label"], wanted["xsi_type"], wanted["date"])
    assert (row["subject_label"], row["UID"]) == (wanted["subject_label"], wanted["study_instance_uid"])
    report = {line["path"]: line for line in await site.report(response)}
    for scan in await site.rows(f"{uri}/scans"):
        told = wanted["scans"][scan["ID"]]
        assert (scan["xsiType"], scan["type"], scan["quality"]) == (told["xsi_type"], told["type"], told["quality"])
        resources = {each["label"]: each for each in await site.rows(f"{uri}/scans/{scan['ID']}/resources")}
        assert resources.keys() == told["resources"].keys()
        for label, resource in told["resources"].items():
            assert (resources[label]["format"], resources[label]["content"]) == (
                resource["format"],
                resource["content"],
            )
            for file in resource["files"]:
                line = report[file["path"]]
                assert (line["verdict"], line["md5"]) == ("stored", file["md5"])
                assert line["sop_instance_uid"] == file["sop_instance_uid"]
                name = file["path"].rpartition("/")[2]
                body = (await site.http.get(f"{uri}/scans/{scan['ID']}/resources/{label}/files/{name}")).content
                assert body == folder("20_xar_example")[f"unpacked/{file['path']}"]
    for path in expectation("20_xar_example")["others"]:
        assert report[path]["verdict"] == "skipped"
        assert report[path]["reason"]
    catalog = (await site.http.get(f"{uri}/scans/13/resources/DICOM", params={"format": "xml"})).text
    assert catalog.count('xsi:type="cat:dcmEntry"') == 4
    assert 'instanceNumber="4"' in catalog
    xml = (await site.http.get(uri, params={"format": "xml"})).text
    assert '<xnat:scanner manufacturer="GE MEDICAL SYSTEMS" model="derived"/>' in xml
    assert "<xnat:date>2017-12-05</xnat:date>" in xml
    await events.until(import_id(response), "import.received", "session.archived", "import.completed")
    before = await site.archived_files(project)
    again = await site.upload(folder("20_xar_example")["XARDEMO_S01_MR1.xar"], **{"import-handler": "XAR"})
    assert uris(again) == [uri]
    assert await site.archived_files(project) == before
    assert {line["verdict"] for line in await site.report(again)} == {"identical", "skipped"}
    unpacked = {p: b for p, b in folder("20_xar_example").items() if p.startswith("unpacked/")}  # in one top folder
    for body in (zipped(unpacked), tarred(unpacked), tarred(unpacked, "w:gz")):
        assert uris(await site.upload(body, **{"import-handler": "XAR"})) == [uri]
    assert await site.archived_files(project) == before


async def test_junk_alone_is_refused(site: Site, project: str) -> None:
    response = await site.upload(zipped(folder("18_junk_non_dicom")), dest=f"/archive/projects/{project}")
    assert response.status_code == 400
    lines = {line["path"]: line for line in await site.report(response)}
    assert set(lines) == set(expectation("18_junk_non_dicom")["others"])
    assert all(line["verdict"] == "skipped" and line["reason"] for line in lines.values())
