"""`/data/workflows`: AutoRun's records alone (import semantics §8)."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from libs.common.database import transaction
from libs.common.errors import UserError
from services.gateway.parts import PartsOf, UserOf
from services.gateway.routes.shapes import asked_of, item, table
from services.gateway.workflows import list_workflows

router = APIRouter(tags=["archive"])
COLUMNS = ("wrk_workflowData_id", "id", "data_type", "ExternalID", "pipeline_name", "launch_time", "status")


@router.get("/data/workflows", summary="AutoRun of a session, by `id` and `pipeline_name`; newest first")
async def workflows(request: Request, parts: PartsOf, user: UserOf) -> Response:
    async with transaction(parts.engine) as connection:
        found = await list_workflows(connection, user, asked_of(request))
    if not found:
        raise UserError("not-found", "There is no such workflow.")
    if request.query_params.get("format", "").lower() in {"csv", "xml"}:
        return table(request, COLUMNS, [each.fields for each in found])
    return item(*found)
