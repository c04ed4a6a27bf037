"""What goes wrong with an import, row by row: import semantics §1.7 and the statuses of architecture §6.

Each answer is one that its sender can act on: a 4xx whose text names the parameter or the file and says what to do,
and nothing of the upload anywhere, unless it waits in the prearchive with its reason.
"""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field

import httpx
import pytest
import pytest_asyncio

from tests.builders import series, uid, zip_bytes
from tests.e2e import datasets
from tests.e2e.conftest import Site, uris
from tests.e2e.uploads import folder, zipped

IMPORT = "/data/services/import"
OBJECT = "application/dicom"
MR = "02_mr_siemens_mosaic"


def image(seed: str, **elements: object) -> bytes:
    return series(1, seed, StudyInstanceUID=uid(seed), PatientName=f"S_{seed}", PatientID=f"E_{seed}", **elements)[0]


@dataclass(frozen=True)
class Row:
    """One row: what is sent, and what is answered. `P` in a value is the test's project."""

    status: int
    words: tuple[str, ...]
    parameters: Mapping[str, str] = field(default_factory=dict)
    body: Callable[[str], bytes] = datasets.a
    content_type: str = "application/zip"


SI = {"dest": "/archive/projects/P"}
GRADUAL = {"import-handler": "gradual-DICOM", "PROJECT_ID": "P"}
ZIP = {"import-handler": "DICOM-zip", "PROJECT_ID": "P"}

ROWS = {
    "no-file": Row(400, ("Unable to identify upload format.", "inbody=true"), SI, lambda _: b""),
    "no-file-gradual": Row(400, ("Unable to identify upload format.",), GRADUAL, lambda _: b"", OBJECT),
    "unknown-handler": Row(
        404, ("implementation specified: x", "there are: SI, gradual-DICOM, DICOM-zip, XAR"), {"import-handler": "x"}
    ),
    "server-side-handlers": Row(404, ("specified: inbox", "there are:"), {"import-handler": "inbox"}),
    "unknown-unpacker": Row(404, ("prearc-importer", "DICOM, ECAT"), {"prearc-importer": "x"}),
    "empty-listener": Row(
        400,
        ("'transaction' is required when requesting 'http-session-listener'.", "Give http-session-listener a name"),
        {"http-session-listener": ""},
    ),
    "dest-SI": Row(400, ("Parameter dest format error", "/archive or /prearchive"), {"dest": "/archives/P"}),
    "dest-DICOM-zip": Row(400, ("Parameter dest format error",), {"import-handler": "DICOM-zip", "dest": "/x"}),
    "dest-gradual": Row(400, ("Parameter dest format error",), {**GRADUAL, "dest": "/x"}),
    "dest-without-project": Row(
        400, ("User must specify project portion",), {"PREARC_TIMESTAMP": "t", "PREARC_SESSION_FOLDER": "f"}
    ),
    "dest-without-timestamp": Row(
        400, ("User must specify timestamp portion", "PREARC_TIMESTAMP"), {"PREARC_SESSION_FOLDER": "f"}
    ),
    "SI-nothing-parsable": Row(
        400, ("Upload did not include parsable files for session generation.",), SI, lambda _: zipped({"a.txt": b"a"})
    ),
    "gradual-not-dicom": Row(400, ("unable to read DICOM object upload.dcm",), GRADUAL, lambda _: b"text", OBJECT),
    "gradual-an-archive": Row(400, ("unable to read DICOM object", "import-handler=DICOM-zip"), GRADUAL),
    "gradual-no-class": Row(
        400, ("contains no SOP Class UID",), GRADUAL, lambda seed: image(seed, SOPClassUID=""), OBJECT
    ),
    "gradual-no-instance": Row(
        400, ("contains no SOP Instance UID",), GRADUAL, lambda seed: image(seed, SOPInstanceUID=""), OBJECT
    ),
    "DICOM-zip-format": Row(
        400, ("Unsupported format", "zip, tar", "import-handler=gradual-DICOM"), ZIP, image, "application/octet-stream"
    ),
    "DICOM-zip-not-dicom": Row(
        400,
        ("unable to read DICOM object a.txt", "Ignore-Unparsable=true"),
        ZIP,
        lambda seed: zipped({"a.dcm": image(seed), "a.txt": b"text"}),
    ),
    "XAR-no-archive": Row(
        400, ("corrupt or not a valid archive", "zip or tar"), {"import-handler": "XAR"}, lambda _: b"x"
    ),
    "XAR-no-document": Row(400, ("Unable to locate XNAT xml document.", "*.xml"), {"import-handler": "XAR"}),
    "unknown-project-SI": Row(404, ("no_such", "dest, PROJECT_ID or project"), {"dest": "/archive/projects/no_such"}),
    "unknown-project-DICOM-zip": Row(404, ("no_such",), {**ZIP, "project": "no_such"}),
    "unknown-project-gradual": Row(404, ("no_such",), {**GRADUAL, "PROJECT_ID": "no_such"}),
    "unknown-session": Row(404, ("dest", "XNAT_E0"), {"dest": "/archive/experiments/XNAT_E0"}),
    "unknown-subject": Row(404, ("dest", "XNAT_S0"), {"dest": "/archive/subjects/XNAT_S0"}),
    "src-elsewhere": Row(400, ("src uri is invalid.", "/user/cache/resources/"), {"src": "/prearchive/projects/P/t/f"}),
    "src-missing": Row(404, ("Unknown src file.", "put it there"), {"src": "/user/cache/resources/none/files/a.zip"}),
    "server-file": Row(404, ("localFilePath", "send the file"), {"import-handler": "XAR", "localFilePath": "/etc/x"}),
    "code-1-with-none": Row(
        400,
        ("Overwrite flag was not set to a valid option. ('append' or 'delete')",),
        {"prearchive_code": "1", "overwrite": "none"},
    ),
    "date-by-path": Row(400, ("xnat:experimentData/date must be YYYY-MM-DD",), {"xnat:experimentData/date": "today"}),
    "truth": Row(400, ("quarantine must be true or false",), {"quarantine": "perhaps"}),
    "word": Row(400, ("overwrite must be none, append, delete or override",), {"overwrite": "perhaps"}),
}


