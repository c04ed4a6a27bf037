"""Into the archive: destination, labels, overwrite (acceptance A01 to A07)."""

import httpx
import pytest

from tests.e2e import datasets
from tests.e2e.conftest import Site, uris


async def post(site: Site, body: bytes, dest: str, **parameters: str) -> httpx.Response:
    """As the cases say: the default handler, a form with one file, no pipelines."""
    return await site.http.post(
        "/data/services/import",
        params={"dest": dest, "triggerPipelines": "false", **parameters},
        files={"image_archive": ("study.zip", body, "application/zip")},
    )


async def counts(site: Site, project: str, session: str) -> dict[str, int]:
    """Scan -> files of it."""
    found: dict[str, int] = {}
    for label, scan, _, _ in await site.archived_files(project):
        assert label == session
        found[scan] = found.get(scan, 0) + 1
    return found


@pytest.fixture
def session(project: str) -> str:
    """Where a session called E goes."""
    return f"/archive/projects/{project}/subjects/S1/experiments/E"


async def test_a01_labels_come_from_the_header(site: Site, project: str) -> None:
    """A01."""
    answer = await post(site, datasets.a(project), f"/archive/projects/{project}")
    uris(answer)
    found = await site.http.get(f"/data/projects/{project}/subjects/Name_A/experiments/ID_A?format=json")
    assert found.status_code == 200


async def test_a02_a_subject_that_is_named_is_made(site: Site, project: str) -> None:
    """A02."""
    answer = await post(site, datasets.a(project), f"/archive/projects/{project}/subjects/S1")
    assert uris(answer) == [f"/data/archive/projects/{project}/subjects/S1/experiments/ID_A"]
    assert [row["label"] for row in await site.rows(f"/data/projects/{project}/subjects")] == ["S1"]


async def test_a03_mr_does_not_go_into_a_pet_session(site: Site, project: str, session: str) -> None:
    """A03, with a PET session of one scan."""
    uris(await post(site, datasets.pet(project), session))
    before = await site.archived_files(project)
    answer = await post(site, datasets.a(project), session)
    assert answer.status_code == 409, answer.text
    assert await site.archived_files(project) == before
    (row,) = await site.rows(f"/data/projects/{project}/experiments")
    assert row["xsiType"] == "xnat:petSessionData"


@pytest.mark.parametrize("more", [{}, {"overwrite": "append"}], ids=["a04", "a05"])
async def test_a04_a05_the_same_again_is_a_conflict_where_the_site_or_the_sender_says_so(
    site: Site, project: str, session: str, more: dict[str, str]
) -> None:
    """A04, A05 with `duplicates=conflict`, which is XNAT's rule."""
    uris(await post(site, datasets.a(project), session, **more))
    answer = await post(site, datasets.a(project), session, duplicates="conflict", **more)
    assert (answer.status_code, answer.headers["content-type"].split(";")[0]) == (409, "text/plain")
    assert "already" in answer.text
    assert await counts(site, project, "E") == {"1": 6}


@pytest.mark.parametrize("more", [{}, {"overwrite": "append"}], ids=["a04", "a05"])
async def test_a04_a05_the_same_again_is_a_no_op_by_default(
    site: Site, project: str, session: str, more: dict[str, str]
) -> None:
    """A04, A05 as docs/conformance.md has them: a lost answer can be repeated."""
    uris(await post(site, datasets.a(project), session, **more))
    before = await site.archived_files(project)
    answer = await post(site, datasets.a(project), session, **more)
    assert uris(answer) == [f"/data{session}"]
    assert await site.archived_files(project) == before
    assert await counts(site, project, "E") == {"1": 6}


@pytest.mark.parametrize("duplicates", ["identical", "conflict"])
async def test_a06_matching_files_are_replaced_where_that_is_asked(
    site: Site, project: str, session: str, duplicates: str
) -> None:
    """A06."""
    uris(await post(site, datasets.a(project), session))
    more = {"overwrite": "append", "overwrite_files": "true", "duplicates": duplicates}
    uris(await post(site, datasets.a(project), session, **more))
    assert await counts(site, project, "E") == {"1": 6}


async def test_a07_a_second_series_is_added(site: Site, project: str, session: str) -> None:
    """A07."""
    uris(await post(site, datasets.b(project, 1), session, overwrite="append"))
    before = await site.archived_files(project)
    uris(await post(site, datasets.b(project, 2), session, overwrite="append"))
    assert await counts(site, project, "E") == {"1": 16, "2": 16}
    assert before.items() <= (await site.archived_files(project)).items()


async def test_a08_si_does_not_compare_studies_in_the_prearchive(site: Site, project: str) -> None:
    """A08."""
    dest = f"/prearchive/projects/{project}/20260131_101530123/E"
    handler = {"import-handler": "SI", "overwrite": "append"}
    first = uris(await post(site, datasets.b(project, 1), dest, **handler))
    assert first == uris(await post(site, datasets.b(project, 2, study="other"), dest, **handler)) == [f"/data{dest}"]
    assert len(await site.rows(f"/data/prearchive/projects/{project}")) == 1
    assert sorted(row["ID"] for row in await site.rows(f"/data{dest}/scans")) == ["1", "2"]
