"""What stands before the routes: one tree of paths, credentials, answers that come early, failures."""

import base64
import json

import httpx
import pytest
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from libs.common.errors import Retryable, ScandockError, UserError
from services.gateway.answers import imported, refusal, status_of
from services.gateway.authentication import read_basic, read_token
from services.gateway.draining import Draining
from services.gateway.parameters import AnswerFormat
from services.gateway.tree import Tree, canonical


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/data/projects/P", "/data/projects/P"),
        ("/data/archive/projects/P/", "/data/projects/P"),
        ("/REST/archive/experiments/E", "/data/experiments/E"),
        ("/REST/services/import", "/data/services/import"),
        ("/data/archive", "/data/archive"),
        ("/data/projects/archive", "/data/projects/archive"),
        ("/RESTful", "/RESTful"),
        ("/", "/"),
    ],
)
def test_three_prefixes_are_one_tree(path: str, expected: str) -> None:
    assert canonical(path) == expected


async def _echo(scope: Scope, receive: Receive, send: Send) -> None:
    await PlainTextResponse(scope["path"])(scope, receive, send)


def client(app: ASGIApp) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway")


@pytest.mark.parametrize("path", ["/data/a%00", "/data/%2e%2e/x", "/data/a%5Cb", "/data/x?label=%00", "/data/a%0Ab"])
async def test_an_address_that_nothing_has_is_refused(path: str) -> None:
    async with client(Tree(_echo)) as http:
        assert (await http.get(path)).status_code == 400


async def test_an_address_is_rewritten_once() -> None:
    async with client(Tree(_echo)) as http:
        assert (await http.get("/data/archive/projects/P%20Q")).text == "/data/projects/P Q"


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("Basic " + base64.b64encode("u:p:é".encode()).decode(), ("u", "p:é")),
        ("basic " + base64.b64encode("u:é".encode("latin-1")).decode(), ("u", "é")),
        ("Basic " + base64.b64encode(b"nocolon").decode(), None),
        ("Basic %%%", None),
        ("Bearer abc", None),
        ("", None),
    ],
)
def test_basic_credentials(header: str, expected: tuple[str, str] | None) -> None:
    assert read_basic(header) == expected


@pytest.mark.parametrize(
    ("header", "expected"),
    [("JSESSIONID=AB", "AB"), ('a=b; JSESSIONID="AB"; c=d', "AB"), ("XJSESSIONID=AB", ""), ("", "")],
)
def test_the_token_in_a_cookie(header: str, expected: str) -> None:
    assert read_token(header) == expected


class Sender:
    """A client that sends a body of some pieces, and the answer it has got by then."""

    def __init__(self, pieces: int) -> None:
        self.left = pieces
        self.left_at_answer = -1
        self.answer: list[Message] = []

    async def receive(self) -> Message:
        self.left -= 1
        return {"type": "http.request", "body": b"x", "more_body": self.left > 0}

    async def send(self, message: Message) -> None:
        if message.get("body"):
            self.left_at_answer = self.left
        self.answer.append(message)


def scope(*headers: tuple[str, str]) -> Scope:
    raw = [(name.encode(), value.encode()) for name, value in headers]
    return {"type": "http", "method": "POST", "path": "/", "headers": raw}


async def test_an_early_answer_is_sent_at_once_and_the_body_read_on() -> None:
    sender = Sender(5)
    await Draining(_echo)(scope(("content-length", "5")), sender.receive, sender.send)
    assert sender.left_at_answer == 5
    assert sender.left == 0
    assert [message.get("more_body", False) for message in sender.answer] == [False, True, False]


async def test_a_client_that_waits_for_100_continue_is_not_waited_for() -> None:
    sender = Sender(5)
    headers = (("content-length", "5"), ("expect", "100-continue"))
    await Draining(_echo)(scope(*headers), sender.receive, sender.send)
    assert sender.left == 5


async def test_a_body_that_was_read_is_not_waited_for() -> None:
    async def reading(scope: Scope, receive: Receive, send: Send) -> None:
        await Request(scope, receive).body()
        await PlainTextResponse("done")(scope, receive, send)

    sender = Sender(3)
    await Draining(reading)(scope(("transfer-encoding", "chunked")), sender.receive, sender.send)
    assert (sender.left, len(sender.answer)) == (0, 2)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (UserError("dest-malformed", ""), 400),
        (UserError("any-new-code", ""), 400),
        (UserError("unauthenticated", ""), 401),
        (UserError("forbidden", ""), 403),
        (UserError("project-unknown", ""), 404),
        (UserError("not-found-user", ""), 404),
        (UserError("conflict-exists", ""), 409),
        (UserError("limit-ratio", ""), 413),
        (UserError("idempotency-mismatch", ""), 422),
        (Retryable("broker-unavailable", ""), 503),
        (Retryable("store-full", ""), 507),
    ],
)
def test_the_status_of_a_failure(error: ScandockError, expected: int) -> None:
    assert status_of(error) == expected


def test_a_failure_is_text_in_its_own_words() -> None:
    answer = refusal(Headers(), UserError("conflict-exists", "Session already exists"), import_id="i")
    assert (answer.status_code, answer.body) == (409, b"Session already exists")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["x-scandock-import"] == "i"


def test_a_failure_is_problem_details_for_programs() -> None:
    headers = Headers({"accept": "application/json, */*"})
    answer = refusal(headers, UserError("conflict-exists", "why"), import_id="i", uris=["/prearchive/x"])
    assert answer.headers["content-type"] == "application/problem+json"
    assert json.loads(bytes(answer.body)) == {
        "type": "urn:scandock:problem:conflict-exists",
        "title": "Conflict",
        "status": 409,
        "detail": "why",
        "code": "conflict-exists",
        "import": "i",
        "uris": ["/prearchive/x"],
    }


def test_what_is_asked_to_come_again_is_told_when() -> None:
    assert "retry-after" in refusal(Headers(), Retryable("busy", "")).headers
    assert refusal(Headers(), UserError("unauthenticated", "")).headers["www-authenticate"].startswith("Basic realm=")


ANSWERS = {
    "one": (["/archive/x"], AnswerFormat.URI_LIST, "text/uri-list", b"/data/archive/x\r\n"),
    "several": (["/a", "/b"], AnswerFormat.URI_LIST, "text/uri-list", b"/data/a\r\n/data/b\r\n"),
    "one-as-text": (["/a"], AnswerFormat.TEXT, "text/plain; charset=utf-8", b"/data/a"),
    "several-as-text": (["/a", "/b"], AnswerFormat.TEXT, "text/plain; charset=utf-8", b"/data/a\r\n/data/b\r\n"),
}


@pytest.mark.parametrize("name", list(ANSWERS))
def test_the_answer_to_an_import(name: str) -> None:
    """Import semantics §1.6."""
    uris, answer_format, content_type, body = ANSWERS[name]
    answer = imported(uris, answer_format, "i")
    assert (answer.status_code, answer.headers["content-type"], answer.body) == (200, content_type, body)


def test_the_answer_as_a_page_escapes_what_it_shows() -> None:
    page = bytes(imported(['/<script>"'], AnswerFormat.HTML, "i").body)
    assert b"<script>" not in page
    assert b"1 session(s)" in page
