"""What two services do with prearchive entries that imports share."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.schema import import_sessions, imports, sessions

_EMPTY_FOR = timedelta(minutes=1)


async def take_back(connection: AsyncConnection, import_id: UUID) -> None:
    """Delete the shared entries of a refused import that hold nothing. Safe to repeat.

    One that another import has joined, and still runs, stays: it comes with files, or is taken back with that import.
    """
    mine = sa.select(import_sessions.c.session_id).where(import_sessions.c.import_id == import_id)
    await _take_back(connection, sessions.c.id.in_(mine), import_id)


async def take_back_empty(connection: AsyncConnection) -> None:
    """Delete the shared entries that have been empty for a while, of which no import still runs. Safe to repeat."""
    await _take_back(connection, sessions.c.created_at < datetime.now(UTC) - _EMPTY_FOR)


async def _take_back(
    connection: AsyncConnection, condition: sa.ColumnElement[bool], import_id: UUID | None = None
) -> None:
    """Two statements: the second sees what has joined while the first waited for the locks."""
    columns = sessions.c
    is_receiving = sa.text(
        "sessions.place = 'prearchive' and sessions.status = 'RECEIVING'"
    )  # index sessions_receiving
    is_empty = sa.and_(is_receiving, columns.revision == 0, columns.opened_by.is_(None))
    held = list(
        await connection.scalars(
            sa.select(columns.id).where(condition, is_empty).order_by(columns.id).limit(1000).with_for_update()
        )
    )
    if not held:
        return
    running = (
        sa.select(import_sessions.c.session_id)
        .join_from(import_sessions, imports)
        .where(import_sessions.c.session_id.in_(held), imports.c.outcome.is_(None))
    )
    if import_id is not None:
        running = running.where(imports.c.id != import_id)
    await connection.execute(
        sa.update(sessions)
        .where(columns.id.in_(held), columns.id.not_in(running))
        .values(place="deleted", deleted_at=datetime.now(UTC), deleted_from="prearchive")
    )
