"""XNAT's config service and the site's preferences over the real database: clients §6, import semantics §4.3."""

import asyncio
import json
from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio

from libs.common.database import transaction, upgrade
from libs.common.dicom_classes import PetMr
from libs.common.preferences import load_preferences
from libs.common.schema import memberships
from libs.common.storage import memory_store
from tests.integration.gateway import Gateway, settings_of
from tests.servers import Servers, unique_name

RULE = "(0008,0050):^[0-9]{4}(.*):1 t:6 r:X"
RULES = "/data/config/dicom/projectRules"


@pytest_asyncio.fixture(scope="module")
async def gateway(servers: Servers) -> AsyncIterator[Gateway]:
    name = unique_name()
    servers.create_database(name)
    environment = servers.environment(name)
    await asyncio.to_thread(upgrade, environment["DATABASE_URL"])
    made = Gateway.over(settings_of(environment), memory_store())
    await made.user("admin", admin=True)
    await made.project("P")
    await made.project("Q")
    for login, role in (("owner", "owner"), ("member", "member")):
        await made.user(login)
        await made.insert(memberships, {"project": "P", "login": login, "role": role})
    yield made
    await made.close()


@pytest.fixture
def admin(gateway: Gateway) -> httpx.AsyncClient:
    return gateway.client("admin")


@pytest.fixture
def owner(gateway: Gateway) -> httpx.AsyncClient:
    return gateway.client("owner")


@pytest.fixture
def member(gateway: Gateway) -> httpx.AsyncClient:
    return gateway.client("member")


async def rows(client: httpx.AsyncClient, path: str, **asked: str) -> list[dict[str, str]]:
    answer = await client.get(path, params={"format": "json", **asked})
    assert answer.status_code == 200, answer.text
    found: list[dict[str, str]] = answer.json()["ResultSet"]["Result"]
    assert all(isinstance(value, str) for row in found for value in row.values())
    return found


async def test_each_put_is_a_version_and_the_newest_is_read(admin: httpx.AsyncClient) -> None:
    path = "/data/config/tool/some/path"
    first = await admin.put(path, params={"inbody": "true", "reason": "because"}, content="one")
    second = await admin.put(path, content="two", headers={"Content-Type": "text/plain"})
    assert (first.status_code, second.status_code) == (201, 200)
    assert (await admin.get(path, params={"contents": "true"})).text == "two"
    (row,) = await rows(admin, path)
    assert row.pop("create_date")
    assert row == {
        "tool": "tool",
        "path": "some/path",
        "project": "",
        "user": "admin",
        "reason": "",
        "contents": "two",
        "version": "2",
        "status": "enabled",
    }
    (old,) = await rows(admin, path, version="1")
    assert (old["contents"], old["reason"]) == ("one", "because")
    assert [row["version"] for row in await rows(admin, path, action="getHistory")] == ["1", "2"]
    (meta,) = await rows(admin, path, meta="true")
    assert "contents" not in meta
    assert (await admin.get(path, params={"format": "csv"})).text.startswith("tool,path,project,user,create_date,")


async def test_a_status_changes_without_contents(admin: httpx.AsyncClient) -> None:
    path = "/data/config/tool/status"
    assert (await admin.put(path, params={"status": "disabled"})).status_code == 404
    await admin.put(path, content="text")
    assert (await admin.put(path, params={"status": "disabled"})).status_code == 200
    (row,) = await rows(admin, path)
    assert (row["status"], row["contents"], row["version"]) == ("disabled", "text", "2")
    await admin.put(path, params={"status": "enabled"})
    assert (await rows(admin, path))[0]["status"] == "enabled"
    assert (await admin.put(path, params={"status": "off"})).status_code == 400


async def test_what_is_set_is_listed_by_tool(admin: httpx.AsyncClient, owner: httpx.AsyncClient) -> None:
    await admin.put("/data/config/listed/a", content="1")
    await admin.put("/data/config/listed/b", content="2")
    await owner.put("/data/projects/P/config/mine/a", content="3")
    assert {"tool": "listed"} in await rows(owner, "/data/config")
    assert [row["path"] for row in await rows(owner, "/data/config/listed")] == ["a", "b"]
    assert {"tool": "mine"} in await rows(owner, "/data/projects/P/config")
    assert [row["project"] for row in await rows(owner, "/data/projects/P/config/mine")] == ["P"]
    assert {"tool": "mine"} not in await rows(owner, "/data/config")


