"""`POST /data/services/archive` and its neighbours, and deleting what is archived (import semantics §9.3, §9.4)."""

from collections.abc import Sequence

from fastapi import APIRouter, Request
from starlette.responses import Response

from libs.common.access import Action, User
from libs.common.commands import Archive, Build, Command, Delete, Move, Validate
from libs.common.database import transaction
from libs.common.errors import UserError
from services.gateway.answers import COMMAND_HEADER
from services.gateway.archiving import find_destination, resolve_archiving
from services.gateway.command_parameters import LISTENER, read_listener, read_sources
from services.gateway.commands import State
from services.gateway.listings import is_true
from services.gateway.parts import Parts, PartsOf, UserOf
from services.gateway.places import Session, find_entry, find_session, find_sessions, require
from services.gateway.prearchive import COLUMNS, affected_row, entry_rows
from services.gateway.routes.contents import ARCHIVED
from services.gateway.routes.running import finish, ids_header, initiated, refused, run, start, uri_answer
from services.gateway.routes.shapes import read_values, table

router = APIRouter(tags=["archive"])
AFFECTED = (*COLUMNS, "uri", "message")
LINES = ("code", "type", "message")
_SOURCE = {
    "src": "`/prearchive/projects/P/timestamp/folder`; repeated, or several separated by commas.",
    "project": "With `PREARC_TIMESTAMP` and `PREARC_SESSION_FOLDER`, instead of `src`.",
}
_ARCHIVE = {
    **_SOURCE,
    "dest": "`/archive/projects/P/subjects/S/experiments/E`, for one session.",
    "subject": "Label of the subject, for one session.",
    "session": "Label of the session, for one session.",
    "overwrite": "`none`, `append` or `delete`, as for an import.",
    "overwrite_files": "`true`: replace matching files without the rest of `delete`.",
    "redirect": "`true`: 303 to the archived session.",
    LISTENER: "Answer at once; progress is at `/data/status/{id}`.",
}


def _api(parameters: dict[str, str]) -> dict[str, object]:
    return {
        "parameters": [
            {"name": name, "in": "query", "description": text, "schema": {"type": "string"}}
            for name, text in parameters.items()
        ]
    }


@router.post("/data/services/archive", summary="Archive prearchive entries", openapi_extra=_api(_ARCHIVE))
async def archive(request: Request, parts: PartsOf, user: UserOf) -> Response:
    pairs = await read_values(request)
    values, found = dict(pairs), await _sources(parts, user, pairs)
    wanted = [(entry, await _archiving(parts, user, values, entry)) for entry in found]
    if len(wanted) > 1 and any(command.session or command.subject for _, command in wanted):
        raise UserError("parameter-invalid", "dest, subject and session name one session: send one src with them.")
    listener = read_listener(values)
    if listener is not None:
        return initiated(await start(parts, user, wanted, listener))
    if len(wanted) > 1:
        return await _run_all(request, parts, user, wanted)
    ended = await run(request, parts, user, *wanted[0])
    if isinstance(ended, Response):
        return ended
    return _archived(ended, is_redirect=is_true(values, "redirect"))


async def _archiving(parts: Parts, user: User, values: dict[str, str], entry: Session) -> Archive:
    if entry.project is None:
        raise UserError("no-project", "Cannot archive sessions from the Unassigned folder. Move it to a project first.")
    return (await resolve_archiving(parts, user, values, entry)).archive


def _archived(ended: State, *, is_redirect: bool) -> Response:
    if is_redirect:
        answer = uri_answer(ended.result.uri, ended, 303)
        answer.headers["Location"] = f"/data{ended.result.uri}"
        return answer
    headers = {COMMAND_HEADER: str(ended.id), "Content-Type": "text/uri-list"}
    return Response(f"/data{ended.result.uri}\r\n", 200, headers)


