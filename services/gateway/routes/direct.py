"""Sessions on their way by direct archive: not in the prearchive's lists, and not archived yet (clients §3.3)."""

from fastapi import APIRouter
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.responses import JSONResponse, Response

from libs.common.access import User
from libs.common.database import transaction
from libs.common.errors import UserError
from services.gateway.parts import PartsOf, UserOf
from services.gateway.places import Session
from services.gateway.prearchive import list_direct
from services.gateway.tables import dicom_date, dicom_time, moment

router = APIRouter(tags=["prearchive"])


@router.get("/xapi/direct-archive", summary="The sessions on their way that you may read")
async def listed(parts: PartsOf, user: UserOf) -> Response:
    async with transaction(parts.engine) as connection:
        found = await list_direct(connection, user)
    return JSONResponse([_told(session) for session in found])


@router.get("/xapi/direct-archive/{project}/{tag}/{name}", summary="One of them; with its item, as xnatpy reads it")
async def one(parts: PartsOf, user: UserOf, project: str, tag: str, name: str) -> Response:
    async with transaction(parts.engine) as connection:
        found = await _find(connection, user, {"project": project, "tag": tag, "name": name})
    return JSONResponse(found)


async def _find(connection: AsyncConnection, user: User, address: dict[str, str]) -> dict[str, object]:
    for session in await list_direct(connection, user, address):
        fields = {"ID": session.id, "label": session.label, "project": session.project or "", "UID": address["tag"]}
        meta = {"isHistory": False, "xsi:type": session.xsi_type or "xnat:imageSessionData"}
        return {**_told(session), "items": [{"meta": meta, "data_fields": fields, "children": []}]}
    raise UserError("not-found", "There is no such session on its way.")


def _told(session: Session) -> dict[str, object]:
    return {
        "id": session.id,
        "project": session.project or "",
        "subject": session.subject_label,
        "name": session.label,
        "folderName": session.folder,
        "timestamp": session.timestamp,
        "tag": session.study_instance_uid,
        "status": session.status,
        "url": f"/xapi/direct-archive/{session.project}/{session.study_instance_uid}/{session.label}",
        "scanDate": dicom_date(session.attributes.get("StudyDate")),
        "scanTime": dicom_time(session.attributes.get("StudyTime")),
        "uploadDate": moment(session.created_at),
        "lastBuiltDate": moment(session.updated_at),
        "source": session.source,
        "visit": session.visit,
        "protocol": session.protocol,
        "timeZone": session.timezone,
    }
