"""What clients are answered: failures by their code, texts, lists of URIs (import semantics §1.6, §1.7; RFC 9457)."""

import html
import json
from collections.abc import Mapping, Sequence
from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse, Response

from libs.common.errors import Retryable, ScandockError, UserError
from services.gateway.parameters import AnswerFormat

REALM = "Scandock"
RETRY_AFTER_SECONDS = 5
IMPORT_HEADER = "X-Scandock-Import"
COMMAND_HEADER = "X-Scandock-Command"

_STATUSES: Mapping[str, int] = {
    "unauthenticated": 401,
    "forbidden": 403,
    "operation-in-progress": 403,
    "cancelled": 409,
    "project-unknown": 404,
    "handler-unknown": 404,
    "idempotency-mismatch": 422,
    "range-unsatisfiable": 416,
    "store-full": 507,
}
_STATUSES_BY_PREFIX: Mapping[str, int] = {"not-found": 404, "conflict": 409, "limit-": 413}


def status_of(error: ScandockError) -> int:
    """The HTTP status of a failure: by its code, else 400 where the sender can fix it and 503 where we can."""
    if error.code in _STATUSES:
        return _STATUSES[error.code]
    for prefix, status in _STATUSES_BY_PREFIX.items():
        if error.code.startswith(prefix):
            return status
    return 400 if isinstance(error, UserError) else 503


def refusal(
    headers: Headers, error: ScandockError, *, import_id: str = "", command_id: str = "", uris: Sequence[str] = ()
) -> Response:
    """A failure as text in XNAT's words, or as problem+json where `Accept` asks for JSON."""
    status = status_of(error)
    ids = {IMPORT_HEADER: import_id, COMMAND_HEADER: command_id}
    extra = {name: value for name, value in ids.items() if value}
    if status == 401:
        extra["WWW-Authenticate"] = f'Basic realm="{REALM}", charset="UTF-8"'
    if isinstance(error, Retryable):
        extra["Retry-After"] = str(RETRY_AFTER_SECONDS)
    if not wants_json(headers):
        return PlainTextResponse(error.detail, status, extra)
    problem: dict[str, object] = {
        "type": f"urn:scandock:problem:{error.code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": error.detail,
        "code": error.code,
    }
    if import_id:
        problem |= {"import": import_id, "uris": list(uris)}
    if command_id:
        problem |= {"command": command_id}
    return Response(json.dumps(problem), status, extra, media_type="application/problem+json")


def wants_json(headers: Headers) -> bool:
    """Whether `Accept` names JSON before anything else."""
    first = headers.get("accept", "").split(",")[0].split(";")[0].strip().lower()
    return first in {"application/json", "application/problem+json"}


def full_uri(uri: str) -> str:
    """A session's URI as clients are told it: those of direct archive stay as they are (§1.6)."""
    return uri if uri.startswith("/xapi/") else f"/data{uri}"


def imported(uris: Sequence[str], answer: AnswerFormat, import_id: str) -> Response:
    """The URIs of an import's sessions, each prefixed with `/data` (§1.6); status exactly 200."""
    extra = {IMPORT_HEADER: import_id}
    full = [full_uri(uri) for uri in uris]
    lines = "".join(f"{uri}\r\n" for uri in full)
    match answer:
        case AnswerFormat.HTML:
            links = "".join(f'<li><a href="{html.escape(uri)}">{html.escape(uri)}</a></li>' for uri in full)
            page = f"<!DOCTYPE html><html><body><p>{len(full)} session(s)</p><ul>{links}</ul></body></html>"
            return Response(page, 200, extra, media_type="text/html")
        case AnswerFormat.TEXT:
            return PlainTextResponse(full[0] if len(full) == 1 else lines, 200, extra)
        case AnswerFormat.URI_LIST:
            # without a charset: clients compare the type as a whole
            return Response(lines, 200, {**extra, "Content-Type": "text/uri-list"})


def submitted(import_id: str, *, chose_archive: bool) -> Response:
    """What who follows an import by its listener is told at once (§1.5, §10)."""
    where = "archival" if chose_archive else "prearchival"
    return PlainTextResponse(f"Submitted for {where}", 200, {IMPORT_HEADER: import_id})
