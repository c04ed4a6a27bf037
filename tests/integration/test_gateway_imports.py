"""Imports over HTTP on real servers: accepted once, told for sure, waited for, answered."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from uuid import UUID, uuid4

import aio_pika
import httpx
import pytest
import pytest_asyncio
import sqlalchemy as sa
from aio_pika.abc import AbstractIncomingMessage, AbstractQueue
from obstore.store import MemoryStore

from libs.common.errors import Retryable
from libs.common.messages import Event, ImportFinished, ImportReceived, derive
from libs.common.requests import Area, Destination, ImportRequest
from libs.common.schema import import_batches, import_members, import_sessions, import_sources, imports
from libs.common.storage import Store, memory_store
from libs.common.topology import EVENTS, WORK, queue_name
from services.gateway.sweep import fail_silent, tell_again
from tests.integration.gateway import AT, Gateway, settings_of
from tests.servers import unique_name

ZIP = {"Content-Type": "application/zip"}
PATH = "/data/services/import"


@pytest_asyncio.fixture
async def gateway(environment: dict[str, str]) -> AsyncIterator[Gateway]:
    """A gateway with project P of `owner`, and nobody behind it; no rows and no messages of other tests."""
    made = Gateway.over(settings_of(environment, SCANDOCK_WAIT_SECONDS=20), memory_store())
    await made.empty()
    async with await aio_pika.connect(environment["AMQP_URL"]) as connection:
        channel = await connection.channel()
        await (await channel.get_queue(queue_name("extractor", ImportReceived))).purge()
    owner = await made.user("owner")
    await owner.put("/data/projects/P", params={"alias": "alias"})
    looking = asyncio.create_task(made.parts.waiting.look())
    listening = asyncio.create_task(made.parts.waiting.listen())
    yield made
    for task in (looking, listening):
        task.cancel()
    await asyncio.gather(looking, listening, return_exceptions=True)
    await made.close()


@pytest.fixture
def http(gateway: Gateway) -> httpx.AsyncClient:
    return gateway.client("owner")


@pytest_asyncio.fixture
async def channel(environment: dict[str, str]) -> AsyncIterator[aio_pika.abc.AbstractChannel]:
    async with await aio_pika.connect(environment["AMQP_URL"]) as connection:
        yield await connection.channel()


async def take(queue: AbstractQueue) -> AbstractIncomingMessage:
    message = await queue.get(timeout=5)
    await message.ack()
    return message


async def received(channel: aio_pika.abc.AbstractChannel) -> ImportReceived:
    """The next message to the extractor."""
    queue = await channel.get_queue(queue_name("extractor", ImportReceived))
    return ImportReceived.model_validate_json((await take(queue)).body)


async def all_imports(gateway: Gateway) -> list[dict[str, object]]:
    return await gateway.rows(sa.select(imports).order_by(imports.c.received_at))


def post(http: httpx.AsyncClient, body: bytes = b"zip", **parameters: str) -> "asyncio.Task[httpx.Response]":
    return asyncio.create_task(http.post(PATH, params={"project": "P", **parameters}, content=body, headers=ZIP))


async def accept(http: httpx.AsyncClient, body: bytes = b"zip", **parameters: str) -> UUID:
    """An import that nobody waits for."""
    headers = {**ZIP, "Prefer": "respond-async"}
    answer = await http.post(PATH, params={"project": "P", **parameters}, content=body, headers=headers)
    assert answer.status_code == 202, answer.text
    return UUID(answer.headers["X-Scandock-Import"])


async def test_an_accepted_import_is_stored_recorded_and_told(
    gateway: Gateway, http: httpx.AsyncClient, channel: aio_pika.abc.AbstractChannel
) -> None:
    events = await channel.declare_queue(exclusive=True)
    await events.bind(EVENTS, "import.received.v1.P")
    body = {"dest": "/archive/projects/alias/subjects/S/experiments/E"}
    import_id = await accept(http, b"the zip", **body)
    (row,) = await all_imports(gateway)
    assert (row["id"], row["login"], row["size_bytes"]) == (import_id, "owner", 7)
    assert await gateway.store.read(source_key(row), 0, 100) == b"the zip"
    assert row["told_at"] is not None
    request = ImportRequest.model_validate(row["request"])
    assert request.destination == Destination(area=Area.ARCHIVE, project="P", subject="S", session="E")
    assert (await received(channel)).import_id == import_id
    event = Event.model_validate_json((await take(events)).body)
    assert (event.id, event.type) == (derive("import", import_id, "received"), "org.scandock.import.received.v1")
    assert (event.subject, event.time, event.sequence) == (f"/imports/{import_id}", row["received_at"], "0" * 20)


async def test_the_answer_waits_for_the_outcome(gateway: Gateway, http: httpx.AsyncClient) -> None:
    posted = post(http)
    import_id = await gateway.only_import()
    await asyncio.sleep(0.2)
    assert not posted.done()
    await gateway.finish(import_id, "completed", uris=("/archive/a", "/prearchive/b", "/archive/a"))
    answer = await posted
    assert (answer.status_code, answer.text) == (200, "/data/archive/a\r\n/data/prearchive/b\r\n")
    assert answer.headers["X-Scandock-Import"] == str(import_id)


async def test_the_broker_wakes_the_answer(
    gateway: Gateway, http: httpx.AsyncClient, channel: aio_pika.abc.AbstractChannel
) -> None:
    posted = post(http)
    import_id = await gateway.only_import()
    await gateway.parts.broker.publish(ImportFinished(import_id=uuid4()))  # somebody else's
    await gateway.finish(import_id, "completed", uris=("/archive/a",))
    started = asyncio.get_running_loop().time()
    exchange = await channel.get_exchange(WORK)
    body = ImportFinished(import_id=import_id).model_dump_json().encode()
    await exchange.publish(aio_pika.Message(body), ImportFinished.TYPE)
    assert (await posted).status_code == 200
    assert asyncio.get_running_loop().time() - started < 1.5


@pytest.mark.parametrize(
    ("outcome", "code", "status"),
    [
        ("rejected", "no-dicom", 400),
        ("rejected", "conflict-exists", 409),
        ("rejected", "limit-ratio", 413),
        ("failed", "store-unavailable", 503),
    ],
)
async def test_an_outcome_is_a_status(
    gateway: Gateway, http: httpx.AsyncClient, outcome: str, code: str, status: int
) -> None:
    posted = post(http)
    import_id = await gateway.only_import()
    await gateway.finish(import_id, outcome, code, "Session already exists, retry with overwrite enabled")
    answer = await posted
    assert answer.status_code == status
    assert answer.headers["content-type"].startswith("text/plain")
    expected = str(import_id) if outcome == "failed" else "Session already exists, retry with overwrite enabled"
    assert expected in answer.text


async def test_who_waits_too_long_is_told_where_his_sessions_are(environment: dict[str, str], gateway: Gateway) -> None:
    """architecture §5: 200 with the prearchive's URI if routed, else 503 and the import's id."""
    hasty = Gateway.over(settings_of(environment, SCANDOCK_WAIT_SECONDS=1), memory_store())
    client = hasty.client("owner")
    answer = await client.post(PATH, params={"project": "P"}, content=b"zip", headers=ZIP)
    import_id = answer.headers["X-Scandock-Import"]
    assert (answer.status_code, import_id in answer.text, "retry-after" in answer.headers) == (503, True, True)

    session = await gateway.session("XNAT_E00001", place="opening", status="BUILDING")
    await gateway.insert(import_sessions, {"import_id": UUID(import_id), "session_id": session, "ordinal": 0})
    await gateway.execute(sa.update(imports).values(listed_at=AT, batch_count=1))
    answer = await client.post(PATH, params={"project": "P"}, content=b"zip", headers=ZIP)
    assert answer.headers["X-Scandock-Import"] == import_id
    assert (answer.status_code, answer.text) == (
        200,
        "/data/prearchive/projects/P/20240131_101530123/XNAT_E00001\r\n",
    )
    await hasty.close()


async def test_a_stopping_process_does_not_keep_its_clients(gateway: Gateway, http: httpx.AsyncClient) -> None:
    posted = post(http)
    import_id = await gateway.only_import()
    gateway.parts.waiting.stop()
    assert (await posted).status_code == 503
    assert (await all_imports(gateway))[0]["outcome"] is None
    assert str(import_id) in (await posted).text


async def test_an_idempotency_key_joins_its_import(gateway: Gateway, http: httpx.AsyncClient) -> None:
    headers = {**ZIP, "Idempotency-Key": "k"}
    first = asyncio.create_task(http.post(PATH, params={"project": "P"}, content=b"one", headers=headers))
    import_id = await gateway.only_import()
    second = asyncio.create_task(http.post(PATH, params={"project": "P"}, content=b"zipped again", headers=headers))
    form = asyncio.create_task(
        http.post(PATH, data={"project": "P"}, files={"f": b"a form"}, headers={"Idempotency-Key": "k"})
    )
    other = await http.post(PATH, params={"project": "P", "overwrite": "append"}, content=b"one", headers=headers)
    assert other.status_code == 422
    await asyncio.sleep(0.3)
    await gateway.finish(import_id, "completed", uris=("/archive/a",))
    for answer in await asyncio.gather(first, second, form):
        assert (answer.text, answer.headers["X-Scandock-Import"]) == ("/data/archive/a\r\n", str(import_id))
    late = await http.post(PATH, params={"project": "P"}, content=b"one", headers=headers)
    assert late.text == "/data/archive/a\r\n"
    assert len(await all_imports(gateway)) == 1
    assert [stored.key async for page in gateway.store.list("uploads/") for stored in page] == [
        f"uploads/{import_id}/source"
    ]


async def test_several_files_of_a_form_are_one_import(gateway: Gateway, http: httpx.AsyncClient) -> None:
    headers = {"Prefer": "respond-async"}
    files = [("f", ("a.zip", b"one")), ("f", ("b/a.zip", b"three")), ("g", ("", b"")), ("g", ("c.dcm", b"four"))]
    answer = await http.post(PATH, data={"project": "P"}, files=files, headers=headers)
    assert answer.status_code == 202, answer.text
    import_id = answer.headers["X-Scandock-Import"]
    digests = [hashlib.sha256(body).hexdigest() for body in (b"one", b"three", b"four")]
    (row,) = await all_imports(gateway)
    assert (row["size_bytes"], row["sha256"]) == (12, hashlib.sha256("".join(digests).encode()).hexdigest())
    sources = await gateway.rows(sa.select(import_sources).order_by(import_sources.c.ordinal))
    assert [(r["ordinal"], r["object_key"], r["name"], r["size_bytes"], r["sha256"]) for r in sources] == [
        (0, f"uploads/{import_id}/source", "a.zip", 3, digests[0]),
        (1, f"uploads/{import_id}/source.1", "a.zip", 5, digests[1]),
        (2, f"uploads/{import_id}/source.2", "c.dcm", 4, digests[2]),
    ]
    assert await gateway.store.read(f"uploads/{import_id}/source.1", 0, 100) == b"three"
    again = await http.post(PATH, data={"project": "P"}, files=files, headers=headers)
    assert again.headers["X-Scandock-Import"] == import_id
    assert len([stored async for page in gateway.store.list("uploads/") for stored in page]) == 3


async def test_the_sites_handler_is_one_that_there_is(environment: dict[str, str]) -> None:
    assert settings_of(environment, SCANDOCK_IMPORT_HANDLER="SI").import_handler == "SI"
    with pytest.raises(ValueError, match="there is no importer si; there are SI"):
        settings_of(environment, SCANDOCK_IMPORT_HANDLER="si")


async def test_who_asks_for_json_gets_a_problem(http: httpx.AsyncClient) -> None:
    """RFC 9457."""
    headers = {**ZIP, "Accept": "application/json"}
    answer = await http.post(PATH, params={"dest": "/no"}, content=b"zip", headers=headers)
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert (problem["status"], answer.status_code) == (400, 400)
    assert "dest" in problem["detail"]


@pytest.mark.parametrize(
    ("asked", "content_type", "body"),
    [
        ("txt", "text/plain; charset=utf-8", "/data/archive/a"),
        ("html", "text/html; charset=utf-8", "<!DOCTYPE html>"),
        ("json", "text/uri-list", "/data/archive/a\r\n"),
    ],
)
async def test_the_answer_has_the_format_that_is_asked(
    gateway: Gateway, http: httpx.AsyncClient, asked: str, content_type: str, body: str
) -> None:
    """Import semantics §1.6."""
    posted = post(http, format=asked)
    import_id = await gateway.only_import()
    await gateway.finish(import_id, "completed", uris=("/archive/a",))
    answer = await posted
    assert (answer.status_code, answer.headers["content-type"]) == (200, content_type)
    assert answer.text.startswith(body)
    assert answer.headers["X-Scandock-Import"] == str(import_id)


async def test_who_sends_as_mirc_is_told_ok(gateway: Gateway, http: httpx.AsyncClient) -> None:
    """Import semantics §1.6."""
    headers = {"Content-Type": "application/x-mirc"}
    posted = asyncio.create_task(http.post(PATH, params={"PROJECT_ID": "P"}, content=b"dicom", headers=headers))
    import_id = await gateway.only_import()
    (row,) = await all_imports(gateway)
    assert ImportRequest.model_validate(row["request"]).handler == "gradual-DICOM"
    await gateway.finish(import_id, "completed", uris=("/prearchive/a",))
    assert ((await posted).status_code, (await posted).text) == (200, "OK")


async def test_a_store_that_fails_in_the_middle_of_a_form_leaves_nothing(
    environment: dict[str, str], gateway: Gateway
) -> None:
    class Failing(Store):
        """A store that takes one object and no more."""

        async def put(self, key: str, body: bytes) -> None:
            if key.endswith(".1"):
                raise Retryable("store-full", "full")
            await super().put(key, body)

    store = Failing(MemoryStore())
    full = Gateway.over(settings_of(environment), store)
    answer = await full.client("owner").post(PATH, files=[("f", b"1"), ("f", b"2")])
    assert answer.status_code == 507
    assert [page async for page in store.list("uploads/") if page] == []
    await full.close()


async def test_a_key_is_its_users_own(gateway: Gateway, http: httpx.AsyncClient) -> None:
    other = await gateway.user("other")
    for client in (http, other):
        headers = {**ZIP, "Idempotency-Key": "k", "Prefer": "respond-async"}
        assert (await client.post(PATH, content=b"zip", headers=headers)).status_code == 202
    assert len(await all_imports(gateway)) == 2


async def test_the_same_upload_joins_the_first_while_that_runs(gateway: Gateway, http: httpx.AsyncClient) -> None:
    answers = await asyncio.gather(*(accept(http) for _ in range(5)))
    assert len(set(answers)) == 1
    assert await accept(http, b"other") != answers[0]
    assert await accept(http, overwrite="append") != answers[0]
    await gateway.finish(answers[0], "completed")
    assert await accept(http) != answers[0]
    pages = [page async for page in gateway.store.list("uploads/")]
    assert sum(map(len, pages)) == len(await all_imports(gateway)) == 4


async def test_what_is_refused_leaves_nothing(gateway: Gateway, http: httpx.AsyncClient) -> None:
    reference = {"data": {"reference": "http://x/y.zip"}, "files": [("a", b"1"), ("b", b"2")]}
    cached = {"src": "/user/cache/resources/a/files/b.zip"}
    refused: list[tuple[int, dict[str, object]]] = [
        (404, {"params": {"project": "no"}, "content": b"zip", "headers": ZIP}),
        (404, {"params": {"dest": "/archive/experiments/XNAT_E99999"}, "content": b"zip", "headers": ZIP}),
        (404, {"params": {"import-handler": "no"}, "content": b"zip", "headers": ZIP}),
        (400, {"params": {"dest": "/no"}, "content": b"zip", "headers": ZIP}),
        (400, {"content": b"", "headers": ZIP}),
        (400, {"content": b"{}", "headers": {"Content-Type": "application/json"}}),
        (400, {"data": {"project": "P"}}),
        (400, reference),
        (404, {"params": cached}),
        (404, {"params": cached, "files": [("a", b"1"), ("b", b"2")]}),
        (400, {"params": {"src": "/prearchive/projects/P/t/f"}}),
        (400, {"params": {"http-session-listener": ""}, "content": b"zip", "headers": ZIP}),
        (404, {"params": {"localFilePath": "/etc/passwd"}, "content": b"zip", "headers": ZIP}),
        (404, {"params": {"prearc-importer": "x"}, "content": b"zip", "headers": ZIP}),
        (404, {"data": {"project": "no"}, "files": {"f": b"zip"}}),
        (400, {"data": {"overwrite": "perhaps"}, "files": {"f": b"zip"}}),
        (400, {"content": b"zip", "headers": {**ZIP, "Idempotency-Key": "k" * 256}}),
    ]
    for status, request in refused:
        answer = await http.post(PATH, **request)  # type: ignore[arg-type]
        assert (answer.status_code, request) == (status, request), answer.text
    assert await all_imports(gateway) == []
    assert [page async for page in gateway.store.list("uploads/") if page] == []
    for method in ("GET", "PUT", "DELETE"):
        assert (await http.request(method, PATH)).status_code == 405


async def test_who_may_not_edit_may_not_import(gateway: Gateway, http: httpx.AsyncClient) -> None:
    reader = await gateway.user("reader")
    dest = {"dest": "/archive/projects/P"}
    assert (await reader.post(PATH, params=dest, content=b"zip", headers=ZIP)).status_code == 404
    await http.put("/data/projects/P/users/Collaborators/reader")
    assert (await reader.post(PATH, params=dest, content=b"zip", headers=ZIP)).status_code == 403
    form = await reader.post(PATH, data={"project": "P"}, files={"f": b"zip"})
    assert form.status_code == 403
    await gateway.session("XNAT_E00001")
    by_id = await reader.post(PATH, params={"dest": "/archive/experiments/XNAT_E00001"}, content=b"zip", headers=ZIP)
    assert by_id.status_code == 403
    assert await all_imports(gateway) == []


async def test_an_archived_session_gives_its_labels(gateway: Gateway, http: httpx.AsyncClient) -> None:
    """Import semantics §2."""
    await gateway.subject("XNAT_S00001", "P", "S1")
    await gateway.session("XNAT_E00001", label="E1", subject_id="XNAT_S00001")
    expected = Destination(area=Area.ARCHIVE, project="P", subject="S1", session="E1")
    for dest, more in (
        ("/archive/experiments/XNAT_E00001", {}),
        ("/archive/projects/P/experiments/XNAT_E00001", {}),
        ("/archive/projects/alias/experiments/E1", {}),
        ("/archive/projects/P/subjects/XNAT_S00001/experiments/E1", {}),
        ("/archive/projects/P/subjects/s1", {"EXPT_LABEL": "E1"}),
        ("/archive/subjects/XNAT_S00001", {"session": "E1"}),
    ):
        import_id = await accept(http, uuid4().bytes, dest=dest, project="", **more)
        (row,) = await gateway.rows(sa.select(imports.c.request).where(imports.c.id == import_id))
        assert ImportRequest.model_validate(row["request"]).destination == expected, dest


async def test_a_limit_is_told_before_the_body(environment: dict[str, str], gateway: Gateway) -> None:
    narrow = Gateway.over(settings_of(environment, SCANDOCK_MAX_UPLOAD_BYTES=10), memory_store())
    client = narrow.client("owner")
    assert (await client.post(PATH, content=bytes(11), headers=ZIP)).status_code == 413
    assert (await client.post(PATH, content=_chunks(bytes(11)), headers=ZIP)).status_code == 413
    assert (await client.post(PATH, files={"f": bytes(11)})).status_code == 413
    assert await all_imports(gateway) == []
    await narrow.close()


async def _chunks(body: bytes) -> AsyncIterator[bytes]:
    yield body


async def test_without_a_broker_nothing_is_accepted(environment: dict[str, str], gateway: Gateway) -> None:
    alone = Gateway.over(settings_of({**environment, "AMQP_URL": "amqp://127.0.0.1:1/"}), memory_store())
    client = alone.client("owner")
    answer = await client.post(PATH, params={"project": "P"}, content=b"zip", headers=ZIP)
    assert (answer.status_code, "broker" in answer.text, "retry-after" in answer.headers) == (503, True, True)
    assert (await client.get("/readyz")).json() == {"ready": False, "missing": ["broker"]}
    assert await all_imports(gateway) == []
    await alone.close()


async def test_readiness_names_the_queues_that_nobody_reads(
    http: httpx.AsyncClient, channel: aio_pika.abc.AbstractChannel
) -> None:
    queue = await channel.get_queue(queue_name("extractor", ImportReceived))

    async def ignore(_: AbstractIncomingMessage) -> None: ...

    await queue.consume(ignore)
    answer = await http.get("/readyz")
    missing = answer.json()["missing"]
    assert answer.status_code == 503
    assert f"consumer of {queue.name}" not in missing
    assert "consumer of scandock.catalog.session.changed" in missing


def source_key(row: Mapping[str, object]) -> str:
    """Where an import's upload is."""
    return f"uploads/{row['id']}/source"


