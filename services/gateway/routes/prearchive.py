"""The prearchive's entries (import semantics §9.4)."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from libs.common.access import Action, User, may_read_unassigned
from libs.common.database import transaction
from libs.common.errors import UserError
from libs.common.names import UNASSIGNED
from services.gateway.destinations import find_project
from services.gateway.parts import PartsOf, UserOf
from services.gateway.prearchive import COLUMNS, entry_row, list_entries
from services.gateway.routes.shapes import asked_of, table

router = APIRouter(tags=["prearchive"])


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
    return table(request, COLUMNS, [entry_row(session) for session in found])


def _require_unassigned(user: User) -> None:
    if not may_read_unassigned(user):
        raise UserError("forbidden", "Sessions without a project are for administrators.")
