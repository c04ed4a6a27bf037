"""Assessors of one session: what has been made of it, such as quality checks (import semantics §3.6, §6.4)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.errors import UserError
from libs.common.schema import assessors
from services.gateway.places import Session
from services.gateway.tables import Item, Row, moment

COLUMNS = ("ID", "label", "project", "xsiType", "date", "insert_date", "session_ID", "session_label", "URI")


@dataclass(frozen=True, slots=True)
class Assessor:
    """One assessor; `fields` are values by XML path, as its document has them."""

    id: str
    label: str
    xsi_type: str
    fields: Mapping[str, str]
    created_at: datetime


async def list_assessors(connection: AsyncConnection, session: Session) -> Sequence[Assessor]:
    """All assessors of a session, in the order in which they came."""
    columns = assessors.c
    query = sa.select(columns.id, columns.label, columns.xsi_type, columns.fields, columns.created_at)
    rows = await connection.execute(query.where(columns.session_id == session.id).order_by(columns.row))
    return [Assessor(*row) for row in rows]


async def find_assessor(connection: AsyncConnection, session: Session, name: str) -> Assessor:
    """The assessor of this label, else of this ID. Raises `UserError` if there is none."""
    found = await list_assessors(connection, session)
    for each in (*(one for one in found if one.label == name), *(one for one in found if one.id == name)):
        return each
    raise UserError("not-found", "There is no such assessor.")


def assessor_row(session: Session, assessor: Assessor) -> Row:
    """One line of the list."""
    return {
        "ID": assessor.id,
        "label": assessor.label,
        "project": session.project or "",
        "xsiType": assessor.xsi_type,
        "date": assessor.fields.get("date", ""),
        "insert_date": moment(assessor.created_at),
        "session_ID": session.id,
        "session_label": session.label,
        "URI": f"{session.uri}/assessors/{quote(assessor.id)}",
    }


def assessor_item(session: Session, assessor: Assessor) -> Item:
    """An assessor with what its document says."""
    own = {"ID": assessor.id, "label": assessor.label, "project": session.project or "", "imageSession_ID": session.id}
    return Item(assessor.xsi_type, {**assessor.fields, **own})