def forgotten(**more: object) -> dict[str, object]:
    """An import whose first publishing was never confirmed."""
    return {
        "id": uuid4(),
        "login": "owner",
        "request": ImportRequest().model_dump(mode="json"),
        "size_bytes": 1,
        "sha256": "",
        "received_at": AT,
        **more,
    }


async def test_the_sweep_tells_what_was_not_confirmed(gateway: Gateway, channel: aio_pika.abc.AbstractChannel) -> None:
    row = forgotten()
    await gateway.insert(imports, row, forgotten(told_at=AT), forgotten(outcome="failed"))
    assert await tell_again(gateway.engine, gateway.parts.broker, "XNAT") == 1
    assert (await received(channel)).import_id == row["id"]
    assert await tell_again(gateway.engine, gateway.parts.broker, "XNAT") == 0


async def test_two_sweeps_tell_once(gateway: Gateway) -> None:
    await gateway.insert(imports, *(forgotten() for _ in range(20)))
    counts = await asyncio.gather(*(tell_again(gateway.engine, gateway.parts.broker, "XNAT") for _ in range(3)))
    assert sum(counts) == 20


async def test_the_sweep_ends_what_has_gone_silent(gateway: Gateway) -> None:
    silent, lively = forgotten(told_at=AT), forgotten(told_at=AT, listed_at=AT)
    await gateway.insert(imports, silent, lively, forgotten(received_at=sa.func.now()))
    batch = {"id": uuid4(), "import_id": lively["id"], "ordinal": 0, "member_count": 1, "size_bytes": 1}
    await gateway.insert(import_batches, {**batch, "routed_at": sa.func.now()})
    assert await fail_silent(gateway.engine, gateway.parts.broker, timedelta(hours=24)) == 1
    ended = [row for row in await all_imports(gateway) if row["outcome"]]
    assert [(row["id"], row["outcome"], row["code"]) for row in ended] == [(silent["id"], "failed", "silent")]


