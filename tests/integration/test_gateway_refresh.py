"""Refresh as clients ask for it, with a catalog service that the test plays (import semantics §9.1; clients §5)."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import httpx
import pytest
import pytest_asyncio
import sqlalchemy as sa

from libs.common.commands import CommandResult, Refresh, Refreshed, RefreshOption, read_command
from libs.common.schema import commands, configs
from libs.common.storage import memory_store
from services.gateway.answers import COMMAND_HEADER
from tests.integration.gateway import AT, Gateway, settings_of

URL = "/data/services/refresh/catalog"
XAPI = "/xapi/archive/catalogs/refresh"
E1 = "/archive/experiments/E1"
ALL = frozenset(RefreshOption)
NOTES = Refreshed(folder="RESOURCES/NOTES", added=2, problem="p")


@pytest_asyncio.fixture
async def gateway(environment: dict[str, str]) -> AsyncIterator[Gateway]:
    """Project P of `owner`, readable by `reader`: E1 with scan 4 (DICOM) and NOTES, E2; an entry in the prearchive."""
    made = Gateway.over(settings_of(environment, SCANDOCK_WAIT_SECONDS=20), memory_store())
    await made.empty()
    owner = await made.user("owner")
    await made.user("reader")
    await made.user("stranger")
    await owner.put("/data/projects/P")
    await owner.put("/data/projects/P/users/Collaborators/reader")
    await made.subject("XNAT_S1", "P", "S1")
    for session in ("E1", "E2"):
        await made.session(session, subject_id="XNAT_S1")
    await made.resource("E1", "4", "DICOM", {})
    await made.resource("E1", None, "NOTES", {})
    yield made
    await made.close()


@pytest.fixture
def http(gateway: Gateway) -> httpx.AsyncClient:
    return gateway.client("owner")


async def played(
    gateway: Gateway, asking: Any, *lines: Refreshed, code: str = ""
) -> tuple[httpx.Response, dict[str, Refresh]]:
    """The answer to a request, and the commands that it became by session, all ended with these lines."""
    task, seen = asyncio.ensure_future(asking), dict[str, Refresh]()
    while not task.done():
        await asyncio.sleep(0.02)
        for row in await gateway.rows(sa.select(commands).where(commands.c.outcome.is_(None))):
            command = read_command(row["request"])
            assert isinstance(command, Refresh)
            seen[str(row["session_id"])] = command
            result = CommandResult(session_id=str(row["session_id"]), refreshed=lines)
            values = {"outcome": "rejected" if code else "completed", "code": code, "detail": code, "finished_at": AT}
            values["result"] = result.model_dump(mode="json")
            await gateway.execute(sa.update(commands).where(commands.c.id == row["id"]).values(values))
    return task.result(), seen


@pytest.mark.parametrize(
    ("resource", "folders"),
    [
        ("/data/archive/projects/P/subjects/XNAT_S1/experiments/E1", ()),
        ("/archive/projects/P/subjects/s1/experiments/L-E1", ()),
        ("/archive/projects/P/experiments/L-E1", ()),
        (E1, ()),
        (f"{E1}/scans/4", ("SCANS/4",)),
        (f"{E1}/scans/4/resources/DICOM", ("SCANS/4/DICOM",)),
        (f"{E1}/resources/NOTES", ("RESOURCES/NOTES",)),
    ],
)
async def test_a_resource_is_named_as_clients_name_it(
    gateway: Gateway, http: httpx.AsyncClient, resource: str, folders: tuple[str, ...]
) -> None:
    """xnatpy, xnat-ingest, xnat command line: clients §5, §8."""
    answer, seen = await played(gateway, http.post(URL, params={"resource": resource, "options": "append"}))
    assert (answer.status_code, answer.content) == (200, b"")
    assert UUID(answer.headers[COMMAND_HEADER])
    assert seen == {"E1": Refresh(folders=folders, options=frozenset({RefreshOption.APPEND}))}


async def test_body_and_query_add_up(gateway: Gateway, http: httpx.AsyncClient) -> None:
    body = {"resource": f"{E1}/scans/4", "checksum": "true"}
    query = [("resource", f"{E1}/resources/NOTES"), ("resource", "/archive/experiments/E2"), ("options", "append")]
    answer, seen = await played(gateway, http.post(URL, params=query, data=body))
    options = frozenset({RefreshOption.APPEND, RefreshOption.CHECKSUM})
    assert answer.status_code == 200
    assert seen == {
        "E1": Refresh(folders=("RESOURCES/NOTES", "SCANS/4"), options=options),
        "E2": Refresh(options=options),
    }


async def test_a_resource_may_be_named_by_its_id(gateway: Gateway, http: httpx.AsyncClient) -> None:
    row = await gateway.resource("E1", "4", "NIFTI", {})
    _, seen = await played(gateway, http.post(f"{URL}?resource={E1}/scans/4/resources/{row}"))
    assert seen["E1"].folders == ("SCANS/4/NIFTI",)


async def test_no_option_means_all_and_the_site_decides_on_checksums(gateway: Gateway, http: httpx.AsyncClient) -> None:
    assert (await played(gateway, http.post(f"/REST/services/refresh/catalog?resource={E1}")))[1]["E1"].options == ALL
    row = {"tool": "siteConfig", "path": "checksums", "version": 1, "contents": "false"}
    await gateway.insert(configs, row)
    _, seen = await played(gateway, http.post(f"{URL}?resource={E1}"))
    assert seen["E1"].options == ALL - {RefreshOption.CHECKSUM}


async def test_projects_and_subjects_have_nothing_to_refresh(gateway: Gateway, http: httpx.AsyncClient) -> None:
    above = ("/archive/projects/P", "/archive/subjects/XNAT_S1", "/data/archive/projects/P/subjects/S1")
    for query in ("", *(f"resource={each}" for each in above)):
        answer = await http.post(f"{URL}?{query}")
        assert (answer.status_code, answer.content, COMMAND_HEADER in answer.headers) == (200, b"", False)
    assert not await gateway.rows(sa.select(commands))


async def test_bad_requests_are_refused_in_xnats_words_and_do_nothing(
    gateway: Gateway, http: httpx.AsyncClient
) -> None:
    texts = {
        "x": "Malformed URI: x",
        "/prearchive/projects/P/20240131_101530123/E": "Invalid URI: /prearchive/projects/P/20240131_101530123/E",
        "/archive/experiments/NO": "Cannot locate archivable item securing /archive/experiments/NO",
        f"{E1}/scans/9": f"Cannot locate archivable item securing {E1}/scans/9",
        f"{E1}/scans/4/resources/NO": f"Cannot locate archivable item securing {E1}/scans/4/resources/NO",
        f"{E1}/assessors/A": f"Cannot locate archivable item securing {E1}/assessors/A",
        "/archive/projects/NO": "Cannot locate archivable item securing /archive/projects/NO",
        "/archive/projects/P/subjects/NO": "Cannot locate archivable item securing /archive/projects/P/subjects/NO",
        "/archive/projects/P/resources/R": "Cannot locate archivable item securing /archive/projects/P/resources/R",
    }
    for resource, text in texts.items():
        answer = await http.post(URL, params=[("resource", E1), ("resource", resource)])
        assert (answer.status_code, answer.text) == (400, text)
    several = await http.post(URL, params=[("resource", f"{E1}/scans/9"), ("resource", "/archive/experiments/NO")])
    assert len(several.text.splitlines()) == 2
    assert (await http.post(f"{URL}?resource={E1}&options=All")).status_code == 400
    assert not await gateway.rows(sa.select(commands))


async def test_who_may_refresh(gateway: Gateway) -> None:
    resource = f"{E1}/scans/4"
    reader = await gateway.client("reader").post(URL, params={"resource": resource})
    told = f"The user reader does not have permission to edit the resource {resource} for item E1"
    assert (reader.status_code, reader.text) == (403, told)
    for above, item in (("/archive/projects/P", "P"), ("/archive/subjects/XNAT_S1", "XNAT_S1")):
        answer = await gateway.client("reader").post(URL, params={"resource": above})
        assert (answer.status_code, answer.text.endswith(f"for item {item}")) == (403, True)
    for resource in (E1, "/archive/projects/P", "/archive/subjects/XNAT_S1"):
        answer = await gateway.client("stranger").post(URL, params={"resource": resource})
        told = f"Cannot locate archivable item securing {resource}"
        assert (answer.status_code, answer.text) == (400, told)
    assert (await gateway.client().post(URL, params={"resource": E1})).status_code == 401


async def test_a_report_says_what_became_of_each_resource(gateway: Gateway, http: httpx.AsyncClient) -> None:
    asking = (
        http.post(f"{URL}?resource={E1}&format=json"),
        http.post(URL, data={"resource": E1}, headers={"Accept": "application/json"}),
    )
    line = {"resource": f"{E1}/resources/NOTES", "added": 2, "modified": 0, "removed": 0, "problem": "p"}
    for each in asking:
        answer, _ = await played(gateway, each, NOTES)
        assert (answer.status_code, answer.json()) == (200, {"refreshed": [line]})


async def test_what_fails_is_answered_by_its_code(gateway: Gateway, http: httpx.AsyncClient) -> None:
    query = [("resource", E1), ("resource", "/archive/experiments/E2")]
    answer, seen = await played(gateway, http.post(URL, params=query), code="not-found")
    assert (answer.status_code, len(seen)) == (404, 2)
    assert answer.text.splitlines() == ["/archive/experiments/E1: not-found", "/archive/experiments/E2: not-found"]


@pytest.mark.parametrize("method", ["PUT", "POST"])
async def test_the_xapi_form(gateway: Gateway, http: httpx.AsyncClient, method: str) -> None:
    _, seen = await played(gateway, http.request(method, XAPI, json=[E1]))
    assert seen == {"E1": Refresh(options=ALL)}
    answer, seen = await played(gateway, http.request(method, f"{XAPI}/Append,Delete", json=[E1]))
    assert (answer.status_code, answer.content) == (200, b"")
    assert seen["E1"].options == {RefreshOption.APPEND, RefreshOption.DELETE}
    wrong = await http.request(method, f"{XAPI}/append", json=[E1])
    assert (wrong.status_code, "PopulateStats" in wrong.text) == (400, True)
    assert (await http.request(method, XAPI, content=b"{")).status_code == 400
    assert (await http.request(method, XAPI, json=[])).status_code == 200
