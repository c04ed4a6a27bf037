"""`POST /data/services/import` (import semantics §1): a body in, the URIs of its sessions out."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from uuid import UUID, uuid4

from fastapi import APIRouter, Request
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response

from libs.common import telemetry
from libs.common.access import User
from libs.common.database import transaction
from libs.common.errors import Retryable, ScandockError, UserError
from services.gateway import imports, uploads
from services.gateway.answers import IMPORT_HEADER, imported, refusal
from services.gateway.authentication import Caller
from services.gateway.destinations import resolve
from services.gateway.parameters import DESCRIPTIONS, AnswerFormat, Asked, is_body_the_file, merge, read_parameters
from services.gateway.parts import CallerOf, Parts, PartsOf
from services.gateway.waiting import Ending

router = APIRouter(tags=["import"])
IDEMPOTENCY_KEY = "Idempotency-Key"
IDEMPOTENCY_KEY_LENGTH = 255

_API = {
    "parameters": [
        {"name": name, "in": "query", "description": text, "schema": {"type": "string"}}
        for name, text in DESCRIPTIONS.items()
    ]
    + [
        {
            "name": IDEMPOTENCY_KEY,
            "in": "header",
            "schema": {"type": "string"},
            "description": "Repeats join the import",
        },
        {"name": "Prefer", "in": "header", "schema": {"type": "string"}, "description": "`respond-async`: do not wait"},
    ],
    "requestBody": {
        "content": {
            kind: {"schema": {"type": "string", "format": "binary"}}
            for kind in ("application/zip", "application/x-tar", "application/gzip", "application/dicom")
        }
        | {
            "multipart/form-data": {
                "schema": {"type": "object", "properties": {"file": {"type": "string", "format": "binary"}}}
            }
        }
    },
    "responses": {
        "200": {
            "description": "One URI a session, each ended by CRLF",
            "content": {"text/uri-list": {"schema": {"type": "string"}}},
        }
    },
}


@router.post("/data/services/import", summary="Import sessions of images", openapi_extra=_API, response_class=Response)
@router.post("/data/services/import/{name:path}", include_in_schema=False, response_class=Response)
async def post_import(request: Request, parts: PartsOf, caller: CallerOf, name: str = "") -> Response:
    query = dict(request.query_params.multi_items())
    asked = await _authorized(parts, caller.user, query)
    kind = uploads.kind_of(request.headers.get("content-type", ""), is_file=is_body_the_file(query))
    length = _content_length(request, parts.settings.max_upload_bytes)
    await parts.readiness.require_servers()
    import_id = uuid4()
    async with _kept_alive(parts, caller):
        if kind is uploads.BodyKind.FILE and (known := await _known(request, parts, caller.user, asked)):
            await uploads.discard(request.stream())
            return await _answer(request, parts, asked, known)
        try:
            with parts.budget.take(length):
                body = await _receive(request, parts, import_id, kind, name)
            if body.fields:
                asked = await _authorized(parts, caller.user, merge(body.fields, query.items()))
            accepted = await _accept(request, parts, caller.user, asked, import_id, body)
        except (UserError, ClientDisconnect):
            with contextlib.suppress(Retryable):  # of this request alone: nothing is left behind
                await parts.store.delete([_key(import_id)])
            raise
        if accepted.received_at is None:
            await parts.store.delete([_key(import_id)])  # the import that it repeats has the bytes
        return await _answer(request, parts, asked, accepted.import_id)


def _key(import_id: UUID) -> str:
    return f"uploads/{import_id}/source"


async def _authorized(parts: Parts, user: User, values: dict[str, str]) -> Asked:
    asked = read_parameters(values, parts.settings.duplicates)
    async with transaction(parts.engine) as connection:
        destination = await resolve(connection, user, asked.request.destination, asked.id_of)
    request = asked.request.model_copy(update={"destination": destination})
    return replace(asked, request=request)


def _content_length(request: Request, max_bytes: int) -> int | None:
    text = request.headers.get("content-length")
    length = int(text) if text and text.isdecimal() else None
    if max_bytes and length and length > max_bytes:
        raise UserError("limit-upload-bytes", f"The upload is larger than {max_bytes} bytes.")
    return length


def _idempotency_key(request: Request) -> str | None:
    key = request.headers.get(IDEMPOTENCY_KEY.lower(), "")
    if len(key) > IDEMPOTENCY_KEY_LENGTH:
        raise UserError("parameter-invalid", f"{IDEMPOTENCY_KEY} is longer than {IDEMPOTENCY_KEY_LENGTH} characters.")
    return key or None


async def _known(request: Request, parts: Parts, user: User, asked: Asked) -> UUID | None:
    """The import that this request repeats by its `Idempotency-Key`: its body need not be stored again."""
    key = _idempotency_key(request)
    return await imports.find_by_key(parts.engine, user.login, key, asked.request) if key else None


async def _receive(request: Request, parts: Parts, import_id: UUID, kind: uploads.BodyKind, name: str) -> uploads.Body:
    content_type = request.headers.get("content-type", "")
    target = uploads.Target(_key(import_id), uploads.name_of(name, content_type), parts.settings.max_upload_bytes)
    return await uploads.receive(parts.store, target, request.stream(), content_type, kind)


async def _accept(
    request: Request, parts: Parts, user: User, asked: Asked, import_id: UUID, body: uploads.Body
) -> imports.Accepted:
    if body.upload is None:
        raise UserError("no-file", f"{uploads.NO_FILE} {uploads.HOW_TO_SEND}")
    submission = imports.Submission(import_id, user.login, asked.request, body.upload, _idempotency_key(request))
    accepted = await imports.accept(parts.engine, submission)
    telemetry.log().info(
        "import accepted",
        import_id=str(accepted.import_id),
        size_bytes=body.upload.size_bytes,
        is_new=accepted.received_at is not None,
        ignored=list(asked.ignored),
    )
    if accepted.received_at is None:
        return accepted
    with contextlib.suppress(Retryable):  # the sweep tells again what is not confirmed
        messages = imports.told(
            import_id, asked.request, body.upload.size_bytes, accepted.received_at, parts.settings.site_id
        )
        await parts.broker.publish(*messages)
        await imports.mark_told(parts.engine, import_id)
    return accepted


@contextlib.asynccontextmanager
async def _kept_alive(parts: Parts, caller: Caller) -> AsyncIterator[None]:
    """A login does not expire while its upload or the wait for it is going on."""

    async def keep() -> None:
        while True:
            await asyncio.sleep(parts.accounts.timeout.total_seconds() / 3)
            with contextlib.suppress(Retryable):
                await parts.accounts.keep(caller.token)

    keeping = asyncio.create_task(keep())
    try:
        yield
    finally:
        keeping.cancel()


async def _answer(request: Request, parts: Parts, asked: Asked, import_id: UUID) -> Response:
    if "respond-async" in request.headers.get("prefer", ""):
        location = f"/data/services/import/{import_id}"
        headers = {"Location": location, "Preference-Applied": "respond-async", IMPORT_HEADER: str(import_id)}
        return JSONResponse({"id": str(import_id), "status": location}, 202, headers)
    gone = asyncio.create_task(_client_gone(request))
    try:
        ending = await parts.waiting.until_finished(import_id, gone)
    finally:
        gone.cancel()
    if ending is Ending.CLIENT_GONE:
        return Response(status_code=499)  # nobody reads it
    try:
        progress = await imports.progress(parts.engine, import_id)
    except Retryable as error:
        return refusal(request.headers, error, import_id=str(import_id))
    return _told(request, asked.answer, import_id, progress)


def _told(request: Request, answer: AnswerFormat, import_id: UUID, progress: imports.Progress) -> Response:
    error: ScandockError
    match progress.outcome:
        case "completed":
            return imported(progress.uris, answer, str(import_id))
        case "rejected":
            error = UserError(progress.code, progress.detail)
        case "failed":
            error = Retryable("import-failed", f"The import failed on our side ({progress.code}): import {import_id}.")
        case _ if progress.is_routed:
            return imported(progress.prearchive_uris, answer, str(import_id))
        case _:
            error = Retryable("import-unfinished", f"The import goes on, but takes long: import {import_id}.")
    return refusal(request.headers, error, import_id=str(import_id), uris=progress.uris)


async def _client_gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
