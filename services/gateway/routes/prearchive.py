"""The prearchive's entries: listed, and what can be done with one (import semantics §9.4)."""

from collections.abc import Mapping

from fastapi import APIRouter, Request
from starlette.responses import PlainTextResponse, Response

from libs.common.access import Action, User, may_read_unassigned
from libs.common.commands import Command, Delete, Move, SetStatus
from libs.common.database import transaction
from libs.common.errors import UserError
from libs.common.names import UNASSIGNED
from services.gateway.answers import COMMAND_HEADER
from services.gateway.archiving import find_destination, resolve_archiving
from services.gateway.command_parameters import read_build, read_commit, read_listener, read_status
from services.gateway.destinations import find_project
from services.gateway.logs import COLUMNS as LOG_COLUMNS
from services.gateway.logs import list_logs
from services.gateway.parts import Parts, PartsOf, UserOf
from services.gateway.places import Session, find_entry
from services.gateway.prearchive import COLUMNS, entry_rows, list_entries
from services.gateway.routes.running import initiated, run, start, uri_answer
from services.gateway.routes.shapes import asked_of, read_values, table

router = APIRouter(tags=["prearchive"])
ENTRY = "/data/prearchive/projects/{project}/{timestamp}/{folder}"
ACTIONS = ("build", "commit", "move", "set-status", "reset-status")
URI_LIST = "text/uri-list"


@router.get("/data/prearchive", summary="All entries that you may read")
@router.get("/data/prearchive/projects", summary="All entries that you may read")
@router.get("/data/prearchive/projects/{project}", summary="The entries of a project, or of several: `P,Q`")
async def entries(request: Request, parts: PartsOf, user: UserOf, project: str = "") -> Response:
    names = [name for name in project.split(",") if name]
    async with transaction(parts.engine) as connection:
        for name in names:
            if name.lower() == UNASSIGNED.lower():
                _require_unassigned(user)
            else:
                await find_project(connection, user, name, Action.READ)
        found = await list_entries(connection, user, names, asked_of(request))
        rows = await entry_rows(connection, found)
    return table(request, COLUMNS, rows)


def _require_unassigned(user: User) -> None:
    if not may_read_unassigned(user):
        raise UserError("forbidden", "Sessions without a project are for administrators.")


_ACTION_API = {
    "parameters": [
        {"name": name, "in": "query", "description": text, "schema": {"type": "string"}}
        for name, text in {
            "action": f"One of {', '.join(ACTIONS)}; `rebuild` means `build`.",
            "newProject": "With `move`: the project to move to, or `Unassigned`.",
            "status": "With `set-status`: RECEIVING, READY, CONFLICT or ERROR.",
            "AA": "With `commit`: `true` archives, `false` does not; absent, the entry or its project decides.",
            "http-session-listener": "With `commit`: answer at once; progress is at `/data/status/{id}`.",
        }.items()
    ],
    "responses": {"301": {"description": "Moved or archived: the body is the new URI; there is no `Location`"}},
}


@router.post(ENTRY, summary="Build, commit, move an entry, or set its status", openapi_extra=_ACTION_API)
async def act(request: Request, parts: PartsOf, user: UserOf) -> Response:
    values = dict(await read_values(request))
    action = values.get("action", "").strip().lower()
    async with transaction(parts.engine) as connection:
        entry = await find_entry(connection, user, request.path_params)
    match action:
        case "build" | "rebuild":
            asked = await resolve_archiving(parts, user, values)
            return await _run(request, parts, user, entry, read_build(asked))
        case "commit":
            return await _commit(request, parts, user, entry, values)
        case "move":
            move = Move(project=await find_destination(parts, user, values))
            return await _run(request, parts, user, entry, move, status=301)
        case "set-status":
            return await _run(request, parts, user, entry, read_status(values))
        case "reset-status":
            return await _run(request, parts, user, entry, SetStatus(status="READY"))
    raise UserError("parameter-invalid", f"action must be one of {', '.join(ACTIONS)}.")


async def _run(
    request: Request, parts: Parts, user: User, entry: Session, command: Command, *, status: int = 200
) -> Response:
    ended = await run(request, parts, user, entry, command)
    if isinstance(ended, Response):
        return ended
    return uri_answer(ended.result.uri or entry.prearchive_uri, ended, status)


async def _commit(request: Request, parts: Parts, user: User, entry: Session, values: Mapping[str, str]) -> Response:
    """200 and the entry's URI if it stays, 301 and the archived session's if it does not (clients §6)."""
    command = read_commit(await resolve_archiving(parts, user, values, entry))
    listener = read_listener(values)
    if listener is not None:
        return initiated(await start(parts, user, [(entry, command)], listener))
    ended = await run(request, parts, user, entry, command)
    if isinstance(ended, Response):
        return ended
    uri = ended.result.uri or entry.prearchive_uri
    return uri_answer(uri, ended, 301 if uri.startswith("/archive/") else 200, media_type=URI_LIST)


@router.delete(ENTRY, summary="Take an entry away; it can be restored for a while")
async def delete(request: Request, parts: PartsOf, user: UserOf) -> Response:
    async with transaction(parts.engine) as connection:
        entry = await find_entry(connection, user, request.path_params)
    ended = await run(request, parts, user, entry, Delete())
    return ended if isinstance(ended, Response) else Response(headers={COMMAND_HEADER: str(ended.id)})


@router.get(f"{ENTRY}/logs", summary="What has failed with an entry, oldest first")
async def logs(request: Request, parts: PartsOf, user: UserOf) -> Response:
    async with transaction(parts.engine) as connection:
        found = await list_logs(connection, user, request.path_params)
    return table(request, LOG_COLUMNS, found)


@router.get(f"{ENTRY}/logs/last", summary="The last failure of an entry, as text")
async def last_log(request: Request, parts: PartsOf, user: UserOf) -> Response:
    async with transaction(parts.engine) as connection:
        found = await list_logs(connection, user, request.path_params)
    last = found[-1] if found else {"time": "", "code": "", "message": ""}
    return PlainTextResponse(" ".join(text for text in (last["time"], last["code"], last["message"]) if text))
