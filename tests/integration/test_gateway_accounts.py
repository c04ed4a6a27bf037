"""Who may come in, and what he may do with which project."""

import asyncio
import re
from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio
import sqlalchemy as sa

from libs.cli.accounts import set_enabled, set_password
from libs.common.database import upgrade
from libs.common.schema import logins, projects, users
from libs.common.storage import memory_store
from services.gateway.sweep import forget_logins
from tests.integration.gateway import PASSWORD, Gateway, settings_of
from tests.servers import Servers, unique_name


@pytest_asyncio.fixture(scope="module")
async def gateway(servers: Servers) -> AsyncIterator[Gateway]:
    name = unique_name()
    servers.create_database(name)
    environment = servers.environment(name)
    await asyncio.to_thread(upgrade, environment["DATABASE_URL"])
    made = Gateway.over(settings_of(environment), memory_store())
    await made.user("admin", admin=True)
    yield made
    await made.close()


@pytest.fixture
def admin(gateway: Gateway) -> httpx.AsyncClient:
    return gateway.client("admin")


def new(prefix: str) -> str:
    return unique_name().replace("-", "_") + prefix


async def test_who_does_not_say_who_he_is_is_refused(gateway: Gateway) -> None:
    for stranger in (
        gateway.client(),
        gateway.client("admin", "wrong"),
        gateway.client("nobody", PASSWORD),
        gateway.client("", PASSWORD),
    ):
        for path in ("/data/projects", "/data/auth", "/no/such/path"):
            answer = await stranger.get(path)
            assert answer.status_code == 401
            assert re.fullmatch(r'Basic realm="Scandock".*', answer.headers["www-authenticate"])


async def test_everyone_may_ask_whether_we_live(gateway: Gateway) -> None:
    for path in ("/", "/healthz", "/metrics", "/docs", "/openapi.json"):
        assert (await gateway.client().get(path)).status_code == 200
    assert (await gateway.client("admin", "wrong").get("/")).status_code == 401


async def test_basic_gets_the_cookies_of_a_login(gateway: Gateway) -> None:
    """clients §1.3: JSESSIONID on the first answer, SESSION_EXPIRATION_TIME in quotes on every one."""
    client = gateway.client("admin")
    first = await client.get("/data/auth")
    assert first.text == "User 'admin' is logged in"
    told, expiration = first.headers.get_list("set-cookie")
    assert re.fullmatch(r"JSESSIONID=[0-9A-F]{32}; HttpOnly; Path=/; SameSite=Lax", told)
    assert re.match(r'SESSION_EXPIRATION_TIME="\d{13},3600000"; Path=/', expiration)
    (again,) = (await client.get("/data/auth")).headers.get_list("set-cookie")
    assert again.startswith("SESSION_EXPIRATION_TIME")


async def test_only_the_digest_of_a_login_is_stored(gateway: Gateway, admin: httpx.AsyncClient) -> None:
    token = (await admin.post("/data/JSESSION")).text
    stored = [row["token_sha256"] for row in await gateway.rows(sa.select(logins.c.token_sha256))]
    assert token not in stored
    assert all(re.fullmatch("[0-9a-f]{64}", str(digest)) for digest in stored)


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_login_is_as_good_as_a_password_until_it_ends(gateway: Gateway, method: str) -> None:
    opened = await gateway.client("admin").request(method, "/data/JSESSION")
    assert re.fullmatch("[0-9A-F]{32}", opened.text)
    cookie = {"Cookie": f"JSESSIONID={opened.text}"}
    client = gateway.client()
    assert (await client.get("/data/JSESSION", headers=cookie)).text == opened.text
    closed = await client.delete("/data/JSESSION", headers=cookie)
    assert (closed.status_code, closed.text) == (200, "")
    assert (await client.get("/data/auth", headers=cookie)).status_code == 401


async def test_each_who_logs_in_has_a_login_of_his_own(gateway: Gateway) -> None:
    tokens = [(await gateway.client("admin").post("/data/JSESSION")).text for _ in range(2)]
    await gateway.client().delete("/data/JSESSION", headers={"Cookie": f"JSESSIONID={tokens[0]}"})
    other = await gateway.client().get("/data/auth", headers={"Cookie": f"JSESSIONID={tokens[1]}"})
    assert other.status_code == 200


