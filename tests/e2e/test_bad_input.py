"""Bad input: a clear 4xx that names the problem, and nothing left behind."""

import io
import tarfile
import uuid
import zipfile

import httpx
import pytest

from tests.e2e.conftest import Site
from tests.e2e.uploads import folder, tarred, zipped

MR = "02_mr_siemens_mosaic"


def links(kind: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        info = tarfile.TarInfo("a.dcm")
        info.type, info.linkname = kind, "/etc/passwd"
        archive.addfile(info)
    return buffer.getvalue()


def bomb() -> bytes:
    """1 GiB of zeros, three times, in a few MB."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(3):
            with archive.open(f"{number}.dcm", "w", force_zip64=True) as member:
                for _ in range(64):
                    member.write(bytes(16 << 20))
    return buffer.getvalue()


def nested(depth: int) -> bytes:
    body = zipped({"a.txt": b"x"})
    for _ in range(depth):
        body = zipped({"n.zip": body}, zipfile.ZIP_STORED)
    return body


REFUSED = {
    "empty": (lambda: b"", 400, "empty"),
    "text": (lambda: b"this is not an archive\n" * 9, 400, "accepted are"),
    "pdf": (lambda: b"%PDF-1.7\n" + bytes(5000), 400, "PDF"),
    "truncated-zip": (lambda: zipped(folder(MR))[:-3000], 400, "its end is missing"),
    "truncated-tar-gz": (lambda: tarred(folder(MR), "w:gz")[:-3000], 400, "breaks off"),
    "empty-zip": (lambda: zipped({}), 400, "parsable"),
    "junk-alone": (lambda: zipped({"readme.txt": b"hello"}), 400, "parsable"),
    "parent-folder": (lambda: zipped({"../a.dcm": b"x"}), 400, "member"),
    "absolute": (lambda: zipped({"/etc/a.dcm": b"x"}), 400, "member"),
    "backslash": (lambda: zipped({"..\\a.dcm": b"x"}), 400, "member"),
    "symbolic-link": (lambda: links(tarfile.SYMTYPE), 400, "member"),
    "hard-link": (lambda: links(tarfile.LNKTYPE), 400, "member"),
    "device": (lambda: links(tarfile.CHRTYPE), 400, "member"),
    "bomb": (bomb, 413, "unpack"),
    "nested-too-deep": (lambda: nested(9), 413, "nest"),
}


@pytest.mark.parametrize("name", list(REFUSED))
async def test_a_bad_upload_is_refused_and_leaves_nothing(site: Site, project: str, name: str) -> None:
    """Issue 3, Bad input."""
    make, status, word = REFUSED[name]
    response = await site.upload(make(), dest=f"/archive/projects/{project}")
    assert response.status_code == status, response.text
    assert response.headers["Content-Type"].startswith("text/plain")
    assert word.lower() in response.text.lower()
    assert await site.rows(f"/data/prearchive/projects/{project}") == []
    assert await site.rows(f"/data/projects/{project}/experiments") == []


PARAMETERS = {
    "malformed-dest": ({"dest": "/archives/projects/P"}, 400, "dest"),
    "escaping-dest": ({"dest": "/prearchive/projects/P/../../x"}, 400, "dest"),
    "unknown-project-in-dest": ({"dest": "/archive/projects/no_such_project"}, 404, "no_such_project"),
    "unknown-project": ({"PROJECT_ID": "no_such_project"}, 404, "no_such_project"),
    "unknown-session": ({"dest": "/archive/experiments/XNAT_E99999"}, 404, "XNAT_E99999"),
    "unknown-handler": ({"import-handler": "no-such"}, 404, "Unknown importer implementation specified: no-such"),
    "overwrite": ({"overwrite": "perhaps"}, 400, "overwrite"),
    "duplicates": ({"duplicates": "perhaps"}, 400, "duplicates"),
}


@pytest.mark.parametrize("name", list(PARAMETERS))
async def test_a_bad_parameter_is_named(site: Site, name: str) -> None:
    parameters, status, word = PARAMETERS[name]
    response = await site.upload(zipped(folder(MR)), **parameters)
    assert response.status_code == status, response.text
    assert word in response.text


async def test_a_program_gets_problem_details(site: Site) -> None:
    """RFC 9457."""
    response = await site.http.post(
        "/data/services/import",
        params={"dest": "/nowhere", "inbody": "true"},
        content=b"x",
        headers={"Accept": "application/json"},
    )
    assert response.status_code == 400
    assert response.headers["Content-Type"].startswith("application/problem+json")
    assert {"type", "title", "status", "detail"} <= set(response.json())


async def test_no_file_is_said_so(site: Site, project: str) -> None:
    response = await site.http.post("/data/services/import", data={"dest": f"/archive/projects/{project}"})
    assert response.status_code == 400
    assert response.text.startswith("Unable to identify upload format. Send the file ")


async def test_only_post_imports(site: Site) -> None:
    for method in ("GET", "PUT", "DELETE"):
        assert (await site.http.request(method, "/data/services/import")).status_code == 405


async def test_a_wrong_password_is_refused_before_the_body(site: Site) -> None:
    async with httpx.AsyncClient(base_url=site.stack.url, timeout=20, trust_env=False) as stranger:
        for credentials in (None, (site.stack.user, "wrong"), ("nobody", "wrong")):
            response = await stranger.post("/data/services/import", auth=credentials, content=b"x")
            assert response.status_code == 401
            assert response.headers["WWW-Authenticate"].startswith("Basic")


@pytest.fixture
async def stranger(site: Site):  # type: ignore[no-untyped-def]
    """A user without any project."""
    name, password = f"u{uuid.uuid4().hex[:8]}", uuid.uuid4().hex
    made = await site.http.post("/xapi/users", json={"username": name, "password": password})
    assert made.status_code in {200, 201}, made.text
    async with httpx.AsyncClient(base_url=site.stack.url, auth=(name, password), timeout=60, trust_env=False) as http:
        yield Site(site.stack, http), name


async def test_nobody_reads_or_writes_where_he_may_not(site: Site, project: str, stranger: tuple[Site, str]) -> None:
    """Issue 3: roles owner, member, collaborator."""
    other, name = stranger
    body = zipped(folder(MR))
    assert (await site.upload(body, dest=f"/archive/projects/{project}/subjects/S/experiments/E")).status_code == 200
    (experiment,) = await site.rows(f"/data/projects/{project}/experiments")
    files = await site.rows(f"/data/experiments/{experiment['ID']}/scans/3/resources/DICOM/files")
    paths = [f"/data/projects/{project}", f"/data/experiments/{experiment['ID']}", files[0]["URI"]]

    assert all([(await other.http.get(path)).status_code in {403, 404} for path in paths])
    assert (await other.upload(body, dest=f"/archive/projects/{project}")).status_code in {403, 404}
    assert project not in {row["ID"] for row in await other.rows("/data/projects")}
    assert await other.rows("/data/experiments", project=project) == []

    for group, may_write in (("Collaborators", False), ("Members", True), ("Owners", True)):
        given = await site.http.put(f"/data/projects/{project}/users/{group}/{name}")
        assert given.status_code in {200, 201}, given.text
        assert all([(await other.http.get(path)).status_code == 200 for path in paths])
        answer = await other.upload(body, dest=f"/archive/projects/{project}/subjects/S/experiments/E")
        assert answer.status_code == (200 if may_write else 403), (group, answer.text)

    assert (await other.http.get("/data/prearchive/projects/Unassigned")).status_code in {403, 404}
