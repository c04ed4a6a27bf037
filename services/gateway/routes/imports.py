"""`POST /data/services/import` (import semantics §1): a body in, the URIs of its sessions out."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from uuid import UUID, uuid4

from fastapi import APIRouter, Request
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, PlainTextResponse, Response

from libs.common import telemetry
from libs.common.access import User
from libs.common.database import transaction
from libs.common.errors import Retryable, ScandockError, UserError
from services.gateway import imports, uploads
from services.gateway.answers import IMPORT_HEADER, imported, refusal, submitted
from services.gateway.authentication import Caller
from services.gateway.destinations import resolve
from services.gateway.documented import IDEMPOTENCY_KEY, IDEMPOTENCY_KEY_LENGTH, OPERATION
from services.gateway.parameters import AnswerFormat, Asked, handler_of, read_parameters
from services.gateway.parts import CallerOf, Parts, PartsOf
from services.gateway.values import is_body_the_file, merge
from services.gateway.waiting import Ending

router = APIRouter(tags=["import"])
MIRC = "application/x-mirc"


@router.post(
    "/data/services/import", summary="Import sessions of images", openapi_extra=OPERATION, response_class=Response
)
@router.post("/data/services/import/{name:path}", include_in_schema=False, response_class=Response)
async def post_import(request: Request, parts: PartsOf, caller: CallerOf, name: str = "") -> Response:
    query = request.query_params.multi_items()
    post = _Post(request, parts, caller.user, _Keys(uuid4()))
    asked = await post.authorized(merge([], query))
    kind = uploads.kind_of(post.content_type, is_file=is_body_the_file(dict(query)))
    length = uploads.content_length(request.headers, parts.settings.max_upload_bytes)
    await parts.readiness.require_servers()
    async with _kept_alive(parts, caller):
        if kind is uploads.BodyKind.FILE and (known := await post.known(asked)):
            await uploads.discard(request.stream())
            return await _answer(request, parts, asked, known)
        try:
            with parts.budget.take(length):
                body = await post.receive(kind, name)
            if body.fields:
                asked = await post.authorized(merge(_fields(kind, body), query))
        except (ScandockError, ClientDisconnect):
            await post.forget()
            raise
        try:
            accepted = await post.accept(asked, body)
        except UserError:  # after any other failure it may be accepted all the same
            await post.forget()
            raise
        if accepted.received_at is None:
            await post.forget()  # the import that it repeats has the bytes
        return await _answer(request, parts, asked, accepted.import_id)


def _fields(kind: uploads.BodyKind, body: uploads.Body) -> tuple[tuple[str, str], ...]:
    if kind is uploads.BodyKind.FORM and any(name == "reference" for name, _ in body.fields):
        raise UserError("parameter-invalid", "reference: a form must hold the file itself, not a reference to it.")
    return body.fields


class _Keys:
    """Where the files of one request go."""

    def __init__(self, import_id: UUID) -> None:
        self.import_id = import_id
        self.given: list[str] = []

    def __call__(self, number: int) -> str:
        self.given.append(f"uploads/{self.import_id}/source" + (f".{number}" if number else ""))
        return self.given[-1]


@dataclass(frozen=True)
class _Post:
    """One request on its way to an import."""

    request: Request
    parts: Parts
    user: User
    keys: _Keys

    @property
    def content_type(self) -> str:
        return self.request.headers.get("content-type", "")

    async def authorized(self, values: Mapping[str, str]) -> Asked:
        settings = self.parts.settings
        handler = handler_of(self.content_type, settings.import_handler)
        asked = read_parameters(values, settings.duplicates, handler)
        async with transaction(self.parts.engine) as connection:
            destination = await resolve(connection, self.user, asked.request.destination, asked.id_of)
        request = asked.request.model_copy(update={"destination": destination})
        return replace(asked, request=request)

    @property
    def idempotency_key(self) -> str | None:
        key = self.request.headers.get(IDEMPOTENCY_KEY.lower(), "")
        if len(key) > IDEMPOTENCY_KEY_LENGTH:
            longest = f"{IDEMPOTENCY_KEY} is longer than {IDEMPOTENCY_KEY_LENGTH} characters."
            raise UserError("parameter-invalid", longest)
        return key or None

    async def known(self, asked: Asked) -> UUID | None:
        """The import that this request repeats by its `Idempotency-Key`: its body need not be stored again."""
        key = self.idempotency_key
        return await imports.find_by_key(self.parts.engine, self.user.login, key, asked.request) if key else None

    async def receive(self, kind: uploads.BodyKind, name: str) -> uploads.Body:
        name = uploads.name_of(name, self.content_type)
        target = uploads.Target(self.keys, name, self.parts.settings.max_upload_bytes)
        return await uploads.receive(self.parts.store, target, self.request.stream(), self.content_type, kind)

    async def forget(self) -> None:
        """Leave nothing of this request's files behind."""
        with contextlib.suppress(Retryable):
            await self.parts.store.delete(self.keys.given)

    async def accept(self, asked: Asked, body: uploads.Body) -> imports.Accepted:
        parts, import_id = self.parts, self.keys.import_id
        submission = imports.Submission(
            import_id,
            self.user.login,
            asked.request,
            body.uploads,
            asked.sources,
            asked.listener,
            self.idempotency_key,
        )
        accepted = await imports.accept(parts.engine, submission)
        size_bytes, is_new = accepted.size_bytes, accepted.received_at is not None
        telemetry.log().info(
            "import accepted",
            import_id=str(accepted.import_id),
            size_bytes=size_bytes,
            is_new=is_new,
            ignored=list(asked.ignored),
        )
        if accepted.received_at is None:
            return accepted
        with contextlib.suppress(Retryable):  # the sweep tells again what is not confirmed
            site_id = parts.settings.site_id
            messages = imports.told(import_id, asked.request, size_bytes, accepted.received_at, site_id)
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
    if asked.listener and asked.sources:
        return submitted(str(import_id), chose_archive=asked.chose_archive)
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
            if request.headers.get("content-type", "").startswith(MIRC):
                return PlainTextResponse("OK", 200, {IMPORT_HEADER: str(import_id)})  # §1.6
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
