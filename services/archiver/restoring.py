"""Undoes what can be undone until the grace time ends: a deletion, or the replacing of files (architecture §3)."""

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.errors import UserError
from libs.common.outbox import Change, Origin, Site, all_resources, write_change
from libs.common.schema import replaced_files, sessions
from services.archiver.archiving import lock_session, write_session
from services.archiver.cases import Place, Session
from services.archiver.contents import count_files
from services.archiver.lifecycle import free_timestamp, is_shared_there
from services.archiver.replacing import take_out

RESTORED = "restored"


async def restore_session(
    connection: AsyncConnection, session_id: str, revision: int | None, origin: Origin, site: Site
) -> None:
    """Bring a deleted session back where it was; in one that is there, put files back that a change replaced.

    What was in their place is kept in turn, so that this can be undone too.

    Raises:
        UserError: there is nothing to be restored, or another session has its name.
    """
    session = await lock_session(connection, session_id)
    if session.place is Place.DELETED:
        await _undelete(connection, session, origin, site)
    elif session.place in {Place.PREARCHIVE, Place.ARCHIVE}:
        await _put_back(connection, session, revision, origin, site)
    else:
        raise UserError("not-found", "Unknown session.")


async def _undelete(connection: AsyncConnection, session: Session, origin: Origin, site: Site) -> None:
    columns = sessions.c
    place = await connection.scalar(sa.select(columns.deleted_from).where(columns.id == session.id))
    values: dict[str, object] = {"place": place, "deleted_at": None, "deleted_from": ""}
    match place:
        case Place.ARCHIVE:
            taken = sa.select(columns.id).where(
                columns.project == session.project, columns.label == session.label, columns.place == Place.ARCHIVE
            )
            if (holder := await connection.scalar(taken)) is not None:
                raise UserError("conflict-name-taken", f"Session {holder} has its label now: delete that one first.")
        case Place.PREARCHIVE:
            values["timestamp"] = await free_timestamp(connection, session, session.project)
            values["is_shared"] = session.is_shared and not await is_shared_there(connection, session, session.project)
        case _:
            raise UserError("not-restorable", "The session can't be restored: it is purged, or became other sessions.")
    await write_session(connection, session.id, values)
    change = Change(session.id, "updated", resources=await all_resources(connection, session.id), reason=RESTORED)
    await write_change(connection, change, origin, site)


async def _put_back(
    connection: AsyncConnection, session: Session, revision: int | None, origin: Origin, site: Site
) -> None:
    columns = replaced_files.c
    of_session = columns.session_id == session.id
    if revision is None:
        revision = await connection.scalar(sa.select(sa.func.max(columns.revision)).where(of_session))
    rows = (
        await connection.execute(
            sa.select(columns.id, columns.replaced_by).where(of_session, columns.revision == revision)
        )
    ).all()
    if not rows:
        raise UserError("nothing-replaced", "No files of this session were replaced then, or the grace time has ended.")
    undone = {row.replaced_by: row.id for row in rows if row.replaced_by is not None}
    await _check_there(connection, list(undone))
    undoing = session.revision + 1
    await take_out(connection, undone, undoing)
    resources = await _insert(connection, [row.id for row in rows])
    await connection.execute(sa.delete(replaced_files).where(of_session, columns.revision == revision))
    await count_files(connection, resources, undoing)
    await write_session(connection, session.id, {})
    change = Change(session.id, "updated", resources=resources, files_replaced=len(rows), reason=RESTORED)
    await write_change(connection, change, origin, site)


async def _check_there(connection: AsyncConnection, rows: Sequence[int]) -> None:
    there = await connection.scalar(sa.text("select count(*) from files where id = any(:rows)"), {"rows": list(rows)})
    if there != len(rows):
        raise UserError("replaced-again", "Those files were replaced again later: restore the later revision first.")


async def _insert(connection: AsyncConnection, rows: Sequence[int]) -> list[int]:
    """The rows in `files` again, as they were, where their resource is; the resources."""
    query = sa.text(
        "insert into files select (jsonb_populate_record(null::files, r.file)).* from replaced_files r"
        " join resources on resources.id = cast(r.file ->> 'resource' as bigint)"
        " where r.id = any(:rows) on conflict (resource, name) do nothing returning resource"
    )
    resources = list(await connection.scalars(query, {"rows": list(rows)}))
    if len(resources) != len(rows):
        raise UserError("conflict-name-taken", "Other files have these names now, or their scan is gone.")
    return sorted(set(resources))