@router.post("/data/services/prearchive/move", summary="Move entries to `newProject`", openapi_extra=_api(_SOURCE))
async def move(request: Request, parts: PartsOf, user: UserOf) -> Response:
    pairs = await read_values(request)
    target = await find_destination(parts, user, dict(pairs))
    return await _each(request, parts, user, pairs, Move(project=target))


@router.post("/data/services/prearchive/delete", summary="Take entries away", openapi_extra=_api(_SOURCE))
async def delete(request: Request, parts: PartsOf, user: UserOf) -> Response:
    return await _each(request, parts, user, await read_values(request), Delete())


@router.post("/data/services/prearchive/rebuild", summary="Build entries again", openapi_extra=_api(_SOURCE))
async def rebuild(request: Request, parts: PartsOf, user: UserOf) -> Response:
    return await _each(request, parts, user, await read_values(request), Build())


async def _each(request: Request, parts: Parts, user: User, pairs: list[tuple[str, str]], command: Command) -> Response:
    """The same for each entry; `async=true` does not wait for it."""
    wanted = [(entry, command) for entry in await _sources(parts, user, pairs)]
    if not is_true(dict(pairs), "async"):
        return await _run_all(request, parts, user, wanted)
    ids = await start(parts, user, wanted)
    async with transaction(parts.engine) as connection:
        rows = await entry_rows(connection, [entry for entry, _ in wanted])
    answer = table(request, COLUMNS, rows)
    answer.headers.update(ids_header(ids))
    return answer


async def _sources(parts: Parts, user: User, pairs: list[tuple[str, str]]) -> list[Session]:
    """The entries that are named; all must be there and the user's to change."""
    addresses = read_sources(pairs)
    async with transaction(parts.engine) as connection:
        return [await find_entry(connection, user, address) for address in addresses]


async def _run_all(request: Request, parts: Parts, user: User, wanted: Sequence[tuple[Session, Command]]) -> Response:
    """A table of the entries, each with its status and what it failed for; the failure itself where it is the only."""
    ids = await start(parts, user, wanted)
    states = await finish(request, parts, ids)
    if len(states) == 1 and states[0].problem is not None:
        return refused(request, states[0].problem, states[0].id)
    async with transaction(parts.engine) as connection:
        now = await find_sessions(connection, [entry.id for entry, _ in wanted])
        rows = await entry_rows(connection, [now[entry.id] for entry, _ in wanted])
    answer = table(request, AFFECTED, [affected_row(row, state) for row, state in zip(rows, states, strict=True)])
    answer.headers.update(ids_header(ids))
    return answer


@router.post("/data/services/validate-archive", summary="What would stop archiving", openapi_extra=_api(_ARCHIVE))
async def validate(request: Request, parts: PartsOf, user: UserOf) -> Response:
    pairs = await read_values(request)
    values, found = dict(pairs), await _sources(parts, user, pairs)
    wanted: list[tuple[Session, Command]] = [
        (entry, Validate(archive=(await resolve_archiving(parts, user, values, entry)).archive)) for entry in found
    ]
    ids = await start(parts, user, wanted)
    states = await finish(request, parts, ids)
    for state in states:
        if state.problem is not None:
            return refused(request, state.problem, state.id)
    lines = [line for state in states for line in state.result.lines]
    rows = [{"code": str(line.code), "type": line.type, "message": line.message} for line in lines]
    answer = table(request, LINES, rows)
    answer.headers.update(ids_header(ids))
    return answer


async def delete_archived(request: Request, parts: PartsOf, user: UserOf) -> Response:
    """Take an archived session away, as owners may; it can be restored for a while. `removeFiles` changes nothing."""
    async with transaction(parts.engine) as connection:
        found = require(user, Action.ADMINISTER, await find_session(connection, user, request.path_params))
    ended = await run(request, parts, user, found, Delete())
    return ended if isinstance(ended, Response) else Response(headers=ids_header([ended.id]))


for _number, _address in enumerate(ARCHIVED):
    router.delete(_address, summary="Delete an archived session", include_in_schema=_number == 0)(delete_archived)