async def test_requests_with_a_password_and_no_cookie_share_a_login(gateway: Gateway) -> None:
    before = len(await gateway.rows(sa.select(logins.c.login)))
    for _ in range(5):
        assert (await gateway.client("admin").get("/data/auth")).status_code == 200
    assert len(await gateway.rows(sa.select(logins.c.login))) <= before + 1


@pytest.mark.parametrize("method", ["PUT", "POST"])
async def test_a_form_logs_in(gateway: Gateway, method: str) -> None:
    """clients §3.1: xnatpy."""
    client = gateway.client()
    answer = await client.request(method, "/data/services/auth", data={"username": "admin", "password": PASSWORD})
    assert (answer.status_code, answer.text) == (200, client.cookies["JSESSIONID"])
    assert (await client.get("/data/auth")).status_code == 200
    for form in ({"username": "admin", "password": "wrong"}, {"username": "nobody", "password": PASSWORD}, {}):
        assert (await gateway.client().request(method, "/data/services/auth", data=form)).status_code == 401


async def test_a_login_works_on_every_replica(gateway: Gateway, admin: httpx.AsyncClient) -> None:
    token = (await admin.post("/data/JSESSION")).text
    other = Gateway.over(gateway.parts.settings, memory_store())
    answer = await other.client().get("/data/auth", headers={"Cookie": f"JSESSIONID={token}"})
    assert answer.status_code == 200
    await other.close()


async def test_a_login_that_is_used_lasts_and_one_that_is_not_ends(gateway: Gateway) -> None:
    login = new("u")
    client = await gateway.user(login)
    token = (await client.post("/data/JSESSION")).text
    cookie = {"Cookie": f"JSESSIONID={token}"}
    its_own = logins.c.login == login

    async def set_left(seconds: int) -> None:
        at = sa.func.now() + sa.text(f"interval '{seconds} seconds'")
        await gateway.execute(sa.update(logins).where(its_own).values(expires_at=at))

    await set_left(60)
    assert (await gateway.client().get("/data/auth", headers=cookie)).status_code == 200
    left = await gateway.rows(sa.select((logins.c.expires_at - sa.func.now()).label("left")).where(its_own))
    assert any(row["left"].total_seconds() > 3000 for row in left)  # type: ignore[attr-defined]
    await set_left(-1)
    assert (await gateway.client().get("/data/auth", headers=cookie)).status_code == 401
    await forget_logins(gateway.engine)
    assert await gateway.rows(sa.select(logins.c.login).where(its_own)) == []


async def test_another_password_ends_what_the_old_one_opened(gateway: Gateway) -> None:
    login = new("u")
    client = await gateway.user(login)
    token = (await client.post("/data/JSESSION")).text
    await set_password(gateway.engine, login, "another one")
    assert (await gateway.client(login).get("/data/auth")).status_code == 401
    assert (await gateway.client().get("/data/auth", headers={"Cookie": f"JSESSIONID={token}"})).status_code == 401
    assert (await gateway.client(login, "another one").get("/data/auth")).status_code == 200


async def test_a_disabled_user_stays_out(gateway: Gateway) -> None:
    login = new("u")
    client = await gateway.user(login)
    assert (await client.get("/data/auth")).status_code == 200
    await set_enabled(gateway.engine, login, enabled=False)
    assert (await client.get("/data/auth")).status_code == 401


async def test_a_failed_password_leaves_no_trace_of_itself(gateway: Gateway) -> None:
    (row,) = await gateway.rows(sa.select(users.c.password_hash).where(users.c.login == "admin"))
    assert str(row["password_hash"]).startswith("$argon2id$")
    assert PASSWORD not in repr(gateway.parts.accounts.__dict__)