async def is_empty(site: Site, project: str) -> bool:
    entries = await site.rows(f"/data/prearchive/projects/{project}")
    return not entries and not await site.rows(f"/data/projects/{project}/experiments")


@pytest.mark.parametrize("name", list(ROWS))
async def test_a_row_of_the_error_table(site: Site, project: str, name: str) -> None:
    row = ROWS[name]
    parameters = {key: value.replace("/P", f"/{project}") for key, value in row.parameters.items()}
    parameters |= {key: project for key, value in parameters.items() if value == "P"}
    response = await site.upload(row.body(project), row.content_type, **parameters)
    assert (response.status_code, [word for word in row.words if word not in response.text]) == (row.status, []), (
        response.text
    )
    assert response.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert await is_empty(site, project)


@pytest.mark.parametrize("row", ["unknown-handler", "dest-SI", "SI-nothing-parsable", "gradual-not-dicom"])
async def test_a_program_is_told_the_same_as_a_problem(site: Site, project: str, row: str) -> None:
    """RFC 9457; before and after the upload is accepted."""
    asked = ROWS[row]
    parameters = {key: project if value == "P" else value for key, value in asked.parameters.items()}
    response = await site.http.post(
        IMPORT,
        params={"inbody": "true", **parameters, **({"dest": f"/archive/projects/{project}"} if row[0] == "S" else {})},
        content=asked.body(project),
        headers={"Content-Type": asked.content_type, "Accept": "application/json"},
    )
    problem = response.json()
    assert response.headers["Content-Type"] == "application/problem+json"
    assert (response.status_code, problem["status"]) == (asked.status, asked.status)
    assert all(word in problem["detail"] for word in asked.words)


