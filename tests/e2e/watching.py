"""Waiting for what happens behind an answer."""

import asyncio
from collections.abc import Awaitable, Callable

from tests.e2e.conftest import Site

AUTO_RUN = "xnat_tools/AutoRun.xml"


async def until(read: Callable[[], Awaitable[object]], expected: object, seconds: float = 45) -> None:
    """Return when `read` gives `expected`; the idle build comes with a sweep, a quarter of a minute apart."""
    deadline = asyncio.get_running_loop().time() + seconds
    while (found := await read()) != expected:
        assert asyncio.get_running_loop().time() < deadline, f"waited for {expected}, got {found}"
        await asyncio.sleep(0.1)


async def sessions_of(site: Site, project: str) -> list[tuple[str, str, str]]:
    """Subject label, session label and type of every archived session of a project."""
    columns = "ID,label,subject_label,xsiType"
    rows = await site.rows(f"/data/projects/{project}/experiments", columns=columns)
    return sorted((row["subject_label"], row["label"], row["xsiType"]) for row in rows)


async def autorun_completes(site: Site, project: str) -> None:
    """Return when the AutoRun of the project's one session has ended as Complete."""
    (session,) = await site.rows(f"/data/projects/{project}/experiments")
    query = {"id": session["ID"], "pipeline_name": AUTO_RUN, "format": "json"}

    async def status() -> object:
        answer = await site.http.get("/data/workflows", params=query)
        return answer.json()["items"][0]["data_fields"]["status"] if answer.status_code == 200 else None

    await until(status, "Complete")
