"""DICOM-zip over HTTP: what is not DICOM, names, dest, commit (acceptance A09, A17 to A31; import semantics §3.4)."""

import asyncio
import hashlib
import re
import uuid
from collections.abc import AsyncIterator, Mapping

import httpx
import pytest
import pytest_asyncio

from tests.builders import dicom_bytes, series, uid, zip_bytes
from tests.e2e.conftest import Site, uris
from tests.e2e.datasets import b
from tests.e2e.uploads import folder, zipped
from tests.e2e.watching import sessions_of, until

MR = "02_mr_siemens_mosaic"
RENAMED = "08_mr_xnat_renamed_golden"
RT_STRUCT = "1.2.840.10008.5.1.4.1.1.481.3"
CT = "1.2.840.10008.5.1.4.1.1.2"
Files = Mapping[str, bytes]


async def send(site: Site, files: Files | bytes, **parameters: str) -> httpx.Response:
    body = files if isinstance(files, bytes) else zip_bytes(files)
    return await site.upload(body, **{"import-handler": "DICOM-zip", **parameters})


async def commit(site: Site, uri: str, **parameters: str) -> httpx.Response:
    return await site.http.post(uri, params={"action": "commit", "AA": "true", **parameters})


async def archive(site: Site, uri: str, **parameters: str) -> httpx.Response:
    data = {"src": uri.removeprefix("/data"), **parameters}
    return await site.http.post("/data/services/archive", data=data)


async def names(site: Site, uri: str) -> list[str]:
    """The names of an entry's files."""
    scans = await site.rows(f"{uri}/scans")
    listed = []
    for scan in scans:
        for resource in await site.rows(f"{uri}/scans/{scan['ID']}/resources"):
            listed += await site.rows(f"{uri}/scans/{scan['ID']}/resources/{resource['label']}/files")
    return sorted(row["Name"] for row in listed)


async def archived_names(site: Site, project: str) -> list[tuple[str, str]]:
    return sorted((scan, name) for _, scan, _, name in await site.archived_files(project))


def digests(files: Files) -> list[str]:
    return sorted(hashlib.md5(body).hexdigest() for body in files.values())


def study(count: int = 6, seed: str = "", **more: object) -> dict[str, bytes]:
    """Data set A: one MR study, one series."""
    seed = seed or uuid.uuid4().hex
    own = {"StudyInstanceUID": uid(seed), "PatientName": "Name_A", "PatientID": "ID_A"}
    return {f"A/{n}.dcm": body for n, body in enumerate(series(count, seed, **{**own, **more}), 1)}


@pytest_asyncio.fixture
async def template(site: Site) -> AsyncIterator[str]:
    """The site's file name template may be changed; it is the shipped one again afterwards."""
    name = "/xapi/siteConfig/dicomFileNameTemplate"
    before = (await site.http.get(name)).text
    yield name
    assert (await site.http.put(name, content=before)).status_code == 200


@pytest_asyncio.fixture
async def built_at_once(site: Site) -> AsyncIterator[None]:
    """The idle interval is over with the next sweep."""
    name = "/xapi/siteConfig/sessionXmlRebuilderInterval"
    assert (await site.http.put(name, content="0")).status_code == 200
    yield
    assert (await site.http.put(name, content="5")).status_code == 200


async def test_an_entry_that_dest_names_keeps_its_study(site: Site, project: str) -> None:
    """A09."""
    seed = uuid.uuid4().hex
    dest = f"/prearchive/projects/{project}/20260101_101010123/E"
    assert uris(await send(site, b(seed, 1), dest=dest)) == [f"/data{dest}"]
    refused = await send(site, b(seed, 2, study="other"), dest=dest)
    assert refused.status_code == 400
    assert "dest" in refused.text
    (row,) = await site.rows(f"/data/prearchive/projects/{project}")
    assert (row["url"], row["status"]) == (dest, "READY")
    assert [scan["ID"] for scan in await site.rows(f"/data{dest}/scans")] == ["1"]
    assert len(await names(site, f"/data{dest}")) == 16