async def test_administrators_make_users(gateway: Gateway, admin: httpx.AsyncClient) -> None:
    login = new("u")
    body = {"username": login, "password": PASSWORD, "firstName": "A", "email": "a@b.c"}
    made = await admin.post("/xapi/users", json=body)
    assert made.status_code == 201
    assert (await admin.get(f"/xapi/users/{login}")).json() == {
        "username": login,
        "firstName": "A",
        "lastName": "",
        "email": "a@b.c",
        "enabled": True,
        "admin": False,
    }
    assert login in (await admin.get("/xapi/users")).json()
    assert (await admin.post("/xapi/users", json=body)).status_code == 409
    assert (await admin.get("/xapi/users/nobody")).status_code == 404
    client = gateway.client(login)
    assert (await client.get("/xapi/users/username")).text == login
    assert (await client.get(f"/xapi/users/{login}")).status_code == 200
    for refused in (client.post("/xapi/users", json=body), client.get("/xapi/users"), client.get("/xapi/users/admin")):
        assert (await refused).status_code == 403


@pytest.mark.parametrize(
    ("body", "word"),
    [
        (b"not json", "not JSON"),
        (b'{"username": "u"}', "password"),
        (b'{"username": "u v", "password": "12345678"}', "user name"),
        (b'{"username": "u", "password": "short"}', "password"),
        (b'{"username": 1, "password": "12345678"}', "username"),
    ],
)
async def test_a_bad_user_is_refused(admin: httpx.AsyncClient, body: bytes, word: str) -> None:
    answer = await admin.post("/xapi/users", content=body)
    assert (answer.status_code, word in answer.text) == (400, True), answer.text


async def test_who_makes_a_project_owns_it(gateway: Gateway) -> None:
    project, owner = new("p"), await gateway.user(new("u"))
    made = await owner.put(f"/data/projects/{project}", params={"name": "A name"})
    assert (made.status_code, made.text) == (201, project)
    again = await owner.put(f"/data/projects/{project}", params={"description": "More"})
    assert again.status_code == 200
    item = (await owner.get(f"/data/archive/projects/{project}?format=json")).json()["items"][0]
    assert item["meta"]["xsi:type"] == "xnat:projectData"
    assert item["data_fields"] == {"ID": project, "name": "A name", "description": "More", "active": "1"}
    (member,) = (await owner.get(f"/data/projects/{project}/users")).json()["ResultSet"]["Result"]
    assert member["displayname"] == "Owners"


async def test_a_project_is_made_of_its_document(gateway: Gateway, admin: httpx.AsyncClient) -> None:
    project = new("p")
    document = (
        f'<xnat:Project ID="{project}" secondary_ID="second" xmlns:xnat="http://nrg.wustl.edu/xnat">'
        f"<xnat:name>n</xnat:name><xnat:aliases><xnat:alias>{project}a</xnat:alias></xnat:aliases></xnat:Project>"
    )
    assert (await admin.put(f"/data/projects/{project}", content=document)).status_code == 201
    by_alias = (await admin.get(f"/data/projects/{project}a")).json()["items"][0]["data_fields"]
    assert (by_alias["ID"], by_alias["secondary_ID"]) == (project, "second")
    other = await admin.put(f"/data/projects/{new('p')}", params={"alias": f"{project}a"})
    assert other.status_code == 409
    assert (await admin.put(f"/data/projects/{project}a")).status_code == 409
    assert (await admin.put(f"/data/projects/{project.upper()}")).status_code == 409


async def test_a_document_reads_nothing_of_ours(gateway: Gateway, admin: httpx.AsyncClient) -> None:
    project = new("p")
    entity = '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/hostname">]>'
    document = (
        f'{entity}<xnat:Project xmlns:xnat="http://nrg.wustl.edu/xnat"><xnat:name>a&e;b</xnat:name></xnat:Project>'
    )
    answer = await admin.put(f"/data/projects/{project}", content=document)
    assert answer.status_code in {201, 400}
    rows = await gateway.rows(sa.select(projects.c.name).where(projects.c.id == project))
    assert all(row["name"] in {"a", "ab", "a&e;b", project} for row in rows)
    assert (await admin.put(f"/data/projects/{project}", content="<a>")).status_code == 400
    assert (await admin.put(f"/data/projects/{project}", content=b"<" + bytes(2 << 20))).status_code == 413


@pytest.mark.parametrize("name", ["a b", "Unassigned", "x" * 65, "-a"])
async def test_a_project_needs_a_usable_id(admin: httpx.AsyncClient, name: str) -> None:
    assert (await admin.put(f"/data/projects/{name}")).status_code == 400


