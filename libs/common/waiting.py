"""What waits for an import or a command: told when that is merged or done, or ends otherwise (docs/flow.md)."""

from collections.abc import Sequence
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.messages import CommandReceived, ImportStaged
from libs.common.schema import commands, import_sessions, imports


async def waiting_on_session(connection: AsyncConnection, session_id: str) -> Sequence[CommandReceived]:
    """The commands on a session that are not done. Ask when one of them has committed."""
    return await _commands(connection, commands.c.session_id == session_id)


async def waiting_on_import(connection: AsyncConnection, import_id: UUID) -> Sequence[ImportStaged | CommandReceived]:
    """What is to go on when an import is merged or has ended: commits of its entries, commands on its sessions."""
    touched = sa.select(import_sessions.c.session_id).where(import_sessions.c.import_id == import_id)
    waiting = await _commands(connection, commands.c.session_id.in_(touched))
    return [*await _commits(connection, import_id), *waiting]


async def _commands(connection: AsyncConnection, condition: sa.ColumnElement[bool]) -> Sequence[CommandReceived]:
    columns = commands.c
    rows = await connection.scalars(
        sa.select(columns.id)
        .where(condition, columns.done_at.is_(None), columns.outcome.is_(None))
        .order_by(columns.received_at, columns.id)
    )
    return [CommandReceived(command_id=command_id) for command_id in rows]


async def _commits(connection: AsyncConnection, import_id: UUID) -> Sequence[ImportStaged]:
    """The imports that have given their files to an entry of this one, and whose commit may have waited for its own."""
    each, mine = import_sessions.c, import_sessions.alias()
    query = (
        sa.select(each.import_id)
        .join_from(import_sessions, mine, mine.c.session_id == each.session_id)
        .join(imports, imports.c.id == each.import_id)
        .where(
            mine.c.import_id == import_id,
            each.import_id != import_id,
            each.outcome.is_(None),
            each.uri != "",
            imports.c.outcome.is_(None),
        )
        .distinct()
    )
    return [ImportStaged(import_id=waiting) for waiting in await connection.scalars(query)]
