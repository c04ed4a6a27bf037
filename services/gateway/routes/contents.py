"""What a session holds, under each of its addresses: in the archive and in the prearchive."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.responses import Response, StreamingResponse

from libs.common.assessor_rows import load_assessors
from libs.common.assessor_xml import render_assessor
from libs.common.database import transaction
from libs.common.names import session_xml_key
from services.gateway import contents, rows
from services.gateway.assessors import COLUMNS as ASSESSORS
from services.gateway.assessors import assessor_item, assessor_row, find_assessor, list_assessors
from services.gateway.contents import OWN, File, Holder, Resource
from services.gateway.downloads import XML, Content, document, download, media_type_of, zipped
from services.gateway.parts import Parts, PartsOf, UserOf
from services.gateway.places import Session, find_session
from services.gateway.prearchive import COLUMNS, entry_rows
from services.gateway.routes.shapes import item, table, wants_xml

ARCHIVED = (
    "/data/experiments/{session}",
    "/data/projects/{project}/experiments/{session}",
    "/data/subjects/{subject}/experiments/{session}",
    "/data/projects/{project}/subjects/{subject}/experiments/{session}",
)
PREARCHIVED = "/data/prearchive/projects/{project}/{timestamp}/{folder}"

router = APIRouter()


async def _holder(scan: str | None = None, assessor: str | None = None) -> Holder:
    return Holder(scan, assessor)


HolderOf = Annotated[Holder, Depends(_holder)]


@router.head("", include_in_schema=False)
@router.get("", summary="The session: its XML, or its item; in the prearchive its row; `format=zip` its files")
async def session(request: Request, parts: PartsOf, user: UserOf) -> Response:
    async with transaction(parts.engine) as connection:
        found = await find_session(connection, user, request.path_params)
        scans = await contents.list_scans(connection, found)
        listed = await _all_files(connection, found) if _is(request, "zip") else []
        entries = [] if found.is_archived else await entry_rows(connection, [found])
    if _is(request, "zip"):
        return _zip(parts, found, listed)
    if wants_xml(request, default=not found.is_archived and not _is(request, "csv")):
        return await document(parts.store, session_xml_key(found.prefix), is_head=request.method == "HEAD")
    if found.is_archived:
        return item(rows.session_item(found, scans))
    return table(request, COLUMNS, entries)


def _is(request: Request, format_name: str) -> bool:
    return request.query_params.get("format", "").lower() == format_name


async def _all_files(connection: AsyncConnection, found: Session) -> list[File]:
    holders = (Holder(scan="ALL"), OWN, Holder(assessor="ALL"))
    return await contents.list_files(
        connection, [one for holder in holders for one in await contents.list_resources(connection, found, holder)]
    )


@router.get("/projects", summary="The project of a session")
async def projects(request: Request, parts: PartsOf, user: UserOf) -> Response:
    async with transaction(parts.engine) as connection:
        found = await find_session(connection, user, request.path_params)
    name = found.project or ""
    return table(request, ("ID", "name"), [{"ID": name, "name": name}] if name else [])


@router.get("/scans", summary="The scans of a session")
async def scans(request: Request, parts: PartsOf, user: UserOf) -> Response:
    wanted = {name for name in request.query_params.get("xsiType", "").split(",") if name}
    async with transaction(parts.engine) as connection:
        found = await find_session(connection, user, request.path_params)
        listed = await contents.list_scans(connection, found)
    lines = [rows.scan_row(found, scan) for scan in listed if not wanted or scan.xsi_type in wanted]
    return table(request, rows.scan_columns(found), lines)


@router.get("/scans/{scan}", summary="One scan")
async def scan(request: Request, parts: PartsOf, user: UserOf, scan: str) -> Response:
    async with transaction(parts.engine) as connection:
        found = await find_session(connection, user, request.path_params)
        return item(rows.scan_item(found, await contents.find_scan(connection, found, scan)))


@router.get("/assessors", summary="The assessors of a session")
async def assessors(request: Request, parts: PartsOf, user: UserOf) -> Response:
    wanted = {name for name in request.query_params.get("xsiType", "").split(",") if name}
    async with transaction(parts.engine) as connection:
        found = await find_session(connection, user, request.path_params)
        listed = await list_assessors(connection, found)
    lines = [assessor_row(found, one) for one in listed if not wanted or one.xsi_type in wanted]
    return table(request, ASSESSORS, lines)


@router.get("/assessors/{assessor}", summary="One assessor: its XML, or its item")
async def assessor(request: Request, parts: PartsOf, user: UserOf, assessor: str) -> Response:
    async with transaction(parts.engine) as connection:
        found = await find_session(connection, user, request.path_params)
        one = await find_assessor(connection, found, assessor)
        root = f"s3://{parts.settings.s3_bucket}/{found.prefix}" if found.is_archived else ""
        shown = await load_assessors(connection, found.id, found.project or "", root, one.id)
    if wants_xml(request, default=not found.is_archived):
        return Response(b"".join(map(render_assessor, shown)), headers={"Content-Type": XML})
    return item(assessor_item(found, one))


@router.get("/resources", summary="The resources of the session itself")
@router.get("/scans/{scan}/resources", summary="The resources of a scan, of `ALL`, or of a comma list")
@router.get("/assessors/{assessor}/resources", summary="The resources of an assessor")
@router.get("/assessors/{assessor}/out/resources", summary="The same")
async def resources(request: Request, parts: PartsOf, user: UserOf, of: HolderOf) -> Response:
    async with transaction(parts.engine) as connection:
        found = await find_session(connection, user, request.path_params)
        listed = await contents.list_resources(connection, found, of)
    return table(request, rows.resource_columns(found), [rows.resource_row(found, each) for each in listed])


@router.head("/resources/{resource}", include_in_schema=False)
@router.get("/resources/{resource}", summary="A resource's catalog XML, or its item")
@router.head("/scans/{scan}/resources/{resource}", include_in_schema=False)
@router.get("/scans/{scan}/resources/{resource}", summary="A resource's catalog XML, or its item")
@router.get("/assessors/{assessor}/resources/{resource}", summary="A resource's catalog XML, or its item")
@router.get("/assessors/{assessor}/out/resources/{resource}", summary="The same")
async def resource(
    request: Request,
    parts: PartsOf,
    user: UserOf,
    resource: str,
    of: HolderOf,
) -> Response:
    async with transaction(parts.engine) as connection:
        found = await find_session(connection, user, request.path_params)
        one = await contents.find_resource(connection, found, of, resource)
    if wants_xml(request, default=True):
        return await document(parts.store, one.catalog_key(found), is_head=request.method == "HEAD")
    return item(rows.resource_item(found, one))


@router.get("/files", summary="The files of the session's own resources; `format=zip` for the files themselves")
@router.get("/resources/{resource}/files", summary="The files of a resource")
@router.get("/scans/{scan}/files", summary="The files of a scan, of `ALL`, or of a comma list")
@router.get("/scans/{scan}/resources/{resource}/files", summary="The files of a resource")
@router.get("/assessors/{assessor}/files", summary="The files of an assessor")
@router.get("/assessors/{assessor}/out/files", summary="The same")
@router.get("/assessors/{assessor}/resources/{resource}/files", summary="The files of a resource")
@router.get("/assessors/{assessor}/out/resources/{resource}/files", summary="The same")
async def files(
    request: Request,
    parts: PartsOf,
    user: UserOf,
    of: HolderOf,
    resource: str | None = None,
) -> Response:
    async with transaction(parts.engine) as connection:
        found = await find_session(connection, user, request.path_params)
        listed = await contents.list_files(connection, await _resources(connection, found, of, resource))
    if _is(request, "zip"):
        return _zip(parts, found, listed)
    return table(request, rows.file_columns(found), [rows.file_row(found, file) for file in listed])


@router.head("/files/{name:path}", include_in_schema=False)
@router.get("/files/{name:path}", summary="A file")
@router.head("/resources/{resource}/files/{name:path}", include_in_schema=False)
@router.get("/resources/{resource}/files/{name:path}", summary="A file")
@router.head("/scans/{scan}/files/{name:path}", include_in_schema=False)
@router.get("/scans/{scan}/files/{name:path}", summary="A file")
@router.head("/scans/{scan}/resources/{resource}/files/{name:path}", include_in_schema=False)
@router.get("/scans/{scan}/resources/{resource}/files/{name:path}", summary="A file, or a range")
@router.head("/assessors/{assessor}/resources/{resource}/files/{name:path}", include_in_schema=False)
@router.get("/assessors/{assessor}/resources/{resource}/files/{name:path}", summary="A file, or a range")
@router.head("/assessors/{assessor}/out/resources/{resource}/files/{name:path}", include_in_schema=False)
@router.get("/assessors/{assessor}/out/resources/{resource}/files/{name:path}", summary="The same")
async def file(
    request: Request,
    parts: PartsOf,
    user: UserOf,
    name: str,
    of: HolderOf,
    resource: str | None = None,
) -> Response:
    async with transaction(parts.engine) as connection:
        found = await find_session(connection, user, request.path_params)
        one = await contents.find_file(connection, await _resources(connection, found, of, resource), name)
    media_type = media_type_of(one.name, one.resource.format)
    content = Content(one.key, one.name, one.size_bytes, one.md5, media_type)
    return await download(parts.store, content, request.headers, is_head=request.method == "HEAD")


async def _resources(
    connection: AsyncConnection, found: Session, of: Holder, resource: str | None
) -> Sequence[Resource]:
    if resource is None:
        return await contents.list_resources(connection, found, of)
    return [await contents.find_resource(connection, found, of, resource)]


def _zip(parts: Parts, found: Session, listed: Sequence[File]) -> Response:
    packed = [Content(file.key, rows.zip_path(found, file), file.size_bytes) for file in listed]
    name = {"Content-Disposition": 'attachment; filename="files.zip"'}
    return StreamingResponse(zipped(parts.store, packed), headers=name, media_type="application/zip")