FORMS = {
    "no-boundary": ("multipart/form-data", b"x", "boundary"),
    "no-form": ("multipart/form-data; boundary=q", b"xx", "malformed"),
    "ends-early": (
        "multipart/form-data; boundary=q",
        b'--q\r\nContent-Disposition: form-data; name="a"; filename="a.zip"\r\n\r\nPK',
        "ends early",
    ),
    "no-filename": (
        "multipart/form-data; boundary=q",
        b'--q\r\nContent-Disposition: form-data; name="a"\r\n\r\nb\r\n--q--\r\n',
        "Unable to identify upload format.",
    ),
    "a-reference": (
        "multipart/form-data; boundary=q",
        b'--q\r\nContent-Disposition: form-data; name="reference"\r\n\r\n/etc/passwd\r\n--q--\r\n',
        "reference",
    ),
    "no-type": ("", b"PK\x03\x04", "inbody=true"),
    "json": ("application/json", b"{}", "Unable to identify upload format."),
}


@pytest.mark.parametrize("name", list(FORMS))
async def test_a_body_that_is_no_upload_is_400(site: Site, name: str) -> None:
    """§1.3."""
    content_type, body, word = FORMS[name]
    headers = {"Content-Type": content_type} if content_type else {}
    response = await site.http.post(IMPORT, content=body, headers=headers)
    assert response.status_code == 400, response.text
    assert word in response.text


async def test_several_files_are_one_import(site: Site, project: str) -> None:
    """>1 file: XNAT's 400 became what its page says (architecture §6)."""
    files = [("a", ("a.zip", datasets.b(project, 1))), ("b", ("b.zip", datasets.b(project, 2)))]
    dest = f"/archive/projects/{project}/subjects/S/experiments/E"
    uris(await site.http.post(IMPORT, data={"dest": dest}, files=files))
    assert len(await site.archived_files(project)) == 32


async def test_several_studies_for_one_session_do_not_all_land(site: Site, project: str) -> None:
    """SI, several studies, dest not prearchive: 400 became each by itself; `strict=true` is XNAT's all or nothing."""
    images = {f"{name}.dcm": image(f"{name}{project}") for name in ("a", "b")}
    dest = f"/archive/projects/{project}/subjects/S/experiments/E"
    strict = await site.upload(zip_bytes(images), dest=dest, strict="true")
    assert 400 <= strict.status_code < 500, strict.text
    assert await site.rows(f"/data/projects/{project}/experiments") == []
    assert all(row["status"] != "RECEIVING" for row in await site.rows(f"/data/prearchive/projects/{project}"))


async def test_the_same_object_at_the_same_time_is_there_once(site: Site, project: str) -> None:
    """XNAT's `Concurrent file sends` is no error here: all succeed, and one file is kept."""
    body = image(project)
    send = [site.upload(body, OBJECT, PROJECT_ID=project, EXPT_LABEL="E") for _ in range(6)]
    answers = await asyncio.gather(*send)
    ((uri,),) = {tuple(uris(answer)) for answer in answers}
    (row,) = await site.rows(f"{uri}/scans")
    assert len(await site.rows(f"{uri}/scans/{row['ID']}/resources/DICOM/files")) == 1


@pytest.mark.parametrize("handler", ["SI", "DICOM-zip"])
async def test_a_conflict_is_409_with_every_handler_and_waits(site: Site, project: str, handler: str) -> None:
    """§7.3's words; the archive stays as it was, the upload is in the prearchive as CONFLICT."""
    dest = f"/archive/projects/{project}/subjects/S/experiments/E"
    uris(await site.upload(datasets.a(project), dest=dest))
    before = await site.archived_files(project)
    response = await site.upload(datasets.b(project, 1), dest=dest, **{"import-handler": handler})
    assert response.status_code == 409
    assert "Session already exists, retry with overwrite enabled" in response.text
    assert await site.archived_files(project) == before
    (row,) = await site.rows(f"/data/prearchive/projects/{project}")
    assert row["status"] == "CONFLICT"