async def test_the_status_of_an_import_is_its_senders(gateway: Gateway, http: httpx.AsyncClient) -> None:
    import_id = await accept(http)
    status = (await http.get(f"{PATH}/{import_id}")).json()
    assert (status["state"], status["size_bytes"], status["sessions"]) == ("listing", 3, [])
    batch = {"import_id": import_id, "member_count": 3, "size_bytes": 30}
    await gateway.insert(
        import_batches,
        {**batch, "id": uuid4(), "ordinal": 0, "routed_at": AT, "staged_at": AT},
        {**batch, "id": uuid4(), "ordinal": 1, "routed_at": None, "staged_at": None},
    )
    for column, state in (("listed_at", "routing"), ("staged_at", "merging"), ("merged_at", "cataloguing")):
        await gateway.execute(sa.update(imports).values({column: AT}))
        status = (await http.get(f"{PATH}/{import_id}")).json()
        assert status["state"] == state
    assert status["progress"] == {
        "members": 6,
        "members_routed": 3,
        "members_staged": 3,
        "bytes": 60,
        "bytes_staged": 30,
    }
    await gateway.finish(import_id, "rejected", "conflict-exists", "why", ("/prearchive/x",))
    status = (await http.get(f"{PATH}/{import_id}")).json()
    assert (status["state"], status["code"], status["detail"]) == ("rejected", "conflict-exists", "why")
    assert status["sessions"][0]["uri"] == "/data/prearchive/x"
    assert (await (await gateway.user("admin", admin=True)).get(f"{PATH}/{import_id}")).status_code == 200
    other = await gateway.user("other")
    for path in (f"{PATH}/{import_id}", f"{PATH}/{import_id}/report", f"{PATH}/{uuid4()}"):
        assert (await other.get(path)).status_code == 404