async def test_settings_of_a_project(gateway: Gateway) -> None:
    project, owner, stranger = new("p"), await gateway.user(new("u")), await gateway.user(new("u"))
    await owner.put(f"/data/projects/{project}")
    for setting, value, bad in (
        ("prearchive_code", "4", "four"),
        ("quarantine_code", "1", "2"),
        ("accessibility", "public", "open"),
    ):
        path = f"/data/projects/{project}/{setting}"
        before = (await owner.get(path)).text
        refused = await owner.put(f"{path}/{bad}")
        assert (refused.status_code, setting in refused.text) == (400, True)
        assert (await stranger.put(f"{path}/{value}")).status_code == 404
        assert (await owner.get(path)).text == before != value
        changed = await owner.put(f"{path}/{value}")
        assert (changed.status_code, changed.text) == (200, "")
        assert (await owner.get(path)).text == value
    assert (await stranger.get(f"/data/projects/{project}/prearchive_code")).text == "4"
    assert (await stranger.put(f"/data/projects/{project}/prearchive_code/0")).status_code == 403


async def test_any_number_is_stored_as_prearchive_code(gateway: Gateway) -> None:
    """A67."""
    project, owner = new("p"), await gateway.user(new("u"))
    await owner.put(f"/data/projects/{project}")
    for code in ("4", "0", "11"):
        assert (await owner.put(f"/data/projects/{project}/prearchive_code/{code}")).status_code == 200
        assert (await owner.get(f"/data/projects/{project}/prearchive_code")).text == code
    for code in ("-1", "1e3", "9" * 10):
        assert (await owner.put(f"/data/projects/{project}/prearchive_code/{code}")).status_code == 400


async def test_roles_in_a_project(gateway: Gateway) -> None:
    project, name = new("p"), new("u")
    owner, other = await gateway.user(new("u")), await gateway.user(name)
    await owner.put(f"/data/projects/{project}")
    path = f"/data/projects/{project}"
    assert (await other.get(path)).status_code == 404
    assert (await other.put(f"{path}/users/Owners/{name}")).status_code == 404
    for group in ("Collaborators", "Members", "Owners", f"{project}_member"):
        given = await owner.put(f"{path}/users/{group}/{name}")
        assert given.status_code == 200
        assert len(given.json()["ResultSet"]["Result"]) == 2
        assert (await other.get(path)).status_code == 200
    assert (await other.put(f"{path}/users/Owners/{name}")).status_code == 403
    assert (await owner.put(f"{path}/users/Friends/{name}")).status_code == 400
    assert (await owner.put(f"{path}/users/Members/no_such_user")).status_code == 404
    assert (await owner.delete(f"{path}/users/Members/{name}")).status_code == 200
    assert (await other.get(path)).status_code == 404


async def test_projects_are_listed_by_role(gateway: Gateway) -> None:
    login = new("u")
    client, admin = await gateway.user(login), gateway.client("admin")
    names = {group: new("p") for group in ("Owners", "Members", "Collaborators", "none", "public")}
    for group, project in names.items():
        await admin.put(f"/data/projects/{project}")
        if group == "public":
            await admin.put(f"/data/projects/{project}/accessibility/public")
        elif group != "none":
            await admin.put(f"/data/projects/{project}/users/{group}/{login}")

    async def listed(key: str = "id", **asked: str) -> set[str]:
        rows = (await client.get("/data/projects", params=asked)).json()["ResultSet"]["Result"]
        return {group for group, project in names.items() if project in {row[key] for row in rows}}

    assert await listed("ID") == {"Owners", "Members", "Collaborators", "public"}
    assert await listed(owner="true") == {"Owners"}
    assert await listed(owner="true", member="true") == {"Owners", "Members"}
    assert await listed(permissions="edit", dataType="xnat:subjectData") == {"Owners", "Members"}
    header = (await client.get("/data/projects?format=csv&columns=ID,xsiType")).text.splitlines()[0]
    assert header == "ID,name,secondary_ID,description,pi_firstname,pi_lastname,URI"


async def test_which_xnat_we_are(admin: httpx.AsyncClient) -> None:
    assert (await admin.get("/xapi/siteConfig/buildInfo?format=json")).json()["version"] == "1.9.2"
    assert (await admin.get("/xapi/siteConfig/buildInfo/version")).text == "1.9.2"
    assert (await admin.get("/data/version")).status_code == 404
