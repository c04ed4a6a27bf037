"""Refreshing catalogs: XNAT's service and its XAPI form (import semantics §9.1, §9.2)."""

from collections.abc import Sequence

from fastapi import APIRouter, Request
from starlette.responses import Response

from libs.common.access import User
from libs.common.commands import Refresh
from libs.common.database import transaction
from libs.common.errors import ScandockError
from libs.common.preferences import load_preferences
from services.gateway.answers import wants_json
from services.gateway.commands import State
from services.gateway.parts import Parts, PartsOf, UserOf
from services.gateway.refresh import Address, Asked, read_array, read_asked, read_operations, report
from services.gateway.refresh_places import find_places
from services.gateway.routes.running import finish, ids_header, refused, start
from services.gateway.routes.shapes import read_document, read_values

router = APIRouter(tags=["archive"])
XAPI = "/xapi/archive/catalogs/refresh"
_SWITCH = "Present, and not `false` or `0`: on."
_PARAMETERS = {
    "resource": "`/archive/projects/P/subjects/S/experiments/E` or another archive URI down to a resource; repeated.",
    "options": "Of `append`, `delete`, `checksum`, `populateStats`, with commas or repeated. None: all.",
    "append": f"Find files that were put into the bucket by hand. {_SWITCH}",
    "delete": f"Remove entries whose object is gone. {_SWITCH}",
    "checksum": f"Make checksums again from the bytes. {_SWITCH}",
    "populateStats": f"Count files and bytes again. {_SWITCH}",
    "format": "`json`: a report of each resource, as with `Accept: application/json`.",
}
_API = {
    "parameters": [
        {"name": name, "in": "query", "description": text, "schema": {"type": "string"}}
        for name, text in _PARAMETERS.items()
    ]
}
_ARRAY = {"requestBody": {"content": {"application/json": {"schema": {"type": "array", "items": {"type": "string"}}}}}}


@router.post("/data/services/refresh/catalog", summary="Compare catalogs with the bucket", openapi_extra=_API)
async def refresh(request: Request, parts: PartsOf, user: UserOf) -> Response:
    pairs = await read_values(request)
    is_json = dict(pairs).get("format", "").lower() == "json" or wants_json(request.headers)
    return await _refresh(request, parts, user, read_asked(pairs), is_json=is_json)


@router.post(XAPI, summary="Compare catalogs with the bucket", openapi_extra=_ARRAY, operation_id="post_all_catalogs")
@router.put(XAPI, summary="Compare catalogs with the bucket", openapi_extra=_ARRAY, operation_id="put_all_catalogs")
async def refresh_all(request: Request, parts: PartsOf, user: UserOf) -> Response:
    asked = Asked(await _addresses(request), frozenset())
    return await _refresh(request, parts, user, asked, is_json=wants_json(request.headers))


@router.post(f"{XAPI}/{{ops}}", summary="The same for some operations", openapi_extra=_ARRAY, operation_id="post_ops")
@router.put(f"{XAPI}/{{ops}}", summary="The same for some operations", openapi_extra=_ARRAY, operation_id="put_ops")
async def refresh_some(request: Request, parts: PartsOf, user: UserOf, ops: str) -> Response:
    """`ops`: with commas, of exactly All, Append, Checksum, Delete, PopulateStats."""
    operations = read_operations(ops)
    asked = Asked(await _addresses(request), operations)
    return await _refresh(request, parts, user, asked, is_json=wants_json(request.headers))


async def _addresses(request: Request) -> Sequence[Address]:
    return read_array(await read_document(request))


async def _refresh(request: Request, parts: Parts, user: User, asked: Asked, *, is_json: bool) -> Response:
    """Nothing is done unless all addresses are good; then all is done, and the first failure is the answer's status."""
    async with transaction(parts.engine) as connection:
        places = await find_places(connection, user, asked.addresses)
        options = asked.options(checksums=(await load_preferences(connection)).checksums)
    wanted = [(place.session, Refresh(folders=place.folders, options=options)) for place in places]
    ids = await start(parts, user, wanted) if wanted else []
    states = await finish(request, parts, ids) if ids else []
    failed = [state for state in states if state.problem is not None]
    if failed:
        return refused(request, _problem(failed), failed[0].id)
    headers = ids_header(ids) if ids else {}
    if not is_json:
        return Response(headers=headers)
    return Response(report(state.result for state in states), headers=headers, media_type="application/json")


def _problem(failed: Sequence[State]) -> ScandockError:
    """The first failure, with the texts of all where there are several."""
    problems = [(state, state.problem) for state in failed if state.problem is not None]
    first = problems[0][1]
    if len(problems) == 1:
        return first
    lines = [f"/archive/experiments/{state.session_id}: {problem.detail}" for state, problem in problems]
    return type(first)(first.code, "\n".join(lines))