@pytest.mark.parametrize(
    "path", ["/data/config/no", "/data/config/no/path", "/data/projects/P/config/no", "/data/projects/P/config/no/path"]
)
async def test_nothing_is_404_or_empty_where_the_client_accepts_it(admin: httpx.AsyncClient, path: str) -> None:
    """clients §6: the wizard's questions."""
    assert (await admin.get(path)).status_code == 404
    answer = await admin.get(path, params={"contents": "true", "accept-not-found": "true"})
    assert (answer.status_code, answer.text) == (200, "")


async def test_the_site_is_for_administrators_and_a_project_for_its_owners(
    owner: httpx.AsyncClient, member: httpx.AsyncClient
) -> None:
    assert (await owner.put(RULES, content=RULE)).status_code == 403
    assert (await owner.put("/data/projects/P/config/t/p", content="x")).status_code == 201
    assert (await member.put("/data/projects/P/config/t/p", content="x")).status_code == 403
    assert (await member.get("/data/projects/P/config/t/p", params={"contents": "true"})).text == "x"
    assert (await member.get("/data/projects/Q/config/t/p")).status_code == 404
    assert (await member.put("/data/projects/Q/config/t/p", content="x")).status_code == 404


async def test_a_rule_that_is_none_is_refused_with_its_line(admin: httpx.AsyncClient) -> None:
    answer = await admin.put(RULES, content=f"{RULE}\n(0008,0050):.*")
    assert answer.status_code == 400
    assert answer.text.startswith("dicom/projectRules line 2: the expression has no group 1")
    assert (await admin.put(RULES, content=RULE)).status_code == 201
    assert (await admin.get(RULES, params={"contents": "true"})).text == RULE


async def test_a_filter_is_read_as_it_was_set(owner: httpx.AsyncClient) -> None:
    path = "/data/projects/P/config/seriesImportFilter/config"
    contents = '{"mode":"blacklist","list":"localizer","enabled":"true"}'
    answer = await owner.put(path, content=contents, headers={"Content-Type": "application/json"})
    assert answer.status_code == 201
    assert (await rows(owner, path))[0]["contents"] == contents
    assert (await owner.put(path, content='{"mode":"modalityMap"}')).status_code == 400


@pytest.mark.parametrize("path", ["anon/script", "anon/projects/P", "edit/projects/P/image/dicom/script"])
async def test_anonymization_is_refused_at_once(admin: httpx.AsyncClient, path: str) -> None:
    answer = await admin.put(f"/data/config/{path}", content="(0010,0010) := project")
    assert answer.status_code == 400
    assert "not run" in answer.text
    assert (await admin.get("/data/config/anon/script")).status_code == 404


@pytest.mark.parametrize("body", [b"\xff\xfe", b"a\0b", b"x" * (1 << 20) + b"x"])
async def test_contents_are_text_of_some_length(admin: httpx.AsyncClient, body: bytes) -> None:
    assert (await admin.put("/data/config/tool/bytes", content=body)).status_code in {400, 413}


async def test_changes_at_once_are_versions_one_after_the_other(admin: httpx.AsyncClient) -> None:
    path = "/data/config/tool/race"
    answers = await asyncio.gather(*(admin.put(path, content=str(number)) for number in range(8)))
    assert sorted(answer.status_code for answer in answers) == [200] * 7 + [201]
    assert [row["version"] for row in await rows(admin, path, action="getHistory")] == [str(n) for n in range(1, 9)]