@pytest.mark.parametrize("handler", ["SI", "DICOM-zip"])
async def test_without_a_project_nothing_is_archived(site: Site, handler: str) -> None:
    """In words that clients take as final (clients §4.2); the upload waits in Unassigned."""
    body = datasets.a(uuid.uuid4().hex)
    response = await site.upload(body, dest="/archive", **{"import-handler": handler})
    assert response.status_code == 400
    assert "unable to identify destination project" in response.text.lower()
    assert "name it by project" in response.text


@pytest_asyncio.fixture
async def reader(site: Site, project: str) -> AsyncIterator[Site]:
    """A user who may read the project, not change it."""
    name, password = f"u{uuid.uuid4().hex[:8]}", uuid.uuid4().hex
    assert (await site.http.post("/xapi/users", json={"username": name, "password": password})).is_success
    assert (await site.http.put(f"/data/projects/{project}/users/Collaborators/{name}")).is_success
    async with httpx.AsyncClient(base_url=site.stack.url, auth=(name, password), timeout=60, trust_env=False) as http:
        yield Site(site.stack, http)


@pytest.mark.parametrize("handler", ["SI", "DICOM-zip", "gradual-DICOM"])
async def test_no_permission_is_403_and_lands_nowhere(site: Site, project: str, reader: Site, handler: str) -> None:
    """XNAT's 500 with files left behind, or a silent Unassigned, became 403."""
    body = image(project) if handler == "gradual-DICOM" else datasets.a(project)
    named = {"PROJECT_ID": project, "import-handler": handler}
    for parameters in (named, {"import-handler": handler, "dest": f"/prearchive/projects/{project}"}):
        response = await reader.upload(body, **parameters)
        assert (response.status_code, project in response.text) == (403, True), response.text
    assert await is_empty(site, project)


async def test_a_key_of_another_request_is_refused(site: Site, project: str) -> None:
    """`Idempotency-Key`: with other parameters it is another import."""
    headers = {"Idempotency-Key": uuid.uuid4().hex, "Content-Type": "application/zip"}
    answers = [
        await site.http.post(
            IMPORT,
            params={"inbody": "true", "PROJECT_ID": project, "overwrite": overwrite},
            content=datasets.a(project),
            headers=headers,
        )
        for overwrite in ("none", "none", "append")
    ]
    assert [answer.status_code for answer in answers] == [200, 200, 422]
    assert answers[0].text == answers[1].text
    assert "Idempotency-Key" in answers[2].text


async def test_an_import_that_is_cancelled_leaves_nothing(site: Site, project: str) -> None:
    """It ends as rejected; what has landed cannot be cancelled: 409."""
    big = zip_bytes({f"{number}.dcm": body for number, body in enumerate(series(2000, project))})
    response = await site.http.post(
        IMPORT,
        params={"inbody": "true", "dest": f"/archive/projects/{project}"},
        content=big,
        headers={"Prefer": "respond-async"},
    )
    assert response.status_code == 202
    status = response.headers["Location"]
    assert (await site.http.delete(status)).status_code == 200
    assert (await site.http.get(status)).json()["code"] == "cancelled"
    await asyncio.sleep(2)
    assert await is_empty(site, project)
    landed = await site.upload(zipped(folder(MR)), PROJECT_ID=project)
    again = await site.http.delete(f"{IMPORT}/{landed.headers['X-Scandock-Import']}")
    assert (again.status_code, (await site.http.delete(f"{IMPORT}/{uuid.uuid4()}")).status_code) == (409, 404)


async def test_an_id_that_is_none_is_named(site: Site) -> None:
    response = await site.http.get(f"{IMPORT}/x")
    assert response.status_code == 400
    assert response.text.startswith("import_id: ")
