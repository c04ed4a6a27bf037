"""XNAT's config service under `/data/config` and `/data/projects/{P}/config` (clients §6)."""

from collections.abc import Sequence

from fastapi import APIRouter, Request
from starlette.responses import PlainTextResponse, Response

from libs.common.access import Action, User
from libs.common.configs import Place
from libs.common.database import transaction
from libs.common.errors import UserError
from services.gateway.config import COLUMNS, Change, Version, history, list_tools, newest, put
from services.gateway.destinations import find_project
from services.gateway.parts import Parts, PartsOf, UserOf
from services.gateway.routes.shapes import asked_of, read_document, table

router = APIRouter(tags=["config"])
_TRUE = "true"
_NO = frozenset({"false", "0"})


@router.get("/data/config", summary="The tools that have a text for the site")
async def get_tools(request: Request, parts: PartsOf, user: UserOf) -> Response:
    return await _answer_tools(request, parts, None)


@router.get("/data/projects/{project}/config", summary="The tools that have a text for a project")
async def get_project_tools(request: Request, parts: PartsOf, user: UserOf, project: str) -> Response:
    return await _answer_tools(request, parts, await _find(parts, user, project, Action.READ))


async def _answer_tools(request: Request, parts: Parts, project: str | None) -> Response:
    async with transaction(parts.engine) as connection:
        tools = await list_tools(connection, project)
    return table(request, ("tool",), [{"tool": tool} for tool in tools])


@router.get("/data/config/{tool}", summary="Every text of a tool for the site")
async def get_tool(request: Request, parts: PartsOf, user: UserOf, tool: str) -> Response:
    return await _answer(request, parts, None, tool, None)


@router.get("/data/projects/{project}/config/{tool}", summary="Every text of a tool for a project")
async def get_project_tool(request: Request, parts: PartsOf, user: UserOf, project: str, tool: str) -> Response:
    return await _answer(request, parts, await _find(parts, user, project, Action.READ), tool, None)


@router.get("/data/config/{tool}/{path:path}", summary="A text of the site: the table, or `contents=true`")
async def get_config(request: Request, parts: PartsOf, user: UserOf, tool: str, path: str) -> Response:
    return await _answer(request, parts, None, tool, path)


@router.get("/data/projects/{project}/config/{tool}/{path:path}", summary="A text of a project")
async def get_project_config(
    request: Request, parts: PartsOf, user: UserOf, project: str, tool: str, path: str
) -> Response:
    return await _answer(request, parts, await _find(parts, user, project, Action.READ), tool, path)


async def _answer(request: Request, parts: Parts, project: str | None, tool: str, path: str | None) -> Response:
    """The table of the newest versions, of all (`action=getHistory`) or of one (`version`); or the bare contents."""
    asked = asked_of(request)
    async with transaction(parts.engine) as connection:
        if path is not None and (asked.get("action") == "getHistory" or "version" in asked):
            found = await history(connection, Place(project, tool, path))
        else:
            found = await newest(connection, project, tool, path)
    if "version" in asked:
        found = _of_version(found, asked["version"])
    if not found:
        return _answer_nothing(asked.get("accept-not-found", ""))
    wants_meta = asked.get("meta") == _TRUE
    if asked.get("contents") == _TRUE and not wants_meta and len(found) == 1:
        return PlainTextResponse(found[0].contents)
    columns = [column for column in COLUMNS if column != "contents" or not wants_meta or asked.get("contents") == _TRUE]
    rows = [version.row() for version in found]
    return table(request, columns, [{column: row[column] for column in columns} for row in rows])


def _of_version(found: Sequence[Version], number: str) -> list[Version]:
    if not (number.isascii() and number.isdigit() and len(number) < 10):
        raise UserError("parameter-invalid", "version must be a number, such as 1.")
    return [version for version in found if version.number == int(number)]


def _answer_nothing(accept: str) -> Response:
    if accept and accept not in _NO:
        return PlainTextResponse("")
    raise UserError("not-found", "Nothing is set there. With accept-not-found=true the answer is empty instead.")


_CONTENTS = {"text/plain": {"schema": {"type": "string"}}, "application/json": {"schema": {}}}
_API = {"requestBody": {"description": "The contents.", "content": _CONTENTS}}


@router.put(
    "/data/config/{tool}/{path:path}",
    summary="Set a text of the site, or its `status`; for administrators",
    openapi_extra=_API,
)
async def put_config(request: Request, parts: PartsOf, user: UserOf, tool: str, path: str) -> Response:
    if not user.admin:
        raise UserError("forbidden", "This is for administrators.")
    return await _put(request, parts, user, Place(None, tool, path))


@router.put(
    "/data/projects/{project}/config/{tool}/{path:path}",
    summary="Set a text of a project, or its `status`; for owners",
    openapi_extra=_API,
)
async def put_project_config(
    request: Request, parts: PartsOf, user: UserOf, project: str, tool: str, path: str
) -> Response:
    name = await _find(parts, user, project, Action.ADMINISTER)
    return await _put(request, parts, user, Place(name, tool, path))


async def _put(request: Request, parts: Parts, user: User, place: Place) -> Response:
    """201 for the first version, 200 for a further one."""
    if not place.path:
        raise UserError("parameter-invalid", "Name tool and path: /data/config/{tool}/{path}.")
    change = await _read_change(request)
    async with transaction(parts.engine) as connection:
        is_first = await put(connection, user, place, change)
    return Response(status_code=201 if is_first else 200)


async def _read_change(request: Request) -> Change:
    asked = asked_of(request)
    status = asked.get("status")
    if status not in {None, "enabled", "disabled"}:
        raise UserError("parameter-invalid", "status must be enabled or disabled.")
    if request.headers.get("content-type", "").startswith("multipart/"):
        raise UserError("parameter-invalid", "Send the contents as the body itself, as text/plain with inbody=true.")
    body = await read_document(request)
    try:
        contents = body.decode()
    except UnicodeDecodeError as error:
        raise UserError("config-invalid", "The contents must be text in UTF-8.") from error
    enabled = None if status is None else status == "enabled"
    return Change(contents if body or status is None else None, enabled, asked.get("reason", ""))


async def _find(parts: Parts, user: User, project: str, action: Action) -> str:
    async with transaction(parts.engine) as connection:
        return await find_project(connection, user, project, action)