async def test_preferences_are_shown_and_set(admin: httpx.AsyncClient, gateway: Gateway) -> None:
    assert (await admin.get("/xapi/siteConfig")).json()["useSopInstanceUidToUniquelyIdentifyDicom"] is True
    body = {"useSopInstanceUidToUniquelyIdentifyDicom": False, "sessionXmlRebuilderInterval": 1, "sitewidePetMr": "pet"}
    assert (await admin.post("/xapi/siteConfig", json=body)).status_code == 200
    shown = (await admin.get("/xapi/siteConfig")).json()
    assert {name: shown[name] for name in body} == body
    assert (await admin.get("/xapi/siteConfig/sitewidePetMr")).text == "pet"
    assert (await admin.get("/xapi/siteConfig/sessionXmlRebuilderInterval")).json() == 1
    some = await admin.get("/xapi/siteConfig/values/sitewidePetMr,checksums")
    assert some.json() == {"sitewidePetMr": "pet", "checksums": True}
    async with transaction(gateway.engine) as connection:
        found = await load_preferences(connection, "P")
    assert (found.matches_by_uid, found.rebuild_after_minutes, found.pet_mr) == (False, 1, PetMr.PET)


async def test_a_projects_policy_counts_for_it_while_it_is_enabled(owner: httpx.AsyncClient, gateway: Gateway) -> None:
    path = "/data/projects/P/config/separatePETMR/config"
    await owner.put(path, content="separate")
    assert await pet_mr(gateway, "P") is PetMr.SEPARATE
    await owner.put(path, params={"status": "disabled"})
    assert await pet_mr(gateway, "P") is not PetMr.SEPARATE


async def pet_mr(gateway: Gateway, project: str) -> PetMr:
    async with transaction(gateway.engine) as connection:
        return (await load_preferences(connection, project)).pet_mr


async def test_one_preference_is_set_as_text_or_json(admin: httpx.AsyncClient) -> None:
    name = "/xapi/siteConfig/dicomFileNameTemplate"
    template = "${StudyInstanceUID}_${SOPInstanceUID}"
    assert (await admin.post(name, content=template)).status_code == 200
    assert (await admin.get(name)).text == template
    assert (await admin.put(name, content=json.dumps("${SOPInstanceUID}"))).status_code == 200
    assert (await admin.get(name)).text == "${SOPInstanceUID}"
    assert (await admin.put(name, content="../${SOPInstanceUID}")).status_code == 400


async def test_all_preferences_of_a_post_are_set_or_none(admin: httpx.AsyncClient) -> None:
    body = {"checksums": False, "preventCrossModalityMerge": "perhaps"}
    answer = await admin.post("/xapi/siteConfig", json=body)
    assert answer.status_code == 400
    assert "preventCrossModalityMerge must be true or false" in answer.text
    assert (await admin.get("/xapi/siteConfig/checksums")).json() is True


async def test_unknown_preferences_are_not_found(admin: httpx.AsyncClient, owner: httpx.AsyncClient) -> None:
    for answer in (
        await admin.get("/xapi/siteConfig/siteColour"),
        await admin.get("/xapi/siteConfig/values/checksums,siteColour"),
        await admin.put("/xapi/siteConfig/siteColour", content="blue"),
        await admin.post("/xapi/siteConfig", json={"siteColour": "blue"}),
    ):
        assert answer.status_code == 404
        assert "dicomFileNameTemplate" in answer.text
    assert (await owner.put("/xapi/siteConfig/checksums", content="true")).status_code == 403
    assert (await owner.post("/xapi/siteConfig", json={})).status_code == 403


async def test_a_site_that_sets_an_anonymization_script_is_told_so(admin: httpx.AsyncClient) -> None:
    """Architecture §6."""
    answer = await admin.post("/xapi/siteConfig", json={"enableSitewideAnonymizationScript": True})
    assert answer.status_code == 400
    assert "Anonymization scripts are not run" in answer.text


async def test_the_sites_filter_is_set_either_way(admin: httpx.AsyncClient) -> None:
    body = {"enableSitewideSeriesImportFilter": True, "sitewideSeriesImportFilter": "scout"}
    assert (await admin.post("/xapi/siteConfig", json=body)).status_code == 200
    contents = await admin.get("/data/config/seriesImportFilter/config", params={"contents": "true"})
    assert contents.json() == {"mode": "blacklist", "list": "scout", "enabled": "true"}
    assert (await admin.put("/xapi/siteConfig/sitewideSeriesImportFilter", content="(")).status_code == 400
