"""Every folder of real data against the expectation written for it before: issue 3, "It is done when"."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Site, Subscriber, import_id, uris
from tests.e2e.uploads import folder, zipped

GOLDEN = Path(__file__).parents[1] / "golden" / "expectations"
FOLDERS = sorted(path.stem for path in GOLDEN.glob("*.json") if path.stem[:2] not in {"17", "18", "20"})


def expectation(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((GOLDEN / f"{name}.json").read_text())
    return found


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
        for scan in session["scans"].values():
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


async def test_junk_alone_is_refused(site: Site, project: str) -> None:
    response = await site.upload(zipped(folder("18_junk_non_dicom")), dest=f"/archive/projects/{project}")
    assert response.status_code == 400
    lines = {line["path"]: line for line in await site.report(response)}
    assert set(lines) == set(expectation("18_junk_non_dicom")["others"])
    assert all(line["verdict"] == "skipped" and line["reason"] for line in lines.values())
