"""Whose turn it is: what a command on a session waits for (architecture §5); `libs.common.waiting` has who waits."""

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.command_rows import CommandRow
from libs.common.commands import CommandKind


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
