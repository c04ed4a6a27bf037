"""What clients send to sessions that are there, with an archiver that the test plays (import semantics §9.3, §9.4)."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any
from uuid import UUID, uuid4

import aio_pika
import httpx
import pytest
import pytest_asyncio
import sqlalchemy as sa

from libs.common.commands import Archive, Build, CommandResult, Commit, Delete, Line, Move, SetStatus, read_command
from libs.common.database import transaction
from libs.common.messages import CommandReceived
from libs.common.requests import Overwrite
from libs.common.schema import commands, import_sessions, imports
from libs.common.storage import memory_store
from libs.common.topology import queue_name
from services.gateway.answers import COMMAND_HEADER, IMPORT_HEADER
from services.gateway.sweep import tell_commands_again
from tests.integration.gateway import AT, Gateway, settings_of

TS = "20240131_101530123"
ENTRY = f"/data/prearchive/projects/P/{TS}/E1"
SRC = f"/prearchive/projects/P/{TS}/E1"
ARCHIVED = "/archive/projects/P/subjects/S1/experiments/L-E1"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
Result = CommandResult | tuple[str, str]
"""What the played archiver makes of a command: its result, or the code and the text of its refusal."""


@pytest_asyncio.fixture(scope="module")
async def site(environment: dict[str, str]) -> AsyncIterator[Gateway]:
    """Projects P and Q of `owner`, P readable by `reader`."""
    made = Gateway.over(settings_of(environment, SCANDOCK_WAIT_SECONDS=20), memory_store())
    owner = await made.user("owner")
    await made.user("reader")
    await made.user("stranger")
    await made.user("admin", admin=True)
    for project in ("P", "Q"):
        await owner.put(f"/data/projects/{project}")
    await owner.put("/data/projects/P/users/Collaborators/reader")
    yield made
    await made.close()


@pytest_asyncio.fixture
async def gateway(site: Gateway, environment: dict[str, str]) -> AsyncIterator[Gateway]:
    """Entry E1 in P, U1 without a project, and an archived X1; no other rows, and no messages of other tests."""
    async with transaction(site.engine) as connection:
        await connection.execute(sa.text("truncate sessions, imports, commands cascade"))
    site.parts.waiting.limit_seconds = 20
    await site.session("E1", place="prearchive")
    await site.session("U1", place="prearchive", project=None)
    await site.session("X1", label="L-X1")
    yield site
    async with await aio_pika.connect(environment["AMQP_URL"]) as connection:
        channel = await connection.channel()
        for service in ("archiver", "catalog"):
            await (await channel.get_queue(queue_name(service, CommandReceived))).purge()


@pytest.fixture
def http(gateway: Gateway) -> httpx.AsyncClient:
    return gateway.client("owner")


async def open_command(gateway: Gateway) -> dict[str, Any]:
    """The one command that has no outcome, as soon as there is one."""
    deadline = asyncio.get_running_loop().time() + 10
    while not (found := await gateway.rows(sa.select(commands).where(commands.c.outcome.is_(None)))):
        assert asyncio.get_running_loop().time() < deadline, "no command was accepted"
        await asyncio.sleep(0.01)
    assert len(found) == 1
    return found[0]


async def end(gateway: Gateway, command_id: UUID, result: Result) -> None:
    """End a command as the archiver does."""
    values: dict[str, Any] = {"outcome": "completed", "done_at": AT, "finished_at": AT}
    if isinstance(result, CommandResult):
        values |= {"result": result.model_dump(mode="json")}
    else:
        values |= {"outcome": "rejected", "code": result[0], "detail": result[1]}
    await gateway.execute(sa.update(commands).where(commands.c.id == command_id).values(values))


async def played(
    gateway: Gateway, asking: "asyncio.Task[httpx.Response] | Any", *results: Result
) -> tuple[httpx.Response, list[Any]]:
    """The answer to a request, and the commands that it became, while an archiver gives them these results in turn."""
    task = asyncio.ensure_future(asking)
    seen = []
    for result in results:
        row = await open_command(gateway)
        seen.append(read_command(row["request"]))
        assert row["login"] == "owner"
        await end(gateway, row["id"], result)
    return await task, seen


def at(uri: str) -> CommandResult:
    return CommandResult(uri=uri, session_id="E1")


async def test_build_answers_the_uri(gateway: Gateway, http: httpx.AsyncClient) -> None:
    for action in ("build", "rebuild"):
        answer, (command,) = await played(gateway, http.post(f"{ENTRY}?action={action}&SOURCE=x"), at(SRC))
        assert (answer.status_code, answer.text) == (200, f"/data{SRC}")
        assert UUID(answer.headers[COMMAND_HEADER])
        assert isinstance(command, Build)
        assert command.fields.source == "x"


async def test_an_action_may_stand_in_the_form(gateway: Gateway, http: httpx.AsyncClient) -> None:
    asking = http.post(f"{ENTRY}?format=single", data={"action": "build"})
    answer, (command,) = await played(gateway, asking, at(SRC))
    assert (answer.status_code, command.kind) == (200, "build")


async def test_a_commit_that_stays_is_200_and_one_that_archives_301_without_location(
    gateway: Gateway, http: httpx.AsyncClient
) -> None:
    body = {"xnat:petSessionData/tracer/name": "FDG", "VISIT": "body"}
    asking = http.post(f"{ENTRY}?action=commit&SOURCE=uploader&VISIT=query", json=body)
    answer, (command,) = await played(gateway, asking, at(SRC))
    assert (answer.status_code, answer.text) == (200, f"/data{SRC}")
    assert answer.headers["content-type"] == "text/uri-list"
    assert isinstance(command, Commit)
    assert (command.fields.visit, command.fields.source, command.auto_archive) == ("query", "uploader", None)
    assert command.archive.xml_paths == {"xnat:petSessionData/tracer/name": "FDG"}
    asking = http.post(f"{ENTRY}?action=commit&AA=true&overwrite=delete")
    answer, (command,) = await played(gateway, asking, at(ARCHIVED))
    assert (answer.status_code, answer.text, "location" in answer.headers) == (301, f"/data{ARCHIVED}", False)
    assert (command.auto_archive, command.archive.overwrite) == (True, Overwrite.DELETE)


async def test_a_commit_with_a_listener_answers_at_once(gateway: Gateway, http: httpx.AsyncClient) -> None:
    answer = await http.post(f"{ENTRY}?action=commit&http-session-listener=L")
    assert (answer.status_code, answer.text) == (200, "Archival initiated")
    assert (await open_command(gateway))["listener"] == "L"
    empty = await http.post(f"{ENTRY}?action=commit&http-session-listener=")
    assert (empty.status_code, "is required when requesting" in empty.text) == (400, True)


async def test_a_move_answers_301_and_the_new_uri(gateway: Gateway, http: httpx.AsyncClient) -> None:
    new = f"/prearchive/projects/Q/{TS}/E1"
    answer, (command,) = await played(gateway, http.post(f"{ENTRY}?action=move&newProject=Q"), at(new))
    assert (answer.status_code, answer.text, "location" in answer.headers) == (301, f"/data{new}", False)
    assert command == Move(project="Q")


async def test_statuses_that_say_that_something_goes_on_cannot_be_set(
    gateway: Gateway, http: httpx.AsyncClient
) -> None:
    for action, status in (("reset-status", "READY"), ("set-status&status=conflict", "CONFLICT")):
        answer, (command,) = await played(gateway, http.post(f"{ENTRY}?action={action}"), at(SRC))
        assert (answer.status_code, command) == (200, SetStatus(status=status))
    for status in ("_ARCHIVING", "QUEUED_MOVING", "LOST", ""):
        answer = await http.post(f"{ENTRY}?action=set-status&status={status}")
        assert (answer.status_code, "READY" in answer.text) == (400, True)


async def test_delete_answers_200_and_nothing(gateway: Gateway, http: httpx.AsyncClient) -> None:
    answer, (command,) = await played(gateway, http.delete(ENTRY), CommandResult(session_id="E1"))
    assert (answer.status_code, answer.text, command) == (200, "", Delete())


async def test_an_unknown_action_is_told_which_there_are(http: httpx.AsyncClient) -> None:
    for action in ("", "explode"):
        answer = await http.post(f"{ENTRY}?action={action}")
        assert (answer.status_code, "reset-status" in answer.text) == (400, True)


async def test_bad_bodies_and_projects_are_refused(http: httpx.AsyncClient) -> None:
    for body in (b"{", b"[1]", b"[" * 100_000, b'{"VISIT": "\\u0000"}', b'{"\\ud800": 1}'):
        answer = await http.post(f"{ENTRY}?action=commit", content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code == 400
    for field in ("newProject=%00", "newProject=%ED%A0%80"):
        answer = await http.post(f"{ENTRY}?action=move", content=field, headers=FORM)
        assert answer.status_code in {400, 404}
    for query, status in (("move", 400), ("move&newProject=NO", 404), ("move&newProject=Unassigned", 403)):
        assert (await http.post(f"{ENTRY}?action={query}")).status_code == status


async def test_who_may_do_what_to_an_entry(gateway: Gateway) -> None:
    for login, status in (("reader", 403), ("stranger", 404)):
        client = gateway.client(login)
        asked = (
            client.post(f"{ENTRY}?action=build"),
            client.delete(ENTRY),
            client.post(f"/data/services/archive?src={SRC}"),
            client.post(f"/data/services/prearchive/delete?src={SRC}"),
        )
        assert [(await one).status_code for one in asked] == [status] * 4
    unassigned = f"/data/prearchive/projects/Unassigned/{TS}/U1"
    assert (await gateway.client("owner").delete(unassigned)).status_code == 404
    archiving = await gateway.client("admin").post(f"/data/services/archive?src={unassigned}")
    assert archiving.status_code == 400
    assert archiving.text.startswith("Cannot archive sessions from the Unassigned folder.")


@pytest.mark.parametrize(
    ("code", "status"),
    [("conflict-session-exists", 409), ("no-subject", 400), ("not-found", 404), ("forbidden", 403)],
)
async def test_what_the_archiver_refuses_is_answered_by_its_code(
    gateway: Gateway, http: httpx.AsyncClient, code: str, status: int
) -> None:
    answer, _ = await played(gateway, http.post(f"/data/services/archive?src={SRC}"), (code, "so it is"))
    assert (answer.status_code, answer.text) == (status, "so it is")
    assert UUID(answer.headers[COMMAND_HEADER])


async def test_what_takes_too_long_goes_on(gateway: Gateway, http: httpx.AsyncClient) -> None:
    gateway.parts.waiting.limit_seconds = 0.1
    answer = await http.post(f"{ENTRY}?action=build", headers={"Accept": "application/json"})
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    command = await open_command(gateway)
    assert answer.headers[COMMAND_HEADER] == answer.json()["command"] == str(command["id"])
    where = answer.json()["detail"].split("see ")[1].rstrip(".")
    assert (await http.get(where)).json()["state"] == "queued"
    await gateway.execute(sa.update(commands).values(done_at=AT))
    assert (await http.get(where)).json()["state"] == "cataloguing"
    await end(gateway, command["id"], at(SRC))
    status = (await http.get(where)).json()
    assert (status["state"], status["kind"], status["uri"]) == ("completed", "build", f"/data{SRC}")
    assert (await gateway.client("reader").get(where)).status_code == 404


async def test_who_asks_not_to_wait_is_told_where_to_look(gateway: Gateway, http: httpx.AsyncClient) -> None:
    answer = await http.post(f"{ENTRY}?action=build", headers={"Prefer": "respond-async"})
    assert (answer.status_code, answer.headers["location"]) == (202, answer.json()["status"])
    assert (await http.get(answer.headers["location"])).json()["id"] == answer.json()["id"]


async def test_asking_again_joins_what_is_running_and_anything_else_is_403(
    gateway: Gateway, http: httpx.AsyncClient
) -> None:
    asking = [asyncio.ensure_future(http.post(f"{ENTRY}?action=commit")) for _ in range(3)]
    row = await open_command(gateway)
    other = await http.post(f"/data/services/archive?src={SRC}")
    assert (other.status_code, other.text) == (403, "Operation already in progress on this prearchive entry.")
    await asyncio.sleep(0.1)
    await end(gateway, row["id"], at(SRC))
    answers = await asyncio.gather(*asking)
    assert {(each.status_code, each.headers[COMMAND_HEADER]) for each in answers} == {(200, str(row["id"]))}


async def test_a_commit_may_follow_another_ones(gateway: Gateway, http: httpx.AsyncClient) -> None:
    row = {"id": uuid4(), "login": "other", "kind": "commit", "request": {"kind": "commit"}, "session_id": "E1"}
    await gateway.insert(commands, row)
    gateway.parts.waiting.limit_seconds = 0.1
    assert (await http.post(f"{ENTRY}?action=commit")).status_code == 503
    assert len(await gateway.rows(sa.select(commands))) == 2
    assert (await http.delete(ENTRY)).status_code == 403


async def test_a_command_is_told_once_and_again_until_it_is_confirmed(
    gateway: Gateway, http: httpx.AsyncClient, environment: dict[str, str]
) -> None:
    answer, _ = await played(gateway, http.post(f"{ENTRY}?action=build"), at(SRC))
    untold = {"id": uuid4(), "login": "owner", "kind": "build", "request": {"kind": "build"}, "received_at": AT}
    await gateway.insert(commands, untold)
    assert [await tell_commands_again(gateway.engine, gateway.parts.broker) for _ in range(2)] == [1, 0]
    told = [answer.headers[COMMAND_HEADER], str(untold["id"])]
    async with await aio_pika.connect(environment["AMQP_URL"]) as connection:
        channel = await connection.channel()
        queue = await channel.get_queue(queue_name("archiver", CommandReceived))
        seen = [CommandReceived.model_validate_json((await queue.get(no_ack=True)).body) for _ in range(2)]
    assert [str(message.command_id) for message in seen] == told


LABELS: dict[str, tuple[str, str | None, str | None]] = {
    "none": ("", None, None),
    "names": ("subject=S2&session=E%202&EXPT_LABEL=no", "S2", "E_2"),
    "import-names": ("SUBJECT_ID=S2&EXPT_LABEL=E2", "S2", "E2"),
    "paths": ("xnat:mrSessionData/project=P&xnat:mrSessionData/subject_id=S2&xnat:mrSessionData/label=E2", "S2", "E2"),
    "dest": ("dest=/archive/projects/P/subjects/S2/experiments/E2&session=no", "S2", "E2"),
    "dest-encoded-twice": (
        "dest=%252Farchive%252Fprojects%252FP%252Fsubjects%252FS2%252Fexperiments%252FE2",
        "S2",
        "E2",
    ),
    "xnatpy": ("auto-archive=false&project=P&subject=S2&session=E2", "S2", "E2"),
}


@pytest.mark.parametrize("case", LABELS)
async def test_labels_of_an_archiving(gateway: Gateway, http: httpx.AsyncClient, case: str) -> None:
    query, subject, session = LABELS[case]
    asking = http.post(f"/data/services/archive?src=/data{SRC}&{query}")
    answer, (command,) = await played(gateway, asking, at(ARCHIVED))
    assert (answer.status_code, answer.text) == (200, f"/data{ARCHIVED}\r\n")
    assert answer.headers["content-type"] == "text/uri-list"
    assert isinstance(command, Archive)
    assert (command.subject, command.session, command.xml_paths) == (subject, session, {})


async def test_wishes_of_an_archiving(gateway: Gateway, http: httpx.AsyncClient) -> None:
    form = {
        "project": "P",
        "PREARC_TIMESTAMP": TS,
        "PREARC_SESSION_FOLDER": "E1",
        "overwrite": "append",
        "overwrite_files": "true",
        "quarantine": "true",
        "triggerPipelines": "false",
        "xnat:mrSessionData/note": "n",
        "redirect": "true",
    }
    answer, (command,) = await played(gateway, http.post("/data/services/archive", data=form), at(ARCHIVED))
    assert (answer.status_code, answer.headers["location"]) == (303, f"/data{ARCHIVED}")
    assert command == Archive(
        overwrite=Overwrite.APPEND,
        overwrite_files=True,
        quarantine=True,
        trigger_pipelines=False,
        xml_paths={"xnat:mrSessionData/note": "n"},
    )


@pytest.mark.parametrize(
    ("query", "status", "text"),
    [
        ("", 404, "Unknown prearchive session."),
        ("src=/archive/projects/P", 400, "Invalid src URI"),
        ("src=/prearchive/projects/P", 400, "Invalid src URI"),
        (f"src=/prearchive/projects/P/{TS}/E9", 404, f"/prearchive/projects/P/{TS}/E9 not found."),
        (f"src={SRC}&dest=/prearchive/projects/P", 400, "dest"),
        (f"src={SRC}&dest=/archive/projects/Q", 409, "Invalid modification of session project"),
        (f"src={SRC}&dest=/archive/projects/NO", 404, "NO"),
        (f"src={SRC}&overwrite=perhaps", 400, "overwrite"),
        (f"src={SRC}&quarantine=perhaps", 400, "quarantine"),
        (f"src={SRC}&http-session-listener=", 400, "is required when requesting"),
        (f"src={SRC}&dest=/archive/experiments/NO", 404, "NO"),
    ],
)
async def test_what_archiving_refuses_at_once(http: httpx.AsyncClient, query: str, status: int, text: str) -> None:
    answer = await http.post(f"/data/services/archive?{query}")
    assert (answer.status_code, text in answer.text) == (status, True), answer.text


async def test_several_are_archived_one_by_one_and_each_says_what_became_of_it(
    gateway: Gateway, http: httpx.AsyncClient
) -> None:
    await gateway.session("E2", place="prearchive")
    second = f"/prearchive/projects/P/{TS}/E2"
    asking = asyncio.ensure_future(http.post(f"/data/services/archive?src={SRC},/data{second}&src={SRC}"))
    deadline = asyncio.get_running_loop().time() + 10
    while len(rows := await gateway.rows(sa.select(commands))) < 2:
        assert asyncio.get_running_loop().time() < deadline
        await asyncio.sleep(0.01)
    by_session = {str(row["session_id"]): UUID(str(row["id"])) for row in rows}
    await end(gateway, by_session["E1"], at(ARCHIVED))
    await end(gateway, by_session["E2"], ("conflict-session-exists", "Session already exists"))
    answer = await asking
    assert answer.headers[COMMAND_HEADER].split(", ") == [str(by_session["E1"]), str(by_session["E2"])]
    found = answer.json()["ResultSet"]["Result"]
    assert [(row["url"], row["uri"], row["message"]) for row in found] == [
        (SRC, f"/data{ARCHIVED}", ""),
        (second, "", "Session already exists"),
    ]
    labelled = await http.post(f"/data/services/archive?src={SRC},{second}&session=one")
    assert labelled.status_code == 400


async def test_archiving_with_a_listener_answers_at_once(gateway: Gateway, http: httpx.AsyncClient) -> None:
    answer = await http.post(f"/data/services/archive?src={SRC}&http-session-listener=L")
    assert (answer.status_code, answer.text) == (200, "Archival initiated")
    assert (await open_command(gateway))["listener"] == "L"


async def test_the_prearchive_services_answer_a_table(gateway: Gateway, http: httpx.AsyncClient) -> None:
    for service, more, expected in (
        ("rebuild", {"overrideLock": "true"}, Build()),
        ("move", {"newProject": "Q"}, Move(project="Q")),
        ("delete", {"async": "false"}, Delete()),
    ):
        asking = http.post(f"/data/services/prearchive/{service}?format=csv", data={"src": SRC, **more})
        answer, (command,) = await played(gateway, asking, at(SRC))
        assert (answer.status_code, command) == (200, expected)
        lines = answer.text.splitlines()
        assert (lines[0].startswith("project,timestamp"), len(lines), SRC in lines[1]) == (True, 2, True)
    answer, _ = await played(
        gateway, http.post(f"/data/services/prearchive/move?src={SRC}&newProject=Q"), ("gone", "x")
    )
    assert (answer.status_code, answer.text) == (400, "x")
    at_once = await http.post(f"/data/services/prearchive/delete?src={SRC}&async=true&format=xml")
    assert (at_once.status_code, "<cell>QUEUED_DELETING</cell>" in at_once.text) == (200, True)
    assert UUID(at_once.headers[COMMAND_HEADER])


async def test_a_validation_is_a_table_of_its_lines(gateway: Gateway, http: httpx.AsyncClient) -> None:
    result = CommandResult(lines=(Line(code=1, type="CONFLICT", message="Session exists"),))
    answer, (command,) = await played(gateway, http.post(f"/data/services/validate-archive?src={SRC}"), result)
    assert command.kind == "validate"
    (line,) = answer.json()["ResultSet"]["Result"]
    assert line == {"code": "1", "type": "CONFLICT", "message": "Session exists"}
    asking = http.post(f"/data/services/validate-archive?src={SRC}&format=csv")
    answer, _ = await played(gateway, asking, CommandResult())
    assert answer.text == "code,type,message\n"


async def status_of(http: httpx.AsyncClient) -> str:
    listed = (await http.get("/data/prearchive/projects/P")).json()["ResultSet"]["Result"]
    single = (await http.get(f"{ENTRY}?format=json")).json()["ResultSet"]["Result"]
    assert single == listed
    return str(listed[0]["status"])


@pytest.mark.parametrize(
    ("query", "word"), [("build", "BUILDING"), ("commit", "BUILDING"), ("move&newProject=Q", "MOVING")]
)
async def test_a_listing_says_what_is_going_on(
    gateway: Gateway, http: httpx.AsyncClient, query: str, word: str
) -> None:
    asking = asyncio.ensure_future(http.post(f"{ENTRY}?action={query}"))
    row = await open_command(gateway)
    assert await status_of(http) == f"QUEUED_{word}"
    await gateway.execute(sa.update(commands).values(done_at=AT))
    assert await status_of(http) == word
    await end(gateway, row["id"], at(SRC))
    await asking
    assert await status_of(http) == "READY"


async def test_the_files_of_an_entry_come_as_a_zip(gateway: Gateway, http: httpx.AsyncClient) -> None:
    await gateway.resource("E1", "2", "DICOM", {"a.dcm": b"a"})
    await gateway.resource("E1", None, "NOTES", {"n.txt": b"n"})
    answer = await http.get(f"{ENTRY}?format=zip")
    assert (answer.headers["content-type"], answer.content[:2]) == ("application/zip", b"PK")
    assert b"NOTES/files/n.txt" in answer.content


async def test_logs_tell_what_failed_and_of_others_only_the_code(gateway: Gateway, http: httpx.AsyncClient) -> None:
    await gateway.insert(
        imports,
        *(
            {"id": uuid4(), "login": login, "request": {}, "size_bytes": 0, "sha256": "", "finished_at": AT}
            for login in ("owner", "other")
        ),
    )
    for row in await gateway.rows(sa.select(imports.c.id, imports.c.login)):
        facts = {"code": "unreadable", "detail": f"unable to read DICOM object {row['login']}.dcm"}
        await gateway.insert(import_sessions, {"import_id": row["id"], "session_id": "E1", "ordinal": 0, **facts})
    await played(gateway, http.post(f"/data/services/archive?src={SRC}"), ("conflict-x", "They differ."))
    found = (await http.get(f"{ENTRY}/logs")).json()["ResultSet"]["Result"]
    assert sorted((row["source"], row["code"], row["message"]) for row in found) == [
        ("archive", "conflict-x", "They differ."),
        ("import", "unreadable", ""),
        ("import", "unreadable", "unable to read DICOM object owner.dcm"),
    ]
    assert (await http.get(f"{ENTRY}/logs/last")).text.endswith(found[-1]["message"])
    assert "owner.dcm" not in (await gateway.client("reader").get(f"{ENTRY}/logs")).text
    assert (await gateway.client("stranger").get(f"{ENTRY}/logs")).status_code == 404


async def test_why_an_entry_waits_is_its_last_log(gateway: Gateway, http: httpx.AsyncClient) -> None:
    await gateway.session("E3", place="prearchive", status="CONFLICT", status_reason="Session already exists")
    answer = await http.get(f"/data/prearchive/projects/P/{TS}/E3/logs/last")
    assert (answer.status_code, answer.text.endswith("CONFLICT Session already exists")) == (200, True)
    assert (await http.get(f"{ENTRY}/logs/last")).text == ""


DELETIONS: dict[str, Callable[[str], str]] = {
    "by-id": lambda name: f"/data/experiments/{name}?removeFiles=true",
    "in-project": lambda name: f"/data/projects/P/experiments/L-{name}",
}


@pytest.mark.parametrize("case", DELETIONS)
async def test_an_archived_session_is_deleted_by_its_owner(
    gateway: Gateway, http: httpx.AsyncClient, case: str
) -> None:
    path = DELETIONS[case]("X1")
    answer, (command,) = await played(gateway, http.delete(path), CommandResult(session_id="X1"))
    assert (answer.status_code, answer.text, command) == (200, "", Delete())
    assert (await gateway.client("reader").delete(path)).status_code == 403
    assert (await gateway.client("stranger").delete(path)).status_code == 404
    assert (await http.delete(f"{path.split('?')[0]}/scans")).status_code == 405


async def test_a_running_import_is_cancelled(gateway: Gateway, http: httpx.AsyncClient) -> None:
    row = {"id": uuid4(), "login": "owner", "request": {}, "size_bytes": 0, "sha256": ""}
    await gateway.insert(imports, row)
    path = f"/data/services/import/{row['id']}"
    assert (await gateway.client("stranger").delete(path)).status_code == 404
    for _ in range(2):
        answer = await http.delete(path)
        assert (answer.status_code, answer.headers[IMPORT_HEADER]) == (200, str(row["id"]))
    status = (await http.get(path)).json()
    assert (status["state"], status["code"]) == ("rejected", "cancelled")
    await gateway.execute(sa.update(imports).values(outcome="completed", code=""))
    ended = await http.delete(path)
    assert (ended.status_code, "has ended" in ended.text) == (409, True)
