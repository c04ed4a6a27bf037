"""Lists of projects, subjects and experiments (clients §2)."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from libs.common.database import transaction
from services.gateway import listings
from services.gateway.parts import PartsOf, UserOf
from services.gateway.routes.shapes import asked_of, item, table

router = APIRouter(tags=["archive"])


@router.get("/data/projects", summary="The projects that you may read")
async def projects(request: Request, parts: PartsOf, user: UserOf) -> Response:
    asked = asked_of(request)
    async with transaction(parts.engine) as connection:
        rows = await listings.list_projects(connection, user, asked)
    return table(request, listings.project_columns(asked), rows)


@router.get("/data/subjects", summary="All subjects that you may read")
@router.get("/data/projects/{project}/subjects", summary="The subjects of a project")
async def subjects(request: Request, parts: PartsOf, user: UserOf) -> Response:
    async with transaction(parts.engine) as connection:
        rows = await listings.list_subjects(connection, user, request.path_params, asked_of(request))
    return table(request, listings.SUBJECT_COLUMNS, rows)


@router.get("/data/subjects/{subject}", summary="A subject, by ID")
@router.get("/data/projects/{project}/subjects/{subject}", summary="A subject, by label or ID")
async def subject(request: Request, parts: PartsOf, user: UserOf) -> Response:
    async with transaction(parts.engine) as connection:
        return item(await listings.find_subject(connection, user, request.path_params))


@router.get("/data/experiments", summary="All sessions that you may read")
@router.get("/data/projects/{project}/experiments", summary="The sessions of a project")
@router.get("/data/subjects/{subject}/experiments", summary="The sessions of a subject")
@router.get("/data/projects/{project}/subjects/{subject}/experiments", summary="The sessions of a subject")
async def experiments(request: Request, parts: PartsOf, user: UserOf) -> Response:
    asked = asked_of(request)
    columns = listings.experiment_columns(asked)
    async with transaction(parts.engine) as connection:
        found = await listings.list_sessions(connection, user, request.path_params, asked)
    return table(request, columns, [listings.experiment_row(session, columns) for session in found])
