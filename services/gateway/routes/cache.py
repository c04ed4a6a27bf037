"""`/data/user/cache/resources`: each user's own files, for `src` of an import (import semantics §1.3)."""

from urllib.parse import quote

from fastapi import APIRouter, Request
from starlette.responses import Response

from libs.common.database import transaction
from libs.common.errors import UserError
from services.gateway import cache, uploads
from services.gateway.downloads import Content, download, media_type_of
from services.gateway.parts import Parts, PartsOf, UserOf
from services.gateway.routes.shapes import table

router = APIRouter(tags=["user cache"])
FILES = cache.URI + "/{resource}/files"
_BODY = {
    "requestBody": {
        "content": {
            kind: {"schema": {"type": "string", "format": "binary"}} for kind in ("application/octet-stream", "*/*")
        }
    }
}


@router.get(cache.URI, summary="Your cache's resources")
async def resources(request: Request, parts: PartsOf, user: UserOf) -> Response:
    async with transaction(parts.engine) as connection:
        found = await cache.list_resources(connection, user.login)
    rows = [
        {
            "Name": each.name,
            "file_count": str(each.file_count),
            "file_size": str(each.size_bytes),
            "URI": f"{cache.URI}/{quote(each.name)}",
        }
        for each in found
    ]
    return table(request, ("Name", "file_count", "file_size", "URI"), rows)


@router.put(cache.URI + "/{resource}", summary="A resource needs no making: it is there when it has files")
async def put_resource(user: UserOf, resource: str) -> Response:
    cache.path_of(resource, "file")
    return Response()


@router.delete(cache.URI + "/{resource}", summary="Remove a resource with its files")
async def delete_resource(parts: PartsOf, user: UserOf, resource: str) -> Response:
    async with transaction(parts.engine) as connection:
        await cache.drop_resource(connection, user.login, resource)
    return Response()


@router.get(cache.URI + "/{resource}", summary="The files of a resource")
@router.get(FILES, summary="The files of a resource")
async def files(request: Request, parts: PartsOf, user: UserOf, resource: str) -> Response:
    async with transaction(parts.engine) as connection:
        found = await cache.list_files(connection, user.login, resource)
    rows = [
        {
            "Name": each.name,
            "Size": str(each.size_bytes),
            "URI": f"{cache.URI}/{quote(each.resource)}/files/{quote(each.name)}",
        }
        for each in found
    ]
    return table(request, ("Name", "Size", "URI"), rows)


@router.put(FILES, summary="Put the files of a form, each under its own name", openapi_extra=_BODY)
@router.put(FILES + "/{name:path}", summary="Put a file: as the body, or as the file of a form", openapi_extra=_BODY)
async def put_file(request: Request, parts: PartsOf, user: UserOf, resource: str, name: str = "") -> Response:
    path = cache.path_of(resource, name or "file")
    await parts.readiness.require_servers()
    length = uploads.content_length(request.headers, parts.settings.max_upload_bytes)
    with parts.budget.take(length):
        found = await _receive(request, parts, user.login)
    if not found or (name and len(found) > 1):
        raise UserError("no-file", f"{uploads.NO_FILE} Put one file that is not empty, or the files of a form.")
    named = {path: found[0]} if name else {cache.path_of(resource, each.name): each for each in found}
    async with transaction(parts.engine) as connection:
        for where, upload in sorted(named.items()):
            await cache.put_file(connection, user.login, where, upload)
    return Response()


async def _receive(request: Request, parts: Parts, login: str) -> tuple[uploads.Upload, ...]:
    content_type = request.headers.get("content-type", "")
    kind = uploads.kind_of(content_type, is_file=True)  # nothing but a file is put here
    target = uploads.Target(lambda _: cache.new_key(login), "file", parts.settings.max_upload_bytes)
    return (await uploads.receive(parts.store, target, request.stream(), content_type, kind)).uploads


@router.head(FILES + "/{name:path}", include_in_schema=False)
@router.get(FILES + "/{name:path}", summary="A file, or a range of it")
async def file(request: Request, parts: PartsOf, user: UserOf, resource: str, name: str) -> Response:
    async with transaction(parts.engine) as connection:
        found = await cache.find_file(connection, user.login, f"{resource}/{name}")
    # the digest names the version, as the MD5 does elsewhere
    content = Content(found.key, found.name, found.size_bytes, found.sha256, media_type_of(found.name, ""))
    return await download(parts.store, content, request.headers, is_head=request.method == "HEAD")


@router.delete(FILES + "/{name:path}", summary="Remove a file")
async def delete_file(parts: PartsOf, user: UserOf, resource: str, name: str) -> Response:
    async with transaction(parts.engine) as connection:
        await cache.drop_file(connection, user.login, f"{resource}/{name}")
    return Response()