@pytest.mark.parametrize(
    "parameters",
    [pytest.param({}, id="A17"), pytest.param({"Ignore-Unparsable": "false"}, id="A18")],
)
async def test_a_file_that_is_not_dicom_refuses_the_whole(site: Site, project: str, parameters: dict[str, str]) -> None:
    """A17, A18: the body names the file, and nothing is kept."""
    answer = await send(site, {**study(), "A/notes.dcm": b"only some text"}, project=project, **parameters)
    assert answer.status_code == 400
    assert "unable to read DICOM object notes.dcm" in answer.text
    assert await site.rows(f"/data/prearchive/projects/{project}") == []


async def test_what_is_not_dicom_is_skipped_where_that_is_asked_for(site: Site, project: str) -> None:
    """A19."""
    files = study()
    answer = await send(
        site, {**files, "A/notes.dcm": b"only some text"}, project=project, **{"Ignore-Unparsable": "true"}
    )
    (uri,) = uris(answer)
    assert uri.startswith(f"/data/prearchive/projects/{project}/")
    assert [row["verdict"] for row in await site.report(answer)].count("skipped") == 1
    assert (await commit(site, uri)).status_code == 301
    assert sorted((await site.archived_files(project)).values()) == digests(files)


async def test_junk_and_directories_are_skipped_by_name(site: Site, project: str) -> None:
    """Architecture §6: they never refuse an upload."""
    junk = {"__MACOSX/A/._1.dcm": b"x", "A/.DS_Store": b"x", "A/Thumbs.db": b"x", "DICOMDIR": b"no directory at all"}
    files = study()
    (uri,) = uris(await send(site, {**junk, **files}, project=project))
    assert len(await names(site, uri)) == len(files)


async def test_two_series_of_one_number_grow_as_two_scans(site: Site, project: str) -> None:
    """A20."""
    seed, dest = uuid.uuid4().hex, f"/archive/projects/{project}/subjects/S/experiments/E"
    own = {"StudyInstanceUID": uid(seed), "SeriesNumber": 1}
    one, other = series(5, f"{seed}/1", **own), series(5, f"{seed}/2", **own)
    junk = {"__MACOSX/._x.dcm": b"not DICOM"}
    uploads = [{"1.dcm": one[0]}, {"2.dcm": other[1]}, {"3.dcm": other[2]}, {"4.dcm": one[3], "5.dcm": one[4]}]
    for number, files in enumerate(uploads):
        overwrite = {"overwrite": "delete"} if number else {}
        uris(await site.upload(zip_bytes({**files, **junk}), dest=dest, **{"Ignore-Unparsable": "true"}, **overwrite))
    (session,) = await site.rows(f"/data/projects/{project}/experiments")
    counts = {}
    for scan in await site.rows(f"/data/experiments/{session['ID']}/scans"):
        path = f"/data/experiments/{session['ID']}/scans/{scan['ID']}/resources"
        (row,) = await site.rows(path, stats="true")
        counts[scan["ID"]] = (row["label"], row["file_count"])
    assert counts == {"1": ("DICOM", "3"), "1-MR1": ("DICOM", "2")}


async def test_instances_without_a_number_stay_apart(site: Site, project: str) -> None:
    """A21."""
    (uri,) = uris(await send(site, study(InstanceNumber=None), project=project, rename="true"))
    found = await names(site, uri)
    assert len(set(found)) == 6
    assert all(re.fullmatch(r"[\d.]+-1-no-value-for-InstanceNumber-[0-9a-z]+\.dcm", name) for name in found)


@pytest.mark.parametrize("rename", [pytest.param("false", id="A22"), pytest.param("true", id="A23")])
async def test_names_are_the_senders_or_the_templates(site: Site, project: str, rename: str) -> None:
    """A22, A23: in the prearchive and in the archive."""
    files = {path: body for path, body in folder(MR).items() if path.endswith(".dcm")}
    (uri,) = uris(await send(site, zipped(files), project=project, rename=rename))
    assert (await site.http.post(uri, params={"action": "build"})).status_code == 200
    before = await names(site, uri)
    assert (await archive(site, uri)).status_code == 200
    assert sorted(name for _, name in await archived_names(site, project)) == before
    if rename == "false":
        assert set(before) == {re.sub(r"[^\w.-]", "_", path.rsplit("/", 1)[-1]) for path in files}
    else:
        tag = r"1\.3\.12\.2\.1107\.5\.2\.19\.45160\.30000018091720502193200000007"
        assert all(re.fullmatch(rf"{tag}-\d+-\d+-[0-9a-z]+\.dcm", name) for name in before)
    assert sorted((await site.archived_files(project)).values()) == digests(files)


