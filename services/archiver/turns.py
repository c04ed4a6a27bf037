"""Whose turn it is: what a command on a session waits for, and which commands wait for it (architecture §5)."""

from collections.abc import Sequence
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.command_rows import CommandRow
from libs.common.commands import CommandKind
from libs.common.messages import CommandReceived
from libs.common.schema import commands, import_sessions


async def must_wait(connection: AsyncConnection, row: CommandRow) -> bool:
    """Whether imports that were accepted before the command are still to be merged, or earlier commands to be done.

    A purge waits too until the session's changes are told: their rows go. A command that waits stays undone: it is told
    again when what it waits for ends, and by the sweep.
    """
    if row.session_id is None:
        return False
    values = {"id": row.id, "session": row.session_id}
    queries = (_IMPORTS, _COMMANDS, _CHANGES) if row.kind is CommandKind.PURGE else (_IMPORTS, _COMMANDS)
    for query in queries:
        if await connection.scalar(sa.text(query), values):
            return True
    return False


_IMPORTS = (
    "select exists (select from import_sessions s join imports i on i.id = s.import_id join commands c on c.id = :id"
    " where s.session_id = :session and s.outcome is null and i.outcome is null and i.received_at <= c.received_at)"
)
_COMMANDS = (
    "select exists (select from commands o join commands c on c.id = :id where o.session_id = :session"
    " and o.done_at is null and o.outcome is null and o.id is distinct from c.parent_id"
    " and (o.received_at, o.id) < (c.received_at, c.id))"
)
_CHANGES = (
    "select exists (select from session_changes s join commands c on c.id = :id"
    " where s.session_id = :session and s.catalogued_at is null)"
)


async def waiting_on_session(connection: AsyncConnection, session_id: str) -> Sequence[CommandReceived]:
    """The commands on a session that are not done. Ask when one of them has committed."""
    return await _waiting(connection, commands.c.session_id == session_id)


async def waiting_on_import(connection: AsyncConnection, import_id: UUID) -> Sequence[CommandReceived]:
    """The commands on the sessions of an import that are not done. Ask when it is merged."""
    touched = sa.select(import_sessions.c.session_id).where(import_sessions.c.import_id == import_id)
    return await _waiting(connection, commands.c.session_id.in_(touched))


async def _waiting(connection: AsyncConnection, condition: sa.ColumnElement[bool]) -> Sequence[CommandReceived]:
    columns = commands.c
    rows = await connection.scalars(
        sa.select(columns.id)
        .where(condition, columns.done_at.is_(None), columns.outcome.is_(None))
        .order_by(columns.received_at, columns.id)
    )
    return [CommandReceived(command_id=command_id) for command_id in rows]
