"""The prearchive as a table (clients §2, import semantics §9.4)."""

from collections.abc import Mapping, Sequence

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.access import User, may_read_unassigned
from libs.common.names import UNASSIGNED
from libs.common.schema import sessions
from services.gateway.places import PREARCHIVED, SESSION, Session, is_readable, of_prearchive, session_of
from services.gateway.tables import Row, dicom_date, dicom_time, moment

COLUMNS = (
    "project",
    "timestamp",
    "lastmod",
    "uploaded",
    "scan_date",
    "scan_time",
    "subject",
    "folderName",
    "name",
    "tag",
    "status",
    "url",
    "autoarchive",
    "prevent_anon",
    "prevent_auto_commit",
    "SOURCE",
    "VISIT",
    "PROTOCOL",
    "TIMEZONE",
)


async def list_entries(
    connection: AsyncConnection, user: User, names: Sequence[str], asked: Mapping[str, str]
) -> list[Session]:
    """The entries of these projects, or of all that the user may read; `tag` (Study Instance UID) filters.

    An entry that is being opened is listed too, as BUILDING.
    """
    if names:
        condition = sa.or_(*(of_prearchive(user, name) for name in names))
    else:
        condition = is_readable(user) & sessions.c.project.is_not(None)
        if may_read_unassigned(user):
            condition = sa.or_(condition, sessions.c.project.is_(None))
    query = SESSION.where(sessions.c.place.in_(PREARCHIVED), condition)
    if asked.get("tag"):
        query = query.where(sessions.c.study_instance_uid == asked["tag"])
    rows = await connection.execute(query.order_by(sessions.c.timestamp, sessions.c.folder))
    return [session_of(row) for row in rows]


def entry_row(session: Session) -> Row:
    """One entry as XNAT's table has it; `url` without `/data`."""
    day = dicom_date(session.attributes.get("StudyDate"))
    values = (
        session.project or UNASSIGNED,
        session.timestamp,
        moment(session.updated_at),
        moment(session.created_at),
        f"{day} 00:00:00.0" if day else "",
        dicom_time(session.attributes.get("StudyTime")),
        session.subject_label,
        session.folder,
        session.label or session.folder,
        session.study_instance_uid,
        session.status if session.place == "prearchive" else "BUILDING",
        session.prearchive_uri,
        "AutoArchive" if session.auto_archive else "Manual",
        str(session.prevent_anon).lower(),
        str(session.prevent_auto_commit).lower(),
        session.source,
        session.visit,
        session.protocol,
        session.timezone,
    )
    return dict(zip(COLUMNS, values, strict=True))