async def test_xnats_own_names_come_out_again(site: Site, project: str) -> None:
    """Import semantics §5: files that an XNAT has renamed get the same names here."""
    files = {path: body for path, body in folder(RENAMED).items() if path.startswith("1.2.276")}
    sent = {f"{number}.dcm": body for number, body in enumerate(files.values())}
    (uri,) = uris(await send(site, sent, project=project, rename="true"))
    assert await names(site, uri) == sorted(files)


async def test_names_follow_the_template(site: Site, project: str, template: str) -> None:
    """A26: one variable twice; the build leaves the names."""
    put = await site.http.put(template, content="${SeriesNumber}_${SeriesNumber}-${InstanceNumber}-${SOPInstanceUID}")
    assert put.status_code == 200
    (uri,) = uris(await send(site, study(3), project=project, rename="true"))
    assert [name.rsplit("-", 1)[0] for name in await names(site, uri)] == ["1_1-1", "1_1-2", "1_1-3"]


async def test_a_template_without_the_instance_leaves_one_file_a_series(
    site: Site, project: str, template: str
) -> None:
    """A27: the price of that template."""
    assert (await site.http.put(template, content="${StudyInstanceUID}-${SeriesNumber}")).status_code == 200
    seed = uuid.uuid4().hex
    files = {}
    for number in (4, 5, 6):
        own = {"StudyInstanceUID": uid(seed), "SeriesNumber": number}
        files |= {f"{number}/{n}.dcm": body for n, body in enumerate(series(4, f"{seed}/{number}", **own))}
    (uri,) = uris(await send(site, files, project=project, rename="true"))
    assert await names(site, uri) == [f"{uid(seed)}-{number}.dcm" for number in (4, 5, 6)]


def twins(other_class: str) -> dict[str, bytes]:
    """Two objects of one series with one SOP Instance UID, of two classes."""
    own = {"StudyInstanceUID": uid(uuid.uuid4()), "SOPInstanceUID": uid(uuid.uuid4())}
    return {"1.dcm": dicom_bytes(**own), "2.dcm": dicom_bytes(**own, SOPClassUID=other_class)}


async def test_one_instance_uid_of_two_image_classes_needs_an_overwrite(site: Site, project: str) -> None:
    """A28."""
    (uri,) = uris(await send(site, twins(CT), project=project))
    assert len(await names(site, uri)) == 2
    assert (await archive(site, uri)).status_code >= 400
    assert (await archive(site, uri, overwrite="delete")).status_code == 200
    assert len(await archived_names(site, project)) == 2


async def test_one_instance_uid_of_an_image_and_a_structure_set_is_two_resources(site: Site, project: str) -> None:
    """A29."""
    (uri,) = uris(await send(site, twins(RT_STRUCT), project=project))
    assert (await archive(site, uri)).status_code == 200
    found = await site.archived_files(project)
    assert sorted(resource for _, _, resource, _ in found) == ["DICOM", "secondary"]


async def test_a_name_in_two_folders_is_two_files(site: Site, project: str) -> None:
    """A30."""
    first, second = series(2, uuid.uuid4().hex, StudyInstanceUID=uid(uuid.uuid4()))
    body = zip_bytes({"a/x.dcm": first, "b/x.dcm": second})
    uris(await site.upload(body, dest=f"/archive/projects/{project}"))
    assert [name for _, name in await archived_names(site, project)] == ["x.dcm", "x.dcm_1"]


async def test_a_file_is_never_replaced_by_another_instance(site: Site, project: str) -> None:
    """A31."""
    first, second = series(2, uuid.uuid4().hex, StudyInstanceUID=uid(uuid.uuid4()))
    (uri,) = uris(await send(site, {"N.dcm": first}, project=project, rename="false"))
    assert (await archive(site, uri)).status_code == 200
    (uri,) = uris(await send(site, {"N.dcm": second}, project=project, rename="false"))
    for overwrite in ({}, {"overwrite": "delete"}):
        refused = await archive(site, uri, **overwrite)
        assert refused.status_code >= 400, refused.text
        assert list((await site.archived_files(project)).values()) == [hashlib.md5(first).hexdigest()]


