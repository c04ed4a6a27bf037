"""One project: its description, settings and people."""

from fastapi import APIRouter, Request
from starlette.responses import PlainTextResponse, Response

from libs.cli.accounts import set_role
from libs.common.access import Action, User
from libs.common.database import transaction
from services.gateway import projects
from services.gateway.destinations import find_project
from services.gateway.parts import Parts, PartsOf, UserOf
from services.gateway.routes.shapes import asked_of, item, read_document, table

router = APIRouter(tags=["projects"])


@router.get("/data/projects/{project}", summary="A project")
async def get_project(parts: PartsOf, user: UserOf, project: str) -> Response:
    async with transaction(parts.engine) as connection:
        return item(await projects.project_item(connection, user, project))


@router.put("/data/projects/{project}", summary="Make or change a project: XML, or name, description, secondary_ID")
async def put_project(request: Request, parts: PartsOf, user: UserOf, project: str) -> Response:
    said = await _read_description(request)
    async with transaction(parts.engine) as connection:
        is_new = await projects.put_project(connection, user, project, said)
    return PlainTextResponse(project, 201 if is_new else 200)


async def _read_description(request: Request) -> projects.Description:
    body = await read_document(request)
    if body.lstrip().startswith(b"<"):
        return projects.parse_document(body)
    asked = {name.removeprefix("xnat:projectData/"): value for name, value in asked_of(request).items()}
    aliases = tuple(alias.strip() for alias in asked.get("alias", "").split(",") if alias.strip())
    return projects.Description(asked.get("name"), asked.get("secondary_ID"), asked.get("description"), aliases)


@router.get("/data/projects/{project}/accessibility", summary="public, protected or private")
@router.get("/data/projects/{project}/prearchive_code", summary="0, 4 or 5")
@router.get("/data/projects/{project}/quarantine_code", summary="0 or 1")
async def get_setting(request: Request, parts: PartsOf, user: UserOf, project: str) -> Response:
    setting = request.url.path.rstrip("/").rsplit("/", 1)[-1]
    async with transaction(parts.engine) as connection:
        return PlainTextResponse(await projects.read_setting(connection, user, project, setting))


@router.put("/data/projects/{project}/accessibility/{value}", summary="public, protected or private")
@router.put("/data/projects/{project}/prearchive_code/{value}", summary="0, 4 or 5")
@router.put("/data/projects/{project}/quarantine_code/{value}", summary="0 or 1")
async def put_setting(request: Request, parts: PartsOf, user: UserOf, project: str, value: str) -> Response:
    setting = request.url.path.rstrip("/").rsplit("/", 2)[-2]
    async with transaction(parts.engine) as connection:
        await projects.write_setting(connection, user, project, setting, value)
    return Response()


@router.get("/data/projects/{project}/users", summary="Who belongs to a project")
async def get_members(request: Request, parts: PartsOf, user: UserOf, project: str) -> Response:
    async with transaction(parts.engine) as connection:
        return table(request, projects.USER_COLUMNS, await projects.list_members(connection, user, project))


@router.put("/data/projects/{project}/users/{group}/{login}", summary="Give a role: Owners, Members, Collaborators")
async def put_member(request: Request, parts: PartsOf, user: UserOf, project: str, group: str, login: str) -> Response:
    name = await _administered(parts, user, project)
    await set_role(parts.engine, name, login, projects.read_group(group, name))
    return await get_members(request, parts, user, name)


@router.delete("/data/projects/{project}/users/{group}/{login}", summary="Take a role away")
async def delete_member(
    request: Request, parts: PartsOf, user: UserOf, project: str, group: str, login: str
) -> Response:
    name = await _administered(parts, user, project)
    projects.read_group(group, name)
    await set_role(parts.engine, name, login, None)
    return await get_members(request, parts, user, name) if login != user.login or user.admin else Response()


async def _administered(parts: Parts, user: User, project: str) -> str:
    async with transaction(parts.engine) as connection:
        return await find_project(connection, user, project, Action.ADMINISTER)
