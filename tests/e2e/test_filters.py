"""What series import filters leave out, and files told by name (acceptance A24, A25, A55, A64)."""

import json
import uuid
from collections import Counter
from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio
from pydicom.dataset import Dataset

from tests.builders import dataset, dicom_bytes, uid, zip_bytes
from tests.e2e.conftest import Site, uris

MARK = 0x00191001
FILTER = "/data/config/seriesImportFilter/config"
BY_UID = "/xapi/siteConfig/useSopInstanceUidToUniquelyIdentifyDicom"
ZIP = {"import-handler": "DICOM-zip"}


def study_c(marked: frozenset[tuple[int, int]] = frozenset()) -> dict[str, bytes]:
    """Data set C: one MR study, series 4, 5 and 6; the `marked` instances (series, number) hold the element MARK."""
    seed, files = uuid.uuid4().hex, {}
    for series in (4, 5, 6):
        for number in range(1, 5):
            files[f"{series}/{number:04d}.dcm"] = dicom_bytes(_image(seed, series, number, (series, number) in marked))
    return files


def _image(seed: str, series: int, number: int, is_marked: bool) -> Dataset:
    ds = dataset(
        StudyInstanceUID=uid(seed),
        SeriesInstanceUID=uid(seed, series),
        SOPInstanceUID=uid(seed, series, number),
        SeriesNumber=series,
        InstanceNumber=number,
        PatientName="Sample_Patient",
        PatientID="Sample_ID",
    )
    if is_marked:
        ds.add_new(MARK, "LO", "derived")
    return ds


async def archive(site: Site, uri: str, **parameters: str) -> httpx.Response:
    src = uri.removeprefix("/data")
    answer = await site.http.post("/data/services/archive", data={"src": src, **parameters})
    assert answer.status_code == 200, answer.text
    return answer


async def counts(site: Site, project: str) -> dict[str, int]:
    """Files of each scan of the project's archived sessions."""
    return Counter(scan for _, scan, _, _ in await site.archived_files(project))


@pytest_asyncio.fixture
async def without_filter(site: Site) -> AsyncIterator[None]:
    yield
    await site.http.put(FILTER, params={"status": "disabled"})


@pytest_asyncio.fixture
async def by_name(site: Site) -> AsyncIterator[None]:
    """Instances are told by the names of their files."""
    assert (await site.http.put(BY_UID, content="false")).status_code == 200
    yield
    await site.http.put(BY_UID, content="true")


@pytest.mark.usefixtures("without_filter")
async def test_a64_a_filter_leaves_out_instances_with_a_certain_tag(site: Site, project: str) -> None:
    """A64."""
    contents = json.dumps({"mode": "blacklist", "list": "[(0019,1001)]\n.*", "enabled": "true"})
    assert (await site.http.put(FILTER, content=contents)).status_code in {200, 201}
    marked = frozenset({(5, 2), *((6, number) for number in range(1, 5))})
    answer = await site.upload(zip_bytes(study_c(marked)), project=project, rename="true", **ZIP)
    (uri,) = uris(answer)
    reasons = [line["reason"] for line in await site.report(answer) if line["reason"]]
    assert len(reasons) == 5
    assert all(reason.startswith("filtered: the site's series import filter: line 2") for reason in reasons)
    assert (await site.http.post(uri, params={"action": "build"})).status_code == 200
    scans = {row["ID"] for row in await site.rows(f"{uri}/scans")}
    assert scans == {"4", "5"}
    sizes = {scan: len(await site.rows(f"{uri}/scans/{scan}/resources/DICOM/files")) for scan in scans}
    assert sizes == {"4": 4, "5": 3}
    await archive(site, uri)
    assert await counts(site, project) == {"4": 4, "5": 3}


@pytest.mark.parametrize("handler", ["SI", "DICOM-zip", "gradual-DICOM"])
async def test_an_upload_of_which_all_is_filtered_answers_an_empty_list(site: Site, project: str, handler: str) -> None:
    """Import semantics §1.6; the filter is the project's own."""
    contents = json.dumps({"mode": "whitelist", "list": "no such series", "enabled": "true"})
    path = f"/data/projects/{project}/config/seriesImportFilter/config"
    assert (await site.http.put(path, content=contents)).status_code == 201
    body = dicom_bytes(StudyInstanceUID=uid(uuid.uuid4()))
    is_one = handler == "gradual-DICOM"
    answer = await site.upload(
        body if is_one else zip_bytes({"1.dcm": body}),
        "application/dicom" if is_one else "application/zip",
        PROJECT_ID=project,
        **{"import-handler": handler},
    )
    assert (answer.status_code, answer.text) == (200, "")
    assert await site.rows(f"/data/prearchive/projects/{project}") == []
    (line,) = await site.report(answer)
    assert line["reason"].startswith("filtered: the project's")


async def archived_by_commit(site: Site, project: str, files: dict[str, bytes], rename: str) -> None:
    answer = await site.upload(zip_bytes(files), project=project, rename=rename, action="commit", **ZIP)
    uris(answer)


async def overwriting(site: Site, project: str) -> None:
    assert (await site.http.put(f"/data/projects/{project}/prearchive_code/5")).status_code == 200


@pytest.mark.usefixtures("by_name")
async def test_a24_by_name_an_instance_under_another_name_is_added(site: Site, project: str) -> None:
    """A24."""
    await overwriting(site, project)
    files = study_c()
    await archived_by_commit(site, project, files, "false")
    assert await counts(site, project) == {"4": 4, "5": 4, "6": 4}
    for _ in range(2):
        await archived_by_commit(site, project, files, "true")
        assert await counts(site, project) == {"4": 8, "5": 8, "6": 8}


async def test_a25_by_uid_an_instance_is_there_once(site: Site, project: str) -> None:
    """A25, as far as there is anything to do: bytes that are there already stay under their name."""
    await overwriting(site, project)
    files = study_c()
    await archived_by_commit(site, project, files, "false")
    for _ in range(2):
        await archived_by_commit(site, project, files, "true")
        assert await counts(site, project) == {"4": 4, "5": 4, "6": 4}


@pytest.mark.usefixtures("by_name")
async def test_a55_by_name_a_file_is_added_and_a_refresh_changes_nothing(site: Site, project: str) -> None:
    """A55."""
    files, dest = study_c(), f"/archive/projects/{project}/subjects/S/experiments/E"
    uris(await site.upload(zip_bytes(files), dest=dest))
    others = {f"other_{name[0]}.dcm": body for name, body in files.items() if name.endswith("0001.dcm")}
    uris(await site.upload(zip_bytes(others), dest=dest, overwrite="delete"))
    expected = {"4": 5, "5": 5, "6": 5}
    assert await counts(site, project) == expected
    answer = await site.http.post("/data/services/refresh/catalog", params={"resource": dest})
    assert answer.status_code == 200, answer.text
    assert await counts(site, project) == expected