async def test_a_dest_in_the_archive_is_archived_within_the_request(site: Site, project: str) -> None:
    """Import semantics §2: a `dest` commits, and its area says whether to archive."""
    files = {path: body for path, body in folder(MR).items() if path.endswith(".dcm")}
    dest = f"/archive/projects/{project}/subjects/S1/experiments/E1"
    assert uris(await send(site, zipped(files), dest=dest)) == [f"/data{dest}"]
    assert sorted((await site.archived_files(project)).values()) == digests(files)
    again = await send(site, zipped(files), dest=dest)
    assert uris(again) == [f"/data{dest}"]
    conflict = await send(site, study(), dest=dest)
    assert conflict.status_code == 409
    (row,) = await site.rows(f"/data/prearchive/projects/{project}")
    assert row["status"] == "CONFLICT"


@pytest.mark.parametrize("area", ["prearchive", "archive"])
async def test_a_folder_in_four_archives_at_once_is_one_session(site: Site, project: str, area: str) -> None:
    """clients.md §4.2: each request builds the entry while others still send."""
    files = study(40)
    dest = f"/prearchive/projects/{project}"
    if area == "archive":
        dest = f"/archive/projects/{project}/subjects/S/experiments/E"
    parts = [dict(list(files.items())[start::4]) for start in range(4)]
    answers = await asyncio.gather(*(send(site, part, dest=dest, session="E", subject="S") for part in parts))
    (uri,) = {uri for answer in answers for uri in uris(answer)}
    if area == "prearchive":
        (row,) = await site.rows(f"/data/prearchive/projects/{project}")
        assert (f"/data{row['url']}", row["status"]) == (uri, "READY")
        assert (await commit(site, uri)).status_code == 301
    assert sorted((await site.archived_files(project)).values()) == digests(files)


@pytest.mark.parametrize(
    ("body", "said"),
    [(dicom_bytes(), "gradual-DICOM"), (b"text", "text"), (zip_bytes({"a.txt": b"x"}), "a.txt")],
    ids=["one-object", "text", "nothing-but-text"],
)
async def test_an_upload_that_is_no_archive_of_objects_says_what_to_do(
    site: Site, project: str, body: bytes, said: str
) -> None:
    answer = await send(site, body, project=project, **{"Ignore-Unparsable": "true"})
    assert answer.status_code == 400
    assert said in answer.text


async def direct(site: Site, project: str) -> list[str]:
    """The names of the project's sessions on their way."""
    rows = (await site.http.get("/xapi/direct-archive")).json()
    return [str(row) for row in rows if project in str(row)]


@pytest.mark.usefixtures("built_at_once")
async def test_direct_archive_ends_in_the_archive(site: Site, project: str) -> None:
    """A51."""
    files = study()
    (uri,) = uris(await send(site, files, project=project, **{"Direct-Archive": "true"}))
    assert uri.startswith(f"/xapi/direct-archive/{project}/")

    async def labels() -> list[tuple[str, str]]:
        return [(subject, label) for subject, label, _ in await sessions_of(site, project)]

    await until(labels, [("Name_A", "ID_A")])
    assert sorted((await site.archived_files(project)).values()) == digests(files)
    assert await direct(site, project) == []
    assert await site.rows(f"/data/prearchive/projects/{project}") == []


@pytest.mark.usefixtures("built_at_once")
async def test_direct_archive_of_what_conflicts_waits_in_the_prearchive(site: Site, project: str) -> None:
    """A52, with other bytes: the same ones would be there already (docs/conformance.md)."""
    seed = uuid.uuid4().hex
    first = study(seed=seed)
    sent = {"project": project, "Direct-Archive": "true"}
    uris(await send(site, first, **sent))

    async def count() -> int:
        return len(await site.archived_files(project))

    await until(count, len(first))
    uris(await send(site, study(seed=seed, PatientWeight="70"), overwrite="append", **sent))

    async def waiting() -> list[tuple[str, str]]:
        return [(row["name"], row["status"]) for row in await site.rows(f"/data/prearchive/projects/{project}")]

    await until(waiting, [("ID_A", "CONFLICT")])
    assert await direct(site, project) == []
    assert sorted((await site.archived_files(project)).values()) == digests(first)
