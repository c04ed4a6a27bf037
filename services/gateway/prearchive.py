"""The prearchive as a table (clients §2, import semantics §9.4)."""

from collections.abc import Mapping, Sequence

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.access import User, may_read_unassigned
from libs.common.commands import CommandKind
from libs.common.names import UNASSIGNED
from libs.common.schema import sessions
from services.gateway.commands import State, open_kinds
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
_IN_PROGRESS: Mapping[CommandKind | None, str] = {
    CommandKind.BUILD: "BUILDING",
    CommandKind.COMMIT: "BUILDING",
    CommandKind.ARCHIVE: "ARCHIVING",
    CommandKind.MOVE: "MOVING",
    CommandKind.DELETE: "DELETING",
}
"""XNAT's word for what is being done to an entry (§7.6)."""


async def list_entries(
    connection: AsyncConnection, user: User, names: Sequence[str], asked: Mapping[str, str]
) -> list[Session]:
    """The entries of these projects, or of all that the user may read; `tag` (Study Instance UID) filters.

    An entry that is being opened is listed too, as BUILDING. What came by direct archive is listed elsewhere.
    """
    condition = sa.or_(*(of_prearchive(user, name) for name in names)) if names else is_visible(user)
    query = SESSION.where(sessions.c.place.in_(PREARCHIVED), sa.not_(sessions.c.is_direct), condition)
    if asked.get("tag"):
        query = query.where(sessions.c.study_instance_uid == asked["tag"])
    rows = await connection.execute(query.order_by(sessions.c.timestamp, sessions.c.folder))
    return [session_of(row) for row in rows]


async def list_direct(
    connection: AsyncConnection, user: User, address: Mapping[str, str] | None = None
) -> list[Session]:
    """What comes by direct archive and is not archived yet; with an address only that."""
    query = SESSION.where(sessions.c.place.in_(PREARCHIVED), sessions.c.is_direct)
    if address is None:
        query = query.where(is_visible(user))
    else:
        query = query.where(
            of_prearchive(user, address["project"]),
            sessions.c.study_instance_uid == address["tag"],
            sa.or_(sessions.c.label == address["name"], sessions.c.folder == address["name"]),
        )
    rows = await connection.execute(query.order_by(sessions.c.timestamp, sessions.c.folder))
    return [session_of(row) for row in rows]


def is_visible(user: User) -> sa.ColumnElement[bool]:
    """The entries that a user may see in any project, or without one."""
    condition = is_readable(user) & sessions.c.project.is_not(None)
    return sa.or_(condition, sessions.c.project.is_(None)) if may_read_unassigned(user) else condition


async def entry_rows(connection: AsyncConnection, found: Sequence[Session]) -> list[Row]:
    """Entries as XNAT's table has them, with what is going on with each as its status (§7.6)."""
    going_on = await open_kinds(connection, [session.id for session in found])
    return [entry_row(session, _status(session, going_on.get(session.id))) for session in found]


def _status(session: Session, going_on: tuple[CommandKind, bool] | None) -> str:
    """A command that is accepted is queued; that it is being done is known once its documents alone are missing."""
    if session.place not in PREARCHIVED:
        return "DELETED" if session.place == "deleted" else session.status
    if session.place == "opening":
        return "BUILDING"
    kind, is_done = going_on or (None, False)
    if kind not in _IN_PROGRESS:
        return session.status
    return _IN_PROGRESS[kind] if is_done else f"QUEUED_{_IN_PROGRESS[kind]}"


def entry_row(session: Session, status: str) -> Row:
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
        status,
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


def affected_row(row: Row, state: State) -> Row:
    """An entry after a command: where it is now, and why it has not done what it was to do."""
    problem = state.problem
    uri = f"/data{state.result.uri}" if state.result.uri else ""
    return {**row, "uri": uri, "message": "" if problem is None else problem.detail}
