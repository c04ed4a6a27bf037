"""Where an import's files come from: several in a form, the user's cache, both (issue 4, Parameters; A53, A54)."""

import asyncio

import httpx

from tests.builders import dicom_bytes, series, uid, zip_bytes
from tests.e2e import datasets
from tests.e2e.conftest import Site, uris
from tests.e2e.uploads import tarred

IMPORT = "/data/services/import"


async def put(site: Site, path: str, body: bytes) -> None:
    answer = await site.http.put(f"/data/user/cache/resources/{path}", params={"inbody": "true"}, content=body)
    assert answer.status_code == 200, answer.text


async def is_cached(site: Site, path: str) -> bool:
    return (await site.http.get(f"/data/user/cache/resources/{path}")).status_code == 200


def image(seed: str, number: int) -> bytes:
    """One image of one study and series."""
    return dicom_bytes(
        StudyInstanceUID=uid("sources", seed),
        SeriesInstanceUID=uid("sources", seed, "series"),
        SOPInstanceUID=uid("sources", seed, number),
        InstanceNumber=number,
    )


async def test_several_files_of_one_form_are_one_session(site: Site, project: str) -> None:
    """XNAT's service page: a zip, a tar.gz and two DICOM files in one request."""
    files = [
        ("image", ("a.zip", zip_bytes({"1.dcm": image(project, 1)}))),
        ("image", ("b.tgz", tarred({"2.dcm": image(project, 2)}, "w:gz"))),
        ("image", ("3.dcm", image(project, 3))),
        ("image", ("3.dcm", image(project, 4))),
        ("image", ("readme.txt", b"nothing to archive")),
    ]
    answer = await site.http.post(IMPORT, params={"dest": f"/archive/projects/{project}"}, files=files)
    assert len(uris(answer)) == 1
    assert len(await site.archived_files(project)) == 4
    lines = await site.report(answer)
    assert [(line["path"], line["verdict"]) for line in lines] == [
        ("a.zip/1.dcm", "stored"),
        ("b.tgz/2.dcm", "stored"),
        ("3.dcm", "stored"),
        ("3.dcm_1", "stored"),
        ("readme.txt", "skipped"),
    ]


async def test_src_takes_one_file_several_and_a_comma_list(site: Site, project: str) -> None:
    for number in range(1, 6):
        await put(site, f"{project}/files/{number}.dcm", image(project, number))
    path = f"/user/cache/resources/{project}/files"
    dest = {"dest": f"/archive/projects/{project}", "overwrite": "append"}
    for src in (
        [f"{path}/1.dcm"],
        [f"{path}/2.dcm,/data{path}/3.dcm"],
        [f"{path}/4.dcm", f"{path}/5.dcm"],
    ):
        uris(await site.http.post(IMPORT, params={**dest, "src": src}))
    assert len(await site.archived_files(project)) == 5
    assert not await is_cached(site, f"{project}/files")


async def test_a_cached_file_is_consumed_only_when_its_import_has_committed(site: Site, project: str) -> None:
    """Import semantics §11.24."""
    path = f"{project}/files/a.zip"
    src = {"src": f"/user/cache/resources/{path}", "dest": f"/archive/projects/{project}/subjects/S/experiments/E"}
    await put(site, path, b"not an archive at all")
    assert (await site.http.post(IMPORT, data=src)).status_code == 400
    assert await is_cached(site, path)
    uris(await site.upload(datasets.pet(project), dest=src["dest"]))
    await put(site, path, datasets.a(project))
    conflict = await site.http.post(IMPORT, data=src)
    assert conflict.status_code == 409
    assert await is_cached(site, path)
    src["dest"] = f"/archive/projects/{project}/subjects/S/experiments/F"
    uris(await site.http.post(IMPORT, data=src))
    assert not await is_cached(site, path)
    assert (await site.http.post(IMPORT, data=src)).text.startswith("Unknown src file.")


async def test_files_of_the_form_and_of_the_cache_are_one_import(site: Site, project: str) -> None:
    await put(
        site, f"{project}/files/b.zip", zip_bytes({f"{n}.dcm": body for n, body in enumerate(series(2, project))})
    )
    form = {"src": f"/user/cache/resources/{project}/files/b.zip", "dest": f"/archive/projects/{project}"}
    answer = await site.http.post(IMPORT, data=form, files={"f": ("9.dcm", image(project, 9))})
    assert len(uris(answer)) == 2
    assert [line["path"] for line in await site.report(answer)] == ["9.dcm", "b.zip/0.dcm", "b.zip/1.dcm"]


async def test_a53_progress_is_followed_by_the_listener(site: Site, project: str) -> None:
    """A53, A54: with a cookie session and `src` the answer comes at once, and the end by polling."""
    async with httpx.AsyncClient(base_url=site.stack.url, timeout=60, trust_env=False) as http:
        await http.post("/data/JSESSION", auth=(site.stack.user, site.stack.password))
        path = f"/user/cache/resources/{project}/files/a.zip"
        cached = await http.put(f"/data{path}", files={"image": ("a.zip", datasets.a(project))})
        dest = f"/archive/projects/{project}/subjects/S/experiments/E"
        form = {"src": path, "http-session-listener": project, "dest": dest, "prearchive_code": "1"}
        answer = await http.post(IMPORT, data=form)
        assert (cached.status_code, answer.status_code, answer.text) == (200, 200, "Submitted for archival")
        last: dict[str, object] = {}
        deadline = asyncio.get_running_loop().time() + 20
        while not last.get("terminal"):
            assert asyncio.get_running_loop().time() < deadline, f"the last message is {last}"
            await asyncio.sleep(0.1)
            (messages,) = (await http.get(f"/data/status/{project}?format=json")).json()["msgs"]
            last = messages[-1] if messages else {}
        assert (last["status"], last["msg"]) == ("COMPLETED", f"Archive:{dest}")
        tracking = await http.get(f"/xapi/event_tracking/{project}")
        assert tracking.json()["finalMessage"] == f"Archive:{dest}"
    assert len(await site.archived_files(project)) == 6
