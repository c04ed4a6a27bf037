"""What else commands do to a session: move, delete, set a status, purge (import semantics §7.6, §9.4)."""

from datetime import UTC, datetime

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common import names
from libs.common.errors import UserError
from libs.common.outbox import Change, Origin, Site, all_resources, write_change
from libs.common.schema import (
    cache_files,
    import_members,
    import_series,
    import_sessions,
    import_sources,
    projects,
    sessions,
)
from services.archiver.archiving import lock_session, write_session
from services.archiver.building import lock_entry
from services.archiver.cases import Place, Session
from services.archiver.changes import uri_of
from services.archiver.filenames import free_name
from services.archiver.rows import load_session

STATUSES = ("RECEIVING", "READY", "CONFLICT", "ERROR")
"""The prearchive's statuses that may be set: the others say that something is going on (§7.6)."""
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
"""When a purged session was deleted: before any grace time, so the garbage collector takes it next."""


async def where_is(connection: AsyncConnection, session_id: str) -> str:
    """A session's URI without `/data`; "" where it is no more."""
    session = await load_session(connection, sa.select(sessions).where(sessions.c.id == session_id))
    if session is None or session.place not in {Place.PREARCHIVE, Place.ARCHIVE}:
        return ""
    return uri_of(session)


async def move_entry(
    connection: AsyncConnection, session_id: str, project: str | None, origin: Origin, site: Site
) -> None:
    """Give an entry to another project, or to Unassigned. Nothing is copied; its timestamp is new if it must be.

    Raises:
        UserError: it is not in the prearchive, or there is no such project.
    """
    entry = await lock_entry(connection, session_id)
    if entry.project == project:
        return
    if (
        project is not None
        and await connection.scalar(sa.select(projects.c.id).where(projects.c.id == project)) is None
    ):
        raise UserError("project-unknown", f"Project {project} does not exist.")
    values = {"project": project, "timestamp": await free_timestamp(connection, entry, project)}
    is_shared = entry.is_shared and not await is_shared_there(connection, entry, project)
    await write_session(connection, entry.id, {**values, "is_shared": is_shared})
    change = Change(entry.id, "moved", resources=await all_resources(connection, entry.id))
    await write_change(connection, change, origin, site)


async def free_timestamp(connection: AsyncConnection, entry: Session, project: str | None) -> str:
    """The entry's own timestamp; where the project has that folder under it, the present one (§7.6)."""
    columns = sessions.c
    rows = await connection.scalars(
        sa.select(columns.timestamp).where(
            sa.func.coalesce(columns.project, names.UNASSIGNED) == (project or names.UNASSIGNED),
            columns.folder == entry.folder,
            columns.place.in_((Place.OPENING, Place.PREARCHIVE)),
            columns.id != entry.id,
        )
    )
    taken = set(rows)
    if entry.timestamp not in taken:
        return entry.timestamp
    return free_name(names.prearchive_timestamp(datetime.now(UTC)), taken)


async def is_shared_there(connection: AsyncConnection, entry: Session, project: str | None) -> bool:
    """Whether the project has another entry that is open to more of this study under this label."""
    columns = sessions.c
    query = sa.select(columns.id).where(
        sa.func.coalesce(columns.project, names.UNASSIGNED) == (project or names.UNASSIGNED),
        columns.study_instance_uid == entry.study_instance_uid,
        columns.label == entry.label,
        columns.place == Place.PREARCHIVE,
        columns.is_shared,
        columns.id != entry.id,
    )
    return await connection.scalar(query.limit(1)) is not None


async def delete_session(connection: AsyncConnection, session_id: str, origin: Origin, site: Site) -> None:
    """Take a session away, from the prearchive or the archive. Its name is free, its rows stay until the grace ends.

    Safe to repeat. Another session of the same study has rows of its own and is not touched (A65).
    """
    session = await lock_session(connection, session_id)
    if session.place is Place.DELETED:
        return
    if session.place not in {Place.PREARCHIVE, Place.ARCHIVE}:
        raise UserError("not-found", "Unknown session.")
    values = {"place": Place.DELETED, "deleted_at": datetime.now(UTC), "deleted_from": session.place}
    await write_session(connection, session_id, values)
    await write_change(connection, Change(session_id, "deleted"), origin, site)


async def set_status(connection: AsyncConnection, session_id: str, status: str, origin: Origin, site: Site) -> None:
    """Give an entry a status; READY forgets why it was not. Raises `UserError` for what is no status, or a lock."""
    if status not in STATUSES:
        raise UserError("parameter-invalid", f"status must be one of {', '.join(STATUSES)}, not {status}.")
    entry = await lock_entry(connection, session_id)
    if entry.status == status:
        return
    values = {"status": status} | ({"status_reason": ""} if status == "READY" else {})
    await write_session(connection, entry.id, values)
    await write_change(connection, Change(entry.id, "updated"), origin, site)


async def purge_session(connection: AsyncConnection, session_id: str) -> None:
    """Give a deleted session up for good: it cannot be restored, and the garbage collector takes it next.

    What its imports and the cache say of it goes at once: names of files, headers, URIs. The command's row is the
    audit. Its turn comes when everybody has been told that the session is deleted (`turns.must_wait`).

    Raises:
        UserError: it is not deleted.
    """
    session = await lock_session(connection, session_id)
    if session.place is not Place.DELETED:
        raise UserError("not-deleted", "Only a session that is deleted can be purged: delete it first.")
    await _forget_uploads(connection, session_id)
    family = sa.or_(sessions.c.id == session_id, sessions.c.merged_into == session_id)
    await connection.execute(
        sa.update(sessions)
        .where(family)
        .values(place=Place.DELETED, deleted_at=LONG_AGO, deleted_from="", merged_into=None)
    )


async def _forget_uploads(connection: AsyncConnection, session_id: str) -> None:
    """The sources of imports that brought this session alone, and what the rows of any say of its files."""
    family = sa.select(sessions.c.id).where(sa.or_(sessions.c.id == session_id, sessions.c.merged_into == session_id))
    columns = import_sessions.c
    brought = sa.select(columns.import_id).where(columns.session_id.in_(family))
    others = sa.select(columns.import_id).where(columns.session_id.not_in(family), columns.outcome.is_not(None))
    alone = sa.and_(import_sources.c.import_id.in_(brought), import_sources.c.import_id.not_in(others))
    keys = sa.select(import_sources.c.object_key).where(alone)
    await connection.execute(sa.delete(cache_files).where(cache_files.c.object_key.in_(keys)))
    for table in (import_members, import_series):
        await connection.execute(sa.delete(table).where(table.c.session_id.in_(family)))
    await connection.execute(sa.update(import_sessions).where(columns.session_id.in_(family)).values(uri=""))
