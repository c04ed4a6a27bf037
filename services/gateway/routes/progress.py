"""Progress by the id that its client has chosen (import semantics §10)."""

import html
import json
from collections.abc import Sequence

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response

from libs.common.database import transaction
from libs.common.errors import UserError
from services.gateway.parts import PartsOf, UserOf
from services.gateway.progress import Level, Line, load_lines

router = APIRouter(tags=["import"])


@router.get("/data/status/{listener}", summary="What a listener has been told so far; `format=json` or `html`")
async def status(request: Request, parts: PartsOf, user: UserOf, listener: str) -> Response:
    async with transaction(parts.engine) as connection:
        lines = await load_lines(connection, user.login, listener)
    match request.query_params.get("format", "").lower():
        case "json":
            return JSONResponse({"msgs": [[_told(line) for line in lines]]})
        case "html":
            rows = "".join(f"<tr><td>{line.level}</td><td>{html.escape(line.text)}</td></tr>" for line in lines)
            return HTMLResponse(f"<table>{rows}</table>")
    return PlainTextResponse("".join(f"{line.level}: {line.text}\n" for line in lines))


def _told(line: Line) -> dict[str, object]:
    return {"status": line.level, "msg": line.text, "terminal": line.is_terminal}


@router.get("/xapi/event_tracking/{key}", summary="The same, with its end")
async def event_tracking(parts: PartsOf, user: UserOf, key: str) -> Response:
    async with transaction(parts.engine) as connection:
        lines = await load_lines(connection, user.login, key)
    if not lines:
        raise UserError("not-found", f"There is no event tracking data for {key}.")
    last = lines[-1]
    return JSONResponse(
        {
            "key": key,
            "payload": _payload(lines),
            "succeeded": last.level is Level.COMPLETED if last.is_terminal else None,
            "finalMessage": last.text if last.is_terminal else None,
        }
    )


_STATUSES = {
    Level.PROCESSING: "InProgress",
    Level.WARNING: "Warning",
    Level.FAILED: "Failed",
    Level.COMPLETED: "Completed",
}


def _payload(lines: Sequence[Line]) -> str:
    entries = [
        {
            "status": _STATUSES[line.level],
            "eventTime": int(line.at.timestamp() * 1000) if line.at else None,
            "message": line.text,
        }
        for line in lines
    ]
    return json.dumps({"entryList": entries})