async def test_the_report_comes_from_the_rows_until_it_is_written(gateway: Gateway, http: httpx.AsyncClient) -> None:
    import_id = await accept(http)
    member = {
        "import_id": import_id,
        "object_key": "",
        "byte_offset": 0,
        "span_bytes": 0,
        "size_bytes": 5,
        "encoding": "plain",
        "session_id": None,
        "md5": None,
    }
    await gateway.insert(
        import_members,
        {**member, "ordinal": 0, "path": 'é,"x".txt', "verdict": "skipped", "reason": "not DICOM"},
        {**member, "ordinal": 1, "path": "a.dcm", "verdict": None, "reason": "", "session_id": "E", "md5": "m"},
    )
    answer = await http.get(f"{PATH}/{import_id}/report")
    assert answer.headers["content-type"].startswith("application/x-ndjson")
    first, second = answer.text.splitlines()
    assert first == (
        '{"ordinal":0,"path":"é,\\"x\\".txt","verdict":"skipped","reason":"not DICOM","session_id":"",'
        '"sop_instance_uid":"","md5":"","size_bytes":5,"name":""}'
    )
    assert '"verdict":"unsettled"' in second
    csv = (await http.get(f"{PATH}/{import_id}/report?format=csv")).text.splitlines()
    assert csv[1] == '0,"é,""x"".txt",skipped,not DICOM,,,,5,'
    await gateway.store.put(f"uploads/{import_id}/report.ndjson", b'{"ordinal":0}\n')
    assert (await http.get(f"{PATH}/{import_id}/report")).text == '{"ordinal":0}\n'


async def test_a_client_that_leaves_while_it_waits_ends_nothing(gateway: Gateway, http: httpx.AsyncClient) -> None:
    posted = post(http)
    await gateway.only_import()
    posted.cancel()
    await asyncio.gather(posted, return_exceptions=True)
    (row,) = await all_imports(gateway)
    assert row["outcome"] is None
    assert (await gateway.store.head(source_key(row))).size_bytes == 3


async def test_a_store_that_is_gone_is_told_before_the_body(environment: dict[str, str]) -> None:
    class Away:
        """A store that does not answer."""

        def __getattr__(self, name: str) -> object:
            raise AssertionError(f"{name} was called")

        async def head(self, key: str) -> object:
            raise Retryable("store-unavailable", "away")

    alone = Gateway.over(settings_of(environment), Away())  # type: ignore[arg-type]
    owner = await alone.user(unique_name())
    answer = await owner.post(PATH, content=b"zip", headers=ZIP)
    assert (answer.status_code, "store" in answer.text) == (503, True)
    await alone.close()
