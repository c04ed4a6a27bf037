"""Running commands for a request, and its answers (import semantics §9.3, §9.4, §10)."""

from collections.abc import Sequence
from uuid import UUID

from fastapi import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from libs.common.access import User
from libs.common.commands import Command
from libs.common.errors import Retryable, ScandockError
from services.gateway import commands
from services.gateway.answers import COMMAND_HEADER, refusal
from services.gateway.commands import State, Wanted, address_of
from services.gateway.parts import Parts
from services.gateway.places import Session

INITIATED = "Archival initiated"


async def start(
    parts: Parts, user: User, wanted: Sequence[tuple[Session, Command]], listener: str | None = None
) -> list[UUID]:
    """Accept commands for sessions, and tell of them. Raises `UserError` where one cannot be."""
    await parts.readiness.require_servers()
    orders = [Wanted(session.id, command) for session, command in wanted]
    ids = await commands.accept(parts.engine, user.login, orders, listener)
    await commands.tell(parts.engine, parts.broker, ids)
    return ids


async def run(request: Request, parts: Parts, user: User, session: Session, command: Command) -> "State | Response":
    """Run one command to its end: how it stands then, or the answer to what it was refused for."""
    (command_id,) = await start(parts, user, [(session, command)])
    if "respond-async" in request.headers.get("prefer", ""):
        return _accepted(command_id)
    try:
        (state,) = await finish(request, parts, [command_id])
    except Retryable as error:
        return refused(request, error, command_id)
    return refused(request, state.problem, command_id) if state.problem else state


def _accepted(command_id: UUID) -> Response:
    where = address_of(command_id)
    headers = {"Location": where, "Preference-Applied": "respond-async", COMMAND_HEADER: str(command_id)}
    return JSONResponse({"id": str(command_id), "status": where}, 202, headers)


async def finish(request: Request, parts: Parts, ids: Sequence[UUID]) -> list[State]:
    """How commands stand at their end, or when the wait for it is over. Raises `Retryable`."""
    return await commands.wait(parts.engine, parts.waiting, ids, request.is_disconnected)


def refused(request: Request, error: ScandockError, command_id: UUID) -> Response:
    """A command's failure, by its code as an import's."""
    return refusal(request.headers, error, command_id=str(command_id))


def uri_answer(uri: str, state: State, status: int = 200, *, media_type: str = "text/plain") -> Response:
    """One URI, bare; never with a `Location`, which clients would follow (clients §2, §6)."""
    headers = {COMMAND_HEADER: str(state.id), "Content-Type": media_type}
    return Response(f"/data{uri}", status, headers)


def initiated(ids: Sequence[UUID]) -> Response:
    """What a client is told that follows its progress elsewhere (§9.4)."""
    return PlainTextResponse(INITIATED, headers=ids_header(ids))


def ids_header(ids: Sequence[UUID]) -> dict[str, str]:
    """The commands that an answer is of."""
    return {COMMAND_HEADER: ", ".join(map(str, ids))}
