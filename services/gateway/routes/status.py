"""How an import stands, and what became of each member of its upload."""

import csv
import io
import json
from collections.abc import AsyncIterator
from uuid import UUID

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from libs.common.database import transaction
from libs.common.errors import UserError
from libs.common.reports import COLUMNS, render_pages, report_key, report_pages
from libs.common.storage import Missing
from services.gateway.answers import COMMAND_HEADER, IMPORT_HEADER, full_uri
from services.gateway.cancelling import cancel_import
from services.gateway.commands import load_states
from services.gateway.parts import PartsOf, UserOf
from services.gateway.status import Status, find_status

router = APIRouter(tags=["import"])
NDJSON = "application/x-ndjson"


@router.get("/data/services/import/{import_id}", summary="How an import stands")
async def status(parts: PartsOf, user: UserOf, import_id: UUID) -> Response:
    async with transaction(parts.engine) as connection:
        found = await find_status(connection, user, import_id)
    return JSONResponse(_told(found), headers={IMPORT_HEADER: str(import_id)})


def _told(found: Status) -> dict[str, object]:
    times = {name: at.isoformat() if at else None for name, at in found.times.items()}
    counts = found.counts
    return {
        "id": str(found.import_id),
        "state": found.state,
        "code": found.code,
        "detail": found.detail,
        "size_bytes": found.size_bytes,
        "sha256": found.sha256,
        **times,
        "progress": {
            "members": counts.members,
            "members_routed": counts.members_routed,
            "members_staged": counts.members_staged,
            "bytes": counts.bytes,
            "bytes_staged": counts.bytes_staged,
        },
        "sessions": [
            {
                "uri": full_uri(session.uri or session.prearchive_uri),
                "outcome": session.outcome,
                "code": session.code,
                "detail": session.detail,
            }
            for session in found.sessions
        ],
    }


@router.delete("/data/services/import/{import_id}", summary="Cancel an import that is running")
async def cancel(parts: PartsOf, user: UserOf, import_id: UUID) -> Response:
    await parts.readiness.require_servers()
    async with transaction(parts.engine) as connection:
        messages = await cancel_import(connection, user, import_id)
    await parts.broker.publish(*messages)
    return Response(headers={IMPORT_HEADER: str(import_id)})


@router.get("/data/services/command/{command_id}", summary="How a build, commit, archiving, … stands")
async def command_status(parts: PartsOf, user: UserOf, command_id: UUID) -> Response:
    found = await load_states(parts.engine, [command_id])
    if not found or not (user.admin or found[0].login == user.login):
        raise UserError("not-found", "There is no such command.")
    (state,) = found
    told = {
        "id": str(state.id),
        "kind": state.kind,
        "state": state.outcome or ("cataloguing" if state.is_done else "queued"),
        "code": state.code,
        "detail": state.detail,
        "uri": f"/data{state.result.uri}" if state.result.uri else "",
    }
    return JSONResponse(told, headers={COMMAND_HEADER: str(command_id)})


@router.get("/data/services/import/{import_id}/report", summary="One line a member; NDJSON, or `format=csv`")
async def report(request: Request, parts: PartsOf, user: UserOf, import_id: UUID) -> Response:
    async with transaction(parts.engine) as connection:
        await find_status(connection, user, import_id)
    headers = {IMPORT_HEADER: str(import_id), "X-Content-Type-Options": "nosniff"}
    try:
        stored = await parts.store.head(report_key(import_id))
    except Missing:
        pieces = render_pages(report_pages(parts.engine, import_id))
    else:
        pieces = parts.store.stream(stored.key, 0, stored.size_bytes) if stored.size_bytes else _nothing()
    if request.query_params.get("format", "").lower() == "csv":
        return StreamingResponse(_csv(pieces), headers=headers, media_type="text/csv")
    return StreamingResponse(pieces, headers=headers, media_type=NDJSON)


async def _nothing() -> AsyncIterator[bytes]:
    yield b""


async def _csv(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield (",".join(COLUMNS) + "\n").encode()
    rest = b""
    async for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerows([json.loads(line).get(column, "") for column in COLUMNS] for line in lines if line)
        yield text.getvalue().encode()
